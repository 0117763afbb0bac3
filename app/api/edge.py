"""The outermost layer, around every reply there is: browser headers, HEAD, the access log, and what is counted."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import log
from app.api import measured
from app.api.callers import Caller
from app.api.guarded import Guarded
from app.clock import Clock, SystemClock

# Nothing from elsewhere, nothing inline, no framing. There is no Access-Control-* header, unless API_CORS_ORIGINS asks
# for some.
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

_LONGEST_PATH = 300
# Pasted into an address, where it does not belong, it must not reach the log either.
_TOKEN = re.compile(r"cm_([0-9a-f]{12})_[A-Za-z0-9_-]+")
_KEPT_OUT = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST)
_MINUTE = 60.0
_MOST_CALLERS = 100
_OTHERS = "all others"


@dataclass(slots=True)
class _Told:
    """Of a caller that was kept out: until when the next line of it waits, and what has been left out since."""

    until: float
    left_out: int = 0


class _KeptOut:
    """Of those that are kept out lets one line a minute and caller into the log: trying must not be a way to fill it.

    Of a hundred callers at once; those beyond share one line.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: OrderedDict[str, _Told] = OrderedDict()  # those whose minute ends first come first

    def left_out(self, caller: str) -> int | None:
        """How many have been left out before this line; None: it is left out, too."""
        now = self._clock.monotonic()
        if caller not in self._told and len(self._told) >= _MOST_CALLERS:
            first = next(iter(self._told))
            if self._told[first].until <= now:
                del self._told[first]
            else:
                caller = _OTHERS
        told = self._told.get(caller)
        if told is not None and now < told.until:
            told.left_out += 1
            return None
        self._told.pop(caller, None)
        self._told[caller] = _Told(now + _MINUTE)
        return told.left_out if told is not None else 0


class Edge:
    """Wraps the application; not one of its middlewares, because those do not see the replies to errors."""

    def __init__(self, app: ASGIApp, clock: Clock | None = None) -> None:
        self._app = app
        self._kept_out = _KeptOut(clock or SystemClock())
        self._log = log.get(__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status, size = time.monotonic(), 0, 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = int(message["status"])  # an HTTPStatus would stand in the log by its name
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            size += len(message.get("body", b""))
            await send(message)

        inner = _with_get_for_head(scope)
        try:
            await self._app(inner, receive, send_with_headers)
        finally:
            seconds = time.monotonic() - started
            measured.answered(measured.route_of(inner), scope["method"], status, seconds)
            self._note(scope, inner, status, size, seconds)

    def _note(self, scope: Scope, inner: Scope, status: int, size: int, seconds: float) -> None:
        """A line in the log; also when nobody debugs, of what changed something, and of those that were kept out."""
        method, route = scope["method"], inner.get("route")
        caller: Caller | None = inner.get("state", {}).get("caller")
        is_shown, more = isinstance(route, Guarded) and route.writes and 200 <= status < 300, {}
        if status in _KEPT_OUT:
            left_out = self._kept_out.left_out(caller.key if caller else "")
            is_shown, more = left_out is not None, {"left_out": left_out} if left_out else {}
        write = self._log.info if is_shown else self._log.debug
        write(
            "Answered.",
            action="access",
            method=method,
            path=_path(scope),
            status=status,
            ms=round(seconds * 1000, 1),
            bytes=0 if method == "HEAD" else size,
            client=caller.address if caller else "",
            token=caller.token.id if caller and caller.token else "",
            **more,
        )


def _path(scope: Scope) -> str:
    """Without the query, and as it was sent, percent-encoded: decoded, it could forge a line of the log."""
    path = scope["raw_path"].decode("ascii", "replace")[:_LONGEST_PATH]
    return _TOKEN.sub(r"cm_\1_...", path)


def _with_get_for_head(scope: Scope) -> Scope:
    """HEAD is GET without the body, which the server leaves out by itself; only a reply without end needs to know."""
    method = scope["method"]
    return {**scope, "method": "GET" if method == "HEAD" else method, "asked_with": method}
