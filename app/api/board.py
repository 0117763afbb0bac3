"""The latest value and the rank of every metric: asked of the database once for all who want to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any, Literal, get_args

from fastapi import Depends, Request
from psycopg2 import extensions as pg

from app.api.context import Here
from app.api.database import Reader
from app.api.problems import Problem
from app.api.shared import Shared
from app.clock import Clock
from app.db import execute
from app.moments import Ranking, Sums, ranking

Type = Literal["price", "volume"]
TYPES: tuple[Type, ...] = get_args(Type)

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_SECONDS = 10.0  # that the question for all sums may take; it is asked once a minute


@dataclass(slots=True)  # never changed all the same: made by the thousand, and frozen would take thrice as long
class Metric:
    """Something of a symbol that has a history, and its latest value, where there is one."""

    id: int
    type: Type
    symbol: str
    base: str
    quote: str
    market: str
    watched: bool
    value: Decimal | None
    timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class Latest:
    """All metrics of what is watched; in order of their symbols, and of their ids."""

    by_symbol: Mapping[Type, Mapping[str, Metric]]
    by_id: Mapping[int, Metric]


@dataclass(frozen=True, slots=True)
class Ranks:
    """The metrics of one type, ranked by standard deviation, and by standard deviation over mean."""

    by_stddev: Ranking
    by_volatility: Ranking


class Board:
    """Latest values, anew each second at most, and ranks, anew each minute, when somebody asks."""

    def __init__(self, database: Reader, clock: Clock) -> None:
        self._database = database
        self._latest = Shared(clock, 1, lambda _: self._ask_latest())
        self._ranks = Shared(clock, 60, self._ask_ranks)

    def latest(self) -> Latest:
        """Of all that is watched."""
        return self._latest.get()

    def ranks(self, of_type: Type) -> Ranks:
        """Of the 24 hours before the current minute, or, while those are worked out, before the last."""
        return self._ranks.get()[of_type]

    def of_symbol(self, of_type: Type, symbol: str) -> Metric | None:
        """Of what is or was watched; None for other symbols."""
        metric = self.latest().by_symbol[of_type].get(symbol)
        if metric is not None:
            return metric
        return {m.type: m for m in self._values(symbol)}.get(of_type)

    def of_id(self, id_: int) -> Metric:
        """Of what is or was watched. Problem 404 for another id."""
        metric = self.latest().by_id.get(id_)
        if metric is None:
            for symbol, of_type in self._database.query("metric_of_id", id=id_):
                metric = self.of_symbol(of_type, symbol)
        if metric is None:
            raise Problem(HTTPStatus.NOT_FOUND, "No metric has this id; /api/v1/metrics lists those that there are.")
        return metric

    def _ask_latest(self) -> Latest:
        metrics = self._values(None)
        in_order = sorted(metrics, key=lambda metric: metric.symbol)
        return Latest(
            {of_type: {m.symbol: m for m in in_order if m.type == of_type} for of_type in TYPES},
            {m.id: m for m in sorted(metrics, key=lambda metric: metric.id)},
        )

    def _values(self, symbol: str | None) -> list[Metric]:
        """Those of this symbol, or of all that is watched."""
        return [metric for row in self._database.query("latest_values", symbol=symbol) for metric in _metrics(row)]

    def _ask_ranks(self, minute: datetime) -> Mapping[Type, Ranks]:
        sums = self._database.ask(lambda cursor: sums_of_day(cursor, minute), _SECONDS)
        return {
            of_type: Ranks(
                ranking(sums[of_type], lambda its: its.variance),
                ranking(sums[of_type], lambda its: its.relative_variance),
            )
            for of_type in TYPES
        }


def sums_of_day(cursor: pg.cursor, minute: datetime) -> Mapping[Type, Mapping[str, Sums]]:
    """What the values of each watched symbol add up to, in the 24 hours before the start of a minute."""
    sums: dict[Type, dict[str, Sums]] = {of_type: {} for of_type in TYPES}
    last_hour = minute.replace(minute=0)
    first_hour = last_hour - (_DAY if minute == last_hour else _DAY - _HOUR)
    rows = execute(
        cursor, "sums_of_ticks", since=minute - _DAY, first_hour=first_hour, last_hour=last_hour, until=minute
    )
    for symbol, ticks, prices, price_squares, readings, volumes, volume_squares, are_known in rows:
        if are_known:
            sums["price"][symbol] = Sums(ticks, prices, price_squares)
            if readings:
                sums["volume"][symbol] = Sums(readings, volumes, volume_squares)
    return sums


def _metrics(row: tuple[Any, ...]) -> tuple[Metric, Metric]:
    symbol, base, quote, market, watched, *rest = row
    names = symbol, base, quote, market, watched
    (price_id, *price), (volume_id, *volume) = rest[:3], rest[3:]
    return Metric(price_id, "price", *names, *price), Metric(volume_id, "volume", *names, *volume)


async def _board(request: Request, here: Here) -> Board:
    # On the event loop, so that no two make one.
    state = request.app.state
    if not hasattr(state, "board"):
        state.board = Board(here.database, here.clock)
    board: Board = state.board
    return board


Boarded = Annotated[Board, Depends(_board)]
"""The type of a route's parameter that wants the board."""
