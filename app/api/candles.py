"""``/api/v1/ohlcv/{symbol}``: candles of every interval, by UTC or by the clocks of a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from fastapi import Query, Request
from psycopg2 import extensions as pg
from starlette.responses import Response

from app.api import csv_replies
from app.api.buckets import FIRST, LENGTHS, Interval, Run, first, from_then, runs
from app.api.candle_lines import Line, Row, columns, csv_of, filled, json_of, lines
from app.api.context import Here
from app.api.database import Reader
from app.api.params import (
    LONGEST_KNOWN,
    MOST_POINTS,
    AsOf,
    Cursor,
    Moment,
    SymbolPath,
    cursor_of,
    key_of,
    known_symbol,
    next_in_json,
    span,
    time_of,
)
from app.api.replies import Number, keep_up_to, raw_reply
from app.api.zones import Zone
from app.db import execute

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_STEPS = {"1m": _MINUTE, "1h": _HOUR, "1d": _DAY}
_SECONDS, _SECONDS_FOR_KNOWN = 5.0, 10.0
_MOST_ROWS = 60_000  # of which the candles of a page are made
_UTC = ZoneInfo("UTC")

Fill = Literal["none", "previous"]


@dataclass(frozen=True, slots=True)
class Candle:
    """The ticks of one bucket, ``[bucket, end)``. The prices are of ticks: what was between two of them, nobody saw.

    ``volume`` is the last rolling 24-hour volume in it, never a sum. ``coverage``: the share of its elapsed minutes
    that have a tick. ``forming``: its end is still to come. ``filled``: there was no tick, the prices are the close
    before. ``local``: when it begins by the zone's clock; ``day``: which day it is there.
    """

    bucket: datetime
    end: datetime
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number | None
    ticks: int
    coverage: Number
    forming: bool
    filled: bool = False
    local: datetime | None = None
    day: str | None = None


@dataclass(frozen=True, slots=True)
class Candles:
    """Candles, oldest first; ``next`` is the cursor of the page after them, null for the last."""

    symbol: str
    interval: Interval
    tz: str
    candles: list[Candle]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which candles: of every bucket that has a part of the time from ``since`` to before ``until``, whole.

    ``now``: what counts as yet to come. ``as_of``: only what was known then, for 7 days at most.
    """

    symbol: str
    interval: Interval
    since: datetime
    until: datetime
    now: datetime
    zone: ZoneInfo = _UTC
    fill: Fill = "none"
    as_of: datetime | None = None

    @property
    def parts(self) -> dict[str, bool]:
        """What each candle has only where it makes sense."""
        return {"local": self.zone.key != "UTC", "day": self.interval == "1d", "filled": self.fill == "previous"}


@dataclass(frozen=True, slots=True)
class Page:
    """The first of the candles that are wanted. ``next``: where the page after them starts, None for the last."""

    wanted: Wanted
    lines: list[Line]
    next: datetime | None

    def json(self) -> str:
        """JSON objects, with commas between them."""
        parts = self.wanted.parts
        return ",".join([json_of(line, **parts) for line in self.lines])

    def csv(self) -> str:
        """Lines, without those names of ``columns``."""
        parts = self.wanted.parts
        return "".join([csv_of(line, **parts) for line in self.lines])


def candles(reader: Reader, wanted: Wanted, limit: int = MOST_POINTS) -> list[Candle]:
    """The candles of the first page, at most so many. Raises as ``reader.ask`` does."""
    return _decoder.decode(f"[{page(reader, wanted, limit).json()}]")


_decoder = msgspec.json.Decoder(list[Candle])


