"""Reads what CoinMarketCap replies: quotes in each form they have had (v3 lists them, v1 and v2 key them), key info."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app import decode
from app.decode import MISSING, Unusable
from app.errors import ProviderUnavailable
from app.http import Reply
from app.model import Batch, Facts, Instrument, Lost, SetAside, Tick
from app.sources.coins import is_clean
from app.sources.schema import Schema

NAME = "coinmarketcap"
_SCHEMA = Schema(NAME)
_FAR = datetime(2100, 1, 1, tzinfo=UTC)  # any time that ends a month may lie ahead
_LARGEST = 10**15  # of whole numbers: ids, ranks, credits

_TEXTS = ("name", "symbol", "slug")
_NUMBERS = {"rank": "cmc_rank", **{supply: supply for supply in ("circulating_supply", "total_supply", "max_supply")}}
_LONGEST_NAME = 200


def read_quotes(reply: Reply, chunk: Sequence[Instrument]) -> Batch:
    """The ticks of a quotes/latest reply, each value on its own. Raises ProviderUnavailable if it is no such reply."""
    coins: dict[str, Any] = {}
    set_aside: list[SetAside] = []
    for place, row in _rows(reply.data):
        if (violation := _SCHEMA.check("coin", place, row)) is not None:
            set_aside.append(violation)
        if isinstance(row, dict) and (id_ := whole(row.get("id"))):
            coins[str(id_)] = Unusable("is there twice") if str(id_) in coins else row
    ticks: list[Tick] = []
    lost: list[Lost] = []
    facts: dict[str, Facts] = {}
    for instrument in chunk:
        coin = coins.get(instrument.provider_id or "", MISSING)
        if isinstance(coin, Unusable):
            lost.append(Lost(instrument.symbol, "price", f"the coin {coin.reason}"))
            continue
        facts[instrument.symbol] = _facts(coin)
        tick = _tick(instrument, coin, reply, lost)
        if tick is not None:
            ticks.append(tick)
    ticks.sort(key=lambda tick: (tick.timestamp, tick.symbol))
    return Batch(NAME, reply.received_at, tuple(ticks), tuple(lost), facts, tuple(set_aside))


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What /v1/key/info says: limits of the plan, credits of its month that are spent, and when that month ends."""

    per_minute: int
    per_month: int
    spent: int
    ends: datetime | None


def key_info(data: object) -> KeyInfo:
    """Reads the data of a /v1/key/info reply. Raises ProviderUnavailable if it does not say what the limits are."""
    plan, month = _inside(data, "plan"), _inside(_inside(data, "usage"), "current_month")
    per_minute, per_month = whole(plan.get("rate_limit_minute")), whole(plan.get("credit_limit_monthly"))
    if per_minute is None or per_month is None:
        raise ProviderUnavailable(f"{NAME}: /v1/key/info does not say what the plan's limits are")
    ends = decode.iso_time(plan.get("credit_limit_monthly_reset_timestamp"), _FAR)
    spent = whole(month.get("credits_used")) or 0
    return KeyInfo(per_minute, per_month, spent, None if isinstance(ends, Unusable) else ends)


def whole(value: object) -> int | None:
    """A published number as an int, None if it is no whole one from 0 up to what an id or a count may be."""
    if not isinstance(value, Decimal) or not 0 <= value <= _LARGEST or value != int(value):
        return None
    return int(value)


def _rows(document: Any) -> Iterator[tuple[str, object]]:
    """Each coin, and where it stands."""
    data = document.get("data") if isinstance(document, dict) else None
    if isinstance(data, list):
        yield from _listed("data", data)
    elif isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, list):  # v2, asked by ticker: all coins that have it
                yield from _listed(f"data.{key}", value)
            else:
                yield f"data.{key}", value
    else:
        raise ProviderUnavailable(f"{NAME}: the data of quotes/latest should be a list or an object, and is neither")


def _listed(place: str, rows: list[object]) -> Iterator[tuple[str, object]]:
    return ((f"{place}[{number}]", row) for number, row in enumerate(rows))


def _tick(instrument: Instrument, coin: Mapping[str, Any], reply: Reply, lost: list[Lost]) -> Tick | None:
    symbol, quote = instrument.symbol, _quote(coin.get("quote"), instrument.quote)
    if not isinstance(quote, dict):
        reason = quote.reason if isinstance(quote, Unusable) else "is no object"
        lost.append(Lost(symbol, "price", f"the coin's quote {reason}"))
        return None

    def usable(field: str, value: Decimal | Unusable) -> Decimal | None:
        if isinstance(value, Unusable):
            lost.append(Lost(symbol, field, f"it {value.reason}"))
            return None
        return value

    price = usable("price", decode.amount(quote.get("price", MISSING)))
    time = _time(quote.get("last_updated"), coin.get("last_updated"), reply)
    if isinstance(time, Unusable):
        lost.append(Lost(symbol, "timestamp", f"it {time.reason}"))
        return None
    if price is None:
        return None
    return Tick(
        symbol,
        time,
        price,
        usable("volume_24h", decode.amount(quote.get("volume_24h", MISSING))),
        usable("market_cap", decode.amount(quote.get("market_cap", MISSING))),
        reply.received_at,
        NAME,
    )


def _quote(quotes: object, currency: str) -> object:
    """What stands for the currency: in a list (v3) under its symbol, in an object (before) under its key."""
    if isinstance(quotes, dict):
        return quotes.get(currency, MISSING)
    if not isinstance(quotes, list):
        return MISSING
    found = [quote for quote in quotes if isinstance(quote, dict) and quote.get("symbol") == currency]
    return found[0] if len(found) == 1 else Unusable("is there twice") if found else MISSING


def _time(of_quote: object, of_coin: object, reply: Reply) -> datetime | Unusable:
    published = of_coin if of_quote is None else of_quote
    return reply.received_at if published is None else decode.iso_time(published, reply.now)


def _facts(coin: Mapping[str, Any]) -> Facts:
    """What it says beside prices; a value that is not what it should be is left out, null stands for none."""
    texts = {key: coin[key] for key in _TEXTS if is_clean(coin.get(key)) and len(coin[key]) <= _LONGEST_NAME}
    numbers = {
        key: coin[published]
        for key, published in _NUMBERS.items()
        if published in coin and (coin[published] is None or _is_amount(coin[published]))
    }
    return {**texts, "id": coin["id"], **numbers}


def _is_amount(value: object) -> bool:
    return isinstance(value, Decimal) and 0 <= value <= decode.LARGEST


def _inside(value: object, key: str) -> Mapping[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
