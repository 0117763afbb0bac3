"""A scene whose daemon is forked at need, and whose database can be cut off, and given back, within a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from psycopg2.extensions import make_dsn, parse_dsn

from tests.faults.postgres import Postgres
from tests.faults.provider import Bad, Market, serving
from tests.faults.scene import TICK_SECONDS, Run, Scene
from tests.faults.warm import Warm, WarmDaemon, warm

_LEVELS = ("[error", "[critical", "Traceback ", "unforeseen:")


class Stand(Scene):
    """As a scene with the one daemon ``a``. It also holds what the daemon says against what belongs to the fault.

    ``foreseen``: words of the error lines that are as they should be; any other error line is a problem. ``wall``: a
    file with the seconds by which the daemon's wall clock is wrong.
    """

    foreseen: Sequence[str] = ()

    def enter(self, warm: Warm, home: Path, settings: dict[str, object]) -> None:
        """Make the one daemon."""
        self.door = Door(home / "door", self.dsn)
        self.damaged: set[int] = set()  # replies that a fault has destroyed, and the daemon has reported
        self.wall = home / "wall"
        self.wall.write_text("0")
        all_settings = {
            "WATCH": self.provider.market.watch,
            "COINGECKO_BASE_URL": self.provider.url("a"),
            "DATABASE_URL": self.door.dsn,
            "TICK_SECONDS": TICK_SECONDS,
            "VIEW_REFRESH_SECONDS": 86400,  # a stop refreshes, too
            **settings,
        }
        self.warm = WarmDaemon(warm, self.folder / "a", all_settings, self.wall)
        self.daemons["a"] = self.warm

    @property
    def pid(self) -> int:
        """Of the daemon, which runs or has run."""
        assert self.warm.process is not None
        return self.warm.process.pid

    @property
    def durable(self) -> list[Path]:
        """The files that its promises rest on."""
        alerts, data = self.warm.alerts, self.warm.data
        sqlite = [data / f"{name}.sqlite{end}" for name in ("alerts", "spool") for end in ("", "-wal", "-journal")]
        spool = [data / f"spool.sqlite{end}" for end in (".mark", ".building", ".new", ".closing")]
        return [alerts.parent, alerts, *(alerts.with_name(f"{alerts.name}.{n}") for n in (1, 2)), *sqlite, *spool]

    def away(self) -> None:
        """PostgreSQL is gone: its connections are cut, nobody answers."""
        self.door.shut()
        self.postgres.signal_daemons("pg_terminate_backend")

    def back(self) -> None:
        """It answers again."""
        self.door.open()

    def fresh_status(self) -> dict[str, Any]:
        """status.json as it is written next, or later."""
        file, began = self.warm.data / "status.json", time.time()
        self.warm.wait_for(lambda: file.exists() and file.stat().st_mtime > began + 0.2, "status.json is renewed")
        return self.status()

    def said(self) -> str:
        """All that the daemon has said since its first start."""
        return self.warm.output.read_text(errors="replace") if self.warm.output.exists() else ""

    def drained(self, seconds: float = 30) -> float:
        return super().drained(seconds)

    def conclude(self) -> None:
        self.back()
        super().conclude()

    def check(self) -> None:
        super().check()
        errors = [line for line in self.said().splitlines() if any(level in line for level in _LEVELS)]
        if strange := [line for line in errors if not any(word in line for word in self.foreseen)]:
            self.run.problem(f"{len(strange)} error lines that nobody expects, such as: {strange[0][:400]}")


class Door:
    """A folder with a link to PostgreSQL's socket: without the link, nobody answers there."""

    def __init__(self, folder: Path, dsn: str) -> None:
        folder.mkdir(parents=True)
        parts = parse_dsn(dsn)
        name = f".s.PGSQL.{parts['port']}"
        self._link, self._socket = folder / name, Path(parts["host"], name)
        self.dsn = make_dsn(**{**parts, "host": str(folder)})
        self.open()

    def open(self) -> None:
        if not self._link.is_symlink():
            self._link.symlink_to(self._socket)

    def shut(self) -> None:
        self._link.unlink(missing_ok=True)


@contextmanager
def stand(
    run: Run,
    *,
    coins: int = 3,
    settings: dict[str, object] | None = None,
    bad: Bad = lambda _number: None,
    market: Callable[[int, int], Market] = Market,
    home: Path | None = None,
) -> Iterator[Stand]:
    """What ``run.scene`` gives, as a Stand. ``home``: where all that is on a disk is to be, PostgreSQL's data too."""
    folder = run.folder / f"stand-{sum(1 for _ in run.folder.glob('stand-*'))}"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres((home or folder) / "server", run.dice.choice(run.installed)))
        provider = stack.enter_context(serving(market(run.dice.randrange(10**9), coins), folder / "journal", bad))
        provider.dice.seed(run.dice.random())
        made = Stand(run, home or folder, provider, postgres, postgres.database(), {}, ())
        loaded = stack.enter_context(warm(run.code))
        made.enter(loaded, folder, settings or {})
        stack.callback(made.end)
        yield made
        made.conclude()
