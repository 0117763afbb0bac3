"""Rules that look at ``age``: held against the clock, for every symbol and for every source as a whole.

A source that is down is one alert, of the symbol ``*@MARKET``; those of its symbols wait until it is back. What is
watched no more is not missed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from app.alerts.evaluation import Evaluation
from app.alerts.expression import Windowed
from app.alerts.program import Floats, Truths
from app.alerts.rules import Rule
from app.alerts.standing import Standing
from app.alerts.states import ALERTING, FALSE, TRUE, UNKNOWN, Outcome
from app.clock import microseconds
from app.model import Tick

_NEVER = np.iinfo(np.int64).min
_SECOND = 1_000_000


class Ages:
    """When each symbol's last new tick arrived, what it said, and the rules that look at the first of these.

    A symbol of which no tick has come since we began to watch it may be fired for, as nothing comes; but it is not
    said to be well again before one does.
    """

    def __init__(self, standing: Standing, windows: Sequence[Windowed], markets: Sequence[str]) -> None:
        rules = standing.rules.rules
        self._standing = standing
        self._places = [i for i, rule in enumerate(rules) if rule.on_clock]
        self.any = bool(self._places)
        self._evaluation = Evaluation([rules[i] for i in self._places], windows)
        self._symbols: list[str] = []  # by row, "" where it is nobody's
        self._markets: dict[str, list[int]] = {name: [] for name in markets}  # the watched rows of each
        self._began: int | None = None
        self._arrived = np.zeros(0, np.int64)  # microseconds since 1970
        self._watched = np.zeros(0, np.int64)  # since when
        self._seen = np.zeros(0, np.bool_)  # whether a tick has come since
        self._values = np.zeros((len(windows) + 4, 0))  # as the evaluation wants them, at the last new tick
        self._ticks: dict[int, Tick] = {}

    @property
    def unknown(self) -> int:
        """How many of these rules cannot be told now, counted over all symbols."""
        return self._evaluation.unknown(self._standing.selected, self._places)

    def add(self, row: int, symbol: str, room: int) -> None:
        """This row is the symbol's from now on; there will be room for as many."""
        self._symbols += [""] * (row + 1 - len(self._symbols))
        self._symbols[row] = symbol
        self._evaluation.grow(room)
        if room > len(self._arrived):
            more = room - len(self._arrived)
            self._arrived = np.append(self._arrived, np.full(more, _NEVER))
            self._watched = np.append(self._watched, np.full(more, _NEVER))
            self._seen = np.append(self._seen, np.zeros(more, np.bool_))
            if self.any:
                self._values = np.hstack([self._values, np.full((len(self._values), more), math.nan)])

    def watch(self, market: str, row: int) -> None:
        """This row of a market is watched too, from now on."""
        self._markets.setdefault(market, []).append(row)

    def watch_only(self, market: str, rows: Sequence[int]) -> None:
        """These rows of a market are watched, and no others. Those that were not are as if they had never ticked."""
        new = np.array(sorted(set(rows) - set(self._markets.pop(market, ()))), np.intp)
        self._watched[new], self._seen[new] = _NEVER, False
        if rows:  # else nobody waits for the market either
            self._markets[market] = list(rows)

    def forget(self, row: int) -> None:
        """The row is nobody's, until another symbol gets it."""
        self._symbols[row] = ""
        self._arrived[row] = self._watched[row] = _NEVER
        self._seen[row] = False
        self._values[:, row : row + 1] = math.nan
        self._ticks.pop(row, None)
        self._evaluation.clear(row)

    def arrived(self, row: int, at: int, tick: Tick, values: Sequence[float]) -> None:
        """A new tick of a symbol has arrived."""
        self._seen[row] = True
        self.remember(row, at, tick, values)

    def arrived_many(self, rows: NDArray[np.intp], at: int, ticks: Sequence[Tick], values: Sequence[Floats]) -> None:
        """The same for many symbols."""
        self._seen[rows] = True
        self._arrived[rows] = at
        if self.any:
            self._values[:, rows] = values
            self._ticks.update(zip(rows.tolist(), ticks, strict=True))

    def remember(self, row: int, at: int, tick: Tick, values: Sequence[float]) -> None:
        """What the last run had seen arrive."""
        self._arrived[row] = at
        if self.any:
            self._values[:, row] = values
            self._ticks[row] = tick

    def go_on(self, before: Ages) -> None:
        """Know what was known under other rules: what is watched, and when the last ticks of our symbols arrived."""
        rows = {symbol: row for row, symbol in enumerate(self._symbols) if symbol}
        ours = {known: rows[symbol] for known, symbol in enumerate(before._symbols) if symbol in rows}
        for known, row in ours.items():
            self._arrived[row], self._watched[row] = before._arrived[known], before._watched[known]
            self._seen[row] = before._seen[known]
        self._markets = {m: [ours[known] for known in its if known in ours] for m, its in before._markets.items()}
        self._began = before._began

    def shift(self, by: int) -> None:
        """The clock was set by so many microseconds."""
        for times in (self._arrived, self._watched):
            times[times != _NEVER] += by
        if self._began is not None:
            self._began += by

    def check(self, now: datetime, down: Collection[str], outcome: Outcome) -> None:
        """Hold the rules against the clock at this moment."""
        if not self.any:
            return
        at, count = microseconds(now), len(self._symbols)
        self._began = at if self._began is None else self._began
        watched, arrived = self._watched[:count], self._arrived[:count]
        watched[watched == _NEVER] = at
        np.minimum(arrived, at, out=arrived)  # nothing has arrived in the future; the clock was set back meanwhile
        ages = (at - np.maximum(arrived, watched)) / _SECOND
        values = self._values[:, :count].copy()
        values[-1] = ages
        whens, overs = self._evaluation.many(np.arange(count), list(values))
        _wait_for_a_tick(~self._seen[:count], whens, overs)
        for market in sorted(self._markets):
            self._check_source(market, ages, whens, overs, now, market in down, outcome)
        selected = self._standing.selected[:count, self._places]
        look = ((whens == TRUE) | (self._standing.marks[:count, self._places] != 0)) & selected
        found = zip(*(axis.tolist() for axis in np.nonzero(look)), strict=True)
        # What is said is how old it is, also where it is judged by how long we have waited for it.
        values[-1] = (at - np.where(arrived == _NEVER, watched, arrived)) / _SECOND
        for row, i in sorted(found, key=lambda pair: self._symbols[pair[0]]):
            terms = self._evaluation.terms(self._ticks.get(row), values[:, row].tolist())
            symbol, when, over = self._symbols[row], int(whens[row, i]), int(overs[row, i])
            self._standing.move(self._places[i], row, symbol, now, when, over, terms, outcome)

    def _check_source(
        self,
        market: str,
        ages: Floats,
        whens: Truths,
        overs: Truths,
        now: datetime,
        is_down: bool,
        outcome: Outcome,
    ) -> None:
        """One source: where it is down, nothing is found out of its symbols."""
        rows, symbol = self._markets[market], f"*@{market}"
        age = float(ages[rows].min()) if rows else (microseconds(now) - (self._began or 0)) / _SECOND
        values = [math.nan] * (len(self._values) - 1) + [age]
        its_whens, its_overs = self._evaluation.apart(values)
        for i, place in enumerate(self._places):
            rule = self._standing.rules.rules[place]
            its = [row for row in rows if self._standing.selected[row, place]]
            silent = len(rows) > 1 and bool((whens[rows, i] == TRUE).all())
            when, over = its_whens[i], its_overs[i]
            if when == UNKNOWN and over == UNKNOWN and its:
                # It looks at more than age: the source is where any of the symbols is.
                when = TRUE if (whens[its, i] == TRUE).any() else FALSE
                over = TRUE - when
            if not ((is_down or silent) and (its or (not rows and not rule.symbols))):
                when, over = FALSE, TRUE
            if not self._seen[rows].any():
                when, over = max(when, UNKNOWN), min(over, UNKNOWN)
            was_alerting = self._is_alerting(rule, symbol)
            self._standing.move(place, -1, symbol, now, when, over, self._evaluation.terms(None, values), outcome)
            if is_down or silent:
                whens[its, i] = overs[its, i] = UNKNOWN
            elif was_alerting and not self._is_alerting(rule, symbol):
                # It is back. Those that have not ticked yet are as if watched from now on: no flood of them.
                still = np.array([row for row in its if whens[row, i] == TRUE], np.intp)
                self._watched[still], self._seen[still] = microseconds(now), False
                whens[still, i] = overs[still, i] = UNKNOWN

    def _is_alerting(self, rule: Rule, symbol: str) -> bool:
        episode = self._standing.episodes.get((rule.name, symbol))
        return episode is not None and episode.state in ALERTING


def _wait_for_a_tick(unseen: NDArray[np.bool_], whens: Truths, overs: Truths) -> None:
    """What says that all is well, of a symbol of which nothing has come yet, says nothing."""
    whens[(whens == FALSE) & unseen[:, None]] = UNKNOWN
    overs[(overs == TRUE) & unseen[:, None]] = UNKNOWN
