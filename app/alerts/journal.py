"""Which alerts stand in alerts.txt: a small SQLite file in DATA_DIR, so that it is known while PostgreSQL is away."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app import log
from app.errors import AlreadyRunning, CannotWrite, CryptoMonitorError, SchemaTooNew
from app.model import Alert

_VERSION = 1
_SCHEMA = """
-- The newest alerts that are written.
CREATE TABLE mark (
    n INTEGER PRIMARY KEY, state TEXT NOT NULL, id TEXT NOT NULL, symbol TEXT NOT NULL, time INTEGER NOT NULL,
    UNIQUE (state, id)
);
-- Older ones, whose marks are gone: a symbol's alerts come in the order of their ticks, so all up to here are written.
CREATE TABLE floor (symbol TEXT PRIMARY KEY, time INTEGER NOT NULL);
-- The lines of the write in progress: from this offset on of the file with this inode, begun at this time.
CREATE TABLE intent (
    n INTEGER PRIMARY KEY, inode TEXT NOT NULL, "offset" INTEGER NOT NULL, begun INTEGER NOT NULL,
    state TEXT NOT NULL, id TEXT NOT NULL, symbol TEXT NOT NULL, time INTEGER NOT NULL, text TEXT NOT NULL
);
-- One row. skip: this journal was begun beside lines that it knows nothing of. through: all that was accepted before
-- this time is written. Times are microseconds since 1970.
CREATE TABLE about (skip INTEGER NOT NULL, through INTEGER);
"""
_IS_SETTLED = """
SELECT EXISTS (SELECT 1 FROM mark WHERE state = :state AND id = :id)
    OR EXISTS (SELECT 1 FROM floor WHERE symbol = :symbol AND time >= :time)
"""
_RAISE_FLOOR = """
INSERT INTO floor (symbol, time) VALUES (?, ?)
ON CONFLICT (symbol) DO UPDATE SET time = max(time, excluded.time)
"""
_PRUNE_TO_FLOOR = """
INSERT INTO floor (symbol, time) SELECT symbol, max(time) FROM mark WHERE n <= ? GROUP BY symbol
ON CONFLICT (symbol) DO UPDATE SET time = max(time, excluded.time)
"""
_MARKS_KEPT = 20_000
_CHANGES_IN_LOG = 1000  # rows; some hundred lines written one by one, and a log of a few MB
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Line:
    """One alert as it is to stand in the file. ``time`` is that of its tick, ``accepted`` when it was handed to us."""

    state: str
    id: str
    symbol: str
    time: int
    text: str
    accepted: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by for ever."""
        return self.state, self.id

    @property
    def data(self) -> bytes:
        """Its bytes in the file, with the newline."""
        return f"{self.text}\n".encode()


@dataclass(frozen=True, slots=True)
class Intent:
    """Lines about to be appended: where to, and when that was decided."""

    inode: int
    offset: int
    begun: int
    lines: tuple[Line, ...]

    @property
    def data(self) -> bytes:
        """What is appended."""
        return b"".join(line.data for line in self.lines)


def microseconds(time: datetime) -> int:
    """An aware time as whole microseconds since 1970, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(time: int) -> datetime:
    """The inverse, in UTC."""
    return _EPOCH + time * _MICROSECOND


def line_of(alert: Alert, accepted: int | None = None) -> Line:
    """The alert as one line of printable text, whatever its names contain."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in alert.line)
    return Line(alert.state.value, alert.id, alert.symbol, microseconds(alert.timestamp), text, accepted)