def page(reader: Reader, wanted: Wanted, limit: int = MOST_POINTS) -> Page:
    """The first of the candles, at most so many, and where the next page starts. Raises as ``reader.ask`` does.

    They are fewer where they are made of very many rows: so each question stays a short one.
    """
    # Nothing is there before, nor after: a tick is at most a minute ahead of the clock.
    wanted = replace(wanted, since=max(wanted.since, FIRST), until=min(wanted.until, wanted.now + _DAY))
    if wanted.since >= wanted.until:
        return Page(wanted, [], None)
    seconds = _SECONDS if wanted.as_of is None else _SECONDS_FOR_KNOWN
    found = runs(wanted.interval, wanted.zone, wanted.since, wanted.until)
    limit = min(limit, _MOST_ROWS // _rows_each(wanted, found))
    its = reader.ask(lambda cursor: _read(cursor, wanted, found, limit + 1), seconds)
    return Page(wanted, its[:limit], its[limit].start if len(its) > limit else None)


def _read(cursor: pg.cursor, wanted: Wanted, found: list[Run], limit: int) -> list[Line]:
    if wanted.fill == "none":
        return list(lines(found, _rows(cursor, wanted, found, limit), wanted.now))
    before = _close_before(cursor, wanted, found[0].begin)
    if before is None:
        begins = _first_from(cursor, wanted, found[0].begin)
        found = [] if begins is None or begins >= found[-1].end else from_then(found, begins)
    found = first(found, limit)
    return list(filled(found, _rows(cursor, wanted, found, limit), wanted.now, before)) if found else []


def _rows(cursor: pg.cursor, wanted: Wanted, found: list[Run], limit: int) -> list[Row]:
    """The candles of these buckets, from one width where that has them as they are, else made of smaller ones."""
    asked: dict[str, object] = {
        "symbol": wanted.symbol,
        "since": found[0].begin,
        "until": found[-1].end,
        "now": wanted.now,
        "limit": limit,
    }
    buckets = {
        "begins": [run.begin for run in found],
        "ends": [run.end for run in found],
        "lengths": [run.length for run in found],
    }
    if wanted.as_of is not None:
        return _execute(cursor, "known_candles", **asked, **buckets, as_of=wanted.as_of)
    width = _width(wanted.interval, found)
    step = _STEPS[width]
    cut = _are_cut(found, step)
    if width == wanted.interval and not cut:
        return _execute(cursor, "stored_candles", **asked, width=width, length=step)
    # A row at each end may be cut.
    each = max(run.length for run in found) // step + (2 if cut else 0)
    return _execute(cursor, "merged_candles", **asked, **buckets, width=width, step=step, cut=cut, rows=limit * each)


def _rows_each(wanted: Wanted, found: list[Run]) -> int:
    """Of how many rows a candle is made, about."""
    if wanted.as_of is not None:
        return 1
    step = _STEPS[_width(wanted.interval, found)]
    return max(run.length for run in found) // step + (60 if _are_cut(found, step) else 0)


def _execute(cursor: pg.cursor, name: str, **values: object) -> list[Row]:
    return list(map(Row._make, execute(cursor, name, **values)))


def _width(interval: Interval, found: list[Run]) -> str:
    """The widest of which most rows have no edge inside them."""
    if LENGTHS[interval] < _HOUR:
        return "1m"
    return "1d" if interval == "1d" and not _are_cut(found, _DAY) else "1h"


def _are_cut(found: list[Run], step: timedelta) -> bool:
    return any((run.begin - FIRST) % step or run.length % step for run in found)


def _close_before(cursor: pg.cursor, wanted: Wanted, begins: datetime) -> str | None:
    asked = {"symbol": wanted.symbol, "since": begins}
    if wanted.as_of is None:
        rows = execute(cursor, "close_before", **asked)
    else:
        seconds = LONGEST_KNOWN.total_seconds()
        rows = execute(cursor, "known_close_before", **asked, as_of=wanted.as_of, seconds=seconds)
    return rows[0][0] if rows else None


def _first_from(cursor: pg.cursor, wanted: Wanted, begins: datetime) -> datetime | None:
    """From when on there is something, roughly: years of nothing need not be gone through bucket by bucket."""
    if wanted.as_of is not None:
        return begins
    rows: list[tuple[datetime | None]] = execute(cursor, "first_minute_from", symbol=wanted.symbol, since=begins)
    return rows[0][0]


# The address --------------------------------------------------------------------------------------------------------

_SPANS: dict[Interval, timedelta] = {
    **dict.fromkeys(("1m", "5m", "15m"), _DAY),
    **dict.fromkeys(("1h", "4h"), 30 * _DAY),
    "1d": 365 * _DAY,
}
"""What is answered unless ``from`` says more."""

_From = Annotated[
    Moment | None,
    Query(
        alias="from",
        description="From the candle on that this time lies in; else 24 hours before `to` (1m, 5m, 15m), 30 days (1h,"
        " 4h) or 365 days (1d); 7 days at most where `as_of` is given.",
    ),
]
_To = Annotated[
    Moment | None, Query(description="Up to the candle that ends then or that this time lies in; else now, or `as_of`.")
]
_Limit = Annotated[
    int | None, Query(ge=1, le=MOST_POINTS, description="At most so many; else 10,000, and of CSV all there are.")
]
_Format = Annotated[
    Literal["json", "csv"] | None, Query(description="Else csv where the Accept header prefers text/csv.")
]
_Fill = Annotated[
    Fill, Query(description="previous: a bucket without a tick has the close before it, and no volume; else no candle.")
]

DESCRIBED = {"responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}}
"""For OpenAPI, beside the model."""


def show(
    here: Here,
    request: Request,
    symbol: SymbolPath,
    since: _From = None,
    to: _To = None,
    interval: Annotated[Interval, Query(description="How long a candle is.")] = "1h",
    tz: Zone = _UTC,
    fill: _Fill = "none",
    as_of: AsOf = None,
    limit: _Limit = None,
    cursor: Cursor = None,
    format: _Format = None,
) -> Response:
    """Candles of a symbol, oldest first, as JSON or CSV."""
    now = here.clock.now()
    begin, end = _span(here, interval, since, to, as_of)
    if cursor is not None:
        following = time_of(*key_of(cursor, 1))
        begin = max(begin, following) if as_of else following
    wanted = Wanted(
        symbol=known_symbol(here, symbol),
        interval=interval,
        since=begin,
        until=end,
        now=min(now, as_of or now),
        zone=tz,
        fill=fill,
        as_of=as_of,
    )
    keep = keep_up_to(to, now)
    if (format or csv_replies.preferred(request)) == "csv":
        name = f"{wanted.symbol}-{interval}.csv"
        return csv_replies.reply(request, name, columns(**wanted.parts), _pages(here.database, wanted, limit), keep)
    its = page(here.database, wanted, limit or MOST_POINTS)
    its_next = next_in_json(None if its.next is None else cursor_of(its.next.isoformat()))
    about = f'"symbol":"{wanted.symbol}","interval":"{interval}","tz":"{tz.key}"'
    found = raw_reply(f'{{{about},"candles":[{its.json()}],"next":{its_next}}}', keep)
    found.headers["vary"] = "Accept"
    return found


def _span(
    here: Here, interval: Interval, since: datetime | None, until: datetime | None, as_of: datetime | None
) -> tuple[datetime, datetime]:
    until = until or as_of
    if until is not None and since is None:
        until = max(until, FIRST)  # there is no year before the first
    return span(here, since, until, _SPANS[interval], as_of)


def _pages(reader: Reader, wanted: Wanted, left: int | None) -> Iterator[str]:
    """Page by page, each a question of its own: no transaction stays open while a client reads."""
    following: datetime | None = wanted.since
    while following is not None and left != 0:
        its = page(reader, replace(wanted, since=following), min(left or MOST_POINTS, MOST_POINTS))
        yield its.csv()
        following = its.next
        left = None if left is None else left - len(its.lines)
