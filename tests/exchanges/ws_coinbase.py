"""Coinbase Exchange's WebSocket, as recorded: one subscription is good as a whole or not at all, numbers are texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.exchanges.ws_server import FakeStream


class CoinbaseStream(FakeStream):
    """``snapshots``: by product, the frame that follows its subscription, if any."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshots: dict[str, object] = {}

    def answers(self, message: Any) -> Iterable[object]:
        if message.get("type") != "subscribe":
            return
        products = message["product_ids"]
        for product in products:
            if product in self.unknown:
                yield {"type": "error", "message": "Failed to subscribe", "reason": f"{product} is not a valid product"}
                return
        self.subscribed += products
        channel = {"name": "ticker", "product_ids": products, "account_ids": None}
        yield {"type": "subscriptions", "channels": [channel]}
        for product in products:
            if product in self.snapshots:
                yield self.snapshots[product]


def ticker(
    product: str,
    price: str,
    time: str = "2026-08-27T09:41:12.123456Z",
    volume: str = "6736.34239815",
    sequence: int = 1,
) -> object:
    """A frame, digit for digit."""
    return {
        "type": "ticker",
        "sequence": sequence,
        "product_id": product,
        "price": price,
        "open_24h": "78434.74",
        "volume_24h": volume,
        "low_24h": "77601.02",
        "high_24h": "80529.99",
        "volume_30d": "2295579.57000000",
        "best_bid": "80227.99",
        "best_bid_size": "0.10647825",
        "best_ask": "80228.07",
        "best_ask_size": "0.03131702",
        "side": "buy",
        "time": time,
        "trade_id": sequence,
        "last_size": "0.04",
    }
