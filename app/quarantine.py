"""Bad ticks: a price far off what it just was, and of which no other market knows, is held back until others agree.

The *price* decides; a volume is a gauge that providers recompute as they like. A tick is held whose price is more than
30 % off the median of the five minutes before it, unless another market of the same pair, asked elsewhere, has just
seen one within 10 % of it. Three that agree, one after the other and with nothing newer accepted, are no mistake: all
three go on, and the median begins anew with them. Where less than three prices are known nothing is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

import numpy as np

from app import log
from app.clock import microseconds
from app.model import Batch, Instrument, Tick
from app.quarantine_prices import OFF, WINDOW, Prices, Rows, Times

_AGREES = Decimal("0.1")  # of a price: the next one that is no further away
_TOGETHER = 3  # ticks that agree are right
_REMEMBERED = 8  # held ticks of a symbol: its provider may repeat them
_TOLD = 5  # held ticks of a batch that are told one by one

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """A tick that is held back, or was: ``settled_at`` says when three that agree released it, None while it is held.

    ``median``: what its price was too far from, None where somebody held it by hand. ``why``: a sentence.
    """

    tick: Tick
    median: Decimal | None
    why: str
    held_at: datetime
    settled_at: datetime | None = None


@dataclass(slots=True)
class Screened:
    """What is left of a batch, with what was released; what is to be written of ticks held and released; and how many
    only repeat ticks that are held already.
    """

    batch: Batch
    held: list[Held] = field(default_factory=list)
    repeated: int = 0

    @property
    def new(self) -> int:
        """How many ticks are held from now on."""
        return sum(it.settled_at is None for it in self.held)


class Screen:
    """Looks at every tick before anybody else does. For one thread at a time."""

    def __init__(self) -> None:
        self._prices = Prices()
        self._order: list[str] = []  # of the last batch
        self._order_rows = np.zeros(0, np.intp)
        self._watched: dict[str, Sequence[Instrument]] = {}  # by market
        self._pairs: dict[str, tuple[str, str]] = {}
        self._of_pair: dict[tuple[str, str], list[str]] = {}
        self._held: dict[str, list[Held]] = {}  # lately, as they came

    def unknown(self, symbols: Iterable[str]) -> list[str]:
        """Those of which it knows nothing, for ``warm``."""
        return [symbol for symbol in symbols if symbol not in self._prices.rows]

    def watch(self, market: str, instruments: Sequence[Instrument]) -> None:
        """These are what is watched on a market from now on."""
        self._watched[market] = instruments
        self._pairs, self._of_pair = {}, {}
        for instrument in (instrument for its in self._watched.values() for instrument in its):
            self._prices.row(instrument.symbol)
            self._pairs[instrument.symbol] = pair = (instrument.base, instrument.quote)
            self._of_pair.setdefault(pair, []).append(instrument.symbol)

    def warm(self, prices: Sequence[tuple[str, datetime, Decimal, str]], held: Iterable[Held]) -> None:
        """Go on where the last run ended: accepted prices (symbol, time, price, source) by time, held ticks as they
        came.
        """
        if prices:
            self._prices.load(prices)
        for it in held:
            self._remember(it)

    def sift(self, batch: Batch) -> Screened:
        """Take out of a batch what is to be held, and put back what it releases."""
        found = Screened(batch)
        passed: list[Tick] = []
        for ticks, symbols in self._distinct(batch.ticks) if batch.ticks else ():
            passed += self._sift(ticks, symbols, batch, found)
        if found.held or found.repeated:
            found.batch = replace(batch, ticks=tuple(sorted(passed, key=lambda tick: (tick.timestamp, tick.symbol))))
            _tell(found.held)
        return found

    def _distinct(self, ticks: Sequence[Tick]) -> Iterator[tuple[Sequence[Tick], list[str]]]:
        """The ticks, in order, in parts in each of which a symbol comes but once; and those symbols."""
        symbols = [tick.symbol for tick in ticks]
        if symbols == self._order or len(set(symbols)) == len(symbols):
            yield ticks, symbols
            return
        part: dict[str, Tick] = {}
        for tick in ticks:
            if tick.symbol in part:
                yield list(part.values()), list(part)
                part = {}
            part[tick.symbol] = tick
        yield list(part.values()), list(part)

    def _sift(self, ticks: Sequence[Tick], symbols: list[str], batch: Batch, found: Screened) -> Sequence[Tick]:
        """Of ticks of as many symbols: those that go on."""
        rows, times = self._rows_of(symbols), _times_of(ticks)
        prices = np.fromiter(map(float, [tick.price for tick in ticks]), np.float64, len(ticks))
        fine = self._prices.are_fine(rows, times, prices)
        self._prices.see(rows, times, prices, batch.source)
        if fine.all() and not self._held:
            self._prices.accept(rows, times, prices)
            return ticks
        stays = np.zeros(len(ticks), np.bool_)
        released: list[Tick] = []
        for place, (tick, is_fine) in enumerate(zip(ticks, fine.tolist(), strict=True)):
            if tick.symbol in self._held and self._repeats(tick, is_fine=is_fine):
                stays[place] = True
                found.repeated += 1
            elif not is_fine and (held := self._judge(tick, batch)):
                stays[place] = True
                released += self._hold(held, found)
        on = ~stays
        self._prices.accept(rows[on], times[on], prices[on])
        self._begin_anew(released)
        return [tick for tick, goes in zip(ticks, on.tolist(), strict=True) if goes] + released

    def _judge(self, tick: Tick, batch: Batch) -> Held | None:
        """None: it is fine after all."""
        median = self._prices.median(self._prices.row(tick.symbol), microseconds(tick.timestamp))
        if abs(tick.price - median) <= OFF * median or self._is_confirmed(tick):
            return None
        where = "above" if tick.price > median else "below"
        off = abs(tick.price / median - 1) * 100
        why = f"{off:.1f} % {where} its five-minute median {median:f}, and no other market confirms it"
        return Held(tick, median, why, held_at=batch.fetched_at)

    def _is_confirmed(self, tick: Tick) -> bool:
        pair = self._pairs.get(tick.symbol)
        if pair is None:
            return False
        others = [self._prices.row(symbol) for symbol in self._of_pair[pair] if symbol != tick.symbol]
        return self._prices.is_confirmed(others, microseconds(tick.timestamp), float(tick.price), tick.source)

    def _repeats(self, tick: Tick, *, is_fine: bool) -> bool:
        """Whether it is one that is held: the first of a time stands, unless a better one takes its place."""
        held = [it for it in self._held.pop(tick.symbol) if tick.timestamp - it.tick.timestamp <= WINDOW]
        if held:
            self._held[tick.symbol] = held
        same = [it.tick for it in held if it.tick.timestamp == tick.timestamp]
        return any(it.price == tick.price or not is_fine for it in same)

    def _hold(self, new: Held, found: Screened) -> list[Tick]:
        """What it releases with itself, if it is the third that agree."""
        together = [new, *self._in_agreement(new)]
        if len(together) < _TOGETHER:
            self._remember(new)
            found.held.append(new)
            return []
        self._held[new.tick.symbol] = [it for it in self._held[new.tick.symbol] if it not in together]
        found.held += [replace(it, settled_at=new.held_at) for it in together]
        return [it.tick for it in together]

    def _in_agreement(self, new: Held) -> Iterator[Held]:
        """The held ticks before it, newest first, each within 10 % of the next, and nothing accepted newer than any."""
        newest, after = self._prices.newest(self._prices.row(new.tick.symbol)), new.tick
        if microseconds(new.tick.timestamp) <= newest:
            return
        for it in self._held.get(new.tick.symbol, [])[::-1][: _TOGETHER - 1]:
            is_near = abs(after.price - it.tick.price) <= _AGREES * it.tick.price
            if it.median is None or microseconds(it.tick.timestamp) <= newest or not is_near:
                return
            yield it
            after = it.tick

    def _remember(self, it: Held) -> None:
        its = self._held.setdefault(it.tick.symbol, [])
        its.append(it)
        del its[:-_REMEMBERED]

    def _begin_anew(self, released: Iterable[Tick]) -> None:
        ticks = sorted(released, key=lambda tick: tick.timestamp)
        for symbol in {tick.symbol for tick in ticks}:
            self._prices.forget(self._prices.row(symbol))
        for tick in ticks:
            row, price = np.array([self._prices.row(tick.symbol)], np.intp), np.array([float(tick.price)])
            self._prices.accept(row, _times_of([tick]), price)

    def _rows_of(self, symbols: list[str]) -> Rows:
        """Of distinct symbols. Batch after batch a source has the same ones: so they are known from the last."""
        if symbols != self._order:
            self._order, self._order_rows = symbols, np.array([self._prices.row(symbol) for symbol in symbols], np.intp)
        return self._order_rows


def _times_of(ticks: Sequence[Tick]) -> Times:
    """In microseconds since 1970, in less time than ``microseconds`` takes for each."""
    times = [tick.timestamp for tick in ticks]
    if times.count(times[0]) == len(times):
        return np.full(len(times), microseconds(times[0]))
    # A float of seconds is less than a quarter of a microsecond off, until 2106.
    seconds = np.fromiter(map(datetime.timestamp, times), np.float64, len(times))
    return np.rint(seconds * 1e6).astype(np.int64)


def _tell(held: Sequence[Held]) -> None:
    released = [it.tick for it in held if it.settled_at is not None]
    for symbol in dict.fromkeys(tick.symbol for tick in released):
        prices = ", ".join(f"{tick.price:f}" for tick in released if tick.symbol == symbol)
        _log.info(
            f"{symbol}: three ticks agree ({prices}); they are released, and its median begins anew.",
            action="ticks_released",
            symbol=symbol,
        )
    new = [it for it in held if it.settled_at is None]
    for it in new[:_TOLD]:
        tick, time = it.tick, it.tick.timestamp.isoformat().replace("+00:00", "Z")
        _log.warning(
            f"{tick.symbol}: a price of {tick.price:f} is held back: it is {it.why}. Three that agree release it, or"
            f" `python -m app quarantine release {tick.symbol} {time}`.",
            action="tick_held",
            symbol=tick.symbol,
            source=tick.source,
        )
    if len(new) > _TOLD:
        _log.warning(
            f"Ticks of {len(new) - _TOLD} more symbols are held back; `python -m app quarantine list` shows them.",
            action="ticks_held",
            symbols=len(new) - _TOLD,
        )
