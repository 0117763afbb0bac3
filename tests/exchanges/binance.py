"""Binance's public spot REST API, as recorded 2020 to 2024: texts for numbers, half of all symbols dead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.exchanges.site import Query, Said, Site, serving

MOST_BARS = 1000
INVALID = Said({"code": -1121, "msg": "Invalid symbol."}, 400)
RESTRICTED = Said(
    {"code": 0, "msg": "Service unavailable from a restricted location according to 'b. Eligibility'."}, 451
)


def symbol(base: str, quote: str, **more: Any) -> dict[str, Any]:
    """An entry of exchangeInfo."""
    return {
        "symbol": base + quote, "status": "TRADING", "baseAsset": base, "baseAssetPrecision": 8, "quoteAsset": quote,
        "quotePrecision": 8, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"], "icebergAllowed": True, "ocoAllowed": True, "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False, "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        ], "permissions": ["SPOT"], "defaultSelfTradePreventionMode": "NONE", **more,
    }  # fmt: skip


def ticker(name: str, last: str, close_time: int, quote_volume: str = "1744744445.80640740") -> dict[str, Any]:
    return {
        "symbol": name, "priceChange": "-188.18000000", "priceChangePercent": "-0.159",
        "weightedAvgPrice": "118356.61", "prevClosePrice": "118637.22000000", "lastPrice": last,
        "lastQty": "0.00731000", "bidPrice": last, "bidQty": "7.15931000", "askPrice": last, "askQty": "0.09592000",
        "openPrice": "118637.21000000", "highPrice": "119273.36000000", "lowPrice": "117427.50000000",
        "volume": "14741.41491000", "quoteVolume": quote_volume, "openTime": close_time - 86_400_000,
        "closeTime": close_time, "firstId": 5116031635, "lastId": 5117964946, "count": 1933312,
    }  # fmt: skip


def dead(name: str, close_time: int, last: str = "0.00000000") -> dict[str, Any]:
    """A symbol that is not traded any more."""
    zero = "0.00000000"
    nothing = dict.fromkeys(
        ("priceChange", "weightedAvgPrice", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume"), zero
    )
    return ticker(name, last, close_time) | nothing | {"firstId": -1, "lastId": -1, "count": 0}


@contextmanager
def binance(
    symbols: Sequence[Mapping[str, Any]],
    tickers: Sequence[Mapping[str, Any]],
    klines: Mapping[str, Sequence[Sequence[Any]]] | None = None,
) -> Iterator[Site]:
    """Serve these; ``klines`` by interval, oldest first."""

    def answer(path: str, query: Query) -> Any:
        known = {entry["symbol"] for entry in symbols}
        match path:
            case "/api/v3/time":
                return {"serverTime": 1_795_341_600_123}
            case "/api/v3/exchangeInfo":
                return {"timezone": "UTC", "serverTime": 1_795_341_600_123, "rateLimits": [], "symbols": list(symbols)}
            case "/api/v3/ticker/24hr":
                wanted = json.loads(query["symbols"]) if "symbols" in query else None
                if wanted is not None and not known.issuperset(wanted):
                    return INVALID
                return [entry for entry in tickers if wanted is None or entry["symbol"] in wanted]
            case "/api/v3/klines":
                return _klines(klines or {}, query) if query["symbol"] in known else INVALID
        return Said(b"<html>not found</html>", 404)

    with serving(answer) as site:
        yield site


def _klines(klines: Mapping[str, Sequence[Sequence[Any]]], query: Query) -> Any:
    since = int(query.get("startTime", "0"))
    rows = [list(row) for row in klines.get(query["interval"], ()) if row[0] >= since]
    return rows[: min(int(query.get("limit", "500")), MOST_BARS)]


def kline(start: int, seconds: int, price: str, volume: str = "1.00000000") -> list[Any]:
    end = start + seconds * 1000 - 1
    return [start, price, price, price, price, volume, end, "60000.00000000", 3, "0.5", "30000.0", "0"]
