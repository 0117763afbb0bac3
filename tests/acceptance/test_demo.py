"""``python -m app demo``: everything at once, with no network, and nothing of it outside its folder."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.acceptance.daemon import running, stop, wait_until
from tests.acceptance.test_commands import ended
from tests.pace import in_time
from tests.ports import free_port

pytestmark = pytest.mark.acceptance

ALERT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (FIRING|RESOLVED) (BTC|ETH|ZEC) (price|volume)-2pct-5m "
    r"(price|volume)=\d+(\.\d+)? avg\((price|volume),5m\)=\d+(\.\d+)? id=[0-9a-f]{12}"
)


def test_the_demo_shows_ticks_candles_and_alerts_and_says_where(tmp_path: Path) -> None:
    port = free_port()
    alerts, output = tmp_path / "demo" / "alerts.txt", tmp_path / "output.txt"

    def alerted() -> bool:
        return alerts.exists() and "\n" in alerts.read_text()

    with running(tmp_path, "demo", API_PORT=port) as demo:
        wait_until(alerted, demo, 60, tmp_path)
        said = output.read_text()
        assert "SYNTHETIC" in said
        assert f"http://127.0.0.1:{port}" in said
        assert "make psql DATA_DIR=demo/data DATABASE_URL=" in said
        assert "tail -F demo/alerts.txt" in said
        assert "demo/data/cryptomonitor.log" in said
        with urlopen(f"http://127.0.0.1:{port}/healthz") as reply:
            assert reply.status == 200

        counts = "SELECT (SELECT count(*) > 10 FROM ticker_data), (SELECT count(*) > 0 FROM ohlcv_1m)"
        asked = ended(tmp_path, "psql", "-At", "-c", counts, DATA_DIR="demo/data", DATABASE_URL="")
        assert (asked.code, asked.out) == (0, "t|t\n"), asked.err

        second = ended(tmp_path, "demo", API_PORT=free_port())
        assert second.code == 75, second.err
        assert f"(pid {demo.pid})" in second.reason
        assert demo.poll() is None

        code, seconds = stop(demo)
        assert code == 0, output.read_text()
        assert in_time(seconds, 5)
    assert all(ALERT.fullmatch(line) for line in alerts.read_text().splitlines()), alerts.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "output.txt"]
    # Nothing noisy: what it says is where things are.
    assert len(output.read_text().splitlines()) < 10, output.read_text()


def test_the_next_demo_takes_away_what_the_last_one_made_and_nothing_else(tmp_path: Path) -> None:
    mine = [tmp_path / "demo" / "recording.csv", tmp_path / "demo" / "notes" / "mine.txt"]
    made = [tmp_path / "demo" / "alerts.txt", tmp_path / "demo" / "data" / "old" / "x"]
    for path in [*mine, *made]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("the last one's\n")
    done = ended(tmp_path, "demo", API_PORT="no port")
    assert done.code == 78  # after the clearing, so that this test need not wait for a start
    assert [path.exists() for path in [*mine, *made]] == [True, True, False, False]
