"""The latest update of each pair of a market, and who has been silent for longer than is usual for him."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from app.clock import Clock
from app.sources.exchange_ticker import Ticker
from app.streams.pace import Pace

SYMBOL_SECONDS = 30.0  # of one symbol's silence are always borne
ALL_SECONDS = 15.0  # of the silence of all together
UNKNOWN_SECONDS = 60.0  # of a symbol of which too little is known to say


@dataclass(frozen=True, slots=True)
class Update:
    """What came last of a symbol since it was last asked for."""

    symbol: str
    ticker: Ticker
    received_at: datetime


@dataclass(slots=True)
class _Line:
    symbol: str
    since: float
    """Since when it has been silent, or was last asked for elsewhere."""
    seen: float = float("-inf")
    pace: Pace = field(default_factory=Pace)
    update: Update | None = None
    told: datetime | None = None
    """The time of the last event that was taken for a new one."""
    price: Decimal | None = None
    """The last that is known, from the stream or from elsewhere."""


class Board:
    """One line a pair, whatever comes in: the reader takes what has changed since he last took. Safe for threads.

    Pairs are called as the exchange's library calls them (``BTC/USD``), symbols as we do.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._by_symbol: dict[str, _Line] = {}
        self._all = Pace()
        self._last = clock.monotonic()

    def watch(self, symbols: Mapping[str, str]) -> None:
        """From now on these pairs, which have these symbols, and no others. What is known of them is kept."""
        with self._lock:
            now = self._clock.monotonic()
            self._lines = {pair: self._lines.get(pair) or _Line(symbol, now) for pair, symbol in symbols.items()}
            self._by_symbol = {line.symbol: line for line in self._lines.values()}

    def note(self, pair: str, ticker: Ticker) -> None:
        """An update has come in. One of a pair that is not watched is left out."""
        with self._lock:
            line = self._lines.get(pair)
            if line is None:
                return
            now = self._clock.monotonic()
            line.pace.note(now)
            self._all.note(now)
            line.since = line.seen = self._last = now
            line.update = Update(line.symbol, ticker, self._clock.now())

    def take(self) -> list[Update]:
        """The last update of each symbol that had one since the last call."""
        with self._lock:
            updates = []
            for line in self._lines.values():
                if line.update is not None:
                    updates.append(line.update)
                    line.update = None
            return updates

    def is_new(self, symbol: str, time: datetime) -> bool:
        """Whether the last event of this symbol that we were told of had another time."""
        with self._lock:
            line = self._by_symbol.get(symbol)
            if line is None or line.told == time:
                return False
            line.told = time
            return True

    def price(self, symbol: str) -> Decimal | None:
        """The last price that was said to be known."""
        with self._lock:
            line = self._by_symbol.get(symbol)
            return line.price if line else None

    def know(self, prices: Mapping[str, Decimal]) -> None:
        """These are the prices now, by symbol."""
        with self._lock:
            for symbol, price in prices.items():
                if (line := self._by_symbol.get(symbol)) is not None:
                    line.price = price

    def listen_again(self) -> None:
        """A connection is new: silences begin with it."""
        with self._lock:
            now = self._clock.monotonic()
            self._all.restart()
            self._last = now
            for line in self._lines.values():
                line.pace.restart()
                line.since = now

    def silent(self) -> list[str]:
        """The symbols that have been silent for longer than is usual for them."""
        with self._lock:
            now = self._clock.monotonic()
            return [
                line.symbol
                for line in self._lines.values()
                if now - line.since > (line.pace.patience(SYMBOL_SECONDS) or UNKNOWN_SECONDS)
            ]

    def asked(self, symbols: Iterable[str]) -> None:
        """These were asked for elsewhere: their silence begins anew."""
        with self._lock:
            now = self._clock.monotonic()
            for symbol in symbols:
                if (line := self._by_symbol.get(symbol)) is not None:
                    line.since = now

    def seen(self, symbol: str) -> float:
        """When the last update of a symbol came, by the monotonic clock."""
        with self._lock:
            line = self._by_symbol.get(symbol)
            return line.seen if line else float("-inf")

    def silence(self) -> float | None:
        """For how many seconds nothing at all has come, if that is unusual. It is borne for longer the next time."""
        with self._lock:
            patience, seconds = self._all.patience(ALL_SECONDS), self._clock.monotonic() - self._last
            if patience is None or seconds <= patience:
                return None
            self._all.was_silent(seconds)
            return seconds
