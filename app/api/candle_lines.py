"""Rows of candles as the database has them, made whole and written: JSON objects, lines of CSV, each digit kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from app.api.buckets import Run

_MINUTE = timedelta(minutes=1)


class Row(NamedTuple):
    """What the database says of a bucket; numbers as it writes them.

    ``covered``: how many of its minutes that are over have a tick; ``open_at``: when its first tick was.
    """

    start: datetime
    open_at: datetime
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    ticks: int
    covered: int


class Line(NamedTuple):
    """A candle; the numbers are text. ``offset``: of the local clock when it begins."""

    start: datetime
    end: datetime
    offset: timedelta
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    ticks: int
    coverage: str
    forming: bool
    filled: bool


def lines(runs: Iterable[Run], rows: Iterable[Row], now: datetime) -> Iterator[Line]:
    """The candles of these rows, which lie in these runs; both are in order."""
    ahead = iter(runs)
    run = next(ahead)
    for row in rows:
        while row.start >= run.end:
            run = next(ahead)
        yield _line(run, row, now)


def filled(runs: list[Run], rows: Iterable[Row], now: datetime, before: str | None) -> Iterator[Line]:
    """The same, and between them, and up to now, a candle at the close before for each bucket without one.

    ``before``: the close before the first bucket, None where there is none: then they begin with the first row. Such a
    candle has no volume: nobody read that gauge.
    """
    ahead = lines(runs, rows, now)
    line = next(ahead, None)
    for run in runs:
        for number in range(run.count):
            start = run.begin + number * run.length
            if line is not None and line.start == start:
                yield line
                before, line = line.close, next(ahead, None)
            elif before is not None and start <= now:
                end = start + run.length
                prices = before, before, before, before
                yield Line(start, end, run.offset, *prices, None, 0, _ratio(0, 1), end > now, True)


def _line(run: Run, row: Row, now: datetime) -> Line:
    end = row.start + run.length
    forming = end > now
    elapsed, covered = (now - row.start if forming else run.length) // _MINUTE, row.covered
    if elapsed < 1:  # nothing is over yet: the minute that lasts is taken for all there is, as in coverage()
        elapsed, covered = 1, int(row.open_at < row.start + _MINUTE)
    share = _ratio(covered, elapsed)
    return Line(row.start, end, run.offset, *row[2:8], share, forming, False)


@lru_cache(maxsize=4096)
def _ratio(part: int, whole: int) -> str:
    """To four digits, halves up, as PostgreSQL's round() does."""
    share = (20_000 * part + whole) // (2 * whole)
    return f"{share // 10_000}.{share % 10_000:04}"


def json_of(line: Line, *, local: bool, day: bool, filled: bool) -> str:
    """As a JSON object, with these of its parts."""
    more = f',"local":"{_local(line)}"' if local else ""
    if day:
        more += f',"day":"{_local(line)[:10]}"'
    return (
        f'{{"bucket":"{_utc(line.start)}","end":"{_utc(line.end)}"{more},"open":{line.open},"high":{line.high},'
        f'"low":{line.low},"close":{line.close},"volume":{line.volume or "null"},"ticks":{line.ticks},'
        f'"coverage":{line.coverage},"forming":{_TRUTH[line.forming]}'
        + (f',"filled":{_TRUTH[line.filled]}}}' if filled else "}")
    )


def csv_of(line: Line, *, local: bool, day: bool, filled: bool) -> str:
    """As a line of CSV, with these of its parts. No cell begins like a formula, which spreadsheets would run."""
    more = f",{_local(line)}" if local else ""
    if day:
        more += f",{_local(line)[:10]}"
    return (
        f"{_utc(line.start)},{_utc(line.end)}{more},{line.open},{line.high},{line.low},{line.close},"
        f"{line.volume or ''},{line.ticks},{line.coverage},{_TRUTH[line.forming]}"
        + (f",{_TRUTH[line.filled]}\r\n" if filled else "\r\n")
    )


_TRUTH = {True: "true", False: "false"}


def columns(*, local: bool, day: bool, filled: bool) -> list[str]:
    """The names of what ``csv_of`` writes."""
    optional = {"local": local, "day": day, "filled": filled}
    return [name for name in _COLUMNS if optional.get(name, True)]


_COLUMNS = (
    *("bucket", "end", "local", "day", "open", "high", "low", "close"),
    *("volume", "ticks", "coverage", "forming", "filled"),
)


def _utc(at: datetime) -> str:
    """Buckets begin at full minutes, in UTC."""
    return f"{at.isoformat()[:19]}Z"


def _local(line: Line) -> str:
    return (line.start + line.offset).isoformat()[:19] + _written(line.offset)


@lru_cache(maxsize=256)
def _written(offset: timedelta) -> str:
    """As ISO 8601 has it: +05:30."""
    hours, minutes = divmod(abs(offset) // _MINUTE, 60)
    return f"{'-' if offset < timedelta(0) else '+'}{hours:02}:{minutes:02}"
