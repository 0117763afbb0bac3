"""A provider and a receiver of messages that repeat every secret they are sent, in all they say."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Said = tuple[int, dict[str, str], str]
"""Status, headers, body."""


def _plain(status: int) -> Callable[[str], Said]:
    return lambda secrets: (status, {}, secrets)


REPLIES: dict[str, Callable[[str], Said]] = {
    "500": _plain(500),
    "503 with a page": lambda secrets: (503, {}, f"<html>{secrets}</html>"),
    "404 as JSON": lambda secrets: (404, {}, json.dumps({"error": f"no coin for {secrets}"})),
    "400, long": lambda secrets: (400, {}, f"{'x' * 190}{secrets}{secrets * 2000}"),
    "302": lambda secrets: (302, {"Location": f"http://{secrets}.example.com/{secrets}?key={secrets}#{secrets}"}, ""),
    "301": lambda secrets: (301, {"Location": f"/{secrets}"}, secrets),
    "200, half of a JSON": lambda secrets: (200, {}, f'{{"bitcoin":{{"usd":"{secrets}'),
    "200, a text": lambda secrets: (200, {}, json.dumps(secrets)),
    "200, no number": lambda secrets: (200, {}, json.dumps({"bitcoin": {"usd": secrets}, "gecko_says": [secrets]})),
    "200, no object": lambda secrets: (200, {}, json.dumps({"bitcoin": secrets, "ethereum": [secrets]})),
    "200, no time": lambda secrets: (200, {}, json.dumps({"bitcoin": {"usd": 1, "last_updated_at": secrets}})),
    "200, no date": lambda secrets: (200, {"Date": secrets, "Content-Encoding": secrets}, secrets),
    "200, not gzip": lambda secrets: (200, {"Content-Encoding": "gzip"}, secrets),
    "200, the length wrong": lambda secrets: (200, {"Content-Length": "5000"}, secrets),
    "429": lambda secrets: (429, {"Retry-After": secrets}, secrets),
    "401": _plain(401),
    "401 as CoinGecko says it": lambda secrets: (
        401,
        {},
        json.dumps({"status": {"error_code": 10002, "error_message": f"API Key {secrets} is wrong"}}),
    ),
    "403": _plain(403),
    "407": lambda secrets: (407, {"Proxy-Authenticate": f'Basic realm="{secrets}"'}, secrets),
}
"""What it may say instead of prices, from the secrets that came with the call."""


@dataclass
class Echoing:
    """``steps``: for each question in turn a body of prices, or one of REPLIES; the last one for ever after."""

    steps: Sequence[str | Callable[[str], Said]]
    url: str = ""
    asked: int = 0
    posted: list[str] = field(default_factory=list)
    """The secrets that came with each message."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, secrets: str) -> Said:
        with self.lock:
            step = self.steps[min(self.asked, len(self.steps) - 1)]
            self.asked += 1
        return step(secrets) if callable(step) else (200, {}, step)

    def take(self, secrets: str) -> Said:
        """Of the messages that are posted it takes the second; after the third one is not tried again soon."""
        with self.lock:
            self.posted.append(secrets)
            status = (500, 200, 401)[min(len(self.posted), 3) - 1]
        return status, {"Retry-After": secrets, "Location": f"/{secrets}"}, secrets


@contextmanager
def serving(*steps: str | Callable[[str], Said]) -> Iterator[Echoing]:
    """Run it on a free port of this machine."""
    echoing = Echoing(steps)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            keys = [
                value for name, value in self.headers.items() if name.lower().startswith(("x-cg", "proxy-a", "auth"))
            ]
            self.say(*echoing.answer(" ".join(keys)))

        def do_CONNECT(self) -> None:
            self.send_response(407, f"for {self.headers.get('Proxy-Authorization', 'nobody')}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.say(*echoing.take(f"{self.path} {self.headers.get('Authorization')} {self.headers.get('X-Token')}"))

        def say(self, status: int, headers: dict[str, str], body: str) -> None:
            content = body.encode()
            self.send_response_only(status)
            lines = {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
            for name, value in lines.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = lines["Content-Length"] != str(len(content))

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    echoing.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield echoing
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
