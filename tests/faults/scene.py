"""What a fault is made of: the run that it belongs to, and scenes in which things happen to daemons.

A fault is a function ``(run, times)`` with a name and three counts. It opens a scene, lets things happen so many
times, and closes it; closing stops the daemons, holds everything against the provider's journal, and adds what was
found to the run's result. Whatever is started in a scene is gone when it is left, also by an error::

    def kill_the_daemon(run: Run, times: int) -> None:
        with run.scene() as scene:
            for _ in range(times):
                scene.start()
                scene.load(run.dice.uniform(0, 1))
                scene.kill()
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from psycopg2.extensions import make_dsn

from tests.acceptance.daemon import REPOSITORY
from tests.faults.checker import Findings, check
from tests.faults.daemon import STOP_SECONDS, Broken, Daemon, wait_for
from tests.faults.postgres import Postgres
from tests.faults.provider import Bad, Market, Provider, Reply, serving
from tests.servers import Installed

TICK_SECONDS = 0.05
"""20 polls a second."""

_LAST_STARTS = 3


@dataclass(frozen=True)
class Fault:
    """``times``: counts of the short form (in `make test`), the default and the long one. One scene takes at most
    ``in_a_scene`` of them; several scenes run beside each other, unless ``alone``."""

    name: str
    do: Callable[[Run, int], None]
    times: tuple[int, int, int]
    in_a_scene: int = 50
    alone: bool = False


@dataclass
class Result:
    """A line of the table."""

    name: str
    times: int = 0
    seconds: float = 0.0
    findings: Findings = field(default_factory=Findings)
    notes: list[str] = field(default_factory=list)
    skipped: str | None = None

    @property
    def held(self) -> bool:
        return not self.findings.problems


class Skip(Exception):
    """This machine does not allow the fault; the text says what is missing."""


@dataclass
class Run:
    """One fault (or a part of its times) under way. ``code``: where the ``app`` lies that is tested. ``scale``: short,
    default or long."""

    name: str
    seed: int
    folder: Path
    installed: Sequence[Installed]
    code: Path = REPOSITORY
    scale: str = "default"
    dice: random.Random = field(init=False)
    result: Result = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.seed}/{self.name}")
        self.result = Result(self.name)

    @property
    def leeway(self) -> float:
        """How many times the allowed time something may take: short runs have company, and any machine will do."""
        return 4.0 if self.scale == "short" else 1.0

    def problem(self, text: str) -> None:
        """Something that must not be. The fault goes on."""
        self.result.findings.problems.append(text)

    def note(self, text: str) -> None:
        """A measurement that is worth a word below the table."""
        self.result.notes.append(text)

    def perform(self, fault: Fault, times: int) -> Result:
        """Do it; whatever goes wrong is in the result."""
        began = time.monotonic()
        try:
            fault.do(self, times)
        except Skip as reason:
            self.result.skipped = str(reason)
        except (Broken, AssertionError) as error:
            self.problem(str(error) or traceback.format_exc())
        except Exception:  # noqa: BLE001  (a fault that does not work must not hide the others)
            self.problem(traceback.format_exc())
        self.result.times = times
        self.result.seconds = time.monotonic() - began
        if self.result.held:
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.result

    @contextmanager
    def scene(
        self,
        *,
        coins: int = 3,
        settings: dict[str, object] | None = None,
        prefix: Sequence[str] = (),
        bad: Bad = lambda _number: None,
        place: Path | None = None,
        one_judge: bool = True,
    ) -> Iterator[Scene]:
        """A provider, a PostgreSQL and a daemon ``a``, not started. ``place``: where the daemon's folder is to be.
        ``one_judge``: no two daemons ever evaluate rules at the same time.

        When it is left without an error, the daemons are stopped and everything is checked.
        """
        number = sum(1 for _ in self.folder.glob("scene-*"))
        folder = self.folder / f"scene-{number}"
        folder.mkdir(parents=True)
        market = Market(self.dice.randrange(10**9), coins)
        with ExitStack() as stack:
            postgres = stack.enter_context(Postgres(folder / "server", self.dice.choice(self.installed)))
            provider = stack.enter_context(serving(market, folder / "journal", bad))
            provider.dice.seed(self.dice.random())
            scene = Scene(self, place or folder, provider, postgres, postgres.database(), settings or {}, prefix)
            scene.one_judge = one_judge
            stack.callback(scene.end)
            yield scene
            scene.conclude()


class Scene:
    """A provider, a PostgreSQL server with one database, and daemons ``a``, ``b``... in folders of their own."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        provider: Provider,
        postgres: Postgres,
        dsn: str,
        settings: dict[str, object],
        prefix: Sequence[str],
    ) -> None:
        self.run, self.folder, self.provider, self.postgres, self.dsn = run, folder, provider, postgres, dsn
        self._settings, self._prefix = settings, prefix
        self.one_judge = True
        self.daemons: dict[str, Daemon] = {}

    def daemon(self, name: str = "a") -> Daemon:
        """The daemon of this name; the provider knows it by its name."""
        if name not in self.daemons:
            settings: dict[str, object] = {
                "WATCH": self.provider.market.watch,
                "COINGECKO_BASE_URL": self.provider.url(name),
                "DATABASE_URL": make_dsn(self.dsn, application_name=name),
                "TICK_SECONDS": TICK_SECONDS,
                "VIEW_REFRESH_SECONDS": 1,
                **self._settings,
            }
            self.daemons[name] = Daemon(self.folder / name, settings, self.run.code, self._prefix)
        return self.daemons[name]

    def start(self, name: str = "a", *, polls: int = 1) -> float:
        """Start a daemon and wait until it has asked for so many replies; the seconds that took."""
        daemon = self.daemon(name)
        before = self.provider.served(name)
        daemon.start()
        return daemon.wait_for(lambda: self.provider.served(name) >= before + polls, f"{polls} polls after the start")

    def load(self, seconds: float, name: str = "a") -> None:
        """Let it work for so long. Raises Broken if it ends by itself."""
        end = time.monotonic() + seconds
        self.daemon(name).wait_for(lambda: time.monotonic() >= end, "time passes", seconds + 60)

    def polls(self, more: int, name: str = "a", seconds: float = 60) -> float:
        """Wait for so many further replies; the seconds that took."""
        wanted = self.provider.served(name) + more
        return self.daemon(name).wait_for(lambda: self.provider.served(name) >= wanted, f"{more} more polls", seconds)

    def kill(self, name: str = "a") -> None:
        """kill -9; what was in flight just then may be missing."""
        self.daemon(name).kill()
        self.provider.mark(name)

    def stop(self, name: str = "a", number: int = signal.SIGTERM) -> None:
        """A signal that has to be obeyed in time, with nothing lost."""
        code, seconds = self.daemon(name).stop(number)
        if code != 0:
            self.run.problem(f"{signal.Signals(number).name}: exit code {code}\n{self.daemon(name).tail()}")
        if seconds > STOP_SECONDS * self.run.leeway:
            self.run.problem(f"{signal.Signals(number).name}: the end took {seconds:.1f} s")

    def stored(self) -> int:
        """Ticks in the database now."""
        count: int = self.postgres.execute("SELECT count(*) FROM ticker_data", dsn=self.dsn)[0][0]
        return count

    def lines(self, name: str = "a") -> int:
        """Lines in the daemon's alerts.txt now, without its rotations."""
        with suppress(FileNotFoundError):
            return self.daemon(name).alerts.read_bytes().count(b"\n")
        return 0

    def status(self, name: str = "a") -> dict[str, object]:
        """Its status.json; empty where there is none."""
        with suppress(FileNotFoundError, ValueError):
            status: dict[str, object] = json.loads((self.daemon(name).data / "status.json").read_text())
            return status
        return {}

    def drained(self, seconds: float = 120) -> float:
        """Wait until the database has all that had been served by now; the seconds that took."""
        replies = list(self.provider.replies)
        return wait_for(lambda: self._has(replies), "everything served is in the database", seconds)

    def _has(self, replies: Sequence[Reply]) -> bool:
        """Whether the database has all of these, but for those in flight at a kill."""
        maybe = [reply.rows[0].time for reply in replies if reply.number in self.provider.in_flight]
        sure = [reply for reply in replies if reply.number not in self.provider.in_flight]
        if not sure:
            return True
        query = 'SELECT count(*) FROM ticker_data WHERE "timestamp" <= %s AND "timestamp" <> ALL (%s::timestamptz[])'
        found = self.postgres.execute(query, sure[-1].rows[0].time, maybe, dsn=self.dsn)[0][0]
        return int(found) >= sum(len(reply.rows) for reply in sure)

    def conclude(self) -> None:
        """Run what is not running once more, stop it all, and check. What a kill left is mended by then.

        A stop may leave its last batch in the spool, if the database was slow just then: the next start stores it.
        """
        try:
            for _ in range(_LAST_STARTS):
                self._run_to_the_end()
                if self._has(self.provider.replies):
                    break
        except Broken as error:
            self.run.problem(str(error))
            self.end()
        self.check()

    def _run_to_the_end(self) -> None:
        before = self.provider.served()
        for daemon in self.daemons.values():
            if not daemon.alive:
                daemon.start()
        wait_for(lambda: self.provider.served() >= before + 3, "somebody polls at the end")
        self.drained()
        for name in self.daemons:
            self.stop(name)
        self.provider.settle()

    def check(self) -> None:
        """Hold everything against the journal and add it to the result. No daemon runs."""
        self.provider.settle()
        files = [daemon.alerts for daemon in self.daemons.values()]
        found = check(self.dsn, self.provider.replies, self.provider.in_flight, files, one_judge=self.one_judge)
        for daemon in self.daemons.values():
            if "Traceback" in daemon.output.read_text(errors="replace"):
                found.problems.append(f"a traceback in {daemon.output}")
        if found.problems:
            found.problems.append(f"what it left is in {self.folder}")
        self.run.result.findings += found

    def end(self) -> None:
        """Kill whatever still runs."""
        for daemon in self.daemons.values():
            daemon.kill()
