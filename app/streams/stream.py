"""A market's connections: a thread that listens, and connects again when they break, are silent, or are told to.

Only this thread has an event loop. Others look at ``is_live`` and the like, and at the board.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from app import log
from app.clock import Clock
from app.sources.exchange_ticker import Ticker
from app.streams import listening
from app.streams.backoff import Backoff
from app.streams.board import Board
from app.streams.listening import Listener
from app.streams.loop import LeavableLoop

_LOOK_SECONDS = 0.1  # how soon it is seen that we are to stop
_CLOSE_SECONDS, _CUT_SECONDS = 0.7, 0.3  # for taking leave, and for hanging up where the other does not answer
_REFUSED_SECONDS = 3600.0  # after which a pair may be asked for again
_SHOWN = 200  # characters of a reason
_USERS = re.compile(r"//[^\s'\"]*@")

Open = Callable[[Listener], Any]
"""Makes ccxt's exchange, as ``listening.listen`` does. Called in the event loop."""


@dataclass(frozen=True, slots=True)
class _End:
    """Why a connection ended; a ``failure`` is waited for before the next one, and said."""

    reason: str
    failure: bool = True


class Stream:
    """Listens to the pairs it is told to, until ``stop`` is set, and writes what comes on the board."""

    def __init__(
        self, market: str, board: Board, clock: Clock, stop: threading.Event, backoff: Backoff | None = None
    ) -> None:
        self._market, self._board, self._clock, self._stop = market, board, clock, stop
        self._backoff = backoff or Backoff()
        self._open: Open | None = None
        self._symbols: Mapping[str, str] = {}
        self._again: _End | None = None
        self._refused: dict[str, float] = {}  # the pair, and since when
        self._log = log.get(__name__).bind(source=market)
        self.is_live = False
        """Whether a connection stands."""
        self.since = clock.monotonic()
        """Since when it is live, or is not."""
        self.opened = 0
        """How many connections have been made."""
        self.opened_at = self.since
        """When the last of them was."""
        self.failures = 0
        """How many were lost or could not be made."""
        self.reason = "not connected yet"
        """Why it is not live, or was not the last time."""

    def listen(self, symbols: Mapping[str, str], open_: Open) -> None:
        """From now on to these pairs, with the symbols that are theirs."""
        if symbols != self._symbols:
            self._board.watch(symbols)
            self._symbols, self._open = dict(symbols), open_
            self.connect_again("what is watched has changed", failure=False)

    def connect_again(self, reason: str, *, failure: bool = True) -> None:
        """Give the connections up, and make new ones."""
        self._again = _End(reason, failure)

    @property
    def refused(self) -> frozenset[str]:
        """The symbols that the exchange does not want to stream."""
        return frozenset(self._symbols[pair] for pair in list(self._refused) if pair in self._symbols)

    @property
    def failures_in_a_row(self) -> int:
        """Lost connections since one held for a minute."""
        if self.is_live:
            self._backoff.holds(self._clock.monotonic() - self.since)
        return self._backoff.failures

    def run(self) -> None:
        """Listen until ``stop`` is set."""
        with asyncio.Runner(loop_factory=LeavableLoop) as runner:
            # What ccxt leaves behind when a connection breaks is told by other ways already.
            runner.get_loop().set_exception_handler(
                lambda _loop, what: self._log.debug(f"Left behind: {what['message']}", action="stream_left_behind")
            )
            runner.run(self._listen())

    async def _listen(self) -> None:
        while not self._stop.is_set():
            if self._open is None or not self._symbols:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            self._again = None
            connection = _Connection(self, self._board, self._wanted())
            end = await connection.hold(self._open)
            if not self._stop.is_set():
                await self._pause(self._ended(end))

    def _wanted(self) -> list[str]:
        old = self._clock.monotonic() - _REFUSED_SECONDS
        self._refused = {pair: since for pair, since in self._refused.items() if since > old}
        return [pair for pair in self._symbols if pair not in self._refused]

    def _ended(self, end: _End) -> float:
        """Take leave of a connection. The seconds to wait before the next."""
        now = self._clock.monotonic()
        held = now - self.since if self.is_live else 0.0
        was_well = self.failures_in_a_row == 0
        if self.is_live:
            self.is_live, self.since = False, now
        if not end.failure:
            return 0.0
        self.failures += 1
        self.reason = end.reason
        wait = self._backoff.failed(held)
        say = self._log.warning if was_well else self._log.debug
        say(f"The stream of {self._market} is down: {end.reason}; connecting again.", action="stream_down")
        return wait

    async def _pause(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while not self._stop.is_set() and (left := until - self._clock.monotonic()) > 0:
            await asyncio.sleep(min(left, _LOOK_SECONDS))

    # What a connection tells and asks, in the event loop's thread.

    def is_open(self) -> None:
        """One of a market's connections stands."""
        self._board.listen_again()
        now = self._clock.monotonic()
        if not self.is_live:
            self.is_live, self.since = True, now
            if self._backoff.failures:
                self._log.info(f"The stream of {self._market} is back.", action="stream_back")
        self.opened_at = now
        self.opened += 1

    def refuses(self, pairs: set[str], text: str) -> None:
        """The exchange says no: to these pairs, if it names any."""
        for pair in sorted(pairs):
            symbol = self._symbols.get(pair, pair)
            self._refused[pair] = self._clock.monotonic()
            self._log.warning(
                f"{self._market} does not stream {symbol}, which is asked for instead: {text}",
                action="stream_refused",
                symbol=symbol,
            )
        if not pairs:
            self._log.warning(f"{self._market} refuses something: {text}", action="stream_refused")

    def end_wanted(self) -> _End | None:
        """Why the connections are to end now, if they are."""
        if self._stop.is_set():
            return _End("we stop", failure=False)
        if self._again is not None:
            return self._again
        if (seconds := self._board.silence()) is not None:
            return _End(f"nothing has come for {seconds:.0f} s")
        return None


class _Connection(Listener):
    """The connections to one market from when they are made until the first of them ends."""

    def __init__(self, stream: Stream, board: Board, pairs: Sequence[str]) -> None:
        self._stream, self._board, self._pairs = stream, board, pairs
        self._names: Mapping[str, str] = {}
        self._named: set[str] = set()  # those that were refused
        self._end: _End | None = None
        self._tasks: list[asyncio.Task[object]] = []

    async def hold(self, open_: Open) -> _End:
        """Connect, subscribe, listen. Why it ended."""
        exchange = None
        try:
            exchange = open_(self)
            self._names = listening.names(exchange, self._pairs)
            self._tasks = [asyncio.create_task(one) for one in listening.subscriptions(exchange, self._pairs)]
            for task in self._tasks:
                task.add_done_callback(self._subscribed)
            while self._end is None:
                self._end = self._stream.end_wanted()
                await asyncio.sleep(_LOOK_SECONDS)
        except Exception as error:  # noqa: BLE001  whatever ccxt raises, it is this connection's end and no more
            self._end = _End(_said(error))
        finally:
            self._end = self._end or _End("given up", failure=False)  # from now on it is we who close
            await self._close(exchange)
        return self._end

    async def _close(self, exchange: Any) -> None:
        for task in self._tasks:
            task.cancel()
        if exchange is None:
            return
        with suppress(Exception):  # it is given up: nobody cares how
            await asyncio.wait_for(exchange.close(), _CLOSE_SECONDS)
        if exchange.session is not None:  # the other end does not take leave
            with suppress(Exception):
                await asyncio.wait_for(exchange.session.close(), _CUT_SECONDS)
            exchange.session = None

    def _subscribed(self, task: asyncio.Task[object]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if listening.is_lost(error):
            self.broke(str(error))
        else:
            self.refused(str(error), whole=True)

    def opened(self) -> None:
        if self._end is None:
            self._stream.is_open()

    def updated(self, pair: str, ticker: Ticker) -> None:
        if self._end is None:
            self._board.note(pair, ticker)

    def refused(self, text: str, *, whole: bool) -> None:
        if self._end is not None:
            return
        pairs = listening.named(text, self._names) - self._named
        if pairs or not (whole and self._named):
            self._stream.refuses(pairs, _said(text))
        self._named |= pairs
        if whole:
            # What was asked for together with a pair has to be asked for anew, without it.
            self._end = _End(_said(text), failure=not self._named)

    def broke(self, reason: str) -> None:
        if self._end is None:
            self._end = _End(_said(reason))


def _said(reason: object) -> str:
    """On one line, not too long, and without users and passwords of addresses."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(reason)).split())
    line = _USERS.sub("//********@", line)
    return line[:_SHOWN] or type(reason).__name__
