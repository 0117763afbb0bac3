"""The simulator over HTTP, in a thread."""

from __future__ import annotations

import errno
import socket
import socketserver
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

from app import log
from app.clock import Clock
from app.errors import AlreadyRunning, ConfigurationError
from app.simulate.market import Market
from app.simulate.pages import API_ROOT
from app.simulate.site import Site
from app.simulate.timeline import Timeline

_LONGEST_BODY = 65_536

_log = log.get(__name__)


class Server:
    """Serves a market for as long as it is started.

    ``with Server(market, timeline, clock) as server: requests.get(server.url + "/ping")``
    """

    def __init__(
        self, market: Market, timeline: Timeline, clock: Clock, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Takes the port (0 = a free one). Raises AlreadyRunning if it is in use, ConfigurationError if not usable."""
        site = Site(market, timeline, clock)
        try:
            self._http = _HttpServer(host, port, site, clock)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AlreadyRunning(f"--port {port}: in use on {host}; choose another, or 0 for a free one") from None
            reason = error.strerror or error
            raise ConfigurationError(f"--host {host} --port {port}: cannot listen there ({reason})") from None
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), name="simulate", daemon=True)

    @property
    def root(self) -> str:
        """``http://127.0.0.1:8900``; where it listens on every address, the loopback one."""
        host, port = (str(part) for part in self._http.server_address[:2])
        if self._http.address_family == socket.AF_INET6:
            return f"http://[{'::1' if host == '::' else host}]:{port}"
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104  (shown, not bound)

    @property
    def url(self) -> str:
        """The root of the API: what COINGECKO_BASE_URL takes."""
        return self.root + API_ROOT

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End at once: open connections are closed, and the port is free. A server that was stopped stays so."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _HttpServer(socketserver.ThreadingTCPServer):
    """A thread a connection. It knows the open ones, so that a server that was stopped answers nobody any more.

    Not ``http.server.HTTPServer``: that looks its own host's name up at start, which takes seconds without a network.
    """

    allow_reuse_address = True  # after a restart, while connections of before are still winding down
    allow_reuse_port = False  # a second server on the port is a mistake, not a way to share work
    request_queue_size = 128

    def __init__(self, host: str, port: int, site: Site, clock: Clock) -> None:
        self.site, self.clock = site, clock
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._connections: set[socket.socket] = set()
        self._changing = threading.Lock()
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changing:
            self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Also ends the connections; their threads, which are waited for, see the end of their input."""
        with self._changing:
            for connection in self._connections:
                with suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  (the log needs no address)
        """A client that went away is nothing to tell; anything else is a mistake of ours, and costs its connection."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            _log.error("A request could not be answered.", action="reply", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, writes the reply of the site."""

    server: _HttpServer

    protocol_version = "HTTP/1.1"  # keep-alive
    timeout = 75  # seconds an idle connection is kept
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one piece

    def do_GET(self) -> None:
        self._drop_body()
        reply = self.server.site.reply(self.command, self.path)
        body = reply.body.encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET  # noqa: N815  (the names http.server calls)

    def _drop_body(self) -> None:
        """Nothing asked here needs one; left unread it would be taken for the next request."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _LONGEST_BODY or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        else:
            self.rfile.read(int(length))

    def end_headers(self) -> None:
        self.send_header("X-Market", self.server.site.market_label)
        super().end_headers()

    def version_string(self) -> str:
        return "CryptoMonitor-simulate"

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The ``Date`` header, by the clock that was passed in."""
        return super().date_time_string(self.server.clock.now().timestamp() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        """Twenty requests a second are not worth twenty lines."""
