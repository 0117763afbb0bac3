"""Requests handed to the application as a server would, without a network."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

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


def request(app: Edge, path: str, method: str = "GET", ignore: type[Exception] | None = None) -> Reply:
    """One request; ``ignore``: the error that the application passes on to the server after it has answered."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    plain, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"testing")],
    }
    try:
        asyncio.run(app(scope, receive, send))
    except Exception as error:
        if ignore is None or not isinstance(error, ignore):
            raise
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
