"""A web site on loopback that answers as an exchange does: paths, and functions that make the replies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Query = dict[str, str]


@dataclass(frozen=True)
class Said:
    """A reply that is not simply 200 and JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Route = Callable[[str, Query], Any]
"""From path and query to JSON, or to Said. Raises KeyError for what is not there."""


@dataclass
class Site:
    """A running site. What is appended to ``instead`` is said once each, whatever is asked."""

    answer: Route
    root: str = ""
    asked: list[tuple[str, Query]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    instead: list[Said] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@contextmanager
def serving(answer: Route) -> Iterator[Site]:
    """Run a site; when left, its port and its threads are gone."""
    site = Site(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path, query = unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True))
            site.asked.append((path, query))
            site.headers.append(dict(self.headers))
            said = site.instead.pop(0) if site.instead else site.answer(path, query)
            said = said if isinstance(said, Said) else Said(said)
            body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in {"Content-Type": "application/json", **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing."""

        def date_time_string(self, timestamp: float | None = None) -> str:
            return "?"  # no clock of its own: the one of the test counts

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        site.root = f"http://127.0.0.1:{server.server_address[1]}"
        loop = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        loop.start()
        try:
            yield site
        finally:
            server.shutdown()
            loop.join()
