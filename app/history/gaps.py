"""Finds holes in what is stored: spans of time without a tick of a symbol that should have some, going by its own pace.

It reads a bit a minute, not ticks: of each day ``candles`` knows which minutes have one. So years of ticks cost no more
than their days.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from statistics import median
from typing import Any, NamedTuple

from psycopg2 import extensions as pg

from app.db import Database, execute

AGGREGATORS = frozenset({"coingecko", "coinmarketcap"})
"""Markets whose history has a point in five minutes at best; that of an exchange has bars of a minute."""

_LEAST_OF_AGGREGATOR, _LEAST = timedelta(minutes=10), timedelta(minutes=2)
_INTERVALS, _SPACINGS = 3, 4  # a hole is longer than so many of them
_MANY = 1000  # spacings: so many show also what is rare
_RARE_OF_MANY, _RARE_OF_FEW = (100, 3), (10, 8)  # one in so many is longer; how often its surplus is added
_FEW = 4  # spacings: so few say nothing of what is usual
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_EMPTY_DAY, _FULL_DAY = "0" * 1440, "1" * 1440
_SYMBOLS_AT_ONCE = 200
_PATIENCE_SECONDS = 60.0


Silence = tuple[datetime, datetime]
"""From when to when nothing came."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A span of time without a tick of a symbol: from one tick to the next, or to the edge of what was looked at."""

    symbol: str
    begin: datetime
    end: datetime
    why: str

    @property
    def length(self) -> timedelta:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Feed:
    """A market whose holes are looked for: its symbols, and the seconds from one of its rounds to the next."""

    market: str
    symbols: Collection[str]
    interval: float

    @property
    def least(self) -> timedelta:
        """Nothing shorter is a hole, whatever the symbol's own pace."""
        least = _LEAST_OF_AGGREGATOR if self.market in AGGREGATORS else _LEAST
        return max(_INTERVALS * timedelta(seconds=self.interval), least)


class _Day(NamedTuple):
    symbol: str
    bucket: datetime | None
    ticks: int
    minutes: str
    older: bool

    @property
    def bits(self) -> str:
        """``0`` or ``1`` for each of its minutes."""
        return _FULL_DAY if self.minutes == "1" else self.minutes


@dataclass(frozen=True, slots=True)
class _Run:
    """Minutes without a tick, by number: from the first to before the end; and from what length on it is a hole."""

    symbol: str
    first: int
    end: int
    least: timedelta
    usual: timedelta


