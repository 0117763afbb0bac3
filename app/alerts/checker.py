"""Holds every rule against every new tick, and against the clock where it looks at ``age``.

A batch of many symbols is evaluated at once, with an array a term; one of a few symbols tick by tick, which is quicker
then. Both compute the same numbers.

A symbol that is watched no more is let go of: its row in all of this (10 kB and more, by the windows) goes to the next
new one. What stays of it is less than a kilobyte for each rule that ever was true for it (``app/alerts/standing.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from app.alerts.ages import Ages
from app.alerts.arrays import number_of, times_of, turns, values_of
from app.alerts.columns import as_slice
from app.alerts.evaluation import Evaluation
from app.alerts.expression import Windowed
from app.alerts.rules import RuleSet
from app.alerts.stand_ins import StandIns
from app.alerts.standing import Standing, needs_a_look
from app.alerts.states import TRUE, Episode, Key, Outcome
from app.alerts.windows import Arrival, Statistic, Windows
from app.clock import microseconds
from app.model import Batch, Tick

_FEW = 12  # ticks up to which one after another is quicker than all at once

PastTick = tuple[str, datetime, Decimal, Decimal | None, Decimal | None, datetime, str]
"""A tick of the database: symbol, time, price, volume, cap, arrival, source."""


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
        self._stand_ins: StandIns = StandIns(self._windows, market, None if shares is None else shares._stand_ins)
        self._standing = Standing(rules)
        # Those that look at the clock are held against it, and not against ticks.
        self._places = [i for i, rule in enumerate(rules.rules) if not rule.on_clock]
        self._evaluation = Evaluation([rules.rules[i] for i in self._places], self._wanted)
        self._repeats = np.array([rules.rules[i].repeat is not None for i in self._places], np.bool_)
        self._symbols: list[str] = []  # by row, "" where it is nobody's
        self._watched: Mapping[str, frozenset[str]] = {}  # by market; of one that is not in it, all are
        self._gone: set[str] = set()  # that have rows, and are not watched
        self._known: set[str] = set() if shares is None else set(shares._known)  # whose windows are filled
        self._order: list[str] = []  # of the last batch that was evaluated at once
        self._rows = np.zeros(0, np.intp)  # its symbols' rows
        self._ages = Ages(self._standing, self._wanted, markets)
        self.is_warm = shares is not None
        """Whether the windows are those of the checker before, of which no tick is missing."""
        if shares is not None:
            for row, symbol in enumerate(shares._symbols):
                if symbol:
                    self._put(row, symbol)
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
            self._end(lambda symbol: self._stand_ins.market_of(symbol) not in self.markets, now, outcome)
        return outcome

    def take_over(self, before: Checker, now: datetime) -> Outcome:
        """Go on where the checker of other rules is, and watch what it does. The outcome is as that of ``resume``."""
        outcome = Outcome(self.epoch)
        self._standing.inherit(before.episodes(), now, outcome)
        self._watched = before._watched
        self._ages.go_on(before._ages)
        self._look_who_is_watched()
        return outcome

    def episodes(self) -> Mapping[Key, Episode]:
        """Where every rule stands that was true for a symbol once."""
        return {**self._standing.past, **self._standing.episodes}

    def watch(self, symbols: Iterable[str]) -> None:
        """These are watched from now on (unless ``watch_only`` said who is): that no tick of theirs comes is news."""
        for symbol in symbols:
            self._row(symbol)

    def watch_only(self, market: str, symbols: Collection[str], now: datetime) -> Outcome:
        """These of a market are watched, and no others: the outcome ends what stands of them, and no rule is held
        against what still comes of them.
        """
        self.watch(symbols)
        outcome, watched = Outcome(self.epoch), {*symbols, *([f"*@{market}"] if symbols else [])}
        self._end(lambda symbol: self._stand_ins.market_of(symbol) == market and symbol not in watched, now, outcome)
        self._watched = {**self._watched, market: frozenset(symbols)}
        self._look_who_is_watched()
        self._ages.watch_only(market, [self._windows.rows[symbol] for symbol in symbols])
        return outcome

    def let_go(self) -> None:
        """Forget the windows of what is not watched: once all of its ticks are where ``warm`` gets them from."""
        for symbol in self._gone:
            row = self._windows.rows[symbol]
            self._standing.forget(symbol)
            self._ages.forget(row)
            self._evaluation.clear(row)
            self._stand_ins.forget(symbol)
            self._windows.forget(symbol)
            self._symbols[row] = ""
            self._known.discard(symbol)
            self._order = []
        self._gone = set()

    def cold(self, symbols: Iterable[str]) -> list[str]:
        """Those whose windows have still to be filled, by ``warm``."""
        return [symbol for symbol in dict.fromkeys(symbols) if symbol not in self._known]

    def are_warm(self, symbols: Iterable[str]) -> None:
        """All that there was of these has been taken in."""
        self._known.update(symbols)

    def _look_who_is_watched(self) -> None:
        for row, symbol in enumerate(self._symbols):
            if symbol and self._is_watched(symbol) == (symbol in self._gone):
                is_watched = self._is_watched(symbol)
                (self._gone.discard if is_watched else self._gone.add)(symbol)
                self._standing.watch(row, symbol, is_watched=is_watched)

    def _is_watched(self, symbol: str) -> bool:
        watched = self._watched.get(self._stand_ins.market_of(symbol))
        return watched is None or symbol in watched

    def _end(self, is_over: Callable[[str], bool], now: datetime, outcome: Outcome) -> None:
        for key, episode in list(self._standing.episodes.items()):
            if is_over(key[1]):
                self._standing.end(key, episode, "unwatched", now, outcome)

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
        ticks: Sequence[Tick] = batch.ticks
        apart = self._stand_ins.among(ticks) if len(ticks) > _FEW else ()
        together = [tick for tick in ticks if tick.symbol not in apart] if apart else ticks
        if len(together) <= _FEW:
            for tick in ticks:
                self._check_one(tick, at, outcome)
            return outcome
        symbols = [tick.symbol for tick in together]
        if not apart and (symbols == self._order or len(set(symbols)) == len(symbols)):
            self._check_many(together, symbols, at, outcome)
            return outcome
        for turn in turns(together):
            self._check_many(turn, [tick.symbol for tick in turn], at, outcome)
        for tick in ticks if apart else ():
            if tick.symbol in apart:
                self._check_one(tick, at, outcome)
        place = {(tick.symbol, tick.timestamp): place for place, tick in enumerate(ticks)}
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
        if row >= len(self._symbols) or self._symbols[row] != symbol:
            self._put(row, symbol)
        return row

    def _put(self, row: int, symbol: str) -> None:
        is_watched = self._is_watched(symbol)
        self._symbols += [""] * (row + 1 - len(self._symbols))
        self._symbols[row] = symbol
        self._standing.add(row, symbol, is_watched=is_watched)
        self._evaluation.grow(len(self._standing.marks))
        self._ages.add(row, symbol, len(self._standing.marks))
        if is_watched:
            self._ages.watch(self._stand_ins.market_of(symbol), row)
        else:
            self._gone.add(symbol)

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
        given = (float(tick.price), number_of(tick.volume_24h), number_of(tick.market_cap))
        time = microseconds(tick.timestamp)
        arrival, found = self._stand_ins.take_one(row, time, given, tick, self._evaluation.forget)
        return arrival, [*given, *found, math.nan]

    # All at once.

    def _check_many(self, ticks: Sequence[Tick], symbols: list[str], arrived: int, outcome: Outcome) -> None:
        """Ticks of as many symbols."""
        rows = self._rows_of(symbols)
        arrivals, statistics = self._windows.take(rows, times_of(ticks), given := values_of(ticks, self._fields))
        new = arrivals == Arrival.NEW
        if not new.all():
            outcome.late += int(np.count_nonzero(arrivals == Arrival.LATE))
            outcome.known += int(np.count_nonzero(arrivals == Arrival.KNOWN))
            ticks = [tick for tick, is_new in zip(ticks, new.tolist(), strict=True) if is_new]
            rows, given, statistics = rows[new], given[:, new], statistics[:, new]
        outcome.new += len(ticks)
        values = [*given, *statistics, np.full(len(rows), math.nan)]
        self._ages.arrived_many(rows, arrived, ticks, values)
        of = as_slice(rows)
        whens, overs = self._evaluation.many(of, values)
        marks, selected = self._standing.marks[of], self._standing.selected[of]
        if self._ages.any:
            marks, selected = marks[:, self._places], selected[:, self._places]
        look = needs_a_look(marks, whens, overs, self._repeats) & selected
        for at, i in zip(*(axis.tolist() for axis in np.nonzero(look)), strict=True):
            tick, row, when, over = ticks[at], int(rows[at]), int(whens[at, i]), int(overs[at, i])
            terms = self._evaluation.terms(tick, [float(value[at]) for value in values])
            self._standing.move(self._places[i], row, tick.symbol, tick.timestamp, when, over, terms, outcome)

    def _rows_of(self, symbols: list[str]) -> NDArray[np.intp]:
        """Of distinct symbols. Batch after batch a source has the same ones: so they are known from the last."""
        if symbols != self._order:
            self.watch(symbols)
            self._order, self._rows = symbols, np.array([self._windows.rows[symbol] for symbol in symbols], np.intp)
        return self._rows

    # Ticks that were checked before.

    def _load(self, symbol: str, past: Sequence[PastTick]) -> None:
        if past:
            times = np.array([microseconds(tick[1]) for tick in past], np.int64)
            fields = [(number_of(price), number_of(volume), number_of(cap)) for _, _, price, volume, cap, *_ in past]
            sources = [source for *_, source in past]
            self._stand_ins.load(self._row(symbol), symbol, sources, times, np.array(fields).T)

    def _see_again(self, past: PastTick) -> None:
        """As ``_check_one``, without its consequences: on which side of a level it was is known then.

        (Of the windows as they are now: what came late after it is in them. No time of arrival tells that for sure,
        as the clock may have been set.)
        """
        symbol, timestamp, price, volume, cap, fetched_at, source = past
        tick = Tick(symbol, timestamp, price, volume, cap, fetched_at, source)
        row = self._row(symbol)
        arrival, values = self._take(row, tick)
        if arrival is Arrival.NEW:
            self._evaluation.one(row, values)
            self._ages.remember(row, microseconds(fetched_at), tick, values)
