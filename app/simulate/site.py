"""What is answered to which request: CoinGecko's endpoints, a page about the simulator, and 429 on demand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from app import log
from app.clock import Clock
from app.simulate.digits import Json, to_json
from app.simulate.market import Market
from app.simulate.pages import API_ROOT, about
from app.simulate.replies import RATE_LIMIT_BODY, CoinGecko, Refusal
from app.simulate.timeline import Timeline

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the client."""

    status: int
    body: str
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class Throttle:
    """Whether requests are refused for the time being, and how. Safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._state = (clock.monotonic(), "")  # until when, and the Retry-After: one value, so that both change at once

    def set(self, seconds: float, retry_after: str) -> None:
        """Refuse from now on for so many seconds; ``retry_after`` is the header's text, empty = no header."""
        self._state = (self._clock.monotonic() + seconds, retry_after)

    def refusal(self) -> Reply | None:
        until, retry_after = self._state
        if self._clock.monotonic() >= until:
            return None
        return _json(429, RATE_LIMIT_BODY, {"Retry-After": retry_after} if retry_after else {})


class Site:
    """Everything the simulator answers, whatever carries it. Safe to use from several threads."""

    def __init__(self, market: Market, timeline: Timeline, clock: Clock) -> None:
        self.market_label = market.label
        self._market, self._timeline = market, timeline
        self._api = CoinGecko(market, timeline)
        self._throttle = Throttle(clock)

    def reply(self, method: str, target: str) -> Reply:
        """The reply to ``GET /api/v3/ping?...``; HEAD is answered as GET, any other method as POST."""
        address, _, parameters = target.partition("?")
        path, query = unquote(address).rstrip("/"), dict(parse_qsl(parameters))
        if method not in ("GET", "HEAD"):
            return self._control(path, query)
        if path == "":
            return Reply(200, about(self._market, self._timeline), "text/plain; charset=utf-8")
        if not path.startswith(f"{API_ROOT}/"):
            return _json(404, {"error": f"the endpoints of this simulator are under {API_ROOT}, and / tells which"})
        return self._throttle.refusal() or self._coingecko(path.removeprefix(API_ROOT), query)

    def _coingecko(self, path: str, query: Mapping[str, str]) -> Reply:
        try:
            return _json(200, self._api.answer(path, query))
        except Refusal as refusal:
            return _json(refusal.status, refusal.body)

    def _control(self, path: str, query: Mapping[str, str]) -> Reply:
        if path != "/simulate/throttle":
            return _json(404, {"error": "only /simulate/throttle takes a POST"})
        seconds, retry_after = query.get("seconds", ""), query.get("retry_after", "")
        if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", seconds, re.ASCII):
            return _json(422, {"error": "seconds should be a number from 0, as in ?seconds=30"})
        if not re.fullmatch(r"\d{0,6}", retry_after, re.ASCII):
            return _json(422, {"error": "retry_after should be whole seconds, as in ?seconds=30&retry_after=5"})
        self._throttle.set(float(seconds), retry_after)
        state: dict[str, Json] = {
            "seconds": float(seconds),
            "retry_after": int(retry_after) if retry_after else None,
        }
        _log.info("How long requests are refused was set on demand.", action="throttle", **state)
        return _json(200, state)


def _json(status: int, body: Json, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, to_json(body), headers=headers or {})
