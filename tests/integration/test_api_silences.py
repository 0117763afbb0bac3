"""Silences made, read and ended by HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app import silences
from app.db import Database
from app.silences import Silences
from tests.api import an_api
from tests.asgi import request
from tests.written import Client, a_token

pytestmark = pytest.mark.one_server

SILENCES = "/api/v1/silences"
MOVE = {"rule": "price-*", "symbol": "btc@*", "for": "2h", "why": "the exchange moves house – 引っ越し"}


@pytest.fixture
def client(tmp_path: Path, dsn: str, database: Database) -> Client:
    return Client(an_api(tmp_path, dsn), a_token(database))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_silence_that_was_made_is_in_force_until_it_is_ended(client: Client, database: Database) -> None:
    made = client.ask("POST", SILENCES, MOVE)
    its = made.json
    assert (made.status, made.headers["location"]) == (201, f"{SILENCES}/{its['id']}")
    assert (its["rule"], its["symbol"], its["severity"], its["why"]) == ("price-*", "BTC@*", "*", MOVE["why"])
    assert moment(its["ends_at"]) - moment(its["starts_at"]) == timedelta(hours=2)
    assert (its["state"], its["ended_at"]) == ("in force", None)
    assert client.get(f"{SILENCES}/{its['id']}").json == its
    assert client.get(SILENCES).json == {"silences": [its], "next": None}
    (kept,) = Silences(database).read()
    assert (kept.id, kept.symbol) == (its["id"], "BTC@*")

    ended = client.ask("POST", f"{SILENCES}/{its['id']}/end")
    assert (ended.status, ended.json["state"]) == (200, "over")
    assert client.ask("POST", f"{SILENCES}/{its['id']}/end").json == ended.json, "once more changes nothing"
    assert client.get(SILENCES).json["silences"] == []
    assert client.get(f"{SILENCES}?all=true").json["silences"] == [ended.json]


def test_a_silence_may_begin_later_and_has_an_end_as_a_length_or_a_time(client: Client) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    given = {"severity": "*", "from": soon.isoformat(), "why": "upkeep"}
    long = client.ask("POST", SILENCES, {**given, "for": "90m"}).json
    until = client.ask("POST", SILENCES, {**given, "until": (soon + timedelta(minutes=90)).isoformat()}).json
    assert long["state"] == until["state"] == "to come"
    assert long["starts_at"] == until["starts_at"] == soon.isoformat().replace("+00:00", "Z")
    assert long["ends_at"] == until["ends_at"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"rule": None, "symbol": None}, "body"),
    ({"for": None}, "body"),
    ({"until": "2100-01-01"}, "body"),
    ({"for": "0h"}, "body.for"),
    ({"for": "soon"}, "body.for"),
    ({"for": None, "until": "2020-01-01"}, "body.until"),
    ({"for": None, "until": "2050-01-01", "from": "2051-01-01"}, "body.until"),
    ({"for": None, "until": "2020-01-01", "from": "2019-01-01"}, "body.until"),
    ({"for": None, "until": "9999-12-31"}, "body.until"),
    ({"for": "1d", "from": "0001-01-01"}, "body.from"),
    ({"for": "1d", "from": "2020-01-01"}, "body.from"),
    ({"from": "9999-12-31T23:59:59Z"}, "body.from"),
    ({"from": "today"}, "body.from"),
    ({"symbol": "*-USD"}, "body.symbol"),
    ({"symbol": "two words"}, "body.symbol"),
    ({"rule": ""}, "body.rule"),
    ({"severity": "dire"}, "body.severity"),
    ({"why": " "}, "body.why"),
    ({"why": "a\x1b[31mred"}, "body.why"),
    ({"why": "x" * 501}, "body.why"),
    ({"whom": "me"}, "body.whom"),
]


def test_what_cannot_be_silenced_is_refused_with_its_place(client: Client) -> None:
    for change, where in WRONG:
        body = {key: value for key, value in {**MOVE, **change}.items() if value is not None}
        assert [it["where"] for it in client.wrong("POST", SILENCES, body)] == [where], change
    assert client.get(f"{SILENCES}?all=true").json["silences"] == []


def test_a_silence_may_begin_in_the_past_for_ticks_that_come_late(client: Client) -> None:
    begun = datetime.now(UTC) - timedelta(hours=1)
    made = client.ask("POST", SILENCES, {**MOVE, "from": begun.isoformat()})
    assert (made.status, made.json["state"]) == (201, "in force")


def test_there_are_at_most_a_thousand_and_one_that_ends_makes_room(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert silences.MOST == 1000
    monkeypatch.setattr(silences, "MOST", 2)
    old = datetime(2020, 1, 1, tzinfo=UTC)
    Silences(database).add(rule="*", symbol="*", severity="*", why="over", length=timedelta(1), starts_at=old)
    first = client.ask("POST", SILENCES, MOVE)
    later = client.ask("POST", SILENCES, {**MOVE, "from": "2100-01-01"})
    assert (first.status, later.status) == (201, 201)
    refused = client.ask("POST", SILENCES, MOVE)
    assert (refused.status, refused.headers["content-type"]) == (409, "application/problem+json")
    assert "silences in force or to come" in refused.json["detail"]
    client.ask("POST", f"{SILENCES}/{first.json['id']}/end")
    assert client.ask("POST", SILENCES, MOVE).status == 201


def test_what_was_written_is_in_the_log_and_what_was_refused_is_for_debugging(client: Client) -> None:
    with capture_logs() as lines:
        made = client.ask("POST", SILENCES, MOVE)
        client.ask("POST", SILENCES, {})
        client.get(SILENCES)
    said = [(line["log_level"], line["method"], line["status"], line["token"]) for line in lines]
    id_ = client.token.split("_")[1]
    assert said == [("info", "POST", 201, id_), ("debug", "POST", 422, id_), ("debug", "GET", 200, id_)]
    assert made.status == 201


def test_silences_come_in_pages_the_latest_made_first(client: Client, database: Database) -> None:
    for why in "abcde":
        Silences(database).add(rule="*", symbol="*", severity="*", why=why, length=timedelta(hours=1))
    seen, page = "", client.get(f"{SILENCES}?limit=2").json
    while True:
        assert len(page["silences"]) <= 2
        seen += "".join(silence["why"] for silence in page["silences"])
        if page["next"] is None:
            break
        page = client.get(f"{SILENCES}?limit=2&cursor={page['next']}").json
    assert seen == "edcba"


def test_what_there_is_not_is_not_found_and_readers_write_nothing(client: Client) -> None:
    assert client.get(f"{SILENCES}/7").status == 404
    assert client.ask("POST", f"{SILENCES}/{2**63 - 1}/end").status == 404
    assert client.get(f"{SILENCES}/{2**63}").status == 422
    assert request(client.api, f"{SILENCES}/7/end", "POST").status == 401
