"""``/simple/price``: what coins cost now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus

from psycopg2 import extensions as pg
from starlette.responses import Response

from app.api.coingecko import numbers
from app.api.coingecko.given import Asked, Given
from app.api.coingecko.mirrored import Before, Coin, before, latest
from app.api.context import Here
from app.api.problems import Problem
from app.api.replies import reply

_DAY = timedelta(days=1)

Changes = Mapping[tuple[str, timedelta], Before]


def show(here: Here, given: Asked) -> Response:
    """The latest price of coins in currencies; those that are not watched are left out."""
    currencies = given.needed("vs_currencies").lower().split(",")
    if not any(map(given.text, ("ids", "names", "symbols"))):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Missing parameter ids")
    given.precision()  # before anything is asked
    quotes = [currency.upper() for currency in dict.fromkeys(currencies)]
    now = here.clock.now()

    def ask(cursor: pg.cursor) -> tuple[list[Coin], Changes]:
        coins = latest(cursor, given, quotes)
        return coins, before(cursor, coins, now, [_DAY]) if given.asked("include_24hr_change") else {}

    coins, changes = here.database.ask(ask)
    by_id: dict[str, list[Coin]] = defaultdict(list)
    for coin in coins:
        by_id[coin.id].append(coin)
    return reply({id_: _fields(its, quotes, changes, given) for id_, its in by_id.items()})


def _fields(its: list[Coin], quotes: list[str], changes: Changes, given: Given) -> dict[str, object]:
    by_quote = {coin.quote: coin for coin in its}
    fields: dict[str, object] = {}
    times = []
    for quote in quotes:
        coin = by_quote.get(quote)
        if coin is None or coin.symbol is None or coin.price is None or coin.at is None:
            continue
        name = quote.lower()
        fields[name] = numbers.price(coin.price, given.precision())
        if given.asked("include_market_cap"):
            fields[f"{name}_market_cap"] = coin.market_cap
        if given.asked("include_24hr_vol"):
            fields[f"{name}_24h_vol"] = coin.volume
        if given.asked("include_24hr_change"):
            yesterday = changes.get((coin.symbol, _DAY))
            fields[f"{name}_24h_change"] = yesterday and numbers.change(coin.price, yesterday.price)
        times.append(coin.at)
    if times and given.asked("include_last_updated_at"):
        fields["last_updated_at"] = int(max(times).timestamp())
    return fields
