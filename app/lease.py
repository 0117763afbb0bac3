"""Which of several daemons leads: a row in the database that the leader renews and a standby takes when it grows old.

Each writing transaction of the leader looks at the row under a lock that a successor has to wait for: a leader that
was stopped and wakes up later finds another epoch, and commits nothing. (A lock held by a session would not do: one
who was stopped keeps it.)
"""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

from psycopg2 import extensions as pg

from app import log
from app.clock import Clock
from app.db import Database, execute
from app.errors import DatabaseRefused, DatabaseUnavailable

RENEW_SECONDS = 2.0
_STALE_SECONDS = 6.0  # by the database's clock, which is the only one that all of them share
LATE_SECONDS = 0.5
_PATIENCE_SECONDS = 1.5


def holder_of(data_dir: Path) -> str:
    """What tells this DATA_DIR from all others, and a person where it is.

    The same after a restart: its lock says that the process before is gone, so its lease need not grow old first.
    """
    host, folder = socket.gethostname(), data_dir.stat()
    here = (host, _boot(), folder.st_dev, folder.st_ino)
    return f"{host}:{data_dir.resolve()} ({hashlib.sha256(repr(here).encode()).hexdigest()[:8]})"


def _boot() -> str:
    # A copy of a machine has all the rest in common with it.
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return ""


class Lease:
    """Our part in it. For one thread at a time, like the Database it stands on."""

    def __init__(self, database: Database, holder: str, clock: Clock) -> None:
        self._database, self._holder, self._clock = database, holder, clock
        self._renewed = clock.monotonic()
        self.is_late = False
        """Whether the last renewal found nobody: the next should not wait its turn."""
        self.epoch: int | None = None
        """The epoch under which we lead; None while we stand by."""
        self.leader = ""
        """Who leads, as far as we know."""

    @property
    def is_old(self) -> bool:
        """Whether another may lead by now: we could not say for too long that we are there, or were frozen."""
        return self._clock.monotonic() - self._renewed > _STALE_SECONDS

    def take(self) -> bool:
        """Lead from now on, if nobody else does. Raises DatabaseUnavailable."""
        self._renewed, self.is_late = self._clock.monotonic(), False
        self.epoch = self._database.once(self._take, patience=_PATIENCE_SECONDS)
        return self.epoch is not None

    def renew(self) -> bool:
        """Say that we are still there. False: another leads since. A database that is away deposes nobody."""
        if self.epoch is None:
            return False
        began = self._clock.monotonic()
        try:
            renewed = self._database.once(
                lambda cursor: execute(cursor, "renew_lease", epoch=self.epoch), patience=_PATIENCE_SECONDS
            )
        except (DatabaseUnavailable, DatabaseRefused) as error:
            log.get(__name__).debug(f"The lease could not be renewed: {error}.", action="lease_not_renewed")
            self.is_late = True
            return True
        if not renewed:
            self.lost()
            return False
        self._renewed, self.is_late = began, False
        return True

    def lost(self) -> None:
        """Another leads, and who that is the next look will show."""
        self.epoch, self.leader = None, ""

    def leave(self) -> None:
        """Let whoever stands by take over at once, where the database answers."""
        epoch, self.epoch = self.epoch, None
        if epoch is not None:
            try:
                self._database.once(
                    lambda cursor: execute(cursor, "leave_lease", epoch=epoch), patience=_PATIENCE_SECONDS
                )
            except (DatabaseUnavailable, DatabaseRefused) as error:
                log.get(__name__).debug(f"The lease could not be left: {error}.", action="lease_not_left")

    def _take(self, cursor: pg.cursor) -> int | None:
        # Looked at without a lock first: those who only stand by must not make the leader wait.
        if not self._is_free(cursor):
            return None
        execute(cursor, "lock_leader")
        if not self._is_free(cursor):
            return None
        self.leader = self._holder
        return int(execute(cursor, "take_lease", holder=self._holder)[0][0])

    def _is_free(self, cursor: pg.cursor) -> bool:
        ((_, self.leader, free),) = execute(cursor, "show_leader", stale=_STALE_SECONDS, holder=self._holder)
        return bool(free)
