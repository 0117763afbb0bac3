"""``/api/v1/data``: what is watched as documents, each with what is known of the asset and its last ticks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from app.api.context import Here
from app.api.params import MOST_POINTS, Cursor, Limit, Moment, cursor_of, key_of, next_in_json, time_of
from app.api.problems import Problem, invalid
from app.api.replies import Number, keep_up_to, raw_reply

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Point:
    """A tick, as it was published; ``volume_24h`` is the rolling 24-hour volume. null: nothing usable was published."""

    timestamp: datetime
    price: Number
    volume_24h: Number | None
    market_cap: Number | None


@dataclass(frozen=True, slots=True)
class Document:
    """An asset in a currency on a market.

    ``metadata``: its ``name``, the ``provider_id`` by which the market knows it, and what else providers say of it.
    ``data``: its ticks in the time that was asked for, oldest first. ``watched``: is it on the watch list now.
    """

    symbol: str
    base: str
    currency: str
    market: str
    watched: bool
    metadata: dict[str, Any]
    data: list[Point]


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents, by symbol. ``next`` is the cursor of the page after them, null for the last.

    A document that has more ticks than a page has room for goes on in the next one.
    """

    documents: list[Document]
    next: str | None


_ASSET = r"^[A-Za-z0-9][A-Za-z0-9.$_]{0,39}$"
_Start = Annotated[Moment | None, Query(description="From then on; else an hour before `time_stop`.")]
_Stop = Annotated[Moment | None, Query(description="Up to, not including, then; else now.")]
_Currency = Annotated[
    str | None,
    Query(pattern=_ASSET, description="USD, EUR, in any case; else every one.", examples=["USD"]),
]
_Base = Annotated[str, Path(pattern=_ASSET, description="BTC, in any case.", examples=["BTC"])]


@dataclass(frozen=True, slots=True)
class _Key:
    """Where a page begins, in which time: kept for all pages, as the last hour moves on."""

    symbol: str | None
    time: datetime
    since: datetime
    until: datetime


def show_all(
    here: Here,
    currency: _Currency = None,
    time_start: _Start = None,
    time_stop: _Stop = None,
    limit: Limit = MOST_POINTS,
    cursor: Cursor = None,
) -> Response:
    """A document of everything that is watched."""
    key = _key(here, time_start, time_stop, cursor)
    return _reply(here, None, currency, key, limit, is_open=time_stop is None)


def show(
    here: Here,
    base: _Base,
    currency: _Currency = None,
    time_start: _Start = None,
    time_stop: _Stop = None,
    limit: Limit = MOST_POINTS,
    cursor: Cursor = None,
) -> Response:
    """A document of an asset for each currency and market that it is or was watched in."""
    key = _key(here, time_start, time_stop, cursor)
    _demand(here, base.upper(), currency)
    return _reply(here, base.upper(), currency, key, limit, is_open=time_stop is None)


def _demand(here: Here, base: str, currency: str | None) -> None:
    """Problem 404 where there is no such document."""
    known = [quote for (quote,) in here.database.query("currencies_of", base=base)]
    if not known:
        raise Problem(
            HTTPStatus.NOT_FOUND, "No such asset is or was watched; /api/v1/data has those that are.", currencies=[]
        )
    if currency is not None and currency.upper() not in known:
        detail = f"It is not watched in that currency, but in {', '.join(known)}."
        raise Problem(HTTPStatus.NOT_FOUND, detail, currencies=known)


def _reply(here: Here, base: str | None, currency: str | None, key: _Key, limit: int, *, is_open: bool) -> Response:
    ((text, symbol, time),) = here.database.query(
        "documents",
        base=base,
        currency=None if currency is None else currency.upper(),
        from_symbol=key.symbol,
        from_time=key.time,
        since=key.since,
        until=key.until,
        limit=limit,
    )
    following = None
    if symbol is not None:
        following = cursor_of(symbol, *(t.isoformat() for t in (time, key.since, key.until)))
    keep = keep_up_to(None if is_open else key.until, here.clock.now())
    return raw_reply(f'{{"documents":[{text or ""}],"next":{next_in_json(following)}}}', keep)


def _key(here: Here, start: datetime | None, stop: datetime | None, cursor: str | None) -> _Key:
    if cursor is not None:
        symbol, *times = key_of(cursor, 4)
        return _Key(symbol, *map(time_of, times))
    until = stop or here.clock.now()
    # The first hour there is has none before it.
    since = start or until - min(_HOUR, until - datetime.min.replace(tzinfo=until.tzinfo))
    if since >= until:
        raise invalid("query.time_start" if start else "query.time_stop", "should be a time before `time_stop`")
    return _Key(None, since, since, until)
