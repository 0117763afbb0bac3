"""A CoinGecko that serves a script, reply by reply, and keeps a journal of what it served."""

from __future__ import annotations

import csv
import gzip
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

IDS = {"BTC": "bitcoin", "ETH": "ethereum", "ZEC": "zcash"}


@dataclass(frozen=True)
class Row:
    """One observation as it stands in the recording, digit for digit."""

    time: datetime
    symbol: str
    price: str
    volume: str


@dataclass
class Script:
    """What to answer to each poll, in turn: rows, or (status, body). Past its end the last rows come again."""

    steps: Sequence[list[Row] | tuple[int, str]]
    served: list[list[Row]] = field(default_factory=list)
    polls: int = 0
    polled_beyond: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> list[Row] | tuple[int, str]:
        with self.lock:
            self.polls += 1
            if self.polls > len(self.steps):
                self.polled_beyond.set()
                return [] if not self.served else self.served[-1]
            step = self.steps[self.polls - 1]
            if isinstance(step, list):
                self.served.append(step)
            return step


def recorded(path: Path, first: int, minutes: int) -> list[list[Row]]:
    """So many minutes of a recording, one reply each, from the first one on."""
    with gzip.open(path, "rt") as file:
        rows = [
            Row(datetime.fromisoformat(r["ts"]), r["symbol"], r["price"], r["volume_24h_usd"])
            for r in csv.DictReader(file)
        ]
    times = sorted({row.time for row in rows})[first : first + minutes]
    assert len(times) == minutes
    return [[row for row in rows if row.time == time] for time in times]


def body(rows: Sequence[Row]) -> str:
    """The rows as /simple/price writes them: numbers with the recording's own digits."""
    coins = [
        f'"{IDS[row.symbol]}":{{"usd":{row.price},"usd_24h_vol":{row.volume},'
        f'"last_updated_at":{int(row.time.timestamp())}}}'
        for row in rows
    ]
    return "{" + ",".join(coins) + "}"


@contextmanager
def serving(script: Script, coins_list: str = "[]") -> Iterator[str]:
    """Serve it on a free port of this machine; gives the COINGECKO_BASE_URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            if parts.path == "/api/v3/simple/price":
                assert set(query["ids"][0].split(",")) == set(IDS.values())
                assert query["vs_currencies"] == ["usd"]
                step = script.next()
                status, text = step if isinstance(step, tuple) else (200, body(step))
            elif parts.path == "/api/v3/coins/list":
                status, text = 200, coins_list
            else:
                status, text = 404, json.dumps({"error": "not in the script"})
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
