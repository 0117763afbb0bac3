"""A CoinGecko with a past: prices on a grid of five minutes, the newest of them and their history, and outages."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

IDS = {"BTC": "bitcoin", "ETH": "ethereum", "ZEC": "zcash"}
STEP = 300


@dataclass
class Market:
    """Its time stands at a point of the grid; each poll of a script moves it on to the next one."""

    start: int = field(default_factory=lambda: int(time.time()) // STEP * STEP - 20 * 3600)
    """UNIX seconds of the first point that is ever polled; it has a past of its own."""
    wild: frozenset[int] = frozenset()
    """Points at which prices are up by a tenth."""
    point: int = -1
    last: int = 0
    """The point at which its time stops."""
    is_down: bool = False
    refused: int = 0
    charts: list[str] = field(default_factory=list)
    """The addresses of history that were asked for."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def time_of(self, point: int) -> int:
        return self.start + point * STEP

    def price(self, symbol: str, point: int) -> str:
        base = {"BTC": 60_000, "ETH": 2_000, "ZEC": 400}[symbol]
        return f"{base * (1.1 if point in self.wild else 1) + point % 7 / 100:.2f}"

    def volume(self, symbol: str, point: int) -> str:
        return f"{1e9 + point % 11}"

    def body_of_price(self) -> str:
        with self.lock:
            self.point = min(self.point + 1, self.last)
            point = self.point
        coins = [
            f'"{id_}":{{"usd":{self.price(symbol, point)},"usd_24h_vol":{self.volume(symbol, point)},'
            f'"last_updated_at":{self.time_of(point)}}}'
            for symbol, id_ in IDS.items()
        ]
        return "{" + ",".join(coins) + "}"

    def body_of_chart(self, id_: str, begin: float, end: float, step: int) -> str:
        symbol = next(symbol for symbol, known in IDS.items() if known == id_)
        first, last = (int((at - self.start) // STEP) for at in (begin, min(end, self.time_of(self.point))))
        points = [point for point in range(first, last + 1) if self.time_of(point) % step == 0]
        values = {
            "prices": [f"[{self.time_of(p)}000,{self.price(symbol, p)}]" for p in points],
            "market_caps": [f"[{self.time_of(p)}000,null]" for p in points],
            "total_volumes": [f"[{self.time_of(p)}000,{self.volume(symbol, p)}]" for p in points],
        }
        return "{" + ",".join(f'"{key}":[{",".join(found)}]' for key, found in values.items()) + "}"

    def answer(self, target: str) -> tuple[int, str]:
        parts = urlsplit(target)
        path, query = parts.path.removeprefix("/api/v3"), {k: v[0] for k, v in parse_qs(parts.query).items()}
        if self.is_down:
            self.refused += 1
            return 503, "{}"
        if path == "/simple/price":
            return 200, self.body_of_price()
        if path == "/coins/list":
            return 200, "[]"
        self.charts.append(target)
        now = time.time()
        _, _, id_, *rest = path.split("/")
        if rest == ["market_chart"]:
            assert query["days"] == "1"
            return 200, self.body_of_chart(id_, now - 86400, now, STEP)
        assert rest == ["market_chart", "range"]
        return 200, self.body_of_chart(id_, float(query["from"]), float(query["to"]), 3600)


@contextmanager
def serving(market: Market) -> Iterator[str]:
    """Serve it on a free port of this machine; gives the COINGECKO_BASE_URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                status, text = market.answer(self.path)
            except (AssertionError, StopIteration, ValueError) as error:
                status, text = 404, json.dumps({"error": repr(error)})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

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


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
