"""``/api/v1/metric_types/{type}/metrics/{symbol}/rank``: who moves the most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from app.api.board import Boarded
from app.api.context import Here
from app.api.metric_types import TypePath, known_metric
from app.api.params import SymbolPath
from app.api.replies import Number, reply

By = Literal["stddev", "volatility"]


@dataclass(frozen=True, slots=True)
class Rank:
    """The place of a metric among ``total`` of its type; null where it has no value in the 24 hours.

    ``value`` is what it is ranked by.
    """

    rank: int | None
    total: int
    by: By
    value: Number | None


def of_symbol(
    here: Here,
    board: Boarded,
    of_type: TypePath,
    symbol: SymbolPath,
    by: Annotated[By, Query(description="The standard deviation, or that over the mean.")] = "stddev",
) -> Response:
    """Its place by the standard deviation of the last 24 hours, the largest first."""
    metric = known_metric(here, board, of_type, symbol)
    ranks = board.ranks(of_type)
    ranking = ranks.by_stddev if by == "stddev" else ranks.by_volatility
    return reply(Rank(ranking.ranks.get(metric.symbol), ranking.total, by, ranking.deviations.get(metric.symbol)))
