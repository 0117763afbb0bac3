"""What a metric was: ``/history`` of a symbol, ``/records`` and ``/prices`` of an id. PostgreSQL writes the points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Query
from starlette.responses import Response

from app.api.board import Boarded, Type
from app.api.context import Here
from app.api.metric_types import TypePath, known_metric
from app.api.params import (
    MOST_POINTS,
    AsOf,
    Cursor,
    From,
    Limit,
    SymbolPath,
    To,
    cursor_of,
    key_of,
    span,
    time_of,
)
from app.api.problems import Problem
from app.api.replies import Number, keep_up_to, raw_reply
from app.db import execute

Resolution = Literal["tick", "1m", "1h"]

MOST_TO_THIN = 200_000
"""Points that are thinned out: more would take longer than a reply may."""

_DAY = timedelta(days=1)
_NEXT = timedelta(microseconds=1)
_SECONDS_TO_THIN, _SECONDS_FOR_KNOWN = 5.0, 10.0  # that a question may take
_WIDTHS: Mapping[Resolution, str] = {"tick": "1 microsecond", "1m": "1 minute", "1h": "1 hour"}

MaxPoints = Annotated[
    int | None,
    Query(
        ge=4,
        le=MOST_POINTS,
        description="All of the span in at most so many points: first, last, lowest and highest of equal parts of it. "
        "`limit` says nothing then.",
    ),
]


@dataclass(frozen=True, slots=True)
class Span:
    """Which points are asked for, as a request says it."""

    since: datetime | None
    until: datetime | None
    resolution: Resolution
    limit: int
    cursor: str | None
    max_points: int | None
    as_of: datetime | None


async def _asked(
    since: From = None,
    to: To = None,
    resolution: Annotated[Resolution, Query(description="Each tick, or the last value of each bucket.")] = "tick",
    limit: Limit = MOST_POINTS,
    cursor: Cursor = None,
    max_points: MaxPoints = None,
    as_of: AsOf = None,
) -> Span:
    return Span(since, to, resolution, limit, cursor, max_points, as_of)


Asked = Annotated[Span, Depends(_asked)]
"""The type of a route's parameter that wants all parameters of a history."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whose history, and which part of it."""

    type: Type
    symbol: str
    span: Span


@dataclass(frozen=True, slots=True)
class History:
    """Values by time, oldest first.

    ``next`` is the cursor of the points that follow, null after the last. ``downsampled`` names the method by which
    there are fewer points than there were, null where all are here.
    """

    history: Mapping[str, Number]
    next: str | None
    downsampled: Literal["m4"] | None


@dataclass(frozen=True, slots=True)
class Record:
    """A value and its time."""

    timestamp: datetime
    value: Number


@dataclass(frozen=True, slots=True)
class Records:
    """Values, oldest first; ``next`` and ``downsampled`` as in a history."""

    records: list[Record]
    next: str | None
    downsampled: Literal["m4"] | None


@dataclass(frozen=True, slots=True)
class Price:
    """A price and its time."""

    timestamp: datetime
    price: Number


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices, oldest first; ``next`` and ``downsampled`` as in a history."""

    prices: list[Price]
    next: str | None
    downsampled: Literal["m4"] | None


@dataclass(frozen=True, slots=True)
class Form:
    """How the points are written: what opens and closes them all, and what stands around time and value of each."""

    opening: str
    closing: str
    before: str
    between: str
    after: str


HISTORY = Form('{"history":{', "}", '"', '":', "")
RECORDS = Form('{"records":[', "]", '{"timestamp":"', '","value":', "}")
PRICES = Form('{"prices":[', "]", '{"timestamp":"', '","price":', "}")


def of_symbol(here: Here, board: Boarded, of_type: TypePath, symbol: SymbolPath, asked: Asked) -> Response:
    """What it was, by time; the last 24 hours."""
    metric = known_metric(here, board, of_type, symbol)
    return answer(here, Question(of_type, metric.symbol, asked), HISTORY)


def answer(here: Here, question: Question, form: Form) -> Response:
    """The points in this form. Problem for a span that cannot be, and for more points than can be thinned."""
    asked = question.span
    since, until = span(here, asked.since, asked.until, _DAY, asked.as_of)
    if asked.cursor:
        since = max(since, time_of(*key_of(asked.cursor, 1)))
    values = {
        "type": question.type,
        "symbol": question.symbol,
        "since": since,
        "until": until,
        "resolution": asked.resolution,
        "width": _WIDTHS[asked.resolution],
        "as_of": asked.as_of,
        "before": form.before,
        "between": form.between,
        "after": form.after,
    }
    following: str | None = None
    method: str | None = None
    if asked.max_points is None:
        ((text, last, more),) = _page(here, values, asked)
        following = cursor_of((last + _NEXT).isoformat()) if more else None
    else:
        text, method = _thinned(here, values, asked.max_points)
    tail = msgspec.json.encode({"next": following, "downsampled": method}).decode()
    keep = keep_up_to(until, here.clock.now())
    return raw_reply(f"{form.opening}{text or ''}{form.closing},{tail[1:]}", keep)


def _page(here: Here, values: Mapping[str, Any], asked: Span) -> list[tuple[Any, ...]]:
    values = {**values, "limit": asked.limit}
    if asked.as_of is not None:
        return here.database.ask(lambda cursor: execute(cursor, "history_as_of", **values), _SECONDS_FOR_KNOWN)
    return here.database.query("history_of_ticks" if asked.resolution == "tick" else "history_of_candles", **values)


def _thinned(here: Here, values: Mapping[str, Any], max_points: int) -> tuple[str | None, str | None]:
    """The points, and the method by which they are fewer, if they are."""
    ((text, points),) = here.database.ask(
        lambda cursor: execute(cursor, "history_in_short", **values, max_points=max_points, most=MOST_TO_THIN),
        _SECONDS_TO_THIN if values["as_of"] is None else _SECONDS_FOR_KNOWN,
    )
    if points > MOST_TO_THIN:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"These are more than {MOST_TO_THIN:,} points, too many to thin out: ask for a shorter span, or for "
            "resolution=1m or 1h.",
        )
    return text, "m4" if points > max_points else None
