"""Binance's WebSocket, as documented: streams in lower case, one answer for a subscription, and no first frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.exchanges.ws_server import FakeStream


class BinanceStream(FakeStream):
    """An unknown stream is subscribed to like any other; nothing ever comes of it."""

    path = "/ws"

    def answers(self, message: Any) -> Iterable[object]:
        if message.get("method") == "SUBSCRIBE":
            self.subscribed += message["params"]
            yield {"result": None, "id": message["id"]}


def ticker(symbol: str, close: str, milliseconds: int = 1516135684559, base: str = "287542.79200000") -> object:
    """A frame of ``@miniTicker``, digit for digit."""
    return {
        "e": "24hrMiniTicker",
        "E": milliseconds,
        "s": symbol,
        "c": close,
        "o": "0.09448900",
        "h": "0.09575800",
        "l": "0.08100000",
        "v": base,
        "q": "26334.24227973",
    }
