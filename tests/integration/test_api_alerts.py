"""What was alerted, by HTTP: found by many marks, with what became of it; and alerts that somebody takes note of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.alerts.states import Episode, Outcome
from app.db import Database
from app.model import Alert, State
from app.silences import Silences
from app.store import Store
from tests.api import an_api
from tests.asgi import request
from tests.written import Client, a_token

pytestmark = pytest.mark.one_server

ALERTS = "/api/v1/alerts"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TERMS = (("price", "67187.340"), ("avg(price,5m)", "65670.118"))
BTC = Alert("3f2a9c0d11e4", State.FIRING, NOON, "BTC", "price-2pct-5m", TERMS, "warning")
ETH = replace(BTC, id="aa", symbol="ETH-EUR@kraken", timestamp=NOON + MINUTE, severity="critical")
AGE = replace(BTC, id="bb", rule="silent", timestamp=NOON + 2 * MINUTE, terms=(("age", "unknown"),))


@pytest.fixture
def client(tmp_path: Path, dsn: str, database: Database) -> Client:
    return Client(an_api(tmp_path, dsn), a_token(database))


def repeat(alert: Alert, number: int) -> Alert:
    return replace(alert, id=f"{alert.id}.{number}", timestamp=alert.timestamp + number * MINUTE)


def resolved(alert: Alert) -> Alert:
    return replace(alert, state=State.RESOLVED, timestamp=alert.timestamp + 9 * MINUTE)


def save(database: Database, *alerts: Alert, channels: tuple[str, ...] = ("ops",)) -> None:
    """As the daemon does; what began and did not end fires on."""
    episodes = {}
    for alert in alerts:
        episode, _, number = alert.id.partition(".")
        is_over = alert.state is State.RESOLVED
        episodes[alert.rule, alert.symbol] = Episode(
            State.INACTIVE if is_over else State.FIRING,
            *(episode, alert.timestamp, alert.timestamp, alert.timestamp, int(number or 1)),
        )
    Store(database, channels).save([], Outcome(alerts=list(alerts), episodes=episodes))


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []

    return database.run(fetch)


def told(database: Database) -> list[tuple[str, str]]:
    """What the channel is told."""
    return rows(database, "SELECT id, state FROM outbox ORDER BY number")


def ids(client: Client, query: str = "") -> list[str]:
    reply = client.get(f"{ALERTS}?{query}")
    assert reply.status == 200, reply.body
    return [alert["id"] + ("" if alert["state"] == "FIRING" else " end") for alert in reply.json["alerts"]]


def test_an_alert_has_all_that_is_known_of_it(client: Client, database: Database) -> None:
    silence = Silences(database).add(
        rule="silent", symbol="*", severity="*", why="x", starts_at=NOON, length=timedelta(hours=1)
    )
    save(database, BTC, AGE)
    rows(
        database,
        "UPDATE outbox SET tries = 2, last_error = 'the receiver says 500', delivered_at = '2026-11-22T12:00:05.25Z'",
    )
    silent, found = client.get(ALERTS).json["alerts"]
    assert (silent["id"], silent["silenced_by"], silent["deliveries"]) == ("bb", silence.id, [])
    assert silent["terms"] == {"age": "unknown"}
    assert list(found["terms"].items()) == list(TERMS)
    queued_at = found["deliveries"][0].pop("queued_at")
    assert queued_at.endswith("Z")
    assert found.pop("recorded_at") == queued_at
    assert found == {
        "id": BTC.id,
        "episode": BTC.id,
        "state": "FIRING",
        "timestamp": "2026-11-22T12:00:00Z",
        "symbol": "BTC",
        "rule": "price-2pct-5m",
        "severity": "warning",
        "terms": dict(TERMS),
        "silenced_by": None,
        "acknowledged": None,
        "deliveries": [
            {
                "channel": "ops",
                "delivered_at": "2026-11-22T12:00:05.250000Z",
                "given_up_at": None,
                "failed_tries": 2,
                "last_error": "the receiver says 500",
            }
        ],
    }


def test_alerts_are_found_by_what_is_known_of_them(client: Client, database: Database) -> None:
    save(database, BTC, repeat(BTC, 2), ETH, resolved(ETH), AGE)
    client.ask("POST", f"{ALERTS}/{BTC.id}/acknowledge", {})
    two = f"{BTC.id}.2"
    everything = ["bb", "aa end", "aa", two, BTC.id]
    for query, found in {
        "": everything,
        "symbol=BTC": ["bb", two, BTC.id],
        "symbol=*@kraken": ["aa end", "aa"],
        "symbol=eth-eur@*&state=RESOLVED": ["aa end"],
        "symbol=DOGE": [],
        "symbol=*": everything,
        "rule=price-*": ["aa end", "aa", two, BTC.id],
        "rule=price-*&symbol=BTC": [two, BTC.id],
        "rule=price_2pct_5m": [],
        "state=RESOLVED": ["aa end"],
        "severity=critical": ["aa end", "aa"],
        "firing=true": ["bb", two, BTC.id],
        "firing=true&rule=silent": ["bb"],
        "firing=true&symbol=*@kraken": [],
        "acknowledged=true": [two, BTC.id],
        "acknowledged=false": ["bb", "aa end", "aa"],
        "acknowledged=false&firing=true": ["bb"],
        "from=2026-11-22T12:02:00Z": ["bb", "aa end", two],
        "from=2026-11-22T12:00:30Z&to=2026-11-22T12:02:00Z": ["aa"],
        "rule=*5m&from=2026-11-22T12:00:30Z&to=2026-11-22T12:02:00Z": ["aa"],
    }.items():
        assert ids(client, query) == found, query
        assert ids(client, f"{query}&limit=1") == found[:1], query


def test_what_fires_now_is_without_the_episodes_before(client: Client, database: Database) -> None:
    save(database, replace(BTC, id="before"), resolved(replace(BTC, id="before")))
    save(database, replace(BTC, timestamp=NOON + 20 * MINUTE))
    assert ids(client, "firing=true") == [BTC.id]
    assert len(ids(client)) == 3


def test_alerts_come_in_pages_without_a_hole(client: Client, database: Database) -> None:
    save(database, *(replace(BTC, id=f"e{number}") for number in range(7)))
    for query in ("", "&rule=price-*"):
        seen, cursor = [], ""
        for _ in range(3):
            page = client.get(f"{ALERTS}?limit=3{query}{cursor}").json
            seen += [alert["id"] for alert in page["alerts"]]
            cursor = f"&cursor={page['next']}"
        assert (seen, page["next"]) == ([f"e{number}" for number in range(6, -1, -1)], None)


def test_what_cannot_be_asked_for_is_refused(client: Client) -> None:
    for query in (
        "symbol=*-USD",
        "symbol=a%20b",
        "state=firing",
        "severity=dire",
        "limit=0",
        "limit=1001",
        "cursor=bm8",
        "from=2026-11-22&to=2026-11-22",
    ):
        (wrong,) = client.wrong("GET", f"{ALERTS}?{query}")
        assert str(wrong["where"]).startswith("query."), query


def test_an_episode_has_all_its_lines_and_none_of_others(client: Client, database: Database) -> None:
    other = replace(BTC, id="3f2a9c0d11e40")
    save(database, other, BTC, repeat(BTC, 2), repeat(other, 2), repeat(BTC, 3))
    whole = client.get(f"{ALERTS}/{BTC.id}.2").json
    assert [line["id"] for line in whole["lines"]] == [BTC.id, f"{BTC.id}.2", f"{BTC.id}.3"]
    assert (whole["firing"], whole["began_at"], whole["resolved_at"]) == (True, "2026-11-22T12:00:00Z", None)
    assert (whole["rule"], whole["symbol"], whole["severity"]) == ("price-2pct-5m", "BTC", "warning")
    save(database, resolved(BTC), replace(BTC, id="next", timestamp=NOON + 20 * MINUTE))
    whole = client.get(f"{ALERTS}/{BTC.id}?limit=3").json
    assert (whole["firing"], whole["resolved_at"]) == (False, "2026-11-22T12:09:00Z")
    (last,) = client.get(f"{ALERTS}/{BTC.id}?limit=3&cursor={whole['next']}").json["lines"]
    assert (last["state"], last["deliveries"][0]["channel"]) == ("RESOLVED", "ops")
    assert client.get(f"{ALERTS}/nothing").status == 404


def test_who_takes_note_of_an_alert_ends_the_nagging_but_hears_of_the_end(client: Client, database: Database) -> None:
    save(database, BTC, repeat(BTC, 2))
    noted = client.ask("POST", f"{ALERTS}/{BTC.id}.2/acknowledge", {"note": "we know"})
    assert (noted.status, noted.json["by"], noted.json["note"]) == (200, "ada", "we know")
    save(database, repeat(BTC, 3), ETH)
    save(database, resolved(BTC))
    assert told(database) == [
        (BTC.id, "FIRING"),
        (f"{BTC.id}.2", "FIRING"),
        ("aa", "FIRING"),
        (BTC.id, "RESOLVED"),
    ]
    assert ids(client, "symbol=BTC")[0] == f"{BTC.id} end"
    episode = client.get(f"{ALERTS}/{BTC.id}").json
    assert episode["acknowledged"] == noted.json
    assert [line["acknowledged"] for line in episode["lines"]] == [noted.json] * 4


def test_a_note_can_be_changed_and_taken_back(client: Client, database: Database) -> None:
    save(database, BTC)
    where = f"{ALERTS}/{BTC.id}/acknowledge"
    assert client.ask("POST", where).json["note"] == ""
    said = client.ask("POST", where, {"by": "Grace", "note": "it is the exchange"}).json
    assert (said["by"], said["note"]) == ("Grace", "it is the exchange")
    assert client.ask("DELETE", where).status == 204
    assert client.ask("DELETE", where).status == 404
    save(database, repeat(BTC, 2))
    assert told(database) == [(BTC.id, "FIRING"), (f"{BTC.id}.2", "FIRING")]


def test_nobody_takes_note_of_what_there_is_not_or_with_what_is_no_text(client: Client, database: Database) -> None:
    assert client.ask("POST", f"{ALERTS}/nothing/acknowledge", {}).status == 404
    save(database, BTC)
    where = f"{ALERTS}/{BTC.id}/acknowledge"
    for body in ({"note": ""}, {"note": "a\nb"}, {"by": "x" * 501}, {"who": "me"}, [], "x"):
        client.wrong("POST", where, body)
    assert request(client.api, where, "POST").status == 401
    assert client.get(f"{ALERTS}/{BTC.id}").json["acknowledged"] is None


@pytest.fixture
def many(database: Database) -> Iterator[None]:
    """Enough alerts that reading all of them is another plan than finding some."""
    rows(
        database,
        "INSERT INTO alerts (id, state, timestamp, symbol, rule, terms)"
        " SELECT n::text, 'FIRING', '2026-11-01'::timestamptz + n * interval '1 s', 'S' || n % 50, 'r' || n % 4, '{}'"
        " FROM generate_series(1, 20000) AS n; ANALYZE alerts",
    )
    return


@pytest.mark.usefixtures("many")
def test_what_is_rare_is_found_without_reading_all(client: Client, database: Database) -> None:
    save(database, BTC)
    before = rows(database, "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'alerts'")
    assert ids(client, "symbol=BTC&limit=5") == [BTC.id]
    assert ids(client, "firing=true") == [BTC.id]
    rows(database, "SELECT pg_stat_force_next_flush()")
    assert rows(database, "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'alerts'") == before
