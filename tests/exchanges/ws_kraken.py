"""Kraken's WebSocket, version 2, as recorded: a word for each symbol, numbers as JSON numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.exchanges.ws_server import FakeStream


class KrakenStream(FakeStream):
    """``snapshots``: by symbol, the frame that follows its subscription, if any."""

    path = "/v2"

    def __init__(self) -> None:
        super().__init__()
        self.snapshots: dict[str, object] = {}

    def greeting(self) -> Iterable[object]:
        system = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": 7974620515126709019}
        yield {"channel": "status", "type": "update", "data": [system]}

    def answers(self, message: Any) -> Iterable[object]:
        if message.get("method") == "ping":
            yield {"method": "pong", "time_in": "2026-08-27T00:00:00Z", "time_out": "2026-08-27T00:00:00Z"}
        if message.get("method") != "subscribe":
            return
        for symbol in message["params"]["symbol"]:
            asked = {"method": "subscribe", "req_id": message["req_id"]}
            if symbol in self.unknown:
                yield asked | {
                    "error": f"Currency pair not supported {symbol}",
                    "success": False,
                    "symbol": symbol,
                }
                continue
            self.subscribed.append(symbol)
            yield asked | {
                "result": {"channel": "ticker", "event_trigger": "trades", "snapshot": True, "symbol": symbol},
                "success": True,
            }
            if symbol in self.snapshots:
                yield self.snapshots[symbol]


def ticker(
    symbol: str,
    last: str,
    time: str | None = "2026-07-08T05:24:41.204829Z",
    volume: str = "1947.83637005",
    vwap: str = "63392.2",
) -> str:
    """A frame, digit for digit; older ones had no time."""
    stamp = f',"timestamp":"{time}"' if time else ""
    return (
        '{"channel":"ticker","type":"update","data":[{'
        f'"symbol":"{symbol}","bid":62703.4,"bid_qty":0.0318498,"ask":62710.3,"ask_qty":0.00191335,"last":{last},'
        f'"volume":{volume},"vwap":{vwap},"low":58033,"high":64196.6,"change":-239.4,"change_pct":-0.38{stamp}'
        "}]}"
    )
