"""The composite of a pair, ``BTC@all``: the mean price over its fresh markets, and the sum of their volumes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Context, Decimal, localcontext
from typing import Literal

from app import log
from app.model import Batch, Instrument, Tick
from app.watch import ALL, Composite

How = Literal["mean", "median"]

_OFF = Decimal("0.1")  # of the median: a market further away is one that has trouble
_TURNS = 3  # a market may miss some, and is stale then
_SHORTEST = timedelta(seconds=60)  # until a market that does not answer is stale
_OLDEST = timedelta(minutes=10)  # an observation, beside the newest of the others
_PATIENCE = timedelta(seconds=60)  # from the first market's answer, until those that have not answered are left out
_SAY_AGAIN = timedelta(hours=1)  # that a market is left out of a composite
_DIGITS = Context(prec=16)
_STALE, _FAR = "stale", "more than 10 % off"

_log = log.get(__name__)


@dataclass(slots=True)
class Made:
    """How a composite is made now: the markets that are in it, and those left out as stale or as too far off."""

    markets: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    off: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Said:
    """When the log last said that a market is left out of a composite, and whether that is its last word."""

    at: datetime
    is_out: bool = True


class Composites:
    """Adds the composites' ticks to batches. For one thread at a time.

    ``interval`` gives the seconds from one reply of a market to the next as they are now, ``down`` the markets that are
    known not to answer.
    """

    def __init__(
        self, how: How, interval: Callable[[str], float], down: Callable[[], Collection[str]] = frozenset
    ) -> None:
        self._how, self._interval, self._down = how, interval, down
        self._wanted: Sequence[Composite] = ()
        self._watched: dict[str, Sequence[Instrument]] = {}  # by market
        self._parts: dict[str, tuple[str, str]] = {}  # symbol: (composite's symbol, market)
        self._latest: dict[str, dict[str, Tick]] = {}  # composite's symbol: market: its newest tick
        self._newest: dict[str, datetime] = {}
        self._markets: dict[str, str] = {}  # of each symbol that is watched
        self._replied: dict[str, datetime] = {}  # by market, its last reply, be it of before the start
        self._answered: dict[str, datetime] = {}  # by market, its first reply since the start
        self._begun: set[str] = set()  # composites that need not wait for anybody any more
        self._said: dict[tuple[str, str, str], _Said] = {}  # by composite, market and why it was left out
        self.made: dict[str, Made] = {}
        """By the composite's symbol."""

    def want(self, composites: Iterable[Composite]) -> list[Instrument]:
        """These are watched from now on; as instruments."""
        self._wanted = tuple(composites)
        symbols = {entry.symbol for entry in self._wanted}
        for known in (self._latest, self._newest, self.made):
            for symbol in known.keys() - symbols:
                del known[symbol]
        self._begun &= symbols
        self.made = {symbol: self.made.get(symbol, Made()) for symbol in symbols}
        self._find_parts()
        return [Instrument(entry.base, entry.quote, ALL, entry.symbol) for entry in self._wanted]

    def watch(self, market: str, instruments: Sequence[Instrument]) -> None:
        """These are what is watched on a market from now on."""
        self._watched[market] = instruments
        self._find_parts()

    def _find_parts(self) -> None:
        of_pair = {(entry.base, entry.quote): entry.symbol for entry in self._wanted}
        self._parts = {
            instrument.symbol: (composite, market)
            for market, instruments in self._watched.items()
            for instrument in instruments
            if (composite := of_pair.get((instrument.base, instrument.quote)))
        }
        self._markets = {its.symbol: market for market, instruments in self._watched.items() for its in instruments}
        there = set(self._parts.values())
        for composite, latest in self._latest.items():
            for gone in [name for name in latest if (composite, name) not in there]:
                del latest[gone]
        self._said = {key: said for key, said in self._said.items() if key[:2] in there}
        for times in (self._replied, self._answered):
            for market in times.keys() - set(self._markets.values()):
                del times[market]

    def remember(self, ticks: Iterable[Tick]) -> None:
        """Ticks from before the start: a composite goes on with all its markets, not with the first that answers."""
        for tick in ticks:
            if self._markets.get(tick.symbol) == tick.source:
                before = self._replied.get(tick.source, tick.fetched_at)
                self._replied[tick.source] = max(before, tick.fetched_at)
            self._take(tick)

    def remember_last(self, symbol: str, timestamp: datetime) -> None:
        """The time of the composite's own newest tick."""
        self._newest[symbol] = timestamp

    @property
    def parts(self) -> Mapping[str, tuple[str, str]]:
        """The symbols that composites are made of: each one's composite and market."""
        return self._parts

    def extend(self, batch: Batch) -> Batch:
        """The batch, and a tick of every composite that one of its ticks moves on."""
        market = batch.source
        if any(self._markets.get(tick.symbol) == market for tick in batch.ticks):  # a stand-in's are of another market
            self._replied[market] = batch.fetched_at
            self._answered.setdefault(market, batch.fetched_at)
        moved = dict.fromkeys(symbol for tick in batch.ticks if (symbol := self._take(tick)))
        added = [tick for symbol in moved if (tick := self._make(symbol, batch.fetched_at))]
        return replace(batch, ticks=(*batch.ticks, *added)) if added else batch

    def _take(self, tick: Tick) -> str | None:
        """The composite of which a tick is the newest of its market. One from a stand-in is of no market."""
        part = self._parts.get(tick.symbol)
        if part is None or tick.source != part[1] or tick.origin != "live":
            return None
        composite, market = part
        latest = self._latest.setdefault(composite, {})
        before = latest.get(market)
        if before is not None and tick.timestamp < before.timestamp:
            return None
        latest[market] = tick  # the same observation once more says that the market still answers
        return composite if before is None or tick.timestamp > before.timestamp else None

    def _waits(self, symbol: str, now: datetime) -> bool:
        """Whether markets are still to give their first answer: each that joins later moves the composite."""
        if symbol in self._begun:
            return False
        markets = {market for composite, market in self._parts.values() if composite == symbol}
        first = min((self._answered[market] for market in markets & self._answered.keys()), default=now)
        if markets - self._answered.keys() - set(self._down()) and abs(now - first) < _PATIENCE:
            return True
        self._begun.add(symbol)
        return False

    def _make(self, symbol: str, now: datetime) -> Tick | None:
        if self._waits(symbol, now):
            return None
        latest = self._latest[symbol]
        newest = max(tick.timestamp for tick in latest.values())
        stale = [market for market, tick in latest.items() if self._is_stale(market, tick, newest, now)]
        fresh = {market: tick for market, tick in latest.items() if market not in stale}
        median = statistics.median(tick.price for tick in fresh.values())
        off = [market for market, tick in fresh.items() if abs(tick.price - median) > _OFF * median]
        used = {market: tick for market, tick in fresh.items() if market not in off}
        self.made[symbol] = Made(sorted(used), sorted(stale), sorted(off))
        self._say(symbol, now)
        if not used:
            return None
        timestamp = max(tick.timestamp for tick in used.values())
        if timestamp <= self._newest.get(symbol, timestamp - timedelta(1)):
            return None
        self._newest[symbol] = timestamp
        price, volume = self._middle([tick.price for tick in used.values()]), _sum(used.values())
        return Tick(symbol, timestamp, price, volume, None, now, ALL, markets=len(used))

    def _is_stale(self, market: str, tick: Tick, newest: datetime, now: datetime) -> bool:
        # A pair that nobody trades brings nothing, while its market answers for others.
        replied = max(tick.fetched_at, self._replied.get(market, tick.fetched_at))
        turns = timedelta(seconds=_TURNS * self._interval(market))
        return now - replied > max(_SHORTEST, turns) or newest - tick.timestamp > max(_OLDEST, turns)

    def _middle(self, prices: Sequence[Decimal]) -> Decimal:
        with localcontext(_DIGITS):
            return +(statistics.median(prices) if self._how == "median" else sum(prices, Decimal()) / len(prices))

    def _say(self, symbol: str, now: datetime) -> None:
        """Say who is left out, each at most once an hour, and that it is back where the log has it as left out."""
        made = self.made[symbol]
        for why, markets, say in ((_STALE, made.stale, _log.info), (_FAR, made.off, _log.warning)):
            for market in markets:
                said = self._said.get((symbol, market, why))
                if said is None or (not said.is_out and now - said.at >= _SAY_AGAIN):
                    say(f"{market} is left out of {symbol}: it is {why}.", action="market_left_out", symbol=symbol)
                    self._said[symbol, market, why] = _Said(now)
        for market in made.markets:
            said_out = [
                said for why in (_STALE, _FAR) if (said := self._said.get((symbol, market, why))) and said.is_out
            ]
            if said_out:
                _log.info(f"{market} is back in {symbol}.", action="market_back", symbol=symbol)
            for said in said_out:
                said.is_out = False


def _sum(ticks: Iterable[Tick]) -> Decimal | None:
    volumes = [tick.volume_24h for tick in ticks if tick.volume_24h is not None]
    return sum(volumes, Decimal()) if volumes else None
