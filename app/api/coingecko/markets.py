"""``/coins/markets``: coins in a list, largest first, with what they did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg2 import extensions as pg
from starlette.responses import Response

from app.api.coingecko import numbers
from app.api.coingecko.given import Asked, Given
from app.api.coingecko.mirrored import Before, Coin, before, latest, not_a_currency
from app.api.context import Here
from app.api.replies import reply
from app.db import execute

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_SPARKLINE = 7 * _DAY
_MOST_PER_PAGE = 250
_SECONDS = 5.0
_PERIODS = {
    "1h": _HOUR,
    "24h": _DAY,
    "7d": 7 * _DAY,
    "14d": 14 * _DAY,
    "30d": 30 * _DAY,
    "200d": 200 * _DAY,
    "1y": 365 * _DAY,
}
_UNKNOWN = dict.fromkeys(
    ("circulating_supply", "total_supply", "max_supply", "ath", "ath_change_percentage", "ath_date", "atl",
     "atl_change_percentage", "atl_date", "roi")
)  # fmt: skip
"""What prices do not tell."""

_ORDERS: Mapping[str, tuple[Callable[[Coin], Decimal | None], bool]] = {
    "market_cap_desc": (lambda coin: coin.market_cap, True),
    "market_cap_asc": (lambda coin: coin.market_cap, False),
    "volume_desc": (lambda coin: coin.volume, True),
    "volume_asc": (lambda coin: coin.volume, False),
}


@dataclass(frozen=True, slots=True)
class _Past:
    """What is known of the coins of a page beside their latest ticks, by symbol."""

    before: Mapping[tuple[str, timedelta], Before]
    ranges: Mapping[str, tuple[Decimal, Decimal]]
    sparklines: Mapping[str, list[Decimal]]


def show(here: Here, given: Asked) -> Response:
    """Coins in one currency: price, volume, market cap, and how they changed."""
    currency, now = given.currency(), here.clock.now()
    precision, periods = given.precision(), _periods(given)
    size, page = given.whole("per_page", 100, _MOST_PER_PAGE), given.whole("page", 1, 1_000_000)

    def ask(cursor: pg.cursor) -> list[dict[str, object]]:
        coins = [coin for coin in latest(cursor, given, [currency]) if coin.price is not None]
        if not coins and (currency.lower(),) not in execute(cursor, "mirrored_currencies"):
            raise not_a_currency()
        if given.text("category") is not None:  # we know none
            return []
        chosen = _ordered(coins, given.text("order"))[(page - 1) * size :][:size]
        past = _past(cursor, chosen, now, periods.values(), sparkline=given.asked("sparkline"))
        return [_row(coin, past, periods, precision) for coin in chosen]

    return reply(here.database.ask(ask, _SECONDS))


def _periods(given: Given) -> dict[str, timedelta]:
    return {name: _PERIODS[name] for name in given.names("price_change_percentage") or () if name in _PERIODS}


def _ordered(coins: list[Coin], order: str | None) -> list[Coin]:
    """In order of ids, then; what is not known comes last."""
    if order in ("id_asc", "id_desc"):
        return coins if order == "id_asc" else coins[::-1]
    value, descending = _ORDERS.get(order or "", _ORDERS["market_cap_desc"])

    def place(coin: Coin) -> tuple[bool, Decimal]:
        its = value(coin)
        return its is None, Decimal(0) if its is None else -its if descending else its

    return sorted(coins, key=place)


def _past(
    cursor: pg.cursor, coins: Sequence[Coin], now: datetime, periods: Iterable[timedelta], *, sparkline: bool
) -> _Past:
    symbols = [coin.symbol for coin in coins if coin.symbol is not None]
    since = now - _DAY
    hour = since.replace(minute=0, second=0, microsecond=0) + _HOUR
    minute = since.replace(second=0, microsecond=0)
    ranges = execute(cursor, "mirrored_range", symbols=symbols, since=minute, hour=hour)
    sparklines = execute(cursor, "mirrored_sparklines", symbols=symbols, since=now - _SPARKLINE) if sparkline else []
    return _Past(
        before(cursor, coins, now, list(dict.fromkeys((_DAY, *periods)))),
        {symbol: (high, low) for symbol, high, low in ranges},
        {symbol: closes or [] for symbol, closes in sparklines},
    )


def _row(coin: Coin, past: _Past, periods: Mapping[str, timedelta], precision: int | None) -> dict[str, object]:
    symbol = coin.symbol or ""

    def written(value: Decimal | None) -> Decimal | None:
        return None if value is None else numbers.price(value, precision)

    yesterday = past.before.get((symbol, _DAY))
    # The highest of a part of the day is not the day's.
    high, low = past.ranges.get(symbol, (None, None)) if yesterday else (None, None)
    row: dict[str, object] = {
        "id": coin.id,
        "symbol": coin.ticker,
        "name": coin.name,
        "image": "",
        "current_price": written(coin.price),
        "market_cap": numbers.whole(coin.market_cap),
        "market_cap_rank": None,  # among all coins there are, which we do not know
        "fully_diluted_valuation": None,
        "total_volume": numbers.whole(coin.volume),
        "high_24h": written(high),
        "low_24h": written(low),
        **_day_change(coin, yesterday),
        **_UNKNOWN,
        "last_updated": coin.at and coin.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if symbol in past.sparklines:
        row["sparkline_in_7d"] = {"price": [written(close) for close in past.sparklines[symbol]]}
    for name, period in periods.items():
        then = past.before.get((symbol, period))
        row[f"price_change_percentage_{name}_in_currency"] = then and numbers.change(coin.price, then.price)
    return row


def _day_change(coin: Coin, yesterday: Before | None) -> dict[str, Any]:
    price, cap = (yesterday.price, yesterday.market_cap) if yesterday is not None else (None, None)
    return {
        "price_change_24h": None if coin.price is None or price is None else coin.price - price,
        "price_change_percentage_24h": numbers.percent(numbers.change(coin.price, price)),
        "market_cap_change_24h": None if coin.market_cap is None or cap is None else coin.market_cap - cap,
        "market_cap_change_percentage_24h": numbers.percent(numbers.change(coin.market_cap, cap)),
    }
