"""Failover: while the default market is down, others stand in for it, symbol by symbol, best first.

A stand-in is a source like any other, but for two things: it is asked only while it is needed, and its ticks are of
the default market's symbols. Their ``source`` says who answered. The windows of rules keep the ticks of each source
apart, so that two providers that do not quite agree make no move (``app/alerts/checker.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from app import log
from app.errors import ConfigurationError
from app.limits import PlanFacts
from app.model import Batch, Instrument, symbol_of
from app.sources.base import Source
from app.sources.coingecko_ids import COINS
from app.sources.coins import Coin
from app.watch import Entry, Wanted

DOWN_SECONDS = 15.0
"""Without an answer, after which a source is down; at least three of its turns."""

_TURNS = 3

_log = log.get(__name__)


class Asked(Protocol):
    """A source as its fetcher sees it (``app.fetcher.Fetcher``)."""

    @property
    def instruments(self) -> Sequence[Instrument]:
        """What it is asked for."""
        ...

    @property
    def interval(self) -> float:
        """Seconds from one round to the next."""
        ...

    @property
    def silent_seconds(self) -> float:
        """Since its last answer, or since it was first asked for one; 0 before."""
        ...


def is_down(source: Asked) -> bool:
    """Whether it has not answered for so long that others are to stand in for it."""
    return source.silent_seconds > max(DOWN_SECONDS, _TURNS * source.interval)


@dataclass(frozen=True, slots=True)
class Ours:
    """What is known of the default market's coins: a ticker alone does not say which one is meant.

    ``table``: its coins that need not be asked for, by ticker; None for an exchange. ``chosen`` gives the symbols for
    which the watch list names an id.
    """

    table: Mapping[str, Coin] | None
    chosen: Callable[[], Collection[str]]

    def well_known(self, instrument: Instrument) -> Coin | None:
        """The coin, where it is the one that our own table has for its ticker. Of an exchange's, the ticker is all."""
        if self.table is None:
            return COINS.get(instrument.base)
        coin = self.table.get(instrument.base)
        return coin if coin is not None and coin.id == instrument.provider_id else None


class Failover:
    """Says which stand-in is to be asked for what now: each for what those before it do not deliver.

    ``stand_ins`` are the fallback markets' sources, best first. Safe for the threads of their fetchers.
    """

    def __init__(self, stand_ins: Sequence[StandIn], default_market: str) -> None:
        self.stand_ins, self._default_market = stand_ins, default_market
        self._main: Asked | None = None
        self._asked: Sequence[Asked] = ()
        self._ours: Ours | None = None
        self._lock = threading.Lock()
        self._was_down = False

    def begin(self, main: Asked, asked: Sequence[Asked], ours: Ours) -> None:
        """These fetchers ask the default market and, in their order, the stand-ins."""
        self._main, self._asked, self._ours, self._was_down = main, asked, ours, False

    def entries(self, place: int) -> tuple[Entry, ...]:
        """What the stand-in at this place is to be asked for now, in its own symbols; mostly nothing.

        To be called once in each of its turns, by the thread that asks it.
        """
        me, main, ours = self.stand_ins[place], self._main, self._ours
        if main is None or ours is None or not is_down(main):
            self._say(is_down=False)
            me.rest()
            return ()
        self._say(is_down=True)
        needed = list(main.instruments)
        for stand_in, asked in zip(self.stand_ins[:place], self._asked, strict=False):
            if not is_down(asked):
                lacks = stand_in.lacks
                needed = [instrument for instrument in needed if instrument.symbol in lacks]
        return me.want(needed, self._default_market, ours)

    def _say(self, *, is_down: bool) -> None:
        with self._lock:
            if is_down == self._was_down:
                return
            self._was_down = is_down
        if is_down:
            names = ", ".join(stand_in.name for stand_in in self.stand_ins)
            _log.warning(
                f"{self._default_market} is down; {names} stands in for it where it can.", action="failover_began"
            )
        else:
            _log.info(f"{self._default_market} answers again; nobody stands in for it.", action="failover_ended")


