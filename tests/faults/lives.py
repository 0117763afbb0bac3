"""The daemon's own parts in this process, one life after another on what the last one left, killed anywhere.

A life is built by ``app.main`` itself and driven by the real tick loop and the real source; only HTTP, the clock and
the machine's patience are ours. A kill is an exception at the n-th event of our code (a call, a return, or a call into
C such as a write, an fsync or a COMMIT), so that it can come before and after every step there is; then connections,
locks and open files are let go as the kernel would, and nothing is tidied.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg2
import pytest

import app.main
from app import decode, log
from app.clock import Clock
from app.config import Settings
from app.daemon import Daemon
from app.http import Http, Reply
from app.limits import CallBudget, Ledger
from app.report import Report
from app.rulebook import Rulebook
from app.sources import SOURCES
from app.sources.base import Limits
from app.sources.coingecko import CoinGecko
from app.tasks import Halt, Tasks
from tests.acceptance.daemon import SHIPPED_FILE
from tests.acceptance.scripted import Row, body
from tests.alert_files import FaultyOs, written
from tests.clock import FakeClock

RULES = (
    SHIPPED_FILE.read_text()
    + """
[[rule]]
name = "held"
when = "abs(price / avg(price, 5m) - 1) > 1%"
for = "2m"

[[rule]]
name = "repeated"
when = "abs(volume / avg(volume, 5m) - 1) > 1%"
repeat = "2m"

[[rule]]
name = "held-and-repeated"
when = "abs(price / avg(price, 5m) - 1) > 0.8%"
for = "1m"
repeat = "3m"

[[rule]]
name = "kept"
when = "price > max(price, 5m)"
keep_firing_for = "2m"

[[rule]]
name = "cleared"
when = "abs(zscore(price, 10m)) > 2"
clear = "abs(change(price, 5m)) < 0.2%"

