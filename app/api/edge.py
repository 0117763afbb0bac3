"""The outermost layer, around every reply there is: browser headers, HEAD, and the access log."""

from __future__ import annotations

import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import log

# Nothing from elsewhere, nothing inline, no framing. There is no Access-Control-* header: CORS is off.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""What every reply carries; a route that sets one of them itself keeps its own."""


class Edge:
    """Wraps the application; not one of its middlewares, because those do not see the replies to errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = log.get(__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.monotonic(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(_with_get_for_head(scope), receive, send_with_headers)
        finally:
            # As it was sent, percent-encoded: decoded, it could hold a line end and forge a line of the log.
            path = scope["raw_path"].decode("ascii", "replace")
            took = round((time.monotonic() - started) * 1000, 1)
            self._log.debug("Answered.", action="access", method=scope["method"], path=path, status=status, ms=took)


def _with_get_for_head(scope: Scope) -> Scope:
    """HEAD is GET without the body, which the server leaves out by itself; routes need not know."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