class StandIn(Source):
    """The source of a fallback market, whose ticks go by another market's symbols.

    For the one thread that asks it, but for ``lacks``.
    """

    name: str  # type: ignore[misc]  # of each its own

    def __init__(self, source: Source) -> None:
        self.name, self.limits, self.budget = source.name, source.limits, source.budget
        self._source = source
        self._ours = Ours(COINS, tuple)
        self._for: dict[str, Instrument] = {}  # its own symbol: the instrument that it stands in for
        # By the symbols that it stands in for:
        self._turns: dict[str, int] = {}  # since its last tick
        self._unknown: set[str] = set()
        self._said: dict[str, str] = {}
        self.lacks: frozenset[str] = frozenset()
        """The symbols for which it has no instrument, or no price in its last turns."""

    def want(self, instruments: Sequence[Instrument], default_market: str, ours: Ours) -> tuple[Entry, ...]:
        """The watch list entries, on this market, for these instruments of another market. It is its turn."""
        self._ours = ours
        self._for = {symbol_of(its.base, its.quote, self.name, default_market): its for its in instruments}
        wanted = {its.symbol for its in instruments}
        self._turns = {symbol: self._turns.get(symbol, 0) + 1 for symbol in wanted}
        self._said = {symbol: said for symbol, said in self._said.items() if symbol in wanted}
        self._unknown &= wanted
        self._look()
        return tuple(Wanted(its.base, its.quote, self.name, symbol) for symbol, its in self._for.items())

    def rest(self) -> None:
        """It is not needed. What it lacked it may have when it is needed again."""
        self._turns.clear()
        self._unknown.clear()
        self._look()

    def refuse(self, entry: Entry, error: ConfigurationError | None) -> None:
        """It has no such instrument, or has it after all, which ``resolve`` has seen (``app.asked.Refuse``)."""
        if error is not None and isinstance(entry, Wanted) and entry.symbol in self._for:
            self._cannot(self._for[entry.symbol].symbol, str(error).removeprefix("WATCH: "))

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        """Without those that may be another coin with the same ticker."""
        entries, found = list(entries), []
        for theirs in self._source.resolve(entries) if entries else ():
            ours = self._for.get(theirs.symbol)
            if ours is None:
                continue
            if (doubt := self._doubt(ours, theirs)) is None:
                self._unknown.discard(ours.symbol)
                found.append(theirs)
            else:
                self._cannot(ours.symbol, doubt)
        self._look()
        return found

    def interval(self, tick_seconds: float, calls: int) -> float:
        return self._source.interval(tick_seconds, calls)

    def learn_plan(self) -> None:
        self._source.learn_plan()

    def plan(self) -> PlanFacts:
        return self._source.plan()

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        return self._source.chunks(instruments)

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        batch = renamed(self._source.fetch(chunk), {symbol: its.symbol for symbol, its in self._for.items()})
        self._turns.update((tick.symbol, 0) for tick in batch.ticks)
        self._look()
        return batch

    def ping(self) -> str:
        return self._source.ping()

    def close(self) -> None:
        self._source.close()

    def _doubt(self, ours: Instrument, theirs: Instrument) -> str | None:
        """Why another coin might be meant; None: it is the same."""
        known, coins = self._ours.well_known(ours), self._source.coins
        if coins is None:  # of a pair, an exchange says no more than the ticker
            if known is not None and ours.symbol not in self._ours.chosen():
                return None
            return f"its ticker alone does not say which coin its {ours.base} is."
        there = coins.table.get(ours.base)
        if known is not None and there is not None and there.id == theirs.provider_id:
            return None
        name = ours.name or (known.name if known is not None else None)
        if name and theirs.name and name.casefold() == theirs.name.casefold():
            return None
        return f"its {ours.base} is {theirs.name or 'a coin without a name'}, ours {name or 'a coin without a name'}."

    def _cannot(self, symbol: str, why: str) -> None:
        self._unknown.add(symbol)
        self._look()
        if self._said.get(symbol) != why:
            self._said[symbol] = why
            _log.info(f"{self.name} cannot stand in for {symbol}: {why}", action="no_stand_in", symbol=symbol)

    def _look(self) -> None:
        self.lacks = frozenset(self._unknown | {symbol for symbol, turns in self._turns.items() if turns > _TURNS})


def renamed(batch: Batch, symbols: Mapping[str, str]) -> Batch:
    """The batch under other symbols. What its provider says beside prices is of its own instruments, and left out."""
    ticks = [replace(tick, symbol=symbols[tick.symbol]) for tick in batch.ticks if tick.symbol in symbols]
    lost = tuple(replace(value, symbol=symbols.get(value.symbol, value.symbol)) for value in batch.lost)
    return replace(batch, ticks=tuple(sorted(ticks, key=lambda t: (t.timestamp, t.symbol))), lost=lost, facts={})