[[rule]]
name = "crossing"
when = "crosses(price, avg(price, 5m))"
"""
)
"""Those as shipped, and some whose states outlive a tick: pending, firing, recovering, to be said again."""

CALLS_PER_MONTH = 5_000_000
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where fsync costs nothing
_APP = str(Path(app.main.__file__).parent)

_FOUND = {
    "ticks": 'SELECT symbol, "timestamp", price::text, volume_24h::text, origin FROM ticker_data ORDER BY 1, 2',
    "candles": "SELECT width, symbol, bucket, open, high, low, close, volume, ticks, minutes::text FROM candles"
    " ORDER BY 1, 2, 3",
    "alerts": 'SELECT id, state, "timestamp", symbol, rule, terms::text FROM alerts ORDER BY number',
    "states": "SELECT to_jsonb(s)::text FROM alert_states AS s ORDER BY rule, symbol",
}
_TABLES = ("ticker_data", "candles", "alerts", "alert_states", "instruments", "provider_calls")


class Killed(BaseException):
    """kill -9 came here."""


class Reaper:
    """Counts the events of our code in this thread, and kills at one of them."""

    def __init__(self, at: int | str | None = None) -> None:
        self.events, self._at = 0, at

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        # Not in <genexpr> and its like: most events are there, and nothing else happens.
        if frame.f_code.co_filename.startswith(_APP) and not frame.f_code.co_name.startswith("<"):
            self.events += 1
            if self._at in (self.events, frame.f_code.co_qualname):
                raise Killed(f"{event} {frame.f_code.co_qualname} line {frame.f_lineno}")


@dataclass(frozen=True)
class Kill:
    """In the handling of this reply (None: in the start), at this event, or where this function is called.

    ``torn``: half-way through a write to alerts.txt.
    """

    reply: int | None
    event: int | str
    torn: bool = False


@dataclass
class Life:
    """What one life did: events in its start and in the handling of each reply; where it was killed, None if not."""

    start: int = 0
    handling: dict[int, int] = field(default_factory=dict)
    killed: str | None = None
    during: int | None = None


@dataclass
class Found:
    """What stands when all is over."""

    lines: list[str]
    rows: dict[str, list[tuple[Any, ...]]]


Act = Callable[["Machine"], None]
"""Something that happens to the machine just before a reply: its clock jumps, for one."""


class Machine:
    """What outlives a process: a folder, a database, a clock, and a provider with its replies."""

    def __init__(self, folder: Path, dsn: str, patch: pytest.MonkeyPatch, faults: FaultyOs) -> None:
        self.dsn, self.clock, self._folder = dsn, FakeClock(), folder.resolve()
        self.settings = Settings(
            data_dir=folder / "data",
            alerts_file=folder / "alerts" / "alerts.txt",
            rules_file=folder / "rules.toml",
            database_url=dsn,
            watch="BTC,ETH,ZEC",
        )
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self.settings.rules_file.write_text(RULES)
        self.asked_at: list[float] = []
        self.budget: CallBudget | None = None
        self.database = "here"  # or "away"; or "lost": away from the next COMMIT on, whose answer does not come
        self._faults, self._stop = faults, Halt()
        self._open: list[Any] = []  # what the kernel closes when a process dies
        self._next = self._forgotten = 0
        self._life = Life()
        self._kill: Kill | None = None
        self._count = False
        self._reaper: tuple[int | None, Reaper] | None = None
        self._replies: Sequence[bytes] = ()
        self._dates: Sequence[datetime | None] = ()
        self._acts: Mapping[int, Sequence[Act]] = {}
        self._look = psycopg2.connect(dsn)
        self._look.autocommit = True
        self._take_over(patch)

    def close(self) -> None:
        self._look.close()

    def script(
        self,
        replies: Sequence[bytes],
        acts: Mapping[int, Sequence[Act]] | None = None,
        dates: Sequence[datetime | None] = (),
    ) -> None:
        """What the provider answers, and what happens before some of its answers."""
        self._replies, self._acts, self._dates, self._next = replies, acts or {}, dates, 0
        self.asked_at = []

    def serve_from(self, number: int) -> None:
        """The provider goes on with this reply."""
        self._next = max(0, number)

    def live(self, kill: Kill | None = None, *, count: bool = False) -> Life:
        """One life, from the start to the script's end or to the kill. ``count``: count all events."""
        self._life, self._kill, self._count, self._stop = Life(), kill, count, Halt()
        self._tasks = _InTurn(self._stop, self.clock)
        report = self.report = Report(self.settings.data_dir, self.clock, self._tasks)
        never_closed = ExitStack()  # a process that is killed tidies nothing
        try:
            self._watch_over(None)
            book = Rulebook(self.settings.rules_file, (), "coingecko", threading.Event())
            book.open()
            with_tasks = (never_closed, self._tasks, report)
            parts = app.main._prepare(self.settings, self._stop, self.clock, *with_tasks, book, {})
            report.parts = parts
            Daemon(self.settings, self._stop, self.clock, self._tasks, report, parts, started=lambda: None).run()
        except Killed as death:
            self._life.killed = str(death)
        finally:
            self._lift()
            self._faults.disarm()
            never_closed.pop_all()
            self._die()
        return self._life

    # The provider.

    def answer(self, path: str, _query: object = None) -> Reply:
        """In the place of app.http.Http.get."""
        assert path == "/simple/price"
        self._tasks.turn()
        self._lift()
        number = self._next
        if number == len(self._replies):
            self._stop.set()
            number -= 1
        for act in self._acts.get(number, ()) if self._next < len(self._replies) else ():
            act(self)
        self._next = number + 1
        self.asked_at.append(self.clock.monotonic())
        if self._kill is not None and self._kill.reply == number and self._kill.torn:
            self._faults.arm(Killed("half a write"), only="write", half=True)
        date = self._dates[number] if self._dates else None
        reply = Reply(decode.parse(self._replies[number]), date, self.clock.now())
        self._life.during = number
        if not self._stop.is_set():
            self._watch_over(number)
        return reply

    def _watch_over(self, number: int | None) -> None:
        kill = self._kill
        is_due = kill is not None and kill.reply == number and not kill.torn
        if is_due or self._count:
            reaper = Reaper(kill.event if is_due and kill else None)
            self._reaper = number, reaper
            sys.setprofile(reaper)

    def _lift(self) -> None:
        sys.setprofile(None)
        if self._reaper is not None:
            number, reaper = self._reaper
            if number is None:
                self._life.start = reaper.events
            else:
                self._life.handling[number] = reaper.events
            self._reaper = None

    # Death.

    def _die(self) -> None:
        """Close what the kernel would close."""
        for connection in self._open:
            with suppress(psycopg2.Error, sqlite3.Error):
                connection.close()
        self._open.clear()
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                if descriptor.readlink().is_relative_to(self._folder):
                    os.close(int(descriptor.name))

    def _take_over(self, patch: pytest.MonkeyPatch) -> None:
        opened, here = self._open, self

        def build(settings: Settings, clock: Clock, ledger: Ledger) -> CoinGecko:
            self.budget = CallBudget(CoinGecko.name, 0, CALLS_PER_MONTH, clock, ledger)
            return CoinGecko(_OverHere(self), Limits(), self.budget, settings.source)

        class Connection(app.db._Connection):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                if here.database == "away":
                    raise psycopg2.OperationalError("connection refused")
                super().__init__(*args, **kwargs)
                opened.append(self)

            def cursor(self, *args: Any, **kwargs: Any) -> Any:
                if here.database == "away":
                    raise psycopg2.OperationalError("server closed the connection unexpectedly")
                return super().cursor(*args, **kwargs)

            def commit(self) -> None:
                super().commit()
                if here.database == "lost":
                    here.database = "away"
                    raise psycopg2.OperationalError("server closed the connection unexpectedly")

        real_connect = sqlite3.connect

        def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            opened.append(real_connect(*args, **kwargs))
            connection: sqlite3.Connection = opened[-1]
            return connection

        patch.setitem(SOURCES, "coingecko", build)
        patch.setattr("app.db._Connection", Connection)
        patch.setattr("sqlite3.connect", connect)

    # What stands.

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database, past all of our code."""
        with self._look.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def found(self) -> Found:
        """alerts.txt and the tables, as they are now."""
        rows = {name: self.query(statement) for name, statement in _FOUND.items()}
        path = self.settings.alerts_file
        return Found(written(path) if path.exists() else [], rows)

    def stored(self, rows: Sequence[Row]) -> bool:
        """Whether all of these are in the database."""
        there = {(symbol, time) for symbol, time, *_ in self.query('SELECT symbol, "timestamp" FROM ticker_data')}
        return all((row.symbol, row.time) in there for row in rows)

    @property
    def calls_counted(self) -> int:
        """Calls against the month's limit, as the latest life knows them."""
        assert self.budget is not None
        return self.budget.spent_this_month or 0

    def forget(self) -> None:
        """Begin anew: empty tables, no files."""
        # Not TRUNCATE, which makes every partition and index anew. There is no autovacuum here.
        self.query("".join(f"DELETE FROM {table};" for table in _TABLES))
        self._forgotten += 1
        if self._forgotten % 20 == 0:
            self.query(f"VACUUM {', '.join(_TABLES)}")
        for folder in (self.settings.data_dir, self.settings.alerts_file.parent):
            for file in folder.glob("*"):
                file.unlink()


