"""The calls that were made, in a SQLite file of this DATA_DIR, for app.calls."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from app import log
from app.errors import CannotWrite, SchemaTooNew
from app.limits import Account, Spending, Standing
from app.pacing import Learned

_KEEP_SECONDS = 75.0  # a call: as long as it can matter to a minute, its longest included

_VERSION = 2
# One row: who we are among those who share a provider's limits.
_ABOUT = "CREATE TABLE about (spender TEXT NOT NULL)"
_SCHEMA = """
-- Our credits of a month, and those of the others as the database last said, and what of both backfill had.
CREATE TABLE spent (
    source TEXT NOT NULL, account TEXT NOT NULL, month TEXT NOT NULL,
    ours INTEGER NOT NULL, others INTEGER NOT NULL,
    ours_backfill INTEGER NOT NULL, others_backfill INTEGER NOT NULL,
    PRIMARY KEY (source, account, month)
);
-- The latest calls: seconds since 1970, and of the monotonic clock, which starts anew with the machine.
CREATE TABLE recent (
    n INTEGER PRIMARY KEY, source TEXT NOT NULL, account TEXT NOT NULL,
    wall REAL NOT NULL, monotonic REAL NOT NULL, backfill INTEGER NOT NULL
);
CREATE INDEX recent_of ON recent (source, account, n);
-- Calls a minute after the latest 429, and when that came.
CREATE TABLE learned (
    source TEXT NOT NULL, account TEXT NOT NULL, per_minute INTEGER NOT NULL, wall REAL NOT NULL,
    PRIMARY KEY (source, account)
);
"""
# Version 1 knew no accounts: what it wrote is everybody's.
_OLD_ASIDE = """
ALTER TABLE spent RENAME TO spent_1;
ALTER TABLE recent RENAME TO recent_1;
DROP INDEX recent_of;
"""
_OLD_OVER = """
INSERT INTO spent SELECT source, '', month, ours, others, 0, 0 FROM spent_1;
INSERT INTO recent SELECT n, source, '', wall, monotonic, 0 FROM recent_1;
DROP TABLE spent_1;
DROP TABLE recent_1;
"""
_SPENT = """
INSERT INTO spent VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    ours = max(ours, excluded.ours), others = excluded.others,
    ours_backfill = max(ours_backfill, excluded.ours_backfill), others_backfill = excluded.others_backfill
"""
_KNOWN = """
SELECT ours, others, ours_backfill, others_backfill FROM spent
WHERE source = ? AND account IN (?, '') AND month = ? ORDER BY account DESC
"""
_RECENT = "SELECT wall, monotonic, backfill FROM recent WHERE source = ? AND account IN (?, '') ORDER BY n"
# A machine that starts anew changes the one clock, whoever sets the time the other.
_FORGET = """
DELETE FROM recent WHERE source = ? AND account IN (?, '') AND abs(wall - ?) > ? AND abs(monotonic - ?) > ?
"""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class CallFile:
    """The SQLite file. For one thread at a time. Every commit is on disk when its method returns (WAL, FULL).

    It is opened when it is first used, and again after a failure. Every method raises CannotWrite when SQLite fails.
    """

    def __init__(self, path: Path, spender: str | None = None) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        self.spender = spender or str(uuid.uuid4())
        """Who we are among those who share a provider's limits; a file that is there knows it better."""

    def recent(self, account: Account) -> list[tuple[float, float, int]]:
        """When the latest calls were written down, oldest first: by the wall clock and by the monotonic one."""
        with self._transaction() as db:
            return db.execute(_RECENT, (account.source, account.name)).fetchall()

    def spent(self, account: Account, month: date) -> tuple[int, int, int, int]:
        """Our credits of the month, and those of the others, as last written; of both, what backfill had."""
        with self._transaction() as db:
            row = db.execute(_KNOWN, (account.source, account.name, month.isoformat())).fetchone()
        return row or (0, 0, 0, 0)

    def learned(self, account: Account, now: float) -> Learned | None:
        """What the latest 429 taught; ``now``, as all times here, in seconds since 1970."""
        key = (account.source, account.name)
        with self._transaction() as db:
            row = db.execute("SELECT per_minute, wall FROM learned WHERE source = ? AND account = ?", key).fetchone()
        return row and Learned(row[0], max(0.0, now - row[1]))

    def learn(self, account: Account, per_minute: int, now: float) -> None:
        """A 429 came."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO learned VALUES (?, ?, ?, ?)", (account.source, account.name, per_minute, now)
            )

    def write(
        self, account: Account, month: date, standing: Standing, time: tuple[float, float], spending: Spending
    ) -> None:
        """Write down a call, and the month's counts with it; forget calls that matter no more."""
        key = (account.source, account.name)
        counts = (standing.ours, standing.others, standing.ours_backfill, standing.others_backfill)
        with self._transaction() as db:
            db.execute(_SPENT, (*key, month.isoformat(), *counts))
            db.execute(_FORGET, (*key, time[0], _KEEP_SECONDS, time[1], _KEEP_SECONDS))
            db.execute("INSERT INTO recent VALUES (NULL, ?, ?, ?, ?, ?)", (*key, *time, spending.backfill))

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
        if version < _VERSION:
            script = f"{_OLD_ASIDE};{_SCHEMA};{_OLD_OVER}" if version else f"{_ABOUT};{_SCHEMA}"
            for statement in script.split(";"):
                db.execute(statement)
            if not version:
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
