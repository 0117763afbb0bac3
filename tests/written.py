"""The API with somebody who may write: requests with JSON and a token."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from app.api.edge import Edge
from app.db import Database
from app.tokens import Scope, Tokens
from tests.asgi import Reply, request


def a_token(database: Database, scope: Scope = "write") -> str:
    """One of somebody named ada, for a day."""
    return Tokens(database).create(scope, timedelta(days=1), "ada")[1]


@dataclass(frozen=True)
class Client:
    """Asks an API, as whoever has the token."""

    api: Edge
    token: str

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """``headers``: as in ``if_match='"..."'``."""
        given = {"authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body is None:
            return request(self.api, path, method, headers=given)
        content = {"content-type": "application/json"}
        return request(self.api, path, method, headers={**content, **given}, body=json.dumps(body).encode())

    @property
    def get(self) -> Callable[[str], Reply]:
        return lambda path: self.ask("GET", path)

    def wrong(self, method: str, path: str, body: object = None) -> list[dict[str, object]]:
        """What is found wrong with a request that cannot be used."""
        reply = self.ask(method, path, body)
        assert reply.status == 422, reply.body
        errors: list[dict[str, object]] = reply.json["errors"]
        return errors
