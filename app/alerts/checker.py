"""Holds every rule against every new tick, and against the clock where it looks at ``age``.

A batch of many symbols is evaluated at once, with an array a term; one of a few symbols tick by tick, which is quicker
then. Both compute the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from app.alerts.ages import Ages
from app.alerts.evaluation import Evaluation
from app.alerts.expression import Windowed
from app.alerts.rules import RuleSet
from app.alerts.standing import Standing, needs_a_look
from app.alerts.states import TRUE, Episode, Key, Outcome
from app.alerts.windows import FIELDS, Arrival, Statistic, Windows
from app.clock import microseconds
from app.model import Batch, Tick

_FEW = 12  # ticks up to which one after another is quicker than all at once
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PastTick = tuple[str, datetime, Decimal, Decimal | None, Decimal | None, datetime]
"""A tick of the database: symbol, time, price, volume, cap, arrival."""


class Checker:
    """The rules, the windows they look at, and where each rule stands for each symbol. For one thread at a time.

    ``market`` is that of symbols which name none.
    """

    def __init__(
        self,
        rules: RuleSet,
        epoch: int = 0,
        market: str = "",
        markets: Sequence[str] = (),
        before: Checker | None = None,
    ) -> None:
        self.rules, self.epoch, self.market, self.markets = rules, epoch, market, markets
        atoms = [atom for rule in rules.rules for condition in rule.conditions for atom in condition.atoms()]
        self._fields = {atom.field if isinstance(atom, Windowed) else str(atom) for atom in atoms}
        self._wanted = tuple(dict.fromkeys(atom for atom in atoms if isinstance(atom, Windowed)))
        shares = before if before is not None and set(self._wanted) == set(before._wanted) else None
        self._windows: Windows = Windows(self._wanted) if shares is None else shares._windows
        self._wanted = self._wanted if shares is None else shares._wanted
        self._standing = Standing(rules)
        # Those that look at the clock are held against it, and not against ticks.
        self._places = [i for i, rule in enumerate(rules.rules) if not rule.on_clock]
        self._evaluation = Evaluation([rules.rules[i] for i in self._places], self._wanted)
        self._repeats = np.array([rules.rules[i].repeat is not None for i in self._places], np.bool_)
        self._symbols: list[str] = []
        self._ages = Ages(self._standing, self._wanted, markets)
        self.is_warm = shares is not None
        """Whether the windows are those of the checker before, of which no tick is missing."""
        if shares is not None:
            self.watch(shares._symbols)
            self._evaluation.go_on(shares._evaluation, len(self._symbols))

    @property
    def reach(self) -> float:
        """Seconds of ticks before a symbol's newest that the windows need."""
        return self._windows.reach

    @property
    def fields_ago(self) -> Collection[str]:
        """The fields of which the last value from before that is needed as well, however old."""
        return {window.field for window in self._windows.wanted if window.statistic is Statistic.AGO}

    @property
    def firing(self) -> int:
        """How many rules fire now, counted over all symbols."""
        return self._standing.firing

    @property
    def unknown(self) -> int:
        """How many rules cannot be told now, counted over all symbols: new windows, for one."""
        return self._evaluation.unknown(self._standing.selected, self._places) + self._ages.unknown

    def resume(self, episodes: Mapping[Key, Episode], now: datetime) -> Outcome:
        """Go on with the episodes of the last run. The outcome has those that end: their rule is gone or another one
        now, or their market is not asked any more.
        """
        outcome = Outcome(self.epoch)
        self._standing.inherit(episodes, now, outcome)
        if self.markets:
            self._end(lambda symbol: self._market_of(symbol) not in self.markets, now, outcome)
        return outcome

    def take_over(self, before: Checker, now: datetime) -> Outcome:
        """Go on where the checker of other rules is. The outcome is as that of ``resume``."""
        self._ages.go_on(before._ages)
        return self.resume(before.episodes(), now)

    def episodes(self) -> Mapping[Key, Episode]:
        """Where every rule stands that was true for a symbol once."""
        return {**self._standing.past, **self._standing.episodes}

    def watch(self, symbols: Iterable[str]) -> None:
        """These are watched from now on: that none of their ticks comes is news."""
        for symbol in symbols:
            self._row(symbol)

    def watch_only(self, market: str, symbols: Collection[str], now: datetime) -> Outcome:
        """No others of this market are watched: the outcome ends what stands of them."""
        outcome, watched = Outcome(self.epoch), {*symbols, f"*@{market}"}
        self._end(lambda symbol: self._market_of(symbol) == market and symbol not in watched, now, outcome)
        return outcome

    def _end(self, is_over: Callable[[str], bool], now: datetime, outcome: Outcome) -> None:
        for key, episode in list(self._standing.episodes.items()):
            if is_over(key[1]):
                self._standing.end(key, episode, "unwatched", now, outcome)

    def _market_of(self, symbol: str) -> str:
        return symbol.partition("@")[2] or self.market

    def warm(self, ticks: Iterable[PastTick]) -> None:
        """Take in ticks that were checked before, by symbol and time; nothing is fired by them."""
        for symbol, its in groupby(ticks, key=itemgetter(0)):
            *before, newest = its
            self._load(symbol, before)
            self._see_again(newest)

    def check(self, batch: Batch, arrived: datetime | None = None) -> Outcome:
        """Take in a batch: the alerts and changes of state that its new ticks cause.

        ``arrived``: when it did, by the clock that ``check_ages`` is told of; else by the batch itself.
        """
        outcome = Outcome(self.epoch)
        at = microseconds(arrived or batch.fetched_at)
        if len(batch.ticks) <= _FEW:
            for tick in batch.ticks:
                self._check_one(tick, at, outcome)
            return outcome
        turns = _turns(batch.ticks)
        for ticks in turns:
            self._check_many(ticks, at, outcome)
        if len(turns) > 1:
            place = {(tick.symbol, tick.timestamp): place for place, tick in enumerate(batch.ticks)}
            outcome.alerts.sort(key=lambda alert: place[alert.symbol, alert.timestamp])
        return outcome

    def check_ages(self, now: datetime, down: Collection[str] = ()) -> Outcome:
        """Hold the rules that look at ``age`` against the clock; ``down``: the markets that do not answer now."""
        outcome = Outcome(self.epoch)
        self._ages.check(now, down, outcome)
        return outcome

    def clock_was_set(self, by: timedelta) -> None:
        """The clock that ``arrived`` and ``check_ages`` are told of leapt; no tick is older for that."""
        self._ages.shift(by // timedelta(microseconds=1))
        self._standing.shift(by)

    @property
    def looks_at_clock(self) -> bool:
        """Whether any rule looks at ``age``."""
        return self._ages.any

    def _row(self, symbol: str) -> int:
        row = self._windows.row(symbol)
        if row == len(self._symbols):
            self._symbols.append(symbol)
            self._standing.add(symbol)
            self._evaluation.grow(len(self._standing.marks))
            self._ages.add(symbol, self._market_of(symbol), len(self._standing.marks))
        return row

    # One tick after another.

    def _check_one(self, tick: Tick, arrived: int, outcome: Outcome) -> None:
        row = self._row(tick.symbol)
        arrival, values = self._take(row, tick)
        if arrival is not Arrival.NEW:
            if arrival is Arrival.LATE:
                outcome.late += 1
            else:
                outcome.known += 1
            return
        outcome.new += 1
        self._ages.arrived(row, arrived, tick, values)
        whens, overs = self._evaluation.one(row, values)
        if TRUE not in whens and not self._standing.busy[row]:
            return
        selected, move = self._standing.selected[row], self._standing.move
        terms = self._evaluation.terms(tick, values)
        for i, when, over in zip(self._places, whens, overs, strict=True):
            if selected[i]:
                move(i, row, tick.symbol, tick.timestamp, when, over, terms, outcome)

    def _take(self, row: int, tick: Tick) -> tuple[Arrival, list[float]]:
        """The tick into its windows, and what the rules see: fields, windows before it, no age."""
        given = (float(tick.price), _float(tick.volume_24h), _float(tick.market_cap))
        arrival, found = self._windows.take_one(row, microseconds(tick.timestamp), given)
        return arrival, [*given, *found, math.nan]

    # All at once.

    def _check_many(self, ticks: Sequence[Tick], arrived: int, outcome: Outcome) -> None:
        """Ticks of as many symbols."""
        rows = self._rows_of(ticks)
        arrivals, statistics = self._windows.take(rows, _times_of(ticks), given := self._values_of(ticks))
        new = arrivals == Arrival.NEW
        if not new.all():
            outcome.late += int(np.count_nonzero(arrivals == Arrival.LATE))
            outcome.known += int(np.count_nonzero(arrivals == Arrival.KNOWN))
            ticks = [tick for tick, is_new in zip(ticks, new.tolist(), strict=True) if is_new]
            rows, given, statistics = rows[new], given[:, new], statistics[:, new]
        outcome.new += len(ticks)
        values = [*given, *statistics, np.full(len(rows), math.nan)]
        self._ages.arrived_many(rows, arrived, ticks, values)
        whens, overs = self._evaluation.many(rows, values)
        marks, selected = self._standing.marks[rows], self._standing.selected[rows]
        if self._ages.any:
            marks, selected = marks[:, self._places], selected[:, self._places]
        look = needs_a_look(marks, whens, overs, self._repeats) & selected
        for at, i in zip(*(axis.tolist() for axis in np.nonzero(look)), strict=True):
            tick, row, when, over = ticks[at], int(rows[at]), int(whens[at, i]), int(overs[at, i])
            terms = self._evaluation.terms(tick, [float(value[at]) for value in values])
            self._standing.move(self._places[i], row, tick.symbol, tick.timestamp, when, over, terms, outcome)

    def _rows_of(self, ticks: Sequence[Tick]) -> NDArray[np.intp]:
        symbols = [tick.symbol for tick in ticks]
        known = self._windows.rows
        if not known.keys() >= set(symbols):
            self.watch(symbols)
        return np.array([known[symbol] for symbol in symbols], np.intp)

    def _values_of(self, ticks: Sequence[Tick]) -> NDArray[np.float64]:
        """By (field, tick), of the fields that some rule looks at."""
        values = np.full((len(FIELDS), len(ticks)), math.nan)
        if "price" in self._fields:
            values[0] = [float(tick.price) for tick in ticks]
        if "volume" in self._fields:
            values[1] = [math.nan if tick.volume_24h is None else float(tick.volume_24h) for tick in ticks]
        if "market_cap" in self._fields:
            values[2] = [math.nan if tick.market_cap is None else float(tick.market_cap) for tick in ticks]
        return values

    # Ticks that were checked before.

    def _load(self, symbol: str, past: Sequence[PastTick]) -> None:
        if past:
            times = np.array([microseconds(tick[1]) for tick in past], np.int64)
            fields = [(_float(price), _float(volume), _float(cap)) for _, _, price, volume, cap, _ in past]
            values = np.array(fields).T
            self._windows.load(self._row(symbol), times, values)

    def _see_again(self, past: PastTick) -> None:
        """As ``_check_one``, without its consequences: on which side of a level it was is known then.

        (Of the windows as they are now: what came late after it is in them. No time of arrival tells that for sure,
        as the clock may have been set.)
        """
        symbol, timestamp, price, volume, cap, fetched_at = past
        tick = Tick(symbol, timestamp, price, volume, cap, fetched_at, source="")
        row = self._row(symbol)
        arrival, values = self._take(row, tick)
        if arrival is Arrival.NEW:
            self._evaluation.one(row, values)
            self._ages.remember(row, microseconds(fetched_at), tick, values)


def _float(value: Decimal | None) -> float:
    return math.nan if value is None else float(value)


def _times_of(ticks: Sequence[Tick]) -> NDArray[np.int64]:
    """As ``microseconds``, in a third of the time."""
    since = [tick.timestamp - _EPOCH for tick in ticks]
    days, seconds = np.array([s.days for s in since], np.int64), np.array([s.seconds for s in since], np.int64)
    return (days * 86_400 + seconds) * 1_000_000 + np.array([s.microseconds for s in since], np.int64)


def _turns(ticks: Sequence[Tick]) -> Sequence[Sequence[Tick]]:
    """The ticks in turns in each of which a symbol comes but once, in order."""
    if len({tick.symbol for tick in ticks}) == len(ticks):
        return [ticks]
    turns: list[list[Tick]] = []
    count: dict[str, int] = {}
    for tick in ticks:
        turn = count.get(tick.symbol, 0)
        count[tick.symbol] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(tick)
    return turns
