"""The calls that were made, for app.limits: in PostgreSQL for all who share a key, in a file while that is away."""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from psycopg2 import extensions as pg

from app import log
from app.clock import Clock
from app.db import Database, execute
from app.errors import CannotWrite, DatabaseRefused, DatabaseUnavailable, SchemaTooNew
from app.http import DEADLINE_SECONDS

_PATIENCE_SECONDS = 2.0  # for one answer of the database: a call waits for it
_AWAY_SECONDS = 30.0  # until a database that was away is asked again, as the file has it all

_VERSION = 1
_SCHEMA = """
-- One row: who we are among those who share a provider's key.
CREATE TABLE about (spender TEXT NOT NULL);
-- Our calls in a month, and those of the others as the database last said.
CREATE TABLE spent (
    source TEXT NOT NULL, month TEXT NOT NULL, ours INTEGER NOT NULL, others INTEGER NOT NULL,
    PRIMARY KEY (source, month)
);
-- The latest calls: seconds since 1970, and of the monotonic clock, which starts anew with the machine.
CREATE TABLE recent (n INTEGER PRIMARY KEY, source TEXT NOT NULL, wall REAL NOT NULL, monotonic REAL NOT NULL);
CREATE INDEX recent_of ON recent (source, n);
"""
_SPENT = """
INSERT INTO spent VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET ours = max(ours, excluded.ours), others = excluded.others
"""
_FORGET = """
DELETE FROM recent WHERE source = :source AND n <= (
    SELECT n FROM recent WHERE source = :source ORDER BY n DESC LIMIT 1 OFFSET :keep
)
"""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class CallLedger:
    """app.limits.Ledger. All sources share it; it is safe for their threads.

    Each call is in the file, on disk, before it is made, and in the database, if that answers. The database holds the
    count of each spender, not sums of calls, so that telling it again is harmless. While it is away, the others have
    spent what they had when it last answered. While the file cannot be written, the database and memory have to do.
    """

    def __init__(self, database: Database, path: Path, clock: Clock) -> None:
        self._database, self._file, self._clock = database, CallFile(path), clock
        self._lock = threading.Lock()
        self._spent: dict[tuple[str, date], tuple[int, int]] = {}
        self._away_until: float | None = None
        self._unwritten: str | None = None

    def recent(self, source: str) -> list[float]:
        """As app.limits.Ledger says. The first use of the file: raises CannotWrite."""
        now, monotonic = self._clock.now().timestamp(), self._clock.monotonic()
        with self._lock:
            written = self._file.recent(source)
        return [_age(now - wall, monotonic - then) for wall, then in written]

    def spent(self, source: str, month: date) -> int:
        """As app.limits.Ledger says."""
        with self._lock:
            self._spent[source, month] = self._share(source, month, *self._known(source, month))
            return sum(self._spent[source, month])

    def spend(self, source: str, month: date | None, keep: int) -> int:
        """As app.limits.Ledger says."""
        with self._lock:
            spent = None
            if month is not None:
                ours, others = self._known(source, month)
                spent = self._spent[source, month] = self._share(source, month, ours + 1, others)
            self._write_down(source, month, spent, keep)
            return sum(spent or ())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _known(self, source: str, month: date) -> tuple[int, int]:
        if (source, month) not in self._spent:
            with suppress(CannotWrite):  # said when it is to be written
                return self._file.spent(source, month)
        return self._spent.get((source, month), (0, 0))

    def _share(self, source: str, month: date, ours: int, others: int) -> tuple[int, int]:
        """Tell the database; our calls and those of the others, as it knows them."""
        if self._away_until is not None and self._clock.monotonic() < self._away_until:
            return ours, others

        def work(cursor: pg.cursor) -> tuple[int, int]:
            execute(cursor, "lock_calls", source=source)
            spender = self._file.spender
            rows = execute(cursor, "count_calls", source=source, month=month, spender=spender, calls=ours)
            return int(rows[0][0]), int(rows[0][1])

        try:
            counts = self._database.once(work, patience=_PATIENCE_SECONDS)
        except (DatabaseUnavailable, DatabaseRefused) as error:
            if self._away_until is None:
                log.get(__name__).warning(
                    f"Calls are counted in {self._file.path} alone: {error}.", action="calls_not_shared"
                )
            self._away_until = self._clock.monotonic() + _AWAY_SECONDS
            return ours, others
        if self._away_until is not None:
            log.get(__name__).info("Calls are counted in the database again.", action="calls_shared")
            self._away_until = None
        return counts

    def _write_down(self, source: str, month: date | None, spent: tuple[int, int] | None, keep: int) -> None:
        trouble = None
        try:
            self._file.write(source, month, spent, (self._clock.now().timestamp(), self._clock.monotonic()), keep)
        except CannotWrite as error:
            trouble = str(error)
        if (trouble is None) != (self._unwritten is None):
            say = log.get(__name__).warning if trouble else log.get(__name__).info
            say(
                f"{trouble}. Calls go on; after a restart some would not be counted."
                if trouble
                else f"Calls are written to {self._file.path} again.",
                action="calls_not_written" if trouble else "calls_written",
            )
        self._unwritten = trouble


