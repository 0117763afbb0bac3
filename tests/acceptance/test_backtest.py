"""``backtest`` as a user runs it: its lines, its counts, its document, its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.alerts.checker import Checker
from app.alerts.rules import RuleSet
from app.db import Database
from app.model import Batch, Tick
from app.store import Store
from tests.acceptance.daemon import environment
from tests.acceptance.test_commands import NOBODY
from tests.rules import shipped

pytestmark = pytest.mark.acceptance

MIDNIGHT = datetime(2021, 4, 19, tzinfo=UTC)
SPAN = ("--from", "2021-04-18", "--to", "2021-04-20")


def store_live(dsn: str, rules: RuleSet) -> list[str]:
    """Two hours of two coins around midnight, which jump every ten minutes; the lines that they cause."""
    lines: list[str] = []
    checker = Checker(rules, market="coingecko")
    with closing(Database(dsn, threading.Event(), "test")) as database:
        store = Store(database)
        for minute in range(-60, 60):
            at = MIDNIGHT + timedelta(minutes=minute)
            price = Decimal("104.50" if minute % 10 == 5 else "100.00")
            ticks = tuple(
                Tick(symbol, at, price, Decimal(7), None, at + timedelta(seconds=1), "coingecko")
                for symbol in ("BTC", "ETH")
                if symbol == "BTC" or minute < 30
            )
            batch = Batch("coingecko", ticks[0].fetched_at, ticks)
            outcome = checker.check(batch)
            store.save(batch.ticks, outcome)
            lines += [alert.line for alert in outcome.alerts]
    return lines


def backtest(folder: Path, dsn: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", "backtest", *options]
    settings = environment(folder, DATABASE_URL=dsn)
    return subprocess.run(command, check=False, cwd=folder, env=settings, capture_output=True, text=True, timeout=60)


def test_it_prints_the_lines_of_the_live_run_then_what_they_add_up_to(dsn: str, tmp_path: Path) -> None:
    lines = store_live(dsn, shipped())
    ended = backtest(tmp_path, dsn, *SPAN)
    assert ended.returncode == 0, ended.stderr
    printed = ended.stdout.splitlines()
    assert printed[: len(lines)] == lines
    assert len(lines) == 42
    assert printed[len(lines) :] == [
        "# 2021-04-18T00:00:00Z to 2021-04-20T00:00:00Z: 210 ticks",
        "# 21 fired, 21 resolved",
        "# a day:",
        "#   2021-04-18        12",
        "#   2021-04-19         9",
        "# a rule:",
        "#   price-2pct-5m         21",
        "#   volume-2pct-5m         0",
        "# noisiest symbols:",
        "#   BTC        12",
        "#   ETH         9",
    ]
    assert [line.partition(": ")[2] for line in ended.stderr.splitlines()] == [
        "40%, 2 ticks",
        "50%, 122 ticks",
    ]
    assert list(tmp_path.iterdir()) == [], "no alerts.txt, no data"


def test_it_prints_one_document_where_that_is_asked_for(dsn: str, tmp_path: Path) -> None:
    lines = store_live(dsn, shipped())
    rules = tmp_path / "mine.toml"
    rules.write_text('[[rule]]\nname = "up"\nwhen = "price > 102"\nseverity = "critical"\n')
    ended = backtest(
        tmp_path, dsn, "--json", "--from", "50m", "--to", "2021-04-19", "--symbols", "eth", "--rules", str(rules)
    )
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    alerts = document.pop("alerts")
    assert document == {
        "from": "2021-04-18T23:10:00Z",
        "to": "2021-04-19T00:00:00Z",
        "rules": ["up"],
        "truncated": False,
        "ticks": 50,
        "per_day": {"2021-04-18": 5},
        "per_rule": {"up": 5},
        "noisiest": [{"symbol": "ETH", "fired": 5}],
    }
    assert [alert["state"] for alert in alerts] == ["FIRING", "RESOLVED"] * 5
    assert len({alert["id"] for alert in alerts}) == 5
    assert {**alerts[0], "id": ""} == {
        "time": "2021-04-18T23:15:00.000Z",
        "state": "FIRING",
        "symbol": "ETH",
        "rule": "up",
        "severity": "critical",
        "terms": {"price": "104.50"},
        "id": "",
    }
    assert lines  # of other rules, which it does not tell of


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--rules", "bad.toml"), 78, "bad.toml"),
        ((), 69, "refused"),
    ],
)
def test_what_is_wrong_ends_it_with_its_reason(options: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[[rule]]\nname = "up"\nwhen = "price > 5m"\n')
    ended = backtest(tmp_path, NOBODY, *options)
    assert ended.returncode == code
    assert said in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
