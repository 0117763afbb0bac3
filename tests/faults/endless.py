"""A CoinGecko whose market goes on for ever, a second a reply, with alerts every few minutes; it keeps nothing."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_COINS = {"bitcoin": 60781.97, "ethereum": 2388.18, "zcash": 29.455}
_DAYS_BACK = 3  # so that it never gets ahead of the clock


class Endless:
    """``asked``: all requests; ``served``: those answered with prices, the next second of the market each."""

    def __init__(self) -> None:
        self.asked = self.served = 0
        self.broken = False
        self._start = int(datetime.now(UTC).timestamp()) - _DAYS_BACK * 86400
        self._lock = threading.Lock()

    def reply(self, ids: list[str]) -> tuple[int, bytes]:
        """The next status and body."""
        with self._lock:
            self.asked += 1
            if self.broken:
                return 502, b"<html>Bad Gateway</html>"
            number = self.served
            self.served += 1
        return 200, json.dumps({id_: self._coin(id_, number, place) for place, id_ in enumerate(ids)}).encode()

    def _coin(self, id_: str, number: int, place: int) -> dict[str, float | int]:
        # A step up and down every 200 s, so that both rules fire and resolve, and a wave, so that digits change.
        step = 1 + 0.04 * ((number + 60 * place) // 200 % 2)
        price = _COINS[id_] * step * (1 + 0.001 * math.sin(number / 17 + place))
        return {
            "usd": round(price, 6),
            "usd_24h_vol": round(1e9 * (1 + 0.05 * ((number + 90 * place) // 150 % 2)) + number, 3),
            "usd_market_cap": round(price * 19e6, 3),
            "last_updated_at": self._start + number,
        }

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve it on a free port of this machine; gives the COINGECKO_BASE_URL."""
        market = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one piece

            def do_GET(self) -> None:
                ids = parse_qs(urlsplit(self.path).query)["ids"][0].split(",")
                status, body = market.reply(ids)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/api/v3"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
