"""``/api/v1/metrics``: every metric of every market in one list, by id."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from app.api.board import TYPES, Boarded, Metric, Type
from app.api.context import Here
from app.api.history import PRICES, RECORDS, Asked, Question, answer
from app.api.params import Cursor, Limit, cursor_of, number_of
from app.api.problems import Problem
from app.api.replies import Number, reply
from app.moments import Ranking

_PAGE = 100
_LARGEST = 2**63 - 1  # of a bigint

Id = Annotated[int, Path(alias="id", ge=1, le=_LARGEST, description="Of a metric; it never changes.")]
_Name = Query(min_length=1, max_length=40)


@dataclass(slots=True)  # made by the thousand: frozen would take thrice as long
class FlatMetric:
    """One metric of one symbol. ``rank`` is by ``stddev``, that of the last 24 hours; null where nothing was seen."""

    id: int
    market: str
    base: str
    quote: str
    pair: str
    symbol: str
    metric: Type
    watched: bool
    rank: int | None
    stddev: Number | None


@dataclass(frozen=True, slots=True)
class FlatMetrics:
    """A page, in order of ids; ``next`` is the cursor of the one after it, null after the last."""

    metrics: list[FlatMetric]
    next: str | None


def list_metrics(
    board: Boarded,
    market: Annotated[str | None, _Name] = None,
    metric: Type | None = None,
    base: Annotated[str | None, _Name] = None,
    quote: Annotated[str | None, _Name] = None,
    limit: Limit = _PAGE,
    cursor: Cursor = None,
) -> Response:
    """Every metric that is watched, with its rank."""
    after = number_of(cursor) if cursor else 0
    wanted_base, wanted_quote = base and base.upper(), quote and quote.upper()
    found = (
        m
        for m in board.latest().by_id.values()
        if m.id > after
        and market in (None, m.market)
        and metric in (None, m.type)
        and wanted_base in (None, m.base)
        and wanted_quote in (None, m.quote)
    )
    page = list(islice(found, limit))
    more = next(found, None) is not None
    rankings = {of_type: board.ranks(of_type).by_stddev for of_type in TYPES}
    flat = [_flat(m, rankings[m.type]) for m in page]
    return reply(FlatMetrics(flat, cursor_of(str(page[-1].id)) if more else None))


def show(board: Boarded, id_: Id) -> Response:
    """One metric."""
    metric = board.of_id(id_)
    return reply(_flat(metric, board.ranks(metric.type).by_stddev))


def records(here: Here, board: Boarded, id_: Id, asked: Asked) -> Response:
    """What it was, at which time; the last 24 hours."""
    metric = board.of_id(id_)
    return answer(here, Question(metric.type, metric.symbol, asked), RECORDS)


def prices(here: Here, board: Boarded, id_: Id, asked: Asked) -> Response:
    """The same for a price, under that name."""
    metric = board.of_id(id_)
    if metric.type != "price":
        raise Problem(
            HTTPStatus.NOT_FOUND, f"This metric is no price; /api/v1/metrics/{metric.id}/records has its values."
        )
    return answer(here, Question(metric.type, metric.symbol, asked), PRICES)


def _flat(metric: Metric, ranking: Ranking) -> FlatMetric:
    return FlatMetric(
        metric.id,
        metric.market,
        metric.base,
        metric.quote,
        f"{metric.base}-{metric.quote}",
        metric.symbol,
        metric.type,
        metric.watched,
        ranking.ranks.get(metric.symbol),
        ranking.deviations.get(metric.symbol),
    )