class Journal:
    """The SQLite file. For one thread at a time. Every commit is on disk when its method returns (WAL, FULL).

    Every method raises CannotWrite when SQLite fails, and closes the journal: whether that commit happened is seen by
    opening and looking.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        self._changes_moved = 0  # those that were made before the log was last emptied

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._db is not None

    def open(self, *, beside_lines: bool) -> None:
        """Open or begin it. ``beside_lines``: one begun now knows nothing of lines that already stand in the file.

        A damaged one is set aside and reported. Raises AlreadyRunning when another process has it open.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        except OSError as error:
            raise CannotWrite(
                f"{self.path}: cannot be opened ({error.strerror}); DATA_DIR has to be a folder that this user may"
                " write to"
            ) from error
        try:
            try:
                self._connect(beside_lines)
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGED:
                    raise
                self._set_aside(error)
                self._connect(beside_lines)
        except sqlite3.Error as error:
            self.close()
            raise self._explain(error) from error

    def close(self) -> None:
        """Let go of it. What is not committed is undone."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):  # closing tidies up the log; where that fails, the next open does it
                db.close()

    def intent(self) -> Intent | None:
        """The write that nobody has seen finish, if there is one."""
        with self._transaction() as db:
            rows = db.execute(
                'SELECT inode, "offset", begun, state, id, symbol, time, text FROM intent ORDER BY n'
            ).fetchall()
        if not rows:
            return None
        inode, offset, begun = rows[0][:3]
        return Intent(int(inode), offset, begun, tuple(Line(*row[3:]) for row in rows))

    def intend(self, intent: Intent) -> Intent:
        """Write down what is about to be appended, and return it: the lines of it that no mark shows as written."""
        with self._transaction() as db:
            marked = "SELECT EXISTS (SELECT 1 FROM mark WHERE state = ? AND id = ?)"
            lines = tuple(line for line in intent.lines if not db.execute(marked, line.key).fetchone()[0])
            # Some file systems number their files beyond what SQLite's integers hold.
            where = (str(intent.inode), intent.offset, intent.begun)
            db.execute("DELETE FROM intent")
            db.executemany(
                "INSERT INTO intent VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*where, line.state, line.id, line.symbol, line.time, line.text) for line in lines],
            )
        return Intent(intent.inode, intent.offset, intent.begun, lines)

    def mark(self, lines: Sequence[Line]) -> None:
        """End the write in progress: these lines are in the file, on disk; what else it intended is not."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO mark VALUES (NULL, ?, ?, ?, ?)",
                [(line.state, line.id, line.symbol, line.time) for line in lines],
            )
            db.execute("DELETE FROM intent")
            accepted = [line.accepted for line in lines if line.accepted is not None]
            if accepted:
                db.execute("UPDATE about SET through = ?", (max(accepted),))
            newest = db.execute("SELECT coalesce(max(n), 0) FROM mark").fetchone()[0]
            db.execute(_PRUNE_TO_FLOOR, (newest - _MARKS_KEPT,))
            db.execute("DELETE FROM mark WHERE n <= ?", (newest - _MARKS_KEPT,))
        self._empty_log(db)

    def unsettled(self, lines: Iterable[Line]) -> list[Line]:
        """Those of these lines that were never written."""
        with self._transaction() as db:
            return [
                line
                for line in lines
                if not db.execute(
                    _IS_SETTLED, {"state": line.state, "id": line.id, "symbol": line.symbol, "time": line.time}
                ).fetchone()[0]
            ]

    @property
    def skips(self) -> bool:
        """Whether it was begun beside lines it knows nothing of, and nobody has said yet where to start."""
        with self._transaction() as db:
            return bool(db.execute("SELECT skip FROM about").fetchone()[0])

    def skip(self, lines: Iterable[Line], through: int) -> int:
        """Start after these lines: take them, and all accepted before ``through``, as written. How many they are."""
        count, newest = 0, dict[str, int]()
        for line in lines:
            count += 1
            newest[line.symbol] = max(line.time, newest.get(line.symbol, line.time))
        with self._transaction() as db:
            db.executemany(_RAISE_FLOOR, newest.items())
            db.execute("UPDATE about SET skip = 0, through = ?", (through,))
        return count

    @property
    def through(self) -> int | None:
        """All that was accepted before this time is written. None: nothing was ever accepted."""
        with self._transaction() as db:
            found: int | None = db.execute("SELECT through FROM about").fetchone()[0]
        return found

    def accepted_until(self, time: int) -> None:
        """Nothing was accepted after this time, whatever was said before: the clock was ahead then."""
        with self._transaction() as db:
            db.execute("UPDATE about SET through = ? WHERE through > ?", (time, time))

    def _empty_log(self, db: sqlite3.Connection) -> None:
        """Move what the log holds to where it belongs, now and then; by itself SQLite might while a line waits."""
        if db.total_changes - self._changes_moved > _CHANGES_IN_LOG:
            with suppress(sqlite3.Error):  # it is all on disk: the log goes on growing until this works
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._changes_moved = db.total_changes

    def _connect(self, beside_lines: bool) -> None:
        db = sqlite3.connect(self.path, timeout=0.5, isolation_level=None, check_same_thread=False)
        self._db, self._changes_moved = db, -_CHANGES_IN_LOG  # a life before may have left a log
        # One connection, and no other process: no shared memory file, and no part in SQLite's WAL-reset bug.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 0")  # see _empty_log
        db.execute("BEGIN IMMEDIATE")
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _Damaged(found)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute("INSERT INTO about VALUES (?, NULL)", (beside_lines,))
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
        if version > _VERSION:
            self.close()
            raise SchemaTooNew(f"{self.path}: written by a newer version of this program; run that one")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._db
        if db is None:
            raise CannotWrite(f"{self.path}: is not open")
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self.close()
            raise self._explain(error) from error
        except BaseException:
            db.rollback()
            raise

    def _explain(self, error: sqlite3.Error) -> CryptoMonitorError:
        if _code(error) == sqlite3.SQLITE_BUSY:
            return AlreadyRunning(f"{self.path}: another process has it open; each daemon needs a DATA_DIR of its own")
        return CannotWrite(
            f"{self.path}: cannot be written ({error}); free some space on its disk, or let this user write there"
        )

    def _set_aside(self, error: sqlite3.Error) -> None:
        self.close()
        aside = self.path.with_name(f"{self.path.name}.damaged")
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").replace(f"{aside}{suffix}")
        log.get(__name__).error(
            f"{self.path} is damaged ({error}). It is kept as {aside.name}, and a new one is begun.",
            action="journal_damaged",
            path=str(self.path),
        )


class _Damaged(sqlite3.DatabaseError):
    """The check at the start found something wrong."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where the error is Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