class _InTurn(Tasks):
    """No threads: what happens in a life happens in order, and can be repeated.

    The tick loop runs where it is started; what is done every second is done before each of its calls.
    """

    def __init__(self, stop: Halt, clock: Clock) -> None:
        super().__init__(stop, clock)
        self._steps: list[Callable[[], object]] = []

    def start(self, name: str, target: Callable[[], None]) -> None:
        if name.startswith("fetch-"):
            target()

    def every(self, name: str, seconds: float, step: Callable[[], object]) -> None:
        if name in ("spool", "alerts-file"):
            self._steps.append(step)

    def turn(self) -> None:
        for step in self._steps:
            step()


class _OverHere(Http):
    """Asks the machine's provider."""

    def __init__(self, machine: Machine) -> None:
        self.root = "http://here"
        self.get = machine.answer  # type: ignore[method-assign]

    def close(self) -> None:
        pass


@contextmanager
def machine(dsn: str, patch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """One, whose os can fail where alerts.txt is written, and whose disk is memory, where there is such a one."""
    folder = tempfile.TemporaryDirectory(dir=MEMORY)
    made = Machine(Path(folder.name), dsn, patch, FaultyOs().stand_in(patch))
    # What a killed process leaves are cycles through tracebacks; collected in between, not in the midst of a count.
    gc.disable()
    log.configure("error")
    try:
        yield made
    finally:
        log.silence()
        gc.enable()
        made.close()
        folder.cleanup()


def bodies(replies: Sequence[Sequence[Row]]) -> list[bytes]:
    """What the provider sends."""
    return [body(rows).encode() for rows in replies]
