"""The newest daemon on what an older release left, database and DATA_DIR: it goes on as if it had run all along."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from app import status
from tests.acceptance.daemon import running, stop, wait_until
from tests.acceptance.oracle import expected_lines
from tests.acceptance.scripted import Script, serving
from tests.acceptance.test_recorded_market import PLAIN_DAILY
from tests.data.record import market
from tests.releases import DATA, RELEASED, restore, restore_journal

pytestmark = pytest.mark.acceptance

RECORDED = 18
"""Minutes of the market that the release saw."""


@pytest.mark.parametrize("version", RELEASED)
def test_the_daemon_goes_on_with_what_a_release_left(version: int, empty_dsn: str, tmp_path: Path) -> None:
    restore(empty_dsn, version)
    data, alerts = tmp_path / "data", tmp_path / "alerts" / "alerts.txt"
    data.mkdir()
    alerts.parent.mkdir()
    restore_journal(data / "alerts.sqlite", version)
    shutil.copy(DATA / f"status_{version:04d}.json", data / "status.json")
    shutil.copy(DATA / f"alerts_{version:04d}.txt", alerts)
    left = alerts.read_text()
    replies = market(RECORDED + 40)
    script = Script(replies[RECORDED:])
    with (
        serving(script) as url,
        running(
            tmp_path,
            "run",
            "--no-api",
            COINGECKO_BASE_URL=url,
            TICK_SECONDS=0.05,
            COINGECKO_CALLS_PER_MONTH=999_999_999,
            DATABASE_URL=empty_dsn,
        ) as daemon,
    ):
        wait_until(script.polled_beyond.is_set, daemon, 60, tmp_path)
        assert stop(daemon)[0] == 0
    output = (tmp_path / "output.txt").read_text()
    assert not [word for word in ("Traceback", "damaged", "is new, and", "[error") if word in output], output

    lines = alerts.read_text().splitlines()
    assert alerts.read_text().startswith(left)
    assert [line.rpartition(" id=")[0] for line in lines] == expected_lines(replies)
    still_firing = left.splitlines()[-1].rpartition(" ")[2]
    assert [line.split()[1] for line in lines if line.endswith(still_firing)] == ["FIRING", "RESOLVED"]
    assert json.loads((data / "status.json").read_text())["state"] == "stopping"
    assert status.read(data, datetime.now(UTC)).status is not None
    with closing(psycopg2.connect(empty_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ticker_data")
        assert cursor.fetchone() == (3 * len(replies),)
        cursor.execute(PLAIN_DAILY)
        plain = cursor.fetchall()
        cursor.execute("SELECT * FROM daily_ohlcv ORDER BY symbol, day")
        assert cursor.fetchall() == plain
        cursor.execute("SELECT sum(calls) FROM provider_calls")
        (calls,) = cursor.fetchone() or (0,)
        assert calls >= script.polls + 19, "the calls that the release had counted are forgotten"


@pytest.mark.parametrize("version", RELEASED)
def test_the_status_file_of_a_release_is_read_or_said_to_be_old(version: int, tmp_path: Path) -> None:
    shutil.copy(DATA / f"status_{version:04d}.json", tmp_path / "status.json")
    reading = status.read(tmp_path, datetime.now(UTC))
    assert not reading.running
    assert reading.reasons
