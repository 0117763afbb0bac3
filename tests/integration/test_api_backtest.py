"""Backtests by HTTP: a process of their own that says what the command says, and ends with whoever asked for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import requests

from app.alerts.checker import Checker
from app.db import Database
from app.model import Batch, Tick
from app.store import Store
from tests.api import an_api
from tests.ports import free_port
from tests.rules import rules
from tests.written import Client, a_token

pytestmark = pytest.mark.one_server

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BACKTEST = "/api/v1/rules/backtest"
UP = {"name": "up", "when": "price > 1.02 * avg(price, 5m)", "severity": "critical"}
SPAN = {"from": "2026-11-21T12:00:00Z", "to": "2026-11-21T14:00:00Z"}


def store_ticks(database: Database, minutes: int = 60) -> list[str]:
    """An hour of two coins, one of which jumps every ten minutes; the lines that the rule writes live."""
    checker, store, lines = Checker(rules(UP), market="coingecko"), Store(database), []
    for minute in range(minutes):
        at = NOON + timedelta(minutes=minute)
        prices = {"BTC": Decimal("104.500" if minute % 10 == 9 else "100.000"), "ETH": Decimal(7)}
        ticks = tuple(Tick(s, at, price, Decimal(1), None, at, "coingecko") for s, price in prices.items())
        outcome = checker.check(Batch("coingecko", at, ticks))
        store.save(ticks, outcome)
        lines += [alert.line for alert in outcome.alerts]
    return lines


@contextmanager
def serving(folder: Path, dsn: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The API as a process: it, and the address of backtests."""
    port = free_port()
    settings = {"PYTHONPATH": str(ROOT), "DATA_DIR": str(folder), "API_PORT": str(port), "DATABASE_URL": dsn}
    command = [sys.executable, "-m", "app", "serve"]
    with subprocess.Popen(command, cwd=folder, env={**os.environ, **settings}, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            assert b"answers" in process.stderr.readline()
            yield process, f"http://127.0.0.1:{port}{BACKTEST}"
        finally:
            process.kill()


def line(alert: dict[str, Any]) -> str:
    """As alerts.txt has it, without its id."""
    terms = " ".join(f"{term}={value}" for term, value in alert["terms"].items())
    at = alert["timestamp"].replace("Z", ".000Z")
    return f"{at} {alert['state']} {alert['symbol']} {alert['rule']} {terms}"


def backtests(dsn: str) -> int:
    """How many have the database open."""
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cryptomonitor backtest'"
                           " AND datname = current_database()")  # fmt: skip
            return int(cursor.fetchone()[0])
    finally:
        connection.close()


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def test_it_says_what_the_daemon_would_have_written(tmp_path: Path, dsn: str, database: Database) -> None:
    live = store_ticks(database)
    with serving(tmp_path, dsn) as (_, url):
        other = {"name": "never", "when": "price > 1e9", "for": "30s", "channels": []}
        reply = requests.post(url, json={"rules": [UP, other], **SPAN, "symbols": ["btc", "ETH"]}, timeout=120)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert [line(alert) for alert in found["alerts"]] == [text.rpartition(" id=")[0] for text in live]
    assert {key: value for key, value in found.items() if key != "alerts"} == {
        "from": "2026-11-21T12:00:00Z",
        "to": "2026-11-21T14:00:00Z",
        "ticks": 120,
        "fired": 6,
        "per_day": {"2026-11-21": 6},
        "per_rule": {"up": 6, "never": 0},
        "noisiest": [{"symbol": "BTC", "fired": 6}],
        "truncated": False,
    }
    assert len(found["alerts"]) == 11
    assert json.loads(reply.content, parse_float=str)["alerts"][0]["terms"]["price"] == "104.500"


def test_there_are_at_most_a_thousand_alerts_and_all_are_counted(
    tmp_path: Path, dsn: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.backtest.MOST_ALERTS", 3)
    store_ticks(database)
    client = Client(an_api(tmp_path, dsn, database_url=dsn), a_token(database, "read"))
    found = client.ask("POST", BACKTEST, {"rule": UP, **SPAN}).json
    assert (len(found["alerts"]), found["truncated"], found["fired"]) == (3, True, 6)


def test_one_runs_at_a_time_and_ends_when_its_client_goes_away_or_the_api_dies(
    tmp_path: Path, dsn: str, database: Database
) -> None:
    """Each second of ten years without a tick: longer than anybody waits."""
    database.run(
        lambda cursor: cursor.execute(
            "SELECT make_partition('2016-01-01');"
            " INSERT INTO ticker_data (timestamp, symbol, price, fetched_at, source)"
            " VALUES ('2016-01-01', 'BTC', 1, '2016-01-01', 'coingecko')"
        )
    )
    body = {"rule": {"name": "silent", "when": "age > 1d"}, "from": "2016-01-01"}
    with serving(tmp_path, dsn) as (process, url):
        client = ask(url, body)
        wait_until(lambda: backtests(dsn) == 1)
        busy = requests.post(url, json=body, timeout=60)
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
        client.close()
        wait_until(lambda: backtests(dsn) == 0)

        client = ask(url, body)
        wait_until(lambda: backtests(dsn) == 1)
        process.kill()
        wait_until(lambda: backtests(dsn) == 0)
        client.close()


def ask(url: str, body: object) -> HTTPConnection:
    """Without waiting for the answer."""
    parts = urlsplit(url)
    client = HTTPConnection(str(parts.hostname), parts.port)
    client.request("POST", parts.path, json.dumps(body), {"Content-Type": "application/json"})
    return client


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"rule": None}, "body"),
    ({"rules": [UP]}, "body"),
    ({"rule": {**UP, "when": "price >"}}, "body.rule.when"),
    ({"rule": None, "rules": []}, "body.rules"),
    ({"rule": None, "rules": [UP, UP]}, "body.rules.1.name"),
    ({"rule": None, "rules": [{**UP, "for": "x"}]}, "body.rules.0.for"),
    ({"from": "2026-11-22"}, "body.from"),
    ({"to": "never"}, "body.to"),
    ({"symbols": ["BTC", "DOGE"]}, "body.symbols.1"),
    ({"symbols": ["--limit=1"]}, "body.symbols.0"),
    ({"speed": 1}, "body.speed"),
]


def test_what_cannot_be_run_is_refused_with_its_place(tmp_path: Path, dsn: str, database: Database) -> None:
    store_ticks(database, minutes=1)
    client = Client(an_api(tmp_path, dsn), a_token(database, "read"))
    for change, where in WRONG:
        body = {key: value for key, value in {"rule": UP, **SPAN, **change}.items() if value is not None}
        assert [it["where"] for it in client.wrong("POST", BACKTEST, body)] == [where], change


def test_one_that_takes_too_long_is_ended_with_advice(
    tmp_path: Path, dsn: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.aside.MOST_SECONDS", 0.0)
    client = Client(an_api(tmp_path, dsn, database_url=dsn), a_token(database, "read"))
    for _ in range(2):  # nor does the first one keep the second from running
        reply = client.ask("POST", BACKTEST, {"rule": UP, **SPAN})
        assert reply.status == 422
        assert "ask for a shorter span" in reply.json["detail"]
