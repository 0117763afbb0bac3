"""Batches that PostgreSQL could not take yet, on disk and in order, until it can.

An SQLite file in DATA_DIR (WAL, synchronous=FULL, one connection), and beside it a mark of how far it was filled and
drained, by which the loss of whole files is known.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.alerts.states import Outcome
from app.clock import Clock
from app.errors import CannotWrite, SpoolFull
from app.model import Tick
from app.quarantine import Held
from app.spool.document import decode, encode
from app.spool.files import Files, explain
from app.spool.frame import PAGE, PARTS, frames_of
from app.spool.keeper import Keeper
from app.spool.table import Damaged

_WAL_FRAME = PAGE + 24
_WAL_BYTES = 4 * 1024 * 1024  # from which on the WAL is brought into the file
_RESERVE = 8  # pages for what deleting needs, and SQLite's own
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch that waits: its number, its ticks, what it caused, and what was held of it or released by it."""

    seq: int
    ticks: tuple[Tick, ...]
    outcome: Outcome
    held: tuple[Held, ...] = ()


class Spool:
    """The one reader and writer of the file. Safe to use from several threads.

    ``limit``: bytes that its file and WAL may take together. What is kept aside of damaged ones, and a file while it is
    written anew, come on top.
    """

    def __init__(self, path: Path, limit: int, clock: Clock) -> None:
        self._path, self._limit, self._clock = path, limit, clock
        self._wal_bytes = min(_WAL_BYTES, limit // 4)
        self._lock = threading.Lock()
        self._keeper = Keeper(Files(path, clock))
        self._in_use = False
        self.bytes = 0
        """What counts against the limit: the file without its free pages, and the WAL."""
        self.trouble: str | None = None
        """Why batches cannot be kept now, and what to do about it."""

    @property
    def is_empty(self) -> bool:
        """Whether no batch waits."""
        mark = self._keeper.mark
        return mark.drained >= mark.last

    @property
    def waiting(self) -> int:
        """Batches that wait."""
        return 0 if self.is_empty else self._keeper.waiting

    @property
    def oldest(self) -> datetime | None:
        """When the oldest batch that waits came in; None if none does."""
        at = self._keeper.oldest_at
        return None if at is None or self.is_empty else _EPOCH + at * _MICROSECOND

    @property
    def quarantined(self) -> int:
        """Batches found damaged or missing since the start."""
        return self._keeper.lost

    def open(self) -> None:
        """Create or open the file, and mend what a crash or the disk did to it.

        Raises CannotWrite when it cannot be created, opened or mended, AlreadyRunning when another process has it open.
        """
        with self._lock:
            with self._telling():
                self._keeper.start()
            self._in_use = True
            with suppress(CannotWrite), self._telling():  # a full disk: what is there can be read all the same
                self._tidy()

    def close(self) -> None:
        """Let go of the file. What waits in it stays for the next start."""
        with self._lock:
            if self._in_use:
                self._in_use = False
                self._keeper.stop()

    def append(self, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held] = ()) -> int:
        """Keep a batch, on disk when this returns; its number, greater than any before.

        Raises SpoolFull when there is no room under the limit, CannotWrite when the disk is full or fails. Then the
        batch is not accepted. (Like every commit: a kill just then, and the next start may find it all the same.)
        """
        document = encode(ticks, outcome, held)
        with self._lock, self._telling():
            self._recover()
            mark, at = self._keeper.mark, (self._clock.now() - _EPOCH) // _MICROSECOND
            frames = frames_of(mark.used + 1, mark.last, at, len(ticks), document)
            self._make_room(len(frames))
            self._keeper.write(frames)
            self._keeper.checkpoint(self._wal_bytes)
            self._measure()
            self.trouble = None
            return frames[0].seq

    def first(self, ticks_at_most: int) -> list[Entry]:
        """The oldest batches with no more ticks than that together, but at least one; [] if none waits.

        Damaged ones are reported and left out. Raises CannotWrite when the file is damaged and cannot be written anew
        now, SchemaTooNew at a batch that a newer version left.
        """
        senseless: set[int] = set()
        while True:
            with self._lock, self._telling():
                self._expect_open()
                found = self._keeper.read(ticks_at_most, senseless)
            entries = []
            for frames in found:
                try:
                    document = decode(b"".join(frame.payload for frame in frames))
                except ValueError:
                    senseless.add(frames[0].seq)
                else:
                    entries.append(Entry(frames[0].seq, *document))
            if len(entries) == len(found):
                return entries

    def done(self, through: int) -> None:
        """Forget all batches up to and including this number. Never fails: what cannot be deleted now, is later."""
        with self._lock, suppress(CannotWrite), self._telling():
            self._keeper.drained(min(through, self._keeper.mark.last))
            self._recover()
            self._tidy()
            self.trouble = None

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What the disk says no to is our trouble, until a write works again."""
        try:
            yield
        except (SpoolFull, CannotWrite) as error:
            self.trouble = str(error)
            raise
        except (OSError, sqlite3.Error, Damaged) as error:
            self.trouble = explain(error, self._path)
            raise CannotWrite(self.trouble) from error

    def _expect_open(self) -> None:
        if not self._in_use:
            raise CannotWrite(f"{self._path}: is not open")

    def _recover(self) -> None:
        self._expect_open()
        self._keeper.recover()

    def _tidy(self) -> None:
        self._keeper.tidy()
        self._keeper.checkpoint(0 if self.is_empty else self._wal_bytes)
        self._measure()

    def _make_room(self, parts: int) -> None:
        if self._size_with(parts) > self._limit:
            self._keeper.checkpoint()
            self._keeper.recover()
        if self._size_with(parts) > self._limit or parts >= PARTS:
            raise SpoolFull(
                f"{self._path}: is full ({self._limit / 1e6:.0f} MB, SPOOL_MAX_MB); {self.waiting} batches wait for the"
                " database, and none is dropped: see why it does not take them, or allow more"
            )

    def _size_with(self, parts: int) -> int:
        """Bytes on disk, at most, after such a batch and while the WAL is brought into the file."""
        pages = self._keeper.pages + max(0, parts + 2 - self._keeper.free_pages)
        return pages * PAGE + self._keeper.wal_bytes + (parts + 2 + _RESERVE) * _WAL_FRAME

    def _measure(self) -> None:
        keeper = self._keeper
        self.bytes = (keeper.pages - keeper.free_pages) * PAGE + keeper.wal_bytes