class CallFile:
    """The SQLite file. For one thread at a time. Every commit is on disk when its method returns (WAL, FULL).

    It is opened when it is first used, and again after a failure. Every method raises CannotWrite when SQLite fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        self.spender = str(uuid.uuid4())
        """Who we are among those who share a provider's key; a file that is there knows it better."""

    def recent(self, source: str) -> list[tuple[float, float]]:
        """When the latest calls were written down, oldest first: by the wall clock and by the monotonic one."""
        with self._transaction() as db:
            return db.execute("SELECT wall, monotonic FROM recent WHERE source = ? ORDER BY n", (source,)).fetchall()

    def spent(self, source: str, month: date) -> tuple[int, int]:
        """Our calls in the month, and those of the others, as last written."""
        key = (source, month.isoformat())
        with self._transaction() as db:
            row = db.execute("SELECT ours, others FROM spent WHERE source = ? AND month = ?", key).fetchone()
        return row or (0, 0)

    def write(
        self, source: str, month: date | None, spent: tuple[int, int] | None, time: tuple[float, float], keep: int
    ) -> None:
        """Write down a call, and the month's counts with it; forget all but so many of the latest calls."""
        with self._transaction() as db:
            if month is not None and spent is not None:
                db.execute(_SPENT, (source, month.isoformat(), *spent))
            db.execute("INSERT INTO recent VALUES (NULL, ?, ?, ?)", (source, *time))
            db.execute(_FORGET, {"source": source, "keep": keep})

    def close(self) -> None:
        """Let go of it. What is not committed is undone."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):  # closing tidies up the log; where that fails, the next open does it
                db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._db is None:
                self._open()
            assert self._db is not None  # noqa: S101  _open has just made it
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise CannotWrite(f"{self.path}: cannot be written ({error}); free some space on its disk") from error
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                raise
            self._set_aside(error)
            self._connect()

    def _connect(self) -> None:
        db = self._db = sqlite3.connect(self.path, timeout=0.5, isolation_level=None, check_same_thread=False)
        # One connection, and no other process: no shared memory file, and no part in SQLite's WAL-reset bug.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _Damaged(found)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise SchemaTooNew(f"{self.path}: written by a newer version of this program; run that one")
        if version == 0:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute("INSERT INTO about VALUES (?)", (self.spender,))
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
        self.spender = db.execute("SELECT spender FROM about").fetchone()[0]

    def _set_aside(self, error: sqlite3.Error) -> None:
        self.close()
        aside = self.path.with_name(f"{self.path.name}.damaged")
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").replace(f"{aside}{suffix}")
        log.get(__name__).error(
            f"{self.path} is damaged ({error}). It is kept as {aside.name}, and a new one is begun.",
            action="calls_damaged",
            path=str(self.path),
        )


class _Damaged(sqlite3.DatabaseError):
    """The check at the start found something wrong."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def _age(by_wall: float, by_monotonic: float) -> float:
    """Seconds since a call may have reached the provider, rather too few.

    A wall clock that was set differs from the monotonic one, which a restart of the machine sets back; and a call may
    arrive as late as its deadline after it was written down.
    """
    age = by_wall if by_monotonic < 0 else min(by_wall, by_monotonic)
    return max(0.0, age - DEADLINE_SECONDS)
