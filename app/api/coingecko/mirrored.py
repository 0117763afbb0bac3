"""What is known of coins: the latest, and what was before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus

from psycopg2 import extensions as pg

from app.api.coingecko.given import Given
from app.api.context import Here
from app.api.problems import Problem
from app.db import execute

_SLACK_SHARE, _LEAST_SLACK = 20, timedelta(minutes=10)


def not_a_currency() -> Problem:
    """Nothing is watched in it."""
    return Problem(HTTPStatus.BAD_REQUEST, "invalid vs_currency")


@dataclass(slots=True)  # made by the hundred
class Coin:
    """A coin in a currency (``quote``), under a symbol of ours; its latest tick, where there is one.

    Without quote and symbol: a coin that is watched, in none of the currencies.
    """

    id: str
    ticker: str
    name: str
    quote: str | None
    symbol: str | None
    price: Decimal | None
    at: datetime | None
    volume: Decimal | None
    market_cap: Decimal | None


@dataclass(frozen=True, slots=True)
class Before:
    """What a coin cost a while ago, and its market cap then, where that is known."""

    price: Decimal
    market_cap: Decimal | None


def latest(cursor: pg.cursor, given: Given, currencies: Sequence[str]) -> list[Coin]:
    """The coins that are asked for (``ids``, else ``names``, else ``symbols``, else all), in order of ids."""
    ids, names, tickers = given.names("ids"), given.names("names"), given.names("symbols")
    by_name = [name.lower() for name in names] if names and not ids else None
    by_ticker = [ticker.lower() for ticker in tickers] if tickers and not (ids or names) else None
    rows = execute(cursor, "mirrored_latest", ids=ids, names=by_name, tickers=by_ticker, currencies=list(currencies))
    return [Coin(*row) for row in rows]


def before(
    cursor: pg.cursor, coins: Sequence[Coin], now: datetime, periods: Sequence[timedelta]
) -> Mapping[tuple[str, timedelta], Before]:
    """What they were these periods ago, by symbol and period.

    Left out where no tick is there that is nearly as old, or none that is nearly of now: what a coin did since some
    other time says nothing about the period. Nearly: a twentieth of the period, or ten minutes.
    """
    slacks = [max(period / _SLACK_SHARE, _LEAST_SLACK) for period in periods]
    ats = {coin.symbol: coin.at for coin in coins if coin.symbol is not None and coin.at is not None}
    rows = execute(
        cursor,
        "mirrored_before",
        symbols=list(ats),
        moments=[now - period for period in periods],
        slacks=slacks,
    )
    return {
        (symbol, periods[number - 1]): Before(price, market_cap)
        for symbol, number, price, market_cap in rows
        if ats[symbol] >= now - slacks[number - 1]
    }


def symbol_of(here: Here, id_: str, currency: str) -> str:
    """Under which symbol a coin is watched in a currency. Problem 404 or 400 where it is not."""
    rows = here.database.query("mirrored_symbol", id=id_, currency=currency)
    if not rows:
        raise Problem(HTTPStatus.NOT_FOUND, "coin not found")
    symbol: str | None = rows[0][0]
    if symbol is None:
        raise not_a_currency()
    return symbol
