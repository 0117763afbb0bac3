"""Coinbase Exchange's public REST API, as recorded 2021 to 2026: a product is a call, candles are newest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tests.exchanges.site import Query, Said, Site, serving

MOST_CANDLES = 300
NOT_FOUND = Said({"message": "NotFound"}, 404)


def product(base: str, quote: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{base}-{quote}", "base_currency": base, "quote_currency": quote, "base_increment": "0.00000001",
        "quote_increment": "0.01", "display_name": f"{base}/{quote}", "min_market_funds": "1",
        "margin_enabled": False, "fx_stablecoin": False, "max_slippage_percentage": "0.02000000", "post_only": False,
        "limit_only": False, "cancel_only": False, "trading_disabled": False, "status": "online", "status_message": "",
        "auction_mode": False, **more,
    }  # fmt: skip


def ticker(price: str, time: str, volume: str = "12345.67890123") -> dict[str, Any]:
    return {
        "ask": "60001.01", "bid": "60000.99", "volume": volume, "trade_id": 86326522, "price": price,
        "size": "0.00698254", "time": time, "rfq_volume": "35.194132",
    }  # fmt: skip


@contextmanager
def coinbase(
    products: Sequence[Mapping[str, Any]],
    tickers: Mapping[str, Any],
    candles: Mapping[int, Sequence[Sequence[Any]]] | None = None,
) -> Iterator[Site]:
    """Serve these; ``candles`` by the seconds of each: (start, low, high, open, close, volume), in any order."""

    def answer(path: str, query: Query) -> Any:
        match path.strip("/").split("/"):
            case ["products"]:
                return list(products)
            case ["currencies"]:
                return _currencies(products)
            case ["time"]:
                return {"iso": "2026-11-22T10:00:00.000Z", "epoch": 1_795_341_600.0}
            case ["products", id_, "ticker"]:
                return tickers.get(id_, NOT_FOUND)
            case ["products", id_, "candles"]:
                if all(product["id"] != id_ for product in products):
                    return NOT_FOUND
                return _candles(candles or {}, query)
        return NOT_FOUND

    with serving(answer) as site:
        yield site


def _candles(candles: Mapping[int, Sequence[Sequence[Any]]], query: Query) -> Any:
    length = int(query["granularity"])
    start, end = (datetime.fromisoformat(query[key]).timestamp() for key in ("start", "end"))
    if (end - start) / length > MOST_CANDLES:
        return Said({"message": "granularity too small for the requested time range"}, 400)
    wanted = [list(row) for row in candles.get(length, ()) if start <= row[0] <= end]
    return sorted(wanted, key=lambda row: row[0], reverse=True)


def _currencies(products: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = {product[key] for product in products for key in ("base_currency", "quote_currency")}
    return [
        {
            "id": name, "name": name, "min_size": "0.00000001", "status": "online", "message": "",
            "max_precision": "0.00000001", "convertible_to": [], "details": {"type": "crypto", "symbol": name},
            "default_network": "", "supported_networks": [],
        }
        for name in sorted(names)
    ]  # fmt: skip