class Finder:
    """Looks for holes in a span of time. For one thread at a time, like the Database it stands on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._silences: dict[str, set[Silence]] = {}
        """When nothing at all came from a market. Kept, as it cannot be seen any more where one symbol is filled."""

    def find(
        self, feed: Feed, since: datetime, until: datetime, oldest: datetime | None = None
    ) -> Iterator[list[Hole]]:
        """Holes between ticks of a market's symbols, some symbols at a time; none before a symbol's first tick.

        None after its last, either: it may be that nobody trades it, or that we have not asked yet. Where it is a hole,
        the next tick shows it, and where it ends. One that began before ``since`` is followed back to ``oldest``.
        """
        begin, oldest = _day(since), _day(oldest or since)
        silences = self._silent(feed, begin, until)
        symbols = sorted(feed.symbols)
        for start in range(0, len(symbols), _SYMBOLS_AT_ONCE):
            some = symbols[start : start + _SYMBOLS_AT_ONCE]
            runs = self._between(some, feed, silences, begin, until)
            early = sorted({run.symbol for run in runs if not run.first}) if oldest < begin else []
            holes = self._exact([run for run in runs if run.symbol not in early], begin, until)
            if early:
                holes += self._exact(self._between(early, feed, silences, oldest, until), oldest, until)
            yield holes

    def _between(
        self, symbols: Sequence[str], feed: Feed, silences: Collection[Silence], begin: datetime, until: datetime
    ) -> list[_Run]:
        """Those after a tick of the symbol and before another one; from the edge on where the tick lies before it."""
        end = _minutes_between(begin, until)
        found = []
        for days in self._days(symbols, begin, until):
            older = {day.symbol for day in days if day.older}
            runs = _runs(days, begin, begin, until, feed.least, silences)
            found += [run for run in runs if run.end < end and (run.first or run.symbol in older)]
        return found

    def _silent(self, feed: Feed, begin: datetime, until: datetime) -> Collection[Silence]:
        """When nothing came of any of its symbols, for longer than is usual for all of them together."""
        rows = self._query("minutes_of_market", symbols=sorted(feed.symbols), first_day=begin, until=until)
        end = _minutes_between(begin, until)
        known = self._silences.setdefault(feed.market, set())
        for run in _runs([_Day(feed.market, *row) for row in rows], begin, begin, until, feed.least):
            if run.end < end:
                known.add((begin + run.first * _MINUTE, begin + run.end * _MINUTE))
        return known

    def missing(self, feed: Feed, since: datetime, until: datetime) -> Iterator[list[Hole]]:
        """All that is missing in ``[since, until)``, also before a symbol's first tick and after its last."""
        begin = since.replace(second=0, microsecond=0)
        for days in self._days(sorted(feed.symbols), _day(since), until):
            runs = list(_runs(days, _day(since), begin, until, feed.least, None))
            holes = self._exact(runs, begin, until)
            yield [Hole(h.symbol, max(h.begin, since), h.end, h.why) for h in holes if h.end > since]

    def _days(self, symbols: Sequence[str], first_day: datetime, until: datetime) -> Iterator[list[_Day]]:
        for start in range(0, len(symbols), _SYMBOLS_AT_ONCE):
            some = list(symbols[start : start + _SYMBOLS_AT_ONCE])
            rows = self._query("minutes_of_days", symbols=some, first_day=first_day, until=until)
            yield [_Day(*row) for row in rows]

    def _exact(self, runs: Sequence[_Run], begin: datetime, until: datetime) -> list[Hole]:
        """The runs as holes from tick to tick, or to the edge, those that are long enough."""
        if not runs:
            return []
        end = _minutes_between(begin, until)
        edges = self._query(
            "edges_of_holes",
            symbol=[run.symbol for run in runs],
            minute_before=[begin + (run.first - 1) * _MINUTE if run.first else None for run in runs],
            minute_after=[begin + run.end * _MINUTE if run.end < end else None for run in runs],
        )
        holes = []
        for run, (_, last, first) in zip(runs, edges, strict=True):
            hole = Hole(run.symbol, last or begin, first or until, _why(run))
            if hole.length > run.least:
                holes.append(hole)
        return holes

    def _query(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self._database.once(lambda cursor: execute(cursor, name, **values), patience=_PATIENCE_SECONDS)


def record(cursor: pg.cursor, holes: Sequence[Hole]) -> int:
    """Write down as open what of these holes is not known yet; how many they are."""
    if not holes:
        return 0
    execute(cursor, "hold_gaps")
    span = {"since": min(hole.begin for hole in holes), "until": max(hole.end for hole in holes)}
    symbols = sorted({hole.symbol for hole in holes})
    known: dict[str, list[tuple[datetime, datetime]]] = {}
    for symbol, begin, end in execute(cursor, "known_gaps", symbols=symbols, **span):
        known.setdefault(symbol, []).append((begin, end))
    new = [part for hole in holes for part in without(hole, known.get(hole.symbol, ()))]
    nothing: list[None] = [None] * len(new)
    execute(
        cursor,
        "put_gaps",
        symbol=[hole.symbol for hole in new],
        begins_at=[hole.begin for hole in new],
        ends_at=[hole.end for hole in new],
        state=["open"] * len(new),
        why=[hole.why for hole in new],
        ticks=[0] * len(new),
        attempts=[0] * len(new),
        **dict.fromkeys(("resolution", "source", "found_at"), nothing),
    )
    return len(new)


def without(hole: Hole, known: Iterable[tuple[datetime, datetime]]) -> list[Hole]:
    """What is left of a hole beside those spans, which are in order; a rest of less than two minutes is not."""
    parts, begin = [], hole.begin
    for known_begin, known_end in known:
        if known_begin > begin:
            parts.append((begin, min(known_begin, hole.end)))
        begin = max(begin, known_end)
    parts.append((begin, hole.end))
    return [
        Hole(hole.symbol, *part, hole.why)
        for part in parts
        if part[1] - part[0] > (timedelta(0) if part == (hole.begin, hole.end) else _LEAST)
    ]


def _runs(
    days: Sequence[_Day],
    first_day: datetime,
    begin: datetime,
    until: datetime,
    least: timedelta,
    silences: Collection[Silence] | None = (),
) -> Iterator[_Run]:
    """Long stretches of minutes without a tick, counted from ``begin``, of each symbol.

    Where ticks come at random, some of them are long by chance: there a stretch has to be longer than chance makes
    them, unless it lies in one of the ``silences`` of the market. None: whatever is long may be missing.
    """
    offset, length = _minutes_between(first_day, begin), _minutes_between(first_day, until)
    count = -(-length // 1440)
    for symbol, of_symbol in groupby(days, attrgetter("symbol")):
        by_day = {day.bucket: day for day in of_symbol if day.bucket is not None}
        of_days = [by_day.get(first_day + number * _DAY) for number in range(count)]
        bits = "".join(_EMPTY_DAY if day is None else day.bits for day in of_days)[offset:length]
        # Few have a hole at all: only they are worth a look at what is usual.
        if not any(_stretches(bits, least)):
            continue
        usual = usual_spacing(bits, sum(day.ticks for day in by_day.values()))
        long = max(least, _SPACINGS * usual)
        by_chance = max(least, _SPACINGS * usual + surplus(bits))
        for first, end in _stretches(bits, long):
            span = begin + first * _MINUTE, begin + end * _MINUTE
            is_long = silences is None or any(a < span[1] and b > span[0] for a, b in silences)
            enough = long if is_long else by_chance
            if end - first >= _zeros(enough):
                yield _Run(symbol, first, end, enough, usual)


def _stretches(minutes: str, length: timedelta) -> Iterator[tuple[int, int]]:
    """Minutes in a row without a tick, so many that ticks on both sides may lie further apart than that."""
    zeros = "0" * _zeros(length)
    begin = minutes.find(zeros)
    while begin >= 0:
        end = minutes.find("1", begin)
        end = len(minutes) if end < 0 else end
        yield begin, end
        begin = minutes.find(zeros, end)


def _zeros(length: timedelta) -> int:
    """So many minutes without a tick lie at least between two that are further apart."""
    return max(1, int(length / _MINUTE) - 1)


def usual_spacing(minutes: str, ticks: int) -> timedelta:
    """The median time from tick to tick, by the minute; below, the mean in minutes that have any. 0: nobody knows."""
    ones = minutes.count("1")
    if ones <= _FEW:
        return timedelta(0)
    followed = ones - f"0{minutes}".count("01")  # by a minute that has one, too
    if 2 * followed >= ones - 1:
        return _MINUTE * ones / max(ones, ticks)
    return _MINUTE * median(_spacings(minutes))


def surplus(minutes: str) -> timedelta:
    """What the spacings of ticks that come at random exceed four of the usual by, at most; 0 where they are regular.

    It is that of the longest in ten, or a hundred, over the median, times what makes fourteen times the mean of the
    whole where each moment is as good as any other: one in a million is longer. Outages are among the longest
    themselves, which is why they are not looked at.
    """
    spacings = sorted(_spacings(minutes))
    if len(spacings) < _FEW:
        return timedelta(0)
    among, times = _RARE_OF_MANY if len(spacings) >= _MANY else _RARE_OF_FEW
    long, usual = spacings[-2 - len(spacings) // among], median(spacings)
    # By the minute, 90 seconds are one or two.
    return times * _MINUTE * (long - usual) if long >= min(2 * usual, usual + 2) else timedelta(0)


def _spacings(minutes: str) -> list[int]:
    return [len(zeros) + 1 for zeros in minutes.strip("0").split("1")[1:-1]]


def _why(run: _Run) -> str:
    often = f", where one comes every {_text(run.usual)}" if run.usual else ""
    return f"no tick is stored{often}"


def _minutes_between(begin: datetime, end: datetime) -> int:
    """A minute that has begun is one."""
    return -((begin - end) // _MINUTE)


def _day(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _text(length: timedelta) -> str:
    """``8h 3m``, ``45s``, ``0.5s``: its two largest parts."""
    if length < timedelta(seconds=10):
        return f"{length.total_seconds():.1f}".removesuffix(".0") + "s"
    seconds = round(length.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)
