"""Attacks on every parameter and body of every route: refused, or taken for the harmless text that they are."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from app.api.edge import Edge
from app.api.routes import ROUTES, Route
from app.db import Database
from tests.api import an_api
from tests.asgi import Reply, request
from tests.attacks import ATTACKS, address, bodies, targets
from tests.conftest import Logged, new_database
from tests.filled import fill
from tests.servers import Installed, available
from tests.written import a_token

OF_CLIENTS = frozenset({"silences", "rules", "watch", "acknowledged"})
"""The tables that requests are there to change."""

INTERNALS = re.compile(
    r"Traceback|File \"|site-packages|psycopg|sqlstate|relation \"|syntax error|pg_|asyncio|pydantic|cm_[0-9a-f]{12}_",
    re.IGNORECASE,
)
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[")


@dataclass(frozen=True)
class Attacked:
    """An API over a database with something in it, and somebody who may write."""

    api: Edge
    token: str
    database: Database
    document: Any

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        given = {"authorization": f"Bearer {self.token}", **headers}
        if body:
            given |= {"content-type": "application/json"}
        return request(self.api, path, method, headers=given, body=body, leave=True)

    def state(self) -> dict[str, str]:
        """What each table holds, and what there is beside tables."""
        return self.database.run(_state)


def _state(cursor: Any) -> dict[str, str]:
    cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')")
    tables = [name for (name,) in cursor.fetchall()]
    found = {}
    for name in tables:
        cursor.execute(
            f"SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {name} AS t"
        )
        found[name] = cursor.fetchone()[0]
    cursor.execute("""
        SELECT md5(string_agg(its, '|' ORDER BY its)) FROM (
            SELECT attrelid::regclass || ' ' || attname || ' ' || atttypid::regtype AS its FROM pg_attribute
            UNION ALL SELECT oid::regprocedure || ' ' || md5(prosrc) FROM pg_proc
            UNION ALL SELECT rolname || ' ' || rolsuper FROM pg_roles
        ) AS all_there_is""")
    return {**found, "schema": cursor.fetchone()[0]}


@pytest.fixture(scope="module")
def attacked(
    servers: Callable[[Installed], str], templates: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attacked]:
    server = servers(available()[0])
    with (
        new_database(server, templates(server)) as dsn,
        closing(Database(dsn, threading.Event())) as database,
    ):
        fill(database, datetime.now(UTC))
        api = an_api(tmp_path_factory.mktemp("attacked"), dsn, api_requests_per_second=0)
        token = a_token(database)
        its = Attacked(api, token, database, request(api, "/openapi.json").json)
        assert its.ask("GET", "/api/v1/metrics", {}, b"").json["metrics"], "there is nothing to steal"
        yield its


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_an_attack_by_a_parameter_is_refused_or_finds_nothing_and_changes_nothing(
    attacked: Attacked, route: Route, logged: Logged
) -> None:
    before = attacked.state()
    for target in targets(attacked.document, route.method, route.path):
        for what, attack in ATTACKS.items():
            path, headers = target.request(attack)
            reply = attacked.ask(route.method, path, headers, target.body)
            demand_harmless(reply, f"{target}: {what}", str(attack))
            assert (
                target.place == "header"
                or route.lenient
                or reply.status >= 400
                or not what.startswith("SQL")
                or is_empty(reply)
            ), f"{target}: {what}: {reply.body[:500]!r}"
    assert attacked.state() == before
    demand_harmless_log(logged, attacked.token)


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.method in ("POST", "PUT")], ids=lambda r: f"{r.method} {r.path}"
)
def test_an_attack_by_a_body_is_refused_or_kept_as_text(attacked: Attacked, route: Route, logged: Logged) -> None:
    before = attacked.state()
    for what, body in bodies(attacked.document, route.method, route.path, route.most_bytes):
        reply = attacked.ask(route.method, address(route.path), {}, body)
        demand_harmless(reply, what, body.decode(errors="replace"))
    after = attacked.state()
    changed = {name for name in before if after[name] != before[name]}
    assert changed <= OF_CLIENTS
    demand_harmless_log(logged, attacked.token)


def demand_harmless(reply: Reply, what: str, attack: str) -> None:
    """That it is no failure, that it is not taken for a page, and that it says nothing of how we are made."""
    text = reply.body.decode()
    assert reply.status < 500, (what, reply.status, text[:500])
    told = [found for found in INTERNALS.findall(text) if found not in attack]
    assert not told, (what, told, text[:500])
    assert reply.headers["x-content-type-options"] == "nosniff", what
    assert "set-cookie" not in reply.headers, what
    assert all(value.isprintable() for value in reply.headers.values()), (what, reply.headers)
    if "<script" in text:
        assert reply.headers["content-type"].startswith(("application/json", "application/problem+json")), what


def is_empty(reply: Reply) -> bool:
    """Whether nothing of ours is in it."""
    return not any(isinstance(value, list | dict) and value for value in json.loads(reply.body).values())


def demand_harmless_log(logged: Logged, token: str) -> None:
    text = logged.read_new()
    assert token not in text
    assert "Traceback" not in text, text
    odd = [line for line in text.splitlines() if not LINE.match(line)]
    assert not odd, odd[:5]
