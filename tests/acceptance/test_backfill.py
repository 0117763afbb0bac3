"""Outages leave no holes: the daemon fills them by itself, and the command what somebody asks for."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest

from app.alerts.states import Outcome
from app.db import Database
from app.model import Tick
from app.store import Store
from tests.acceptance.daemon import environment, running, stop, wait_until
from tests.acceptance.past import IDS, STEP, Market, moment, serving
from tests.conftest import new_database

pytestmark = pytest.mark.acceptance

CANDLES = "SELECT * FROM candles ORDER BY width, symbol, bucket"
GAPS = "SELECT symbol, state, begins_at, ends_at, ticks, resolution FROM gaps ORDER BY symbol, begins_at"


def rows(dsn: str, sql: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SET timezone = 'UTC'")
        cursor.execute(sql)
        return list(cursor.fetchall())


def unbroken(market: Market, dsn: str) -> None:
    """Store what a daemon would have that saw every point as it came."""
    now = datetime.now(UTC)
    with closing(Database(dsn, threading.Event(), "test")) as database:
        ((epoch,),) = rows(dsn, "SELECT epoch FROM leader")
        ticks = [
            Tick(
                symbol,
                moment(market.time_of(point)),
                Decimal(market.price(symbol, point)),
                Decimal(market.volume(symbol, point)),
                None,
                now,
                "coingecko",
            )
            for point in range(market.last + 1)
            for symbol in IDS
        ]
        Store(database).save(ticks, Outcome(epoch=epoch))


def test_an_outage_of_eight_hours_leaves_no_hole(server: str, template: str, dsn: str, tmp_path: Path) -> None:
    outage, after = 8 * 3600 // STEP, 24
    hole = range(24, 24 + outage)
    jump = hole.stop + 12
    # Prices jump about while nobody looks, and once when somebody does: this one is seen by rules.
    market = Market(last=hole.start - 1, wild=frozenset([*hole[5:-5:3], jump]))
    with (
        serving(market) as url,
        running(tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, TICK_SECONDS=0.05, DATABASE_URL=dsn) as daemon,
    ):
        wait_until(lambda: market.point == market.last, daemon, 120, tmp_path)
        market.is_down = True
        wait_until(lambda: market.refused >= 8, daemon, 120, tmp_path)
        market.point, market.last = hole.stop - 1, hole.stop + after
        market.is_down = False
        wait_until(lambda: market.point == market.last and all_is_filled(dsn), daemon, 120, tmp_path)
        code, _ = stop(daemon)
    output = (tmp_path / "output.txt").read_text()
    assert code == 0, output

    begin, end = moment(market.time_of(hole.start - 1)), moment(market.time_of(hole.stop))
    filled = ("filled", begin, end, outage, timedelta(seconds=STEP))
    assert rows(dsn, GAPS) == [(symbol, *filled) for symbol in sorted(IDS)]
    assert len(market.charts) == len(IDS), market.charts
    assert rows(dsn, "SELECT origin, count(*) FROM ticker_data GROUP BY 1 ORDER BY 1") == [
        ("backfill", 3 * outage),
        ("live", 3 * (market.last + 1 - outage)),
    ]
    with new_database(server, template) as other:
        unbroken(market, other)
        assert rows(dsn, CANDLES) == rows(other, CANDLES)
    lines = [line.split() for line in (tmp_path / "alerts" / "alerts.txt").read_text().splitlines()]
    times = [moment(market.time_of(point)).isoformat(timespec="milliseconds") for point in (jump, jump + 2)]
    assert sorted((line[1], line[2], line[0].replace("Z", "+00:00")) for line in lines) == [
        (state, symbol, time)
        for state, time in zip(("FIRING", "RESOLVED"), times, strict=True)
        for symbol in sorted(IDS)
    ]
    assert "Holes found in the history: 3; filling them." in output


def all_is_filled(dsn: str) -> bool:
    return rows(dsn, "SELECT count(*) FROM gaps WHERE state = 'filled'") == [(len(IDS),)]


def backfill(folder: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """``python -m app backfill``"""
    command = [sys.executable, "-m", "app", "backfill", *arguments]
    return subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_fills_what_is_asked_for_once(dsn: str, tmp_path: Path) -> None:
    market = Market()
    market.point = market.last = 100
    begin, end = (moment(market.time_of(point)) for point in (10, 90))
    with serving(market) as url:
        settings = {"COINGECKO_BASE_URL": url, "DATABASE_URL": dsn}

        def run(symbols: str) -> subprocess.CompletedProcess[str]:
            span = ("--from", begin.isoformat(), "--to", end.isoformat())
            return backfill(tmp_path, *span, "--symbols", symbols, **settings)

        market.is_down = True
        down = run("BTC")
        market.is_down = False
        first, second = run("BTC,eth"), run("BTC,ETH")
    assert down.returncode == 69, down.stderr
    assert "HTTP 503" in down.stderr.splitlines()[-1]
    assert "Holes: 0 filled, 1 open, 0 unrecoverable." in down.stdout
    assert first.returncode == 0, first.stderr
    assert "160 ticks added with 2 calls. Holes: 2 filled, 0 open, 0 unrecoverable." in first.stdout
    assert re.search(r"^100%: (BTC|ETH) .* 160 ticks$", first.stderr, flags=re.MULTILINE)
    assert second.returncode == 0, second.stderr
    assert "0 ticks added with 0 calls. Holes: 2 filled, 0 open, 0 unrecoverable." in second.stdout
    assert len(market.charts) == 2
    filled = ("filled", begin, end, 80, timedelta(seconds=STEP))
    assert rows(dsn, GAPS) == [("BTC", *filled), ("ETH", *filled)]
    assert rows(dsn, "SELECT sum(ticks) FROM daily_ohlcv") == [(160,)]
    assert rows(dsn, "SELECT symbol, provider_id, watched FROM instruments ORDER BY 1") == [
        ("BTC", "bitcoin", False),
        ("ETH", "ethereum", False),
    ]
