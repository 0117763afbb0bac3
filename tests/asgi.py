"""Requests handed to the application as a server would, without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from app.api.edge import Edge


@dataclass(frozen=True)
class Reply:
    """What the application answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


LOOPBACK = ("127.0.0.1", 50000)


def request(
    app: Edge,
    path: str,
    method: str = "GET",
    ignore: type[Exception] | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | Sequence[bytes] = b"",
    client: tuple[str, int] | None = LOOPBACK,
    leave: bool = False,
) -> Reply:
    """One request from this machine, or from elsewhere.

    ``ignore``: the error that the application passes on to the server after it has answered. ``headers``: beside, or
    instead of, ``Host: testing``. ``body``: as one piece, which has a length, or as several, which have none.
    ``leave``: the client goes as soon as a stream of events begins, which else has no end.
    """
    sent: list[Any] = []
    pieces = [body] if isinstance(body, bytes) else list(body)
    arriving = iter(range(len(pieces)))

    async def receive() -> Any:
        number = next(arriving, None)
        if number is None:
            while not (leave and sent and b"text/event-stream" in dict(sent[0]["headers"]).get(b"content-type", b"")):
                await asyncio.sleep(0.005 if leave else 3600)  # the client stays until it has its answer
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces[number], "more_body": number + 1 < len(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    plain, _, query = path.partition("?")
    length = {"content-length": str(len(body))} if isinstance(body, bytes) and body else {}
    given = {"host": "testing", **length, **{name.lower(): value for name, value in (headers or {}).items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(plain),
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        "client": client,
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
    }
    try:
        asyncio.run(app(scope, receive, send))
    except Exception as error:
        if ignore is None or not isinstance(error, ignore):
            raise
    got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], got, b"".join(message.get("body", b"") for message in sent[1:]))
