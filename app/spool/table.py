"""The frames of a spool in an SQLite file: opened, read in order, checked, and written anew from what is left."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from app.errors import AlreadyRunning
from app.spool.frame import PAGE, PARTS, Frame, Mark, frame_at, mark_at

_SCHEMA = """
CREATE TABLE frame (n INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), data BLOB NOT NULL);
"""
_HEADER = b"SQLite format 3\0" + PAGE.to_bytes(2, "big") + b"\2\2"  # the twos: in WAL mode
_CLOSING = ".closing"


class Damaged(Exception):
    """The file does not hold what it should. Its text says what was found."""


@dataclass(slots=True)
class Content:
    """What waits in a table: how many batches, when the oldest came (µs since 1970), the number of the newest."""

    waiting: int = 0
    oldest_at: int | None = None
    newest: int = 0


def connect(path: Path) -> sqlite3.Connection:
    """The one connection to a spool that exists, for nobody else as long as it is open.

    Raises Damaged for a file that SQLite should not even see: it would throw its WAL away, or read it as another kind.
    """
    with path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            raise Damaged("its header is wrong")
    db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
    try:
        # No other process and no second connection: no shared memory file, and no part in SQLite's WAL-reset bug.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA synchronous = FULL")
        # SQLite's own checkpoint hides a failed fsync, and repeats it.
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]
        db.execute("BEGIN IMMEDIATE")  # makes the WAL, and takes the lock
        db.execute("COMMIT")
    except sqlite3.Error as error:
        if code_of(error) == sqlite3.SQLITE_BUSY:
            db.close()
            raise AlreadyRunning(
                f"{path}: another process has it open; each daemon needs a DATA_DIR of its own"
            ) from error
        abandon(db, path)
        raise
    if mode != "wal":
        abandon(db, path)
        raise Damaged("it is not in WAL mode")
    return db


def abandon(db: sqlite3.Connection, path: Path) -> None:
    """Close the connection and leave the files as they are, WAL included."""
    # SQLite brings the WAL into the file and deletes it when it closes, unless the file was moved.
    hidden = path.with_name(f"{path.name}{_CLOSING}")
    with suppress(OSError):
        path.rename(hidden)
    with suppress(sqlite3.Error):
        db.close()
    restore_name(path)


def restore_name(path: Path) -> None:
    """Finish what a kill may have interrupted in ``abandon``."""
    hidden = path.with_name(f"{path.name}{_CLOSING}")
    if hidden.exists() and not path.exists():
        hidden.rename(path)


def code_of(error: sqlite3.Error, mask: int = 0xFF) -> int:
    """SQLite's primary result code; 0 where the error is Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & mask


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; on disk when it ends."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


def insert(db: sqlite3.Connection, frames: Iterable[Frame]) -> None:
    """Put frames in; one that is there already stays."""
    db.executemany("INSERT OR IGNORE INTO frame VALUES (?, ?)", ((frame.n, frame.pack()) for frame in frames))


def mark_of(db: sqlite3.Connection) -> Mark:
    """The table's own mark. Raises Damaged."""
    row = db.execute("SELECT data FROM mark WHERE one = 1").fetchone()
    mark = mark_at(row[0]) if row and isinstance(row[0], bytes) else None
    if mark is None:
        raise Damaged("its mark is wrong")
    return mark


