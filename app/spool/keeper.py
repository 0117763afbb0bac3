"""Keeps frames on disk: writes, reads, forgets, and whatever befalls the file, has a sound one in its place.

There is one remedy for everything: write a new file with all that can be read of the old one and its WAL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from app import log
from app.spool import table
from app.spool.files import Files
from app.spool.frame import Frame, Mark, found_in
from app.spool.table import Content, Damaged

_SHRINK_PAGES = 64  # an empty file that has more is begun anew
# These say no to a write, and harm nothing: it may be tried again. Any other leaves the file in doubt.
_HARMLESS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR_WRITE)
_GONE = "it was moved, replaced or deleted"


class Keeper:
    """For one thread at a time. Any method may raise OSError, sqlite3.Error or Damaged: then what it says it does is
    not done, and may be asked for again.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._db: sqlite3.Connection | None = None
        self._started = False
        self._suspect: str | None = None  # why nothing more may be written to this file
        self._deleted = 0  # what is drained is out of the file, up to this number
        self._counted = 0  # and out of ``waiting``, up to this one
        self.mark = Mark()
        """How far it is filled and drained; ``drained`` says what is not read any more, deleted or not."""
        self.waiting = 0
        self.oldest_at: int | None = None
        self.lost = 0
        """Batches found damaged or missing since the start."""

    def start(self) -> None:
        """Open the file, or make it; mend what a crash or the disk did to it."""
        self._files.prepare()
        self.mark = self._files.read_mark()
        try:
            self._attach()
            self._started = True
        finally:
            if not self._started:
                self._let_go()

    def stop(self) -> None:
        """Let go of the file."""
        with suppress(OSError, sqlite3.Error, Damaged):
            self.recover()
            self.checkpoint()
        self._started = False
        self._let_go()

    def recover(self) -> None:
        """Have a file open that may be written."""
        if self._db is None:
            self._attach()
        elif self._suspect is not None:
            self._renew(self._suspect)
        elif not self._files.are_in_place():
            self._renew(_GONE)

    def write(self, frames: Sequence[Frame]) -> None:
        """Keep a batch: on disk when this returns."""
        seq = frames[0].seq
        self.mark = replace(self.mark, used=seq)  # no number twice, not even that of a write that failed
        try:
            with self._writing() as db:
                table.insert(db, frames)
        except sqlite3.Error:
            if self._suspect is None:
                raise
            # Not once more to the same file: the second fsync would report success for what the first one lost.
            self._renew(self._suspect, frames)
        else:
            if self._files.are_in_place():
                self.waiting += 1
                if self.oldest_at is None:
                    self.oldest_at = frames[0].at
            else:
                self._renew(_GONE, frames)
        self._say(replace(self.mark, last=seq))

    def read(self, ticks_at_most: int, without: Collection[int] = ()) -> list[list[Frame]]:
        """The oldest batches with no more ticks together, but at least one; those ``without`` are taken out before."""
        if self._db is None:
            self._attach()
        if without:
            self._renew("there are batches in it that make no sense", without=without)
        try:
            return self._read(ticks_at_most)
        except (Damaged, sqlite3.Error) as error:
            self._renew(str(error))
            return self._read(ticks_at_most)

    def drained(self, through: int) -> None:
        """Never read these again, whatever becomes of the file."""
        self._say(replace(self.mark, drained=max(through, self.mark.drained)))

    def tidy(self) -> None:
        """Delete what is drained. Once a large file is empty, begin it anew, as it does not shrink by itself."""
        try:
            self._count()
        except sqlite3.Error as error:
            self._judge(error)
            raise
        if self.mark.drained >= self.mark.last and self.pages > _SHRINK_PAGES:
            self._renew(None, empty=True)
        elif self._deleted < self.mark.drained:
            with self._writing() as db:
                table.drop_drained(db, self.mark)
            self._deleted = self.mark.drained

    def checkpoint(self, from_bytes: int = 0) -> None:
        """Bring the WAL into the file, if it is larger than that. Where that fails nothing is lost."""
        if self._suspect is None and self._files.wal_bytes > from_bytes:
            try:
                self._open.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                self._judge(error)

    @property
    def pages(self) -> int:
        """How many the file has."""
        pages: int = self._open.execute("PRAGMA page_count").fetchone()[0]
        return pages

    @property
    def free_pages(self) -> int:
        """How many of them hold nothing."""
        pages: int = self._open.execute("PRAGMA freelist_count").fetchone()[0]
        return pages

    @property
    def wal_bytes(self) -> int:
        """The size of the WAL."""
        return self._files.wal_bytes

    @property
    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            raise Damaged("it is not open")
        return self._db

    def _attach(self) -> None:
        files, db = self._files, None
        if files.is_new and self.mark.drained >= self.mark.last:
            return self._renew(None)
        try:
            files.expect_only_one()
            db = table.connect(files.path)
            self.mark = self.mark.joined(table.mark_of(db))
            content = self._take_in_interrupted(db, table.check(db, self.mark))
        except (Damaged, sqlite3.Error) as error:
            if db is not None:
                table.abandon(db, files.path)
            return self._renew(str(error))
        return self._adopt(db, content)

    def _take_in_interrupted(self, db: sqlite3.Connection, content: Content) -> Content:
        """Put in what stands in the WAL and SQLite left out: it drops all that comes after an interrupted write."""
        found = [item for item in found_in(self._files.wal) if isinstance(item, Frame) and item.seq > content.newest]
        if not found:
            return content
        with table.transaction(db):
            table.insert(db, found)
            table.settle(db, replace(self.mark, last=content.newest))
        return table.check(db, self.mark)

    def _adopt(self, db: sqlite3.Connection, content: Content) -> None:
        self._db, self._suspect = db, None
        self._deleted, self._counted = 0, self.mark.drained
        self.waiting, self.oldest_at = content.waiting, content.oldest_at
        self._files.attach()
        used = max(self.mark.used, self.mark.last, content.newest)
        self._say(Mark(self.mark.drained, content.newest, used))

    def _say(self, mark: Mark) -> None:
        self.mark = mark
        self._files.write_mark(mark)

    def _let_go(self) -> None:
        db, self._db = self._db, None
        if db is not None and self._suspect is None:
            with suppress(sqlite3.Error):
                db.close()
        elif db is not None:
            table.abandon(db, self._files.path)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        db = self._open
        try:
            with table.transaction(db):
                yield db
        except sqlite3.Error as error:
            self._judge(error)
            raise

    def _judge(self, error: sqlite3.Error) -> None:
        if table.code_of(error) not in _HARMLESS and table.code_of(error, 0xFFFF) not in _HARMLESS:
            self._suspect = str(error)

    def _read(self, ticks_at_most: int) -> list[list[Frame]]:
        found: list[list[Frame]] = []
        newest, ticks = self.mark.drained, 0
        for frames in table.linked(self._open, self.mark.drained):
            ticks += frames[0].ticks
            if found and ticks > ticks_at_most:
                return found
            found.append(frames)
            newest = frames[0].seq
        if newest < self.mark.last:
            raise Damaged(f"batch {self.mark.last} is missing")
        return found

    def _count(self) -> None:
        """Correct what is said of the batches that wait by those that were drained since."""
        if self._counted < self.mark.drained:
            self.waiting -= table.count(self._open, self._counted, self.mark.drained)
            self._counted = self.mark.drained
            rest = table.batches(self._open, self.mark.drained)
            self.oldest_at = next((frames[0].at for _, frames in rest if frames), None)

    def _renew(
        self, why: str | None, frames: Sequence[Frame] = (), without: Collection[int] = (), *, empty: bool = False
    ) -> None:
        """Write a new file with these frames and all that can be read, and put it in the place of the present one.

        ``why``: what is wrong with the present one, None where nothing is. ``empty``: nothing need be read.
        """
        files, old = self._files, self._db
        # Opening and closing the file drops SQLite's lock on it. It ends here, and DATA_DIR has a lock of its own.
        sources: Iterable[Frame | Mark] = chain(
            found_in(files.new), table.readable(old), found_in(files.path), found_in(files.wal)
        )
        wanted = replace(self.mark, last=frames[0].seq if frames else self.mark.last)
        # At the start nobody knows whether the newest was accepted before the kill: it is, then.
        ceiling = wanted.last if self._started else None
        mark, lost = table.build(files.building, () if empty else chain(frames, sources), wanted, ceiling, without)
        aside = files.switch(keep=bool(lost) or (why is not None and self._suspect is None))
        self._db, self.mark = None, mark
        if old is not None:
            old.close()  # it sees that its file has gone from its place, and touches nothing
        db = table.connect(files.path)
        self._adopt(db, table.check(db, mark))
        self._report(why, lost, aside)

    def _report(self, why: str | None, lost: Sequence[range], aside: Path | None) -> None:
        count = sum(map(len, lost))
        self.lost += count
        if why is None and not count:
            return
        numbers = ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in lost)
        what = f"{count} batches are lost ({numbers})" if count else "nothing is lost"
        kept = f" The old file is kept as {aside.name}." if aside else ""
        say = log.get(__name__).error if count else log.get(__name__).warning
        say(
            f"{self._files.path} was written anew ({why}): {what}; batches that wait: {self.waiting}.{kept}",
            action="spool_rebuilt",
            lost=numbers,
            waiting=self.waiting,
        )
