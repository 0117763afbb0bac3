"""The daemon on recorded market data: everything served is stored once, and alerts.txt says what it has to say."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest

from tests.acceptance.daemon import environment, running, stop, wait_until
from tests.acceptance.oracle import expected_lines
from tests.acceptance.scripted import Row, Script, recorded, serving
from tests.conftest import SHARED
from tests.pace import in_time

DEMO = SHARED / "data" / "market" / "demo"
CRASH = DEMO / "demo_ticker_1m_btc_eth_zec_2021-04-18_crash.csv.gz"
LIVELY = DEMO / "demo_ticker_1m_btc_eth_zec_2025-11-08.csv.gz"

PLAIN_DAILY = """
    SELECT symbol, ("timestamp" AT TIME ZONE 'UTC')::date,
           (array_agg(price ORDER BY "timestamp"))[1], max(price), min(price),
           (array_agg(price ORDER BY "timestamp" DESC))[1],
           (array_agg(volume_24h ORDER BY "timestamp" DESC))[1], count(*),
           round(count(DISTINCT date_trunc('minute', "timestamp"))::numeric / 1440, 4)
    FROM ticker_data GROUP BY 1, 2 ORDER BY 1, 2
"""

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize(
    ("recording", "first"), [pytest.param(CRASH, 200, id="2021-crash"), pytest.param(LIVELY, 100, id="2025-lively")]
)
def test_330_recorded_minutes_at_20_polls_a_second(recording: Path, first: int, dsn: str, tmp_path: Path) -> None:
    if not recording.exists():
        pytest.skip(f"the recorded prices are not here: {recording.name}")
    script = Script(recorded(recording, first, 330))
    with (
        serving(script) as url,
        running(tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, TICK_SECONDS=0.05, DATABASE_URL=dsn) as daemon,
    ):
        wait_until(script.polled_beyond.is_set, daemon, 120, tmp_path)
        code, seconds = stop(daemon)
    assert code == 0
    assert in_time(seconds, 5)
    check(script, dsn, tmp_path)


def backtested(dsn: str, folder: Path) -> list[str]:
    """What the rules would have written over the ticks that the daemon stored, ids included."""
    command = [sys.executable, "-m", "app", "backtest", "--from", "1d"]
    settings = environment(folder, DATABASE_URL=dsn)
    ended = subprocess.run(command, check=True, cwd=folder, env=settings, capture_output=True, text=True, timeout=120)
    return [line for line in ended.stdout.splitlines() if not line.startswith("#")]


def check(script: Script, dsn: str, folder: Path) -> None:
    """Everything that was served is stored once, rolled up, and judged."""
    output = (folder / "output.txt").read_text()
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT symbol, "timestamp", price::text, volume_24h::text, origin FROM ticker_data')
        stored = Counter(cursor.fetchall())
        served = Counter(
            (row.symbol, row.time, row.price, row.volume, "live") for reply in script.served for row in reply
        )
        assert stored == served, output
        cursor.execute(PLAIN_DAILY)
        plain = cursor.fetchall()
        cursor.execute("SELECT * FROM daily_ohlcv ORDER BY symbol, day")
        assert cursor.fetchall() == plain

    lines = (folder / "alerts" / "alerts.txt").read_text().splitlines()
    expected = expected_lines(script.served)
    assert [line.rpartition(" id=")[0] for line in lines] == expected
    assert backtested(dsn, folder) == lines
    assert expected, "a script that alerts about nothing tests nothing"
    episodes = Counter(line.rpartition(" id=")[2] for line in lines)
    assert set(episodes.values()) <= {1, 2}
    for line in lines:
        symbol, rule = line.split()[2:4]
        partner = [other for other in lines if other.endswith(line.rpartition(" ")[2])]
        assert {tuple(other.split()[2:4]) for other in partner} == {(symbol, rule)}
        assert [other.split()[1] for other in partner] == ["FIRING", "RESOLVED"][: len(partner)]


def made_up(minutes: int) -> list[list[Row]]:
    """A market written by us: calm, then up by 5 % and back, where ../shared is not at hand."""
    start = datetime(2024, 2, 29, 23, 30, tzinfo=UTC)
    replies = []
    for minute in range(minutes):
        up = Decimal("1.05") if 40 <= minute < 60 else Decimal(1)
        prices = {"BTC": Decimal("60781.97") * up, "ETH": Decimal("2388.18"), "ZEC": Decimal("294.550") * up}
        volumes = {"BTC": 3692454343 + minute, "ETH": 1522591290, "ZEC": 145279124 * (3 if minute > 70 else 1)}
        time = start + timedelta(minutes=minute)
        replies.append([Row(time, s, str(prices[s]), str(volumes[s])) for s in prices])
    return replies


def test_error_bodies_between_good_replies_lose_no_good_tick(dsn: str, tmp_path: Path) -> None:
    good = made_up(90)
    bad = [
        (500, "<html>Internal Server Error</html>"), (502, ""), (200, "<html>"), (200, '{"bitcoin":{"usd":60'),
        (200, "{}"), (200, '{"bitcoin":{}}'), (404, '{"error":"coin not found"}'), (200, "[]"), (200, "null"),
    ]  # fmt: skip
    steps: list[list[Row] | tuple[int, str]] = []
    for number, reply in enumerate(good):
        # Never two in a row: one bad reply must not delay anything.
        steps += [reply, bad[number // 5 % len(bad)]] if number % 5 == 0 else [reply]
    script = Script(steps)
    with (
        serving(script) as url,
        running(tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, TICK_SECONDS=0.05, DATABASE_URL=dsn) as daemon,
    ):
        wait_until(script.polled_beyond.is_set, daemon, 60, tmp_path)
        code, _ = stop(daemon)
    assert code == 0
    check(script, dsn, tmp_path)


def test_a_restart_in_the_middle_gives_the_lines_of_one_run(dsn: str, tmp_path: Path) -> None:
    replies = made_up(90)
    script = Script(replies)
    settings = {"TICK_SECONDS": 0.05, "DATABASE_URL": dsn}
    with serving(script) as url:
        for until in (45, 75, 91):  # while an alert is firing, after it resolved, at the end
            with running(tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, **settings) as daemon:
                wait_until(lambda until=until: script.polls >= until, daemon, 60, tmp_path)  # type: ignore[misc]
                assert stop(daemon)[0] == 0
    check(script, dsn, tmp_path)
