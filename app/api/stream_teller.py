"""What one client of the stream is sent, from the first byte to the last."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator

from app.api.stream_events import Batch, Wanted, comment, event, known_to
from app.api.stream_feed import Feed, Left
from app.errors import DatabaseRefused, DatabaseUnavailable

_COME_BACK = b"retry: 2000\n\n"
_HEARTBEAT_SECONDS = 15.0  # after which it is shown that the connection stands, and noticed if it does not
_LOOK_SECONDS = 1.0  # until a database is asked again that did not answer
_WAITING = comment("waiting for the database")
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)

_FORGOTTEN = "what came after that id is not kept any more, or it is none of this database's ids"
_SLOW = "what comes next is not kept any more: events were taken more slowly than they come in"


class Teller:
    """Tells a client all that it wants: what it missed since an id that it names, then what comes."""

    def __init__(self, feed: Feed, wanted: Wanted, last_id: str | None) -> None:
        self._feed, self._wanted, self._last_id = feed, wanted, last_id
        self._known = 0  # the number of the last batch of which the client was told everything
        self._beginning = 0  # of the feed, since which that number is good

    async def told(self) -> AsyncIterator[bytes]:
        """All of it, piece by piece, until the client is too slow or the process ends."""
        yield _COME_BACK
        while (newest := self._newest()) is None and not self._feed.has_ended:
            if not await _heard(self._feed.bell, _HEARTBEAT_SECONDS):
                yield _WAITING
        if self._last_id is None:
            self._known = newest or 0
        else:
            self._known = int(self._last_id) if _ID.fullmatch(self._last_id) else -1
            async for piece in self._missed():
                yield piece
        yield known_to(self._known)
        async for piece in self._coming():
            yield piece

    async def _missed(self) -> AsyncIterator[bytes]:
        """What is not in memory, page by page from the database."""
        while not self._feed.has_ended:
            self._beginning = self._feed.beginning
            if self._feed.goes_on_from(self._known):
                return
            try:
                page = await self._feed.read(self._known)
            except (DatabaseUnavailable, DatabaseRefused):
                yield _WAITING
                await _heard(self._feed.bell, _LOOK_SECONDS)
                continue
            if page is None:
                yield self._reset()
            for batch in page or ():
                for piece in batch.told(self._wanted):
                    yield piece
                self._known = batch.number
            if page == []:
                return  # the client knows more than our listener does yet

    async def _coming(self) -> AsyncIterator[bytes]:
        """What comes, and what is in memory."""
        said_at = time.monotonic()
        while not self._feed.has_ended:
            bell = self._feed.bell
            if self._beginning != self._feed.beginning:
                yield self._reset()
            try:
                batch = self._feed.after(self._known)
                if batch is not None:
                    async for piece in self._all_of(batch):
                        yield piece
                        said_at = time.monotonic()
                    continue
            except Left:
                yield event("dropped", json.dumps({"reason": _SLOW}))
                return
            if not await _heard(bell, said_at + _HEARTBEAT_SECONDS - time.monotonic()):
                yield comment("still here") + known_to(self._known)
                said_at = time.monotonic()

    async def _all_of(self, batch: Batch) -> AsyncIterator[bytes]:
        for piece in batch.told(self._wanted):
            self._feed.after(self._known)  # it may have been left while the piece before was taken
            yield piece
        self._known = batch.number

    def _newest(self) -> int | None:
        """The number from which on everything comes; None while the feed has none."""
        self._beginning = self._feed.beginning  # before the number: a feed that begins anew in between is noticed then
        return self._feed.last

    def _reset(self) -> bytes:
        self._known = self._newest() or 0
        return event("reset", json.dumps({"reason": _FORGOTTEN}), self._known)


async def _heard(bell: asyncio.Event, seconds: float) -> bool:
    """Whether it rang within so many seconds."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await bell.wait()
    except TimeoutError:
        return False
    return True