def batches(db: sqlite3.Connection, after: int, order: str = "ASC") -> Iterator[tuple[int, list[Frame]]]:
    """(number, frames) of each batch after that number; without frames where one is missing or damaged."""
    query = f"SELECT n, data FROM frame WHERE n >= ? ORDER BY n {order}"  # noqa: S608
    with closing(db.execute(query, ((after + 1) * PARTS,))) as rows:
        for seq, group in groupby(rows, lambda row: row[0] // PARTS):
            found = [_frame(*row) for row in group]
            frames = sorted((frame for frame in found if frame is not None), key=lambda frame: frame.part)
            whole = bool(frames) and [frame.part for frame in frames] == list(range(frames[0].parts))
            yield seq, frames if whole else []


def _frame(n: int, data: object) -> Frame | None:
    frame = frame_at(data) if isinstance(data, bytes) else None
    return frame if frame is not None and frame.n == n else None


def linked(db: sqlite3.Connection, drained: int) -> Iterator[list[Frame]]:
    """The batches that are not drained, in order. Raises Damaged at the first one that is damaged or missing."""
    newest = None
    for seq, frames in batches(db, drained):
        if not frames:
            raise Damaged(f"batch {seq} is damaged")
        prior = frames[0].prior
        if prior > drained if newest is None else prior != newest:
            raise Damaged(f"batch {prior} is missing")
        newest = seq
        yield frames


def count(db: sqlite3.Connection, after: int, through: int) -> int:
    """How many batches there are with these numbers."""
    query = "SELECT count(*) FROM frame WHERE n >= ? AND n < ? AND n % ? = 0"
    found: int = db.execute(query, ((after + 1) * PARTS, (through + 1) * PARTS, PARTS)).fetchone()[0]
    return found


def readable(db: sqlite3.Connection | None) -> Iterator[Frame]:
    """What SQLite can read of an open table, until it cannot."""
    if db is not None:
        with suppress(sqlite3.Error), closing(db.execute("SELECT n, data FROM frame")) as rows:
            yield from filter(None, (_frame(*row) for row in rows))


def check(db: sqlite3.Connection, mark: Mark) -> Content:
    """Read it all. Raises Damaged (or SQLite's own error) where anything is damaged or missing."""
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise Damaged(verdict)
    content = Content(newest=mark.drained)
    for frames in linked(db, mark.drained):
        content.waiting += 1
        content.newest = frames[0].seq
        if content.oldest_at is None:
            content.oldest_at = frames[0].at
    if content.newest < mark.last:
        raise Damaged(f"batch {mark.last} is missing")
    return content


def settle(
    db: sqlite3.Connection, mark: Mark, ceiling: int | None = None, without: Collection[int] = ()
) -> list[range]:
    """Make one chain of whatever frames were gathered; the numbers of the batches that are missing in it.

    Each batch names the one accepted before it. So a number that none names, between two that do, was never accepted:
    its write failed. None above ``ceiling`` was; without one, those above ``mark.last`` are taken as accepted.
    """
    lost: list[range] = []
    dropped: list[int] = []
    linked_anew: list[tuple[list[Frame], int]] = []
    expected, above = mark.last, None
    for seq, frames in batches(db, -1, "DESC"):
        unwanted = seq <= mark.drained or seq in without or (ceiling is not None and seq > ceiling)
        if not frames or unwanted or (above is not None and seq > expected):
            dropped.append(seq)
            continue
        if seq < expected:
            lost.append(range(seq + 1, expected + 1))
            if above is not None:
                linked_anew.append((above, seq))
        expected, above = frames[0].prior, frames
    if expected > mark.drained:
        lost.append(range(mark.drained + 1, expected + 1))
        if above is not None:
            linked_anew.append((above, mark.drained))
    for seq in dropped:
        db.execute("DELETE FROM frame WHERE n BETWEEN ? AND ?", (seq * PARTS, seq * PARTS + PARTS - 1))
    for frames, prior in linked_anew:
        db.executemany(
            "UPDATE frame SET data = ? WHERE n = ?",
            [(replace(frame, prior=prior).pack(), frame.n) for frame in frames],
        )
    return lost[::-1]


def drop_drained(db: sqlite3.Connection, mark: Mark) -> None:
    """Delete what the mark says is drained, and write the mark."""
    db.execute("DELETE FROM frame WHERE n < ?", ((mark.drained + 1) * PARTS,))
    db.execute("INSERT OR REPLACE INTO mark VALUES (1, ?)", (mark.pack(),))


def build(
    path: Path, found: Iterable[Frame | Mark], mark: Mark, ceiling: int | None, without: Collection[int]
) -> tuple[Mark, list[range]]:
    """Write a new spool, on disk when it returns, with what was found; its mark, and the numbers that are missing.

    As ``settle`` has it. Raises OSError or sqlite3.Error.
    """
    for end in ("", "-wal", "-journal"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        os.fchmod(descriptor, 0o640)  # whatever the umask is; SQLite gives its WAL the same
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for pragma in (f"page_size = {PAGE}", "journal_mode = OFF", "synchronous = OFF", "secure_delete = ON"):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN")
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            for item in found:
                if isinstance(item, Mark):
                    mark = mark.joined(item)
                else:
                    insert(db, (item,))
            lost = settle(db, mark, ceiling, without)
            newest = (db.execute("SELECT max(n) FROM frame").fetchone()[0] or 0) // PARTS
            last = max(newest, mark.drained)
            mark = Mark(mark.drained, last, max(last, mark.last, mark.used))
            drop_drained(db, mark)
            db.execute("COMMIT")
            db.execute("PRAGMA journal_mode = WAL")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return mark, lost
