"""``/api/v1/stream``: ticks, candles and alerts as they come in, as server-sent events."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.alerts.definition import canonical_pattern
from app.api.context import Context, Here
from app.api.params import demand_known
from app.api.problems import Problem, invalid
from app.api.stream_events import KINDS, Wanted
from app.api.stream_feed import MOST_CLIENTS, Feed, Full
from app.api.stream_teller import Teller

_MOST_PATTERNS = 100
_KIND = "|".join(KINDS)

_EXAMPLE = """\
retry: 2000

id: 1795342500120

event: tick
data: {"symbol":"BTC","timestamp":"2026-11-22T10:15:03Z","price":67187.34,"volume_24h":28012345678.9,\
"market_cap":1329000000000,"source":"coingecko"}

id: 1795342504017
event: candle
data: {"symbol":"BTC","interval":"1m","bucket":"2026-11-22T10:15:00Z","open":67180.1,"high":67187.34,\
"low":67180.1,"close":67187.34,"volume":28012345678.9,"ticks":4}

"""


class EventStream(Response):
    """Everything a client wants, from now or from where it was, until it goes, is too slow, or the process ends."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, wanted: Wanted, last_id: str | None) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._feed, self._teller = feed, Teller(feed, wanted, last_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._feed.joined():
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                if scope.get("asked_with") == "HEAD":
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    return
                tasks = [asyncio.create_task(self._send_all(send)), asyncio.create_task(_gone(receive))]
                try:
                    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                for task in done:
                    task.result()
        except Full:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_CLIENTS} clients listen already.", {"Retry-After": "10"}
            ) from None

    async def _send_all(self, send: Send) -> None:
        async for piece in self._teller.told():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def show(
    here: Here,
    symbols: Annotated[
        str | None,
        Query(max_length=4000, description="Of these alone: BTC,ETH-EUR@kraken,*@kraken; * stands for any text."),
    ] = None,
    events: Annotated[
        str,
        Query(
            max_length=100,
            pattern="^[a-z]+(,[a-z]+)*$",
            json_schema_extra={"pattern": f"^({_KIND})(,({_KIND}))*$"},
            description="Of these kinds alone.",
        ),
    ] = ",".join(KINDS),
    last_event_id: Annotated[
        str | None,
        Query(pattern="^[0-9]{1,18}$", description="From there on, for those who cannot set `Last-Event-ID`."),
    ] = None,
    header: Annotated[
        str | None, Header(alias="Last-Event-ID", description="From there on: the last id that came.")
    ] = None,
) -> EventStream:
    """Ticks, candles and alerts as they come in, as server-sent events."""
    if unknown := set(events.split(",")) - set(KINDS):
        raise invalid("query.events", f"should be of {', '.join(KINDS)}, not {min(unknown)}")
    last = header or last_event_id
    wanted = Wanted(frozenset(events.split(",")), _patterns(here, symbols, is_new=last is None))
    return EventStream(here.feed, wanted, last)


def _patterns(here: Context, symbols: str | None, *, is_new: bool) -> tuple[str, ...]:
    """Patterns as Wanted has them. Of a client that comes back nobody asks the database whether it knows them."""
    if symbols is None:
        return ()
    texts = symbols.split(",")
    if len(texts) > _MOST_PATTERNS:
        raise invalid("query.symbols", f"should be at most {_MOST_PATTERNS}")
    try:
        patterns = {canonical_pattern(text, here.settings.source) for text in texts}
    except ValueError as error:
        raise invalid("query.symbols", str(error)) from None
    if is_new:
        demand_known(here, [pattern for pattern in patterns if "*" not in pattern])
    return tuple(sorted(patterns))


async def _gone(receive: Receive) -> None:
    """Ends when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


_EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": [*KINDS, "reset", "dropped"]},
        "id": {"type": "string", "pattern": "^[0-9]*$"},
        "data": {"type": "string", "description": "JSON."},
        "retry": {"type": "integer"},
    },
}

DESCRIBED = {
    "response_class": EventStream,
    "responses": {
        200: {
            "description": "Events, for as long as the client stays",
            "content": {"text/event-stream": {"itemSchema": _EVENT, "example": _EXAMPLE}},
        },
    },
}
