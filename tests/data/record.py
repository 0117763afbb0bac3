"""Records what a release leaves behind, for tests/integration/test_upgrades.py: run once, in a checkout of the release.

    python -m tests.data.record

A daemon of that release sees a short market, with an alert that has resolved and one that still fires. Its database
(dumped by the oldest PostgreSQL at hand, so that newer ones can read it too), the journal of its alerts, alerts.txt and
status.json are written here as text, under the number of its schema.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from app.migrations import known
from tests.acceptance.daemon import environment, running, stop, wait_until
from tests.acceptance.scripted import Row, Script, serving
from tests.servers import available, started

HERE = Path(__file__).parent
START = datetime(2024, 2, 29, 23, 50, tzinfo=UTC)
"""Ten minutes before a month ends: so there are two partitions and two days."""
PRICES = {"BTC": Decimal("60781.97"), "ETH": Decimal("2388.18"), "ZEC": Decimal("294.550")}
VOLUMES = {"BTC": 3692454343, "ETH": 1522591290, "ZEC": 145279124}


def market(minutes: int) -> list[list[Row]]:
    """Calm; then BTC up by 5 % for four minutes, and again from the 16th on, for as long as it takes."""
    return [
        [
            Row(
                START + timedelta(minutes=minute),
                symbol,
                str(price * (Decimal("1.05") if symbol == "BTC" and (8 <= minute < 12 or minute >= 16) else 1)),
                str(VOLUMES[symbol] + minute),
            )
            for symbol, price in PRICES.items()
        ]
        for minute in range(minutes)
    ]


def record() -> None:
    """Write the files."""
    number = f"{max(migration.version for migration in known()):04d}"
    oldest = min(available(), key=lambda server: server.major)
    script = Script(market(18))
    with tempfile.TemporaryDirectory() as name, started(oldest) as dsn, serving(script) as url:
        folder = Path(name)
        settings = {"COINGECKO_CALLS_PER_MONTH": 999_999_999, "TICK_SECONDS": 0.05, "VIEW_REFRESH_SECONDS": 1}
        with running(folder, "run", "--no-api", COINGECKO_BASE_URL=url, DATABASE_URL=dsn, **settings) as daemon:
            wait_until(script.polled_beyond.is_set, daemon, 60, folder)
            assert stop(daemon)[0] == 0
        dump = subprocess.run(
            [oldest.programs / "pg_dump", "--no-owner", "--inserts", "--rows-per-insert=100", dsn],
            env=environment(folder), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        # What psql alone understands, and what says nothing.
        dump = re.sub(r"^(--.*|\\.*)\n|^SET default_table_access_method.*\n", "", dump, flags=re.MULTILINE)
        (HERE / f"schema_{number}.sql").write_text(re.sub(r"\n{2,}", "\n\n", dump).lstrip())
        with closing(sqlite3.connect(folder / "data" / "alerts.sqlite")) as journal:
            version = journal.execute("PRAGMA user_version").fetchone()[0]
            lines = [*journal.iterdump(), f"PRAGMA user_version = {version};"]
        (HERE / f"journal_{number}.sql").write_text("\n".join(lines) + "\n")
        (HERE / f"alerts_{number}.txt").write_bytes((folder / "alerts" / "alerts.txt").read_bytes())
        (HERE / f"status_{number}.json").write_bytes((folder / "data" / "status.json").read_bytes())


if __name__ == "__main__":
    record()
