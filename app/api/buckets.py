"""The buckets of candles: by UTC, or by the clocks of a time zone, which go forward and back.

A bucket begins whenever the local clock shows a multiple of its interval, counted from midnight. A change of the clock
by a multiple of the interval leaves that as it is: a local day has 23 or 25 candles of an hour. Any other change falls
into a bucket, which is shorter or longer for it, as what the clock shows again still belongs to it: candles of 4 hours
take 3 or 5, days 23 or 25. Where a change leaps into a later bucket, that one begins with the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from app.api.zones import Stretch, stretches

Interval = Literal["1m", "5m", "15m", "1h", "4h", "1d"]

LENGTHS: dict[Interval, timedelta] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
}
FIRST = datetime(2009, 1, 3, tzinfo=UTC)
"""No tick is older."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REACH = timedelta(days=3)  # to either side: where the buckets at the ends begin and end
_NOTHING, _INSTANT = timedelta(0), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Run:
    """Buckets of one length, one after the other from ``begin`` to before ``end``; at each start the offset is this."""

    begin: datetime
    end: datetime
    length: timedelta
    offset: timedelta

    @property
    def count(self) -> int:
        return (self.end - self.begin) // self.length


def runs(interval: Interval, zone: ZoneInfo, since: datetime, until: datetime) -> list[Run]:
    """The buckets that have a part of the time from ``since`` to before ``until``, each whole."""
    length = LENGTHS[interval]
    parts = stretches(zone, since - _REACH, until + _REACH)
    found = (_cut(run, since, until) for run in _filled(list(_rows(parts, length)), length))
    return [run for run in found if run is not None]


def from_then(these: Iterable[Run], since: datetime) -> list[Run]:
    """The buckets of these that end after ``since``."""
    found = (_cut(run, since, run.end) for run in these)
    return [run for run in found if run is not None]


def first(these: Iterable[Run], count: int) -> list[Run]:
    """So many buckets of these, the first ones."""
    taken = []
    for run in these:
        if count <= 0:
            break
        end = min(run.end, run.begin + count * run.length)
        taken.append(replace(run, end=end))
        count -= taken[-1].count
    return taken


@dataclass(frozen=True, slots=True)
class _Row:
    """Starts of buckets: ``first``, and more at full lengths while they are before ``end``."""

    first: datetime
    end: datetime
    offset: timedelta


def _rows(parts: list[Stretch], length: timedelta) -> Iterator[_Row]:
    """Where buckets start, change by change."""
    number = -1  # of the bucket that the last start began, counted on the local clock
    for part, before in zip(parts, [None, *parts[:-1]], strict=True):
        shift = _NOTHING if before is None else part.offset - before.offset
        start = _start(part, length)
        if shift % length:
            leapt_into = (part.begin + part.offset - _EPOCH) // length
            if leapt_into > number and start != part.begin:
                yield _Row(part.begin, part.begin + _INSTANT, part.offset)
                number = leapt_into
            # What the clock shows again began already.
            while (start + part.offset - _EPOCH) // length <= number:
                start += length
        if start < part.end:
            yield _Row(start, part.end, part.offset)
            last = start + (part.end - start - _INSTANT) // length * length
            number = (last + part.offset - _EPOCH) // length


def _start(part: Stretch, length: timedelta) -> datetime:
    """The first moment of it at which the local clock shows a multiple of the length."""
    return part.begin + (_EPOCH - part.begin - part.offset) % length


def _filled(rows: list[_Row], length: timedelta) -> Iterator[Run]:
    """Each bucket lasts until the next one starts. Without the last bucket, whose end nobody knows."""
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        last = row.first + (row.end - row.first - _INSTANT) // length * length
        end = last if following is None else following.first
        if end - last == length:
            last = end
        if row.first < last:
            yield Run(row.first, last, length, row.offset)
        if last < end:
            yield Run(last, end, end - last, row.offset)


def _cut(run: Run, since: datetime, until: datetime) -> Run | None:
    """Those of its buckets that have a part of the time."""
    begin = run.begin + max(_NOTHING, (since - run.begin) // run.length * run.length)
    end = run.end - max(_NOTHING, (run.end - until) // run.length * run.length)
    return replace(run, begin=begin, end=end) if begin < end else None
