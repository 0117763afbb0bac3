"""``/api/v1/metric_types``: what of each symbol has a history, and the latest values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Annotated

from fastapi import Depends, Path
from starlette.responses import Response

from app.api.board import TYPES, Board, Boarded, Metric, Type
from app.api.context import Here
from app.api.params import MOST_POINTS, Cursor, Limit, SymbolPath, cursor_of, key_of, known_symbol
from app.api.problems import Problem
from app.api.replies import Number, reply


@dataclass(frozen=True, slots=True)
class MetricType:
    """What is observed of a symbol, and in what it is expressed."""

    type: Type
    meaning: str
    unit: str


@dataclass(frozen=True, slots=True)
class MetricTypes:
    """All types."""

    metric_types: tuple[MetricType, ...]


@dataclass(slots=True)  # made by the thousand: frozen would take thrice as long
class LatestValue:
    """The newest value of a metric, and the time of the tick that it is from; null where it has none.

    A volume is at most from the seven days before that of the newest tick, whatever there was earlier.
    """

    id: int
    symbol: str
    value: Number | None
    timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class LatestValues:
    """Of what is watched, by symbol; ``next`` is the cursor of those that follow, null after the last."""

    metrics: list[LatestValue]
    next: str | None


@dataclass(frozen=True, slots=True)
class MetricOfType:
    """One metric, its newest value, and its rank; null where it has none.

    ``source`` published the value. ``rank`` and ``total`` are those by ``stddev``; docs/api/metrics.md defines them.
    """

    id: int
    type: Type
    symbol: str
    base: str
    quote: str
    market: str
    watched: bool
    value: Number | None
    timestamp: datetime | None
    source: str | None
    rank: int | None
    total: int
    stddev: Number | None


_TYPES = (
    MetricType("price", "What one unit of the base costs.", "the quote currency"),
    MetricType(
        "volume",
        "What was traded in the 24 hours before, as the market publishes it (volume_24h): a gauge, never to be summed.",
        "the quote currency",
    ),
)


async def _known_type(
    type_: Annotated[str, Path(alias="type", json_schema_extra={"enum": list(TYPES)}, examples=["price"])],
) -> Type:
    for known in TYPES:
        if known == type_:
            return known
    raise Problem(HTTPStatus.NOT_FOUND, "There is no such type of metric; /api/v1/metric_types lists those there are.")


TypePath = Annotated[Type, Depends(_known_type)]
"""The type of a route's parameter that wants the type in its address."""


def list_types() -> Response:
    """What is observed of every symbol: its price and its volume."""
    return reply(MetricTypes(_TYPES))


def show_type(of_type: TypePath) -> Response:
    """One of these types."""
    return reply(next(known for known in _TYPES if known.type == of_type))


def list_metrics(board: Boarded, of_type: TypePath, limit: Limit = MOST_POINTS, cursor: Cursor = None) -> Response:
    """The latest value of every watched symbol."""
    after = key_of(cursor, 1)[0] if cursor else ""
    found = (metric for symbol, metric in board.latest().by_symbol[of_type].items() if symbol > after)
    page = list(islice(found, limit))
    more = next(found, None) is not None
    latest = [LatestValue(m.id, m.symbol, m.value, m.timestamp) for m in page]
    return reply(LatestValues(latest, cursor_of(page[-1].symbol) if more else None))


def show_metric(here: Here, board: Boarded, of_type: TypePath, symbol: SymbolPath) -> Response:
    """One metric: its latest value and its rank."""
    metric = known_metric(here, board, of_type, symbol)
    sources = here.database.query("source_of_tick", symbol=metric.symbol, timestamp=metric.timestamp)
    ranking = board.ranks(of_type).by_stddev
    return reply(
        MetricOfType(
            metric.id,
            metric.type,
            metric.symbol,
            metric.base,
            metric.quote,
            metric.market,
            metric.watched,
            metric.value,
            metric.timestamp,
            sources[0][0] if sources else None,
            ranking.ranks.get(metric.symbol),
            ranking.total,
            ranking.deviations.get(metric.symbol),
        )
    )


def known_metric(here: Here, board: Board, of_type: Type, text: str) -> Metric:
    """The metric of a symbol that is or was watched, however it is written. Problem 404 for any other."""
    metric = board.latest().by_symbol[of_type].get(text)
    if metric is None:
        metric = board.of_symbol(of_type, known_symbol(here, text))
    if metric is None:
        raise Problem(HTTPStatus.NOT_FOUND, "This symbol has no such metric.")
    return metric
