"""Rules made, read, changed and deleted by HTTP, and what the daemon makes of them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from app.alerts.rules import RuleSet
from app.db import Database
from app.rulebook import Rulebook
from app.rules_store import RuleStore
from tests.api import an_api
from tests.asgi import request
from tests.written import Client, a_token

pytestmark = pytest.mark.one_server

RULES = "/api/v1/rules"
HIGH = {"name": "btc-high", "when": "price > 70000.10", "symbols": ["BTC"], "for": "30s", "severity": "critical"}


@pytest.fixture
def client(tmp_path: Path, dsn: str, database: Database) -> Client:
    return Client(an_api(tmp_path, dsn, notify_urls="ops=jsons://example.org/hook"), a_token(database))


def of_file(database: Database, name: str) -> None:
    """As the daemon shows a rule of RULES_FILE."""
    RuleStore(database).file_rules_are([(name, {"name": name, "when": "price > 1", "severity": "warning"}, "d1")], 0)


def as_the_daemon_reads_it(database: Database, tmp_path: Path, file: str = "") -> tuple[RuleSet, dict[str, str]]:
    path = tmp_path / "rules.toml"
    path.write_text(file)
    book = Rulebook(path, ["ops"], "coingecko", threading.Event())
    book.open()
    return book.together(RuleStore(database).api_rules())


def test_a_rule_that_was_made_is_there_and_the_daemon_takes_it_up(
    client: Client, database: Database, tmp_path: Path
) -> None:
    made = client.ask("POST", RULES, {**HIGH, "channels": ["ops"], "clear": None})
    assert (made.status, made.headers["location"]) == (201, f"{RULES}/btc-high")
    assert made.json["definition"] == {**HIGH, "channels": ["ops"]}
    assert list(made.json["definition"]) == ["name", "when", "for", "symbols", "channels", "severity"]
    assert (made.json["origin"], made.json["state"], made.json["error"]) == ("api", "in use", None)
    assert client.get(f"{RULES}/btc-high").json == made.json
    assert client.get(RULES).json == {"rules": [made.json]}
    rules, refused = as_the_daemon_reads_it(database, tmp_path)
    assert ([rule.name for rule in rules.rules], refused) == (["btc-high"], {})
    assert (str(rules.rules[0].when), rules.rules[0].digest) == ("price > 70000.1", made.json["digest"])


WRONG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"when": "abs(price) >\n  avg(prise, 5m)"},
        {"where": "body.when", "line": 2, "column": 7, "problem": "price"},
    ),
    ({"when": "price > 5m"}, {"where": "body.when", "line": 1, "column": 9}),
    ({"clear": "price <"}, {"where": "body.clear", "line": 1, "column": 8}),
    ({"for": "a while"}, {"where": "body.for", "problem": "'a while' should be a length of time"}),
    ({"repeat": "400d"}, {"where": "body.repeat", "problem": "longer than 365d"}),
    ({"symbols": ["*-USD"]}, {"where": "body.symbols", "problem": "symbols in USD do not name it"}),
    ({"symbols": []}, {"where": "body.symbols"}),
    ({"channels": ["night"]}, {"where": "body.channels", "problem": "there is no channel night; there are ops"}),
    ({"severity": "dire"}, {"where": "body.severity", "problem": "info, warning, critical"}),
    ({"name": "two words"}, {"where": "body.name", "problem": "should be 1 to 60 of"}),
    ({"name": None}, {"where": "body.name"}),
    ({"whenn": "price > 1"}, {"where": "body.whenn"}),
    ({"when": "price > 1" + " " * 2000}, {"where": "body.when"}),
    ({"when": 1}, {"where": "body.when"}),
]


def test_what_is_wrong_with_a_rule_is_said_where_it_is_wrong(client: Client) -> None:
    for change, wrong in WRONG:
        (found,) = client.wrong("POST", RULES, {**HIGH, **change})
        problem = wrong.get("problem", "")
        assert {key: found[key] for key in wrong} | {"problem": problem} == wrong | {"problem": problem}, change
        assert problem in str(found["problem"])
    assert client.get(RULES).json == {"rules": []}


def test_all_that_is_wrong_is_said_at_once(client: Client) -> None:
    found = client.wrong("POST", RULES, {"name": "x y", "when": "price >", "for": "1"})
    assert [it["where"] for it in found] == ["body.name", "body.when", "body.for"]


def test_a_channel_that_the_daemon_knows_is_known_here_too(client: Client, database: Database) -> None:
    database.run(lambda cursor: cursor.execute("INSERT INTO channels (name) VALUES ('night')"))
    assert client.ask("POST", RULES, {**HIGH, "channels": ["night"]}).status == 201


def test_a_name_is_given_once(client: Client) -> None:
    assert client.ask("POST", RULES, HIGH).status == 201
    reply = client.ask("POST", RULES, {**HIGH, "when": "price > 1"})
    assert (reply.status, reply.json["detail"]) == (409, "There is a rule of this name; PUT replaces it.")
    assert client.get(f"{RULES}/btc-high").json["definition"]["when"] == "price > 70000.10"


def test_a_rule_is_replaced_and_what_was_wrong_with_it_forgotten(client: Client, database: Database) -> None:
    before = client.ask("POST", RULES, HIGH).json
    RuleStore(database).api_rule_failed("btc-high", "there is no channel ops")
    found = client.get(f"{RULES}/btc-high").json
    assert (found["state"], found["error"]) == ("error", "there is no channel ops")
    after = client.ask("PUT", f"{RULES}/btc-high", {"name": "btc-high", "when": "price > 2"})
    assert (after.status, after.json["state"]) == (200, "in use")
    assert after.json["definition"] == {"name": "btc-high", "when": "price > 2"}
    assert after.json["digest"] != before["digest"]
    assert after.json["updated_at"] > before["updated_at"]


def test_a_rule_keeps_its_name(client: Client) -> None:
    client.ask("POST", RULES, HIGH)
    (wrong,) = client.wrong("PUT", f"{RULES}/btc-high", {**HIGH, "name": "other"})
    assert wrong["where"] == "body.name"


def test_nobody_overwrites_what_he_has_not_seen(client: Client, database: Database) -> None:
    client.ask("POST", RULES, HIGH)
    seen = client.get(f"{RULES}/btc-high").headers["etag"]
    assert client.ask("PUT", f"{RULES}/btc-high", {**HIGH, "for": "1m"}, if_match=seen).status == 200
    late = client.ask("PUT", f"{RULES}/btc-high", HIGH, if_match=seen)
    assert (late.status, late.headers["content-type"]) == (412, "application/problem+json")
    assert client.ask("DELETE", f"{RULES}/btc-high", if_match=seen).status == 412
    now = client.get(f"{RULES}/btc-high")
    assert now.json["definition"]["for"] == "1m"
    assert client.ask("DELETE", f"{RULES}/btc-high", if_match=f'"other", W/{now.headers["etag"]}').status == 204


def test_a_rule_that_was_deleted_is_gone(client: Client, database: Database, tmp_path: Path) -> None:
    client.ask("POST", RULES, HIGH)
    gone = client.ask("DELETE", f"{RULES}/btc-high")
    assert (gone.status, gone.body) == (204, b"")
    for method, body in (("GET", None), ("PUT", HIGH), ("DELETE", None)):
        assert client.ask(method, f"{RULES}/btc-high", body).status == 404
    assert as_the_daemon_reads_it(database, tmp_path) == (RuleSet(), {})


def test_a_rule_of_the_file_is_changed_in_the_file(client: Client, database: Database) -> None:
    of_file(database, "btc-high")
    for method, path, body in (
        ("POST", RULES, HIGH),
        ("PUT", f"{RULES}/btc-high", HIGH),
        ("DELETE", f"{RULES}/btc-high", None),
    ):
        reply = client.ask(method, path, body)
        assert reply.status == 409
        assert "change that file" in reply.json["detail"]
    assert client.get(f"{RULES}/btc-high").json["origin"] == "file"


def test_of_two_rules_of_one_name_that_of_the_file_counts_and_the_other_can_be_deleted(
    client: Client, database: Database
) -> None:
    client.ask("POST", RULES, HIGH)
    of_file(database, "btc-high")
    assert [rule["origin"] for rule in client.get(RULES).json["rules"]] == ["file", "api"]
    assert client.get(f"{RULES}/btc-high").json["origin"] == "file"
    assert client.ask("PUT", f"{RULES}/btc-high", HIGH).status == 409
    assert client.ask("DELETE", f"{RULES}/btc-high").status == 204
    assert [rule["origin"] for rule in client.get(RULES).json["rules"]] == ["file"]


def test_there_are_at_most_a_thousand(client: Client, database: Database) -> None:
    many = "SELECT 'r' || n, 'api', '{}' FROM generate_series(1, 999) AS n"
    database.run(lambda cursor: cursor.execute(f"INSERT INTO rules (name, origin, definition) {many}"))
    assert client.ask("POST", RULES, HIGH).status == 201
    assert client.ask("POST", RULES, {**HIGH, "name": "one-more"}).status == 409
    assert client.ask("PUT", f"{RULES}/btc-high", HIGH).status == 200


def test_who_may_only_read_changes_nothing(client: Client, database: Database) -> None:
    reader = Client(client.api, a_token(database, "read"))
    assert reader.ask("POST", RULES, HIGH).status == 403
    assert request(client.api, f"{RULES}/btc-high", "DELETE").status == 401
    assert reader.get(RULES).json == {"rules": []}
