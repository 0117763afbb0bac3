"""``/coins/{id}/market_chart`` and ``/coins/{id}/ohlc``: what coins were, from candles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from starlette.responses import Response

from app.api.coingecko import numbers
from app.api.coingecko.given import FULL, Asked, Given
from app.api.coingecko.mirrored import symbol_of
from app.api.context import Here
from app.api.params import MOST_POINTS
from app.api.problems import Problem
from app.api.replies import raw_reply, reply
from app.db import execute

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_FIRST = datetime(2009, 1, 3, tzinfo=UTC)  # nothing is older
_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Step:
    """From point to point, and of which candles they are made."""

    length: timedelta
    width: str


_STEPS = {"5m": _Step(5 * _MINUTE, "1m"), "hourly": _Step(_HOUR, "1h"), "daily": _Step(_DAY, "1d")}
_BODIES = ((2 * _DAY, _Step(30 * _MINUTE, "1m")), (30 * _DAY, _Step(4 * _HOUR, "1h")))
"""How long candles are, up to which span."""
_LONGEST_BODY = _Step(4 * _DAY, "1d")
_OHLC_DAYS = ("1", "7", "14", "30", "90", "180", "365", "max")


def of_days(here: Here, given: Asked, id: str) -> Response:
    """Prices, market caps and volumes of the last days."""
    currency, days = given.currency(), given.days()
    now = here.clock.now()
    since = _FIRST if days is None else max(now - days, _FIRST)
    step = _step(given, now - since, of_today=True)
    return _chart(here, given, symbol_of(here, id, currency), step, since, now)


def of_range(here: Here, given: Asked, id: str) -> Response:
    """Prices, market caps and volumes from one time to another."""
    currency, since, until = given.currency(), given.moment("from"), given.moment("to")
    now = here.clock.now()
    since = max(since, _FIRST)
    step = _step(given, min(until, now) - since, of_today=since >= now - _DAY)
    return _chart(here, given, symbol_of(here, id, currency), step, since, until)


def ohlc(here: Here, given: Asked, id: str) -> Response:
    """Candles of the last days, each under the time it ends."""
    currency, days, precision = given.currency(), given.days(*_OHLC_DAYS), given.precision()
    decimals = FULL if precision is None else precision
    span = here.clock.now() - _FIRST if days is None else days
    step = next((body for longest, body in _BODIES if span <= longest), _LONGEST_BODY)
    symbol = symbol_of(here, id, currency)
    rows = here.database.query(
        "mirrored_ohlc", symbol=symbol, width=step.width, step=step.length, since=here.clock.now() - span
    )
    return reply(
        [
            [int((start + step.length).timestamp() * 1000), *(numbers.price(value, decimals) for value in prices)]
            for start, *prices in rows
        ]
    )


def _step(given: Given, span: timedelta, *, of_today: bool) -> _Step:
    name = given.one_of("interval", tuple(_STEPS))
    if name is None:
        name = "daily" if span > 90 * _DAY else "5m" if of_today and span <= _DAY else "hourly"
    step = _STEPS[name]
    if span > step.length * MOST_POINTS:
        raise Problem(HTTPStatus.BAD_REQUEST, f"invalid interval: the range has more than {MOST_POINTS} points of it")
    return step


def _chart(here: Here, given: Given, symbol: str, step: _Step, since: datetime, until: datetime) -> Response:
    precision = given.precision()
    asked = {
        "symbol": symbol,
        "width": step.width,
        "step": step.length,
        "back": step.length if step.width == "1d" else timedelta(0),  # what ends then began before
        "since": since,
        "until": until,
        "now": here.clock.now(),
        "decimals": None if precision in (None, FULL) else precision,
    }
    rows = here.database.ask(lambda cursor: execute(cursor, "mirrored_chart", **asked), _SECONDS)
    prices, caps, volumes = rows[0]
    return raw_reply(f'{{"prices":[{prices}],"market_caps":[{caps}],"total_volumes":[{volumes}]}}')
