"""One listener for all clients of the stream: it reads each new batch once, and keeps the last ones in memory."""

from __future__ import annotations

import asyncio
import select
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from operator import attrgetter

from psycopg2 import extensions as pg

from app import log
from app.api.database import Reader
from app.api.stream_events import Batch, batches
from app.db import execute, translated
from app.errors import DatabaseRefused, DatabaseUnavailable

MOST_CLIENTS = 2000

_KEPT_BATCHES, _KEPT_BYTES = 1000, 32 << 20  # in memory
_PAGE_BATCHES, _PAGE_TICKS = 500, 2000  # read at once; of a single batch all there is
_PAGE_SECONDS = 10.0  # that reading them may take
_LOOK_SECONDS = 1.0  # until it is looked for batches though no notice came
_IDLE_SECONDS = 30.0  # that the listener stays when nobody is left to tell
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0  # seconds between tries to connect
_READERS = 2  # of those who come back, how many are read for at a time

_number = attrgetter("number")


class Left(Exception):
    """What comes next is not kept in memory any more."""


class Full(Exception):
    """There are as many clients as there may be."""


class Feed:
    """The batches since some time ago, for any number of clients of one event loop.

    The listener is a thread with a connection of its own, and there while there are clients. A notice of the database
    tells it of a new batch; it asks for those after the last it knows, so that a notice may be lost, and a connection.
    """

    def __init__(self, database: Reader) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._listener: threading.Thread | None = None
        self._batches: list[Batch] = []
        self._size = 0
        self._before: int | None = None  # the number of the batch before the first of these
        self._left_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell = asyncio.Event()
        self._reading = asyncio.Semaphore(_READERS)
        self._ended = threading.Event()
        self.clients = 0
        self.beginning = 0
        """Another number after the database turned out to be another one, or to have forgotten what comes next."""

    # For clients, in the event loop.

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Be a client for as long as this lasts. Raises Full."""
        if self.clients >= MOST_CLIENTS:
            raise Full
        if self.clients == 0:
            self._loop, self._bell, self._reading = (
                asyncio.get_running_loop(), asyncio.Event(), asyncio.Semaphore(_READERS)
            )  # fmt: skip
        self.clients += 1
        try:
            with self._lock:
                if self._listener is None:
                    listener = threading.Thread(target=self._listen, name="stream", daemon=True)
                    listener.start()  # it waits for the lock; and may fail, and then there is none
                    self._listener = listener
            yield
        finally:
            self.clients -= 1
            self._left_at = time.monotonic()

    @property
    def has_ended(self) -> bool:
        """Whether the process ends, so that nobody will be told anything any more."""
        return self._ended.is_set()

    @property
    def bell(self) -> asyncio.Event:
        """Is set when there is something new; to be taken before it is looked for that."""
        return self._bell

    @property
    def last(self) -> int | None:
        """The number of the newest batch; None while the database was never asked."""
        with self._lock:
            return self._batches[-1].number if self._batches else self._before

    def after(self, number: int) -> Batch | None:
        """The batch that comes after this one, None while there is none. Raises Left."""
        with self._lock:
            if self._before is None or number < self._before:
                raise Left
            place = bisect_right(self._batches, number, key=_number)
            return self._batches[place] if place < len(self._batches) else None

    def goes_on_from(self, number: int) -> bool:
        """Whether there was a batch of this number, and all after it are in memory."""
        with self._lock:
            place = bisect_right(self._batches, number, key=_number)
            return number == self._before or (place > 0 and self._batches[place - 1].number == number)

    async def read(self, number: int) -> list[Batch] | None:
        """A page of the batches after this one, from the database; None, where this one itself is not kept any more.

        Raises DatabaseUnavailable and DatabaseRefused.
        """
        async with self._reading:
            return await asyncio.to_thread(self._database.ask, lambda cursor: _page(cursor, number), _PAGE_SECONDS)

    # For whoever runs it.

    def end(self) -> None:
        """End all streams, as they do not end by themselves; for ever."""
        self._ended.set()
        self._ring()

    # The listener.

    def _listen(self) -> None:
        wait, trouble = _FIRST_WAIT, ""
        while self._is_wanted():
            try:
                with closing(self._database.connection()) as connection, translated():
                    for _ in self._following(connection):
                        wait, trouble = _FIRST_WAIT, ""
            except Exception as error:  # noqa: BLE001  whatever it is, all clients would wait for a thread that is gone
                if str(error) != trouble:
                    trouble = str(error)
                    foreseen = isinstance(error, (DatabaseUnavailable, DatabaseRefused))
                    log.get(__name__).warning(
                        f"The stream waits for the database: {trouble}.", action="stream_waits", exc_info=not foreseen
                    )
                self._ended.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    def _following(self, connection: pg.connection) -> Iterator[None]:
        """Take in what comes, round by round."""
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        with connection.cursor() as cursor:
            execute(cursor, "listen")
            connection.commit()  # from now on; what came before is looked for
            while self._is_wanted():
                while self._take_in(cursor):
                    pass
                yield
                if not connection.notifies:  # one may have come with the last answer, which did not know of it yet
                    poller.poll(1000 * _LOOK_SECONDS)  # readable: a notice, or the end; the next question shows which
                connection.notifies.clear()

    def _take_in(self, cursor: pg.cursor) -> bool:
        """Read on from the last batch; whether there was any."""
        last = self.last
        execute(cursor, "allow_seconds", seconds=f"{_PAGE_SECONDS:g}s")
        page = None if last is None else _page(cursor, last)
        if page is None:
            ((_, newest),) = execute(cursor, "batch_numbers")
            self._begin(newest)
        cursor.connection.commit()
        if page:
            self._add(page)
        return bool(page)

    def _begin(self, number: int) -> None:
        with self._lock:
            self._batches, self._size, self._before = [], 0, number
            self.beginning += 1
        self._ring()

    def _add(self, page: list[Batch]) -> None:
        with self._lock:
            self._batches += page
            self._size += sum(batch.size for batch in page)
            old = 0
            while len(self._batches) - old > _KEPT_BATCHES or (
                self._size > _KEPT_BYTES and old < len(self._batches) - 1
            ):
                self._size -= self._batches[old].size
                self._before = self._batches[old].number
                old += 1
            del self._batches[:old]
        self._ring()

    def _ring(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is over, and who waited in it
                self._loop.call_soon_threadsafe(self._ring_here)

    def _ring_here(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    def _is_wanted(self) -> bool:
        """Whether the listener is to go on. If not, all of it is as before the first client."""
        with self._lock:
            idle = self.clients == 0 and time.monotonic() - self._left_at > _IDLE_SECONDS
            if idle or self._ended.is_set():
                self._listener, self._batches, self._size, self._before = None, [], 0, None
            return self._listener is threading.current_thread()


def _page(cursor: pg.cursor, number: int) -> list[Batch] | None:
    """The batches after this one, of which at least the first whole; None, where this one itself is not kept."""
    found = batches(execute(cursor, "batches_from", number=number, batches=_PAGE_BATCHES, ticks=_PAGE_TICKS))
    return found[1:] if found and found[0].number == number else None
