"""What every symbol cost in the last five minutes: enough to tell a price that is far off, for many symbols at once.

The five minutes are the thirty slots of ten seconds (since 1970, by the ticks' own time) before the one in which the
newest tick lies; of each slot its latest price counts, so that the median is a function of the ticks and not of the way
they came. Memory: 550 bytes a symbol.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from app.clock import microseconds

WINDOW = timedelta(minutes=5)
OFF = Decimal("0.3")
"""A price is far off that is further than this share of the median away from it."""

_LEAST, _MOST = float(1 - OFF), float(1 + OFF)

_KNOWN = 3  # prices, before anything is judged
_CONFIRMS = 0.1  # of a price: another market's that is no further away
_SLOT = 10_000_000  # µs
_SLOTS = WINDOW // timedelta(microseconds=_SLOT)
_RING = _SLOTS + 1  # with the one that is not over yet
_NEVER = -(2**62)

Rows = NDArray[np.intp]
Times = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Prices:
    """Of each symbol, by the number of its row: accepted prices, and the newest one seen, whoever accepted it.

    Times are microseconds since 1970. In one call a row comes but once.
    """

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self._times = np.zeros((_RING, 0), np.int64)  # of the latest tick of each slot, by its place in the ring
        self._prices = np.zeros((_RING, 0))
        self._newest = np.zeros(0, np.int64)
        # Between these a price is fine, whatever the median is. They draw closer with every price that is accepted, and
        # are made anew where one does not lie between them.
        self._low, self._high = np.zeros(0), np.zeros(0)
        self._seen_at, self._seen, self._seen_by = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
        self._sources: dict[str, int] = {}

    def row(self, symbol: str) -> int:
        """A symbol's row, made where it has none."""
        row = self.rows.setdefault(symbol, len(self.rows))
        if row == len(self._newest):
            self._grow(max(16, row))
        return row

    def newest(self, row: int) -> int:
        """The time of the newest accepted price; before all others where there is none."""
        return int(self._newest[row])

    def are_fine(self, rows: Rows, times: Times, prices: Floats) -> Bools:
        """Which are not far off, whatever the median is: it lies between the least and the most of what it is of."""
        fine: Bools = (prices >= self._low[rows]) & (prices <= self._high[rows])
        if not fine.all():
            odd = ~fine
            fine[odd] = self._look_closer(rows[odd], times[odd], prices[odd])
        return fine

    def median(self, row: int, time: int) -> Decimal:
        """Of the five minutes that a tick of this time is held against."""
        since, until = self._span(np.array([row]), np.array([time]))
        times = self._times[:, row]
        inside = (times >= since) & (times < until)
        return statistics.median(Decimal(repr(price)) for price in self._prices[inside, row].tolist())

    def accept(self, rows: Rows, times: Times, prices: Floats) -> None:
        """They count from now on."""
        places = times // _SLOT % _RING
        counts = (times > self._times[places, rows]) & (prices > 0) & (prices < np.inf)
        if not counts.all():
            rows, times, prices, places = rows[counts], times[counts], prices[counts], places[counts]
        self._times[places, rows], self._prices[places, rows] = times, prices
        self._newest[rows] = np.maximum(self._newest[rows], times)
        self._low[rows] = np.maximum(self._low[rows], _LEAST * prices)
        self._high[rows] = np.minimum(self._high[rows], _MOST * prices)

    def load(self, past: Sequence[tuple[str, datetime, Decimal, str]]) -> None:
        """Prices that the last run accepted: symbol, time, price, source; one a slot, oldest first."""
        rows = np.array([self.row(symbol) for symbol, *_ in past], np.intp)
        times = np.array([microseconds(time) for _, time, *_ in past], np.int64)
        prices = np.array([float(price) for _, _, price, _ in past])
        places = times // _SLOT % _RING
        self._times[places, rows], self._prices[places, rows] = times, prices
        np.maximum.at(self._newest, rows, times)
        np.maximum.at(self._low, rows, _LEAST * prices)
        np.minimum.at(self._high, rows, _MOST * prices)
        # Where a row comes more than once, the last one stays.
        self._seen_at[rows], self._seen[rows] = times, prices
        self._seen_by[rows] = np.array([self._source(source) for *_, source in past], np.int64)

    def forget(self, row: int) -> None:
        """Nothing counts that was accepted before."""
        self._times[:, row], self._low[row], self._high[row] = _NEVER, -np.inf, np.inf

    def see(self, rows: Rows, times: Times, prices: Floats, source: str) -> None:
        """This is what a source says, right or wrong: two that say the same are right."""
        is_newer = times >= self._seen_at[rows]
        if not is_newer.all():
            rows, times, prices = rows[is_newer], times[is_newer], prices[is_newer]
        self._seen_at[rows], self._seen[rows], self._seen_by[rows] = times, prices, self._source(source)

    def is_confirmed(self, others: Sequence[int], time: int, price: float, source: str) -> bool:
        """Whether the newest price of one of these rows, by another source and of that time, is about the same."""
        rows = np.array(others, np.intp)
        near = abs(self._seen[rows] - price) <= _CONFIRMS * price
        lately = abs(self._seen_at[rows] - time) <= _SLOTS * _SLOT
        return bool((near & lately & (self._seen_by[rows] != self._source(source))).any())

    def _look_closer(self, rows: Rows, times: Times, prices: Floats) -> Bools:
        """As ``are_fine``, by those alone that count for these times; the bounds are made anew."""
        since, until = self._span(rows, times)
        known, at = self._prices[:, rows], self._times[:, rows]
        lately = at >= since
        inside = lately & (at < until)
        # What is not inside yet will be soon.
        self._low[rows], self._high[rows] = _bounds(known, lately)
        low, high = _bounds(known, inside)
        few = np.count_nonzero(inside, axis=0) < _KNOWN
        fine: Bools = few | ((prices >= low) & (prices <= high))
        return fine

    def _span(self, rows: Rows, times: Times) -> tuple[Times, Times]:
        """From when until before when prices count that ticks of these times are held against."""
        slots = np.maximum(times, self._newest[rows]) // _SLOT
        return (slots - _SLOTS) * _SLOT, slots * _SLOT

    def _source(self, name: str) -> int:
        return self._sources.setdefault(name, len(self._sources))

    def _grow(self, more: int) -> None:
        never = np.full(more, _NEVER)
        self._times = np.concatenate([self._times, np.full((_RING, more), _NEVER)], axis=1)
        self._prices = np.concatenate([self._prices, np.zeros((_RING, more))], axis=1)
        self._newest = np.concatenate([self._newest, never])
        self._low = np.concatenate([self._low, np.full(more, -np.inf)])
        self._high = np.concatenate([self._high, np.full(more, np.inf)])
        self._seen_at = np.concatenate([self._seen_at, never])
        self._seen = np.concatenate([self._seen, np.zeros(more)])
        self._seen_by = np.concatenate([self._seen_by, never])


def _bounds(prices: Floats, which: Bools) -> tuple[Floats, Floats]:
    """Between what a price is not far off any of these, column by column."""
    least, most = np.where(which, prices, np.inf).min(axis=0), np.where(which, prices, -np.inf).max(axis=0)
    return _LEAST * most, _MOST * least
