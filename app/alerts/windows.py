"""Trailing windows: the recent live ticks of each symbol, in memory, by the ticks' own time."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum, auto

FIELDS = ("price", "volume", "market_cap")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000


class Arrival(Enum):
    """How a tick stands to those of its symbol that came before."""

    NEW = auto()  # newer than all
    LATE = auto()  # older than the newest: in windows from now on, itself never evaluated
    KNOWN = auto()  # the same timestamp again: not a new observation


def _mean(values: Sequence[float]) -> float:
    # Summed exactly, so that it depends on the ticks in the window and not on how the window got there.
    return math.fsum(values) / len(values)


def _stddev(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))


class Statistic(StrEnum):
    """What can be asked of a window."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    STDDEV = "stddev"  # of the population
    COUNT = "count"


_COMPUTE: dict[Statistic, Callable[[Sequence[float]], float]] = {
    Statistic.AVG: _mean,
    Statistic.MIN: min,
    Statistic.MAX: max,
    Statistic.STDDEV: _stddev,
    Statistic.COUNT: len,
}


class Window:
    """The ticks of one symbol that lie less than ``seconds`` before its newest, oldest first.

    Bounded by the length in time alone: at most one tick a timestamp, and no source gives more than it is asked for.
    """

    def __init__(self, seconds: float) -> None:
        self._length = round(seconds * _SECOND)
        self._times: list[int] = []  # microseconds since 1970
        self._values: dict[str, list[float | None]] = {field: [] for field in FIELDS}

    def add(self, timestamp: datetime, price: Decimal, volume: Decimal | None, market_cap: Decimal | None) -> Arrival:
        """Take in a tick, and say how it stands to the others. A known one changes nothing."""
        time = _microseconds(timestamp)
        if self._times and time <= self._times[-1] - self._length:
            return Arrival.LATE  # too old to matter to any window
        place = bisect_left(self._times, time)
        if place < len(self._times) and self._times[place] == time:
            return Arrival.KNOWN
        newest = place == len(self._times)
        self._times.insert(place, time)
        for field, value in zip(FIELDS, (price, volume, market_cap), strict=True):
            self._values[field].insert(place, None if value is None else float(value))
        if newest:
            self._forget_before(time - self._length)
        return Arrival.NEW if newest else Arrival.LATE

    def compute(self, statistic: Statistic, field: str, seconds: float, end: datetime) -> float | None:
        """A statistic of a field over ``[end - seconds, end)``.

        None where the window does not reach back half its length: what stands in it would say little.
        """
        last, length = _microseconds(end), round(seconds * _SECOND)
        first = bisect_left(self._times, last - length)
        until = bisect_left(self._times, last)
        values = self._values[field]
        while first < until and values[first] is None:
            first += 1
        if first == until or self._times[first] > last - length / 2:
            return None
        return float(_COMPUTE[statistic]([v for v in values[first:until] if v is not None]))

    def __len__(self) -> int:
        return len(self._times)

    def _forget_before(self, time: int) -> None:
        stale = bisect_left(self._times, time)
        del self._times[:stale]
        for values in self._values.values():
            del values[:stale]


def _microseconds(timestamp: datetime) -> int:
    return (timestamp - _EPOCH) // _MICROSECOND
