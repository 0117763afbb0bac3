"""Trailing windows: statistics over the recent live ticks of each symbol, by the ticks' own time, exactly.

A window of a tick at ``t`` is the ticks in ``[t - w, t)``. Up to an hour that is exact to the tick. Above, the far edge
is the beginning of the absolute bucket of time (``bucket(w)`` seconds, at most 1 % of the window; those of 1970 on)
that ``t - w`` lies in, and the near edge stays exact. Results depend on the ticks in the window alone.

Memory, at f fields that windows of at most an hour look at: 8 + 8 f bytes for each tick of the longest of these (of
the last hour, if there is a longer one: only times then, to know ticks that come again), and about 72 bytes for each
bucket of a longer one with all statistics (and for each of the at most 32 pieces of an exact one). A day at a tick a
second with a window of 24 hours: 3600 times and 144 buckets a symbol, 40 kB, whatever comes. The room of a symbol that
is forgotten is the next new one's: it is as much as the most symbols at a time needed, however many there were.

Times are microseconds since 1970, and lie after it. Unknown is NaN. For one thread at a time.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.alerts.columns import Column, Floats, Ints, Rows, as_slice
from app.alerts.deviation import Deviation
from app.alerts.measures import Least, Mean, Measure
from app.alerts.past import BucketPast, ExactPast
from app.alerts.ticks import Ticks
from app.alerts.trail import STEP, Trail

FIELDS = ("price", "volume", "market_cap")

_SECOND = 1_000_000
_HOUR = 3600
_BUCKETS = (30, 60, 120, 180, 240, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_STRAYS = 1000  # as many times of ticks that came late by more than an hour are known again, for each symbol


class Arrival(IntEnum):
    """How a tick stands to those of its symbol that came before."""

    NEW = 0  # newer than all
    LATE = 1  # older than the newest: in windows from now on, itself never evaluated
    KNOWN = 2  # the same timestamp again: not a new observation


class Statistic(StrEnum):
    """What can be asked of a window."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    STDDEV = "stddev"  # of the population
    COUNT = "count"
    AGO = "ago"  # the latest value at or before the window's beginning


class Windowed(Protocol):
    """What is asked: a statistic of one of FIELDS over so many seconds."""

    @property
    def statistic(self) -> Statistic: ...
    @property
    def field(self) -> str: ...
    @property
    def seconds(self) -> int: ...


def bucket(seconds: int) -> int:
    """How long the buckets are, in seconds, at which the far edge of such a window lies; 0: it is exact to the tick."""
    return 0 if seconds <= _HOUR else max(width for width in _BUCKETS if width <= seconds / 100)


def _pieces(seconds: int) -> int:
    """Into how many pieces an exact window is cut: more to make anew at each, or longer ones. Divisors of a million."""
    return 4 if seconds <= 120 else 10 if seconds <= 600 else 20 if seconds <= 1200 else 32


_MEASURES: dict[Statistic, Callable[[], Measure]] = {
    Statistic.AVG: Mean,
    Statistic.STDDEV: Deviation,
    Statistic.MIN: Least,
    Statistic.MAX: lambda: Least(-1.0),
}


class Windows:
    """All windows that anybody looks at, of all symbols. A symbol has a row, and a tick its time and FIELDS' values."""

    def __init__(self, wanted: Collection[Windowed]) -> None:
        self.wanted = tuple(wanted)
        self.reach = max((float(w.seconds + bucket(w.seconds)) for w in self.wanted), default=0.0)
        """Seconds that history has to reach back, for nothing to be missed."""
        self._rows: dict[str, int] = {}
        self.rows: Mapping[str, int] = MappingProxyType(self._rows)
        self._free: list[int] = []  # rows of symbols that were forgotten
        self._capacity = 0
        self._newest, self._begun = Column(int), Column(int)
        self._strays: dict[int, set[int]] = {}

        exact = [w for w in self.wanted if not bucket(w.seconds)]
        self._wide = len(exact) < len(self.wanted)
        seconds = max([w.seconds for w in exact] + [_HOUR] * self._wide, default=0)
        self._length = seconds * _SECOND
        self._ticks = Ticks(sorted({_index(w) for w in exact}), self._length)
        self._pasts: list[tuple[int, int, ExactPast]] = []  # (place in wanted, field, itself)
        self._bucket_pasts: list[tuple[int, int, BucketPast]] = []
        self._trails: list[tuple[int, Trail]] = []  # (field, itself)
        self._make()

    def _make(self) -> None:
        shared: dict[tuple[int, int], list[int]] = {}
        for place, w in enumerate(self.wanted):
            field, length = _index(w), w.seconds * _SECOND
            if w.statistic is not Statistic.AGO:
                shared.setdefault((field, w.seconds), []).append(place)
            elif width := bucket(w.seconds):
                self._bucket_pasts.append((place, field, BucketPast(length, width * _SECOND)))
            else:
                self._pasts.append((place, field, ExactPast(length, field, self._ticks)))
        busy = [0, 0]  # with so many measures, at the one time and the other
        for (field, seconds), places in shared.items():
            counts = [place for place in places if self.wanted[place].statistic is Statistic.COUNT]
            measures = {p: _MEASURES[self.wanted[p].statistic]() for p in places if p not in counts}
            length, width = seconds * _SECOND, bucket(seconds) * _SECOND
            piece = width or length // _pieces(seconds)
            turn = busy.index(min(busy))
            busy[turn] += len(measures)
            shift = turn * STEP // len(busy)
            self._trails.append((field, Trail(length, piece, not width, field, self._ticks, measures, counts, shift)))

    @property
    def held(self) -> int:
        """How many ticks are in memory one by one."""
        return self._ticks.held

    def row(self, symbol: str) -> int:
        """The row of a symbol, a new one if it has none."""
        row = self._rows.get(symbol)
        if row is None:
            row = self._rows[symbol] = self._free.pop() if self._free else len(self._rows)
            if row >= self._capacity:
                self._grow(max(64, self._capacity * 3 // 2))
            spread = zlib.crc32(symbol.encode()) << 16  # in microseconds: some hours
            for _, trail in self._trails:
                trail.enter(row, spread)
        return row

    def forget(self, symbol: str) -> None:
        """A symbol is as if it had never come, and its row another's from the next new one on."""
        row = self._rows.pop(symbol, None)
        if row is None:
            return
        self._newest.view[row] = self._begun.view[row] = 0
        self._strays.pop(row, None)
        self._ticks.replace(row, np.zeros(0, np.int64), {field: np.zeros(0) for field in self._ticks.values})
        for _, trail in self._trails:
            trail.clear(row)
        for _, _, past in self._pasts:
            past.clear(row)
        for _, _, bucket_past in self._bucket_pasts:
            bucket_past.clear(row)
        self._free.append(row)

    def newest(self, row: int) -> int | None:
        """The time of the newest tick; None where there is none."""
        return self._newest.view[row] or None

    def take(self, rows: NDArray[np.intp], times: Ints, values: Floats) -> tuple[NDArray[np.int8], Floats]:
        """Take in a tick for each of these rows, all of them distinct: values by (field, tick).

        How each stands to those before, and by (wanted, tick) the statistics of the windows that end just before it,
        which mean something for NEW ones only.
        """
        newest = self._newest.array[rows]
        ahead = times > newest
        if ahead.all():
            return np.zeros(len(rows), np.int8), self._take(rows, times, values)
        found = np.full((len(self.wanted), len(rows)), np.nan)
        arrivals = np.where(ahead, Arrival.NEW, Arrival.KNOWN).astype(np.int8)
        found[:, ahead] = self._take(rows[ahead], times[ahead], values[:, ahead])
        for n in np.flatnonzero(times < newest):
            arrivals[n] = self._late(int(rows[n]), int(times[n]), values[:, n])
        return arrivals, found

    def _take(self, rows: Ints, times: Ints, values: Floats) -> Floats:
        found = np.empty((len(self.wanted), len(rows)))
        at = as_slice(rows)
        given = {field: self._given(rows, at, times, values[field]) for field in {field for field, _ in self._trails}}
        with np.errstate(all="ignore"):  # unknown, infinite: no reason to say so
            for field, trail in self._trails:
                trail.go_on(rows, at, times)
                trail.ask(at, times, found)
                trail.add(*given[field])
        for place, _, past in self._pasts:
            found[place] = past.ask(rows, times)
        for place, field, bucket_past in self._bucket_pasts:
            found[place] = bucket_past.ask(rows, times)
            bucket_past.add(rows, times, values[field])
        if self._length:
            self._ticks.append(rows, times, list(values))
        begins = self._newest.array[rows] == 0
        self._begun.array[rows[begins]] = times[begins]
        self._newest.array[rows] = times
        return found

    def _given(self, rows: Ints, at: Rows, times: Ints, values: Floats) -> tuple[Rows, Ints, Floats, Ints]:
        """Those that have a value of a field: rows, times, values, and the numbers that they get among the ticks."""
        valid = ~np.isnan(values)
        if not valid.all():
            rows = at = rows[valid]
            times, values = times[valid], values[valid]
        return at, times, values, self._ticks.end.array[rows]

    def take_one(self, row: int, time: int, values: Sequence[float]) -> tuple[Arrival, list[float]]:
        """The same for one tick, and the same numbers."""
        found = [math.nan] * len(self.wanted)
        newest = self._newest.view[row]
        if time <= newest:
            return (Arrival.KNOWN if time == newest else self._late(row, time, np.array(values))), found
        number = self._ticks.end.view[row]
        for field, trail in self._trails:
            trail.ask_one(row, time, found)
            trail.add_one(row, time, values[field], number)
        for place, _, past in self._pasts:
            found[place] = past.ask_one(row, time)
        for place, field, bucket_past in self._bucket_pasts:
            found[place] = bucket_past.ask_one(row, time)
            bucket_past.add_one(row, time, values[field])
        if self._length:
            self._ticks.append_one(row, time, values)
        if not newest:
            self._begun.view[row] = time
        self._newest.view[row] = time
        return Arrival.NEW, found

    def load(self, row: int, times: Ints, values: Floats) -> None:
        """Take in history, oldest first: values by (field, tick). What is known changes nothing."""
        newest, begun = self._newest.view[row], self._begun.view[row]
        split = int(np.searchsorted(times, newest, "right"))
        if split:
            # Between the first and the newest tick there is nothing that is missing, but what came late.
            unknown = (times[:split] < begun) | (times[:split] >= newest - self._length)
            unknown &= ~np.isin(times[:split], self._ticks.read(row)[0])
            unknown &= ~np.isin(times[:split], list(self._strays.get(row, ())))
            self._insert(row, times[:split][unknown], values[:, :split][:, unknown])
        if split < len(times):
            self._extend(row, times[split:], values[:, split:])
        if len(times):
            self._begun.view[row] = min(int(times[0]), begun or int(times[0]))

    def _extend(self, row: int, times: Ints, values: Floats) -> None:
        """Ticks newer than all there are."""
        newest = int(times[-1])
        kept, columns = self._ticks.read(row)
        for _, field, past in self._pasts:
            past.settle(row, kept, columns[field], newest)
            past.settle(row, times, values[field], newest)
            past.renumber(row)
        recent = int(np.searchsorted(times, newest - self._length))
        old = int(np.searchsorted(kept, newest - self._length))
        if self._length:
            joined = {field: np.concatenate([columns[field][old:], values[field, recent:]]) for field in columns}
            self._ticks.replace(row, np.concatenate([kept[old:], times[recent:]]), joined)
        self._newest.view[row] = newest
        for field, trail in self._trails:
            if not trail.exact:
                trail.extend(row, times, values[field], 0)
        self._rebuild(row)
        for _, field, bucket_past in self._bucket_pasts:
            bucket_past.extend(row, times, values[field])

    def _late(self, row: int, time: int, values: Floats) -> Arrival:
        newest = self._newest.view[row]
        if time >= newest - self._length:
            if time in self._ticks.read(row)[0]:
                return Arrival.KNOWN
        elif self._wide:
            strays = self._strays.setdefault(row, set())
            if time in strays:
                return Arrival.KNOWN
            if len(strays) >= _STRAYS:
                strays.remove(min(strays))
            strays.add(time)
        self._insert(row, np.array([time]), values[:, None])
        return Arrival.LATE

    def _insert(self, row: int, times: Ints, values: Floats) -> None:
        """Ticks older than the newest, none of them there yet."""
        newest = self._newest.view[row]
        for _, field, past in self._pasts:
            past.settle(row, times, values[field], newest)
            past.renumber(row)
        for field, trail in self._trails:
            if not trail.exact:
                for time, value in zip(times.tolist(), values[field].tolist(), strict=True):
                    trail.late(row, time, value)
        for _, field, bucket_past in self._bucket_pasts:
            for time, value in zip(times.tolist(), values[field].tolist(), strict=True):
                bucket_past.late(row, time, value)
        recent = times >= newest - self._length
        if self._length and recent.any():
            kept, columns = self._ticks.read(row)
            order = np.argsort(np.concatenate([kept, times[recent]]))
            joined = {field: np.concatenate([columns[field], values[field, recent]])[order] for field in columns}
            self._ticks.replace(row, np.concatenate([kept, times[recent]])[order], joined)
            self._rebuild(row)

    def _rebuild(self, row: int) -> None:
        """The exact windows, out of the ticks."""
        times, columns = self._ticks.read(row)
        for field, trail in self._trails:
            if trail.exact:
                trail.clear(row)
                trail.extend(row, times, columns[field], self._ticks.begin.view[row])

    def _grow(self, rows: int) -> None:
        self._capacity = rows
        self._newest.grow(rows)
        self._begun.grow(rows)
        self._ticks.grow(rows)
        for _, trail in self._trails:
            trail.grow(rows)
        for _, _, past in self._pasts:
            past.grow(rows)
        for _, _, bucket_past in self._bucket_pasts:
            bucket_past.grow(rows)


def _index(windowed: Windowed) -> int:
    return FIELDS.index(windowed.field)
