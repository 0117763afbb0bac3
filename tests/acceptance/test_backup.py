"""Backup and restore as docs/backup.md says, command by command, on a system that runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest

from app.embedded import EmbeddedPostgres
from tests.acceptance.daemon import REPOSITORY, environment, running, stop, wait_until
from tests.acceptance.oracle import expected_lines
from tests.acceptance.scripted import Row, Script, serving
from tests.acceptance.test_recorded_market import PLAIN_DAILY
from tests.servers import Installed, available, started
from tests.unit.test_docs import section

pytestmark = pytest.mark.acceptance

MINUTES = 6000
SERVERS = pytest.mark.parametrize("server_here", [max(available(), key=lambda found: found.major)], ids=str)


def lively(minutes: int = MINUTES) -> list[list[Row]]:
    """BTC goes up by 5 % and back every six minutes: an alert or its end at every other moment."""
    start = datetime(2024, 2, 29, 20, 0, tzinfo=UTC)
    return [
        [
            Row(start + timedelta(minutes=minute), "BTC", str(Decimal("60781.97") * up), str(3692454343 + minute)),
            Row(start + timedelta(minutes=minute), "ETH", "2388.18", "1522591290"),
            Row(start + timedelta(minutes=minute), "ZEC", "294.550", "145279124"),
        ]
        for minute in range(minutes)
        for up in [Decimal("1.05") if minute // 6 % 2 else Decimal(1)]
    ]


def documented(document: str, heading: str) -> list[str]:
    """The shell commands in the blocks under a heading, each block as it would be pasted."""
    text = section((REPOSITORY / "docs" / document).read_text(encoding="utf-8"), heading)
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    assert blocks, f"no commands under {heading!r}"
    return blocks


def do(commands: str, folder: Path, **settings: object) -> None:
    """Type the commands in a checkout: the folder stands for one, with the environment of this one in it."""
    checkout = folder / ".venv"
    if not checkout.is_symlink():
        checkout.symlink_to(sys.prefix)
    tools = max(available(), key=lambda found: found.major).programs
    where = environment(folder, PATH=f"{tools}:{os.environ['PATH']}", **settings)
    # Our own folders are those of the documents.
    where = {key: value for key, value in where.items() if key not in ("DATA_DIR", "ALERTS_FILE")}
    done = subprocess.run(
        ["sh", "-eu", "-c", commands], cwd=folder, env=where, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def watching(folder: Path, replies: list[list[Row]], **settings: object) -> Iterator[Script]:
    """A daemon in the folder that sees these replies, for as long as this lasts; then it is told to stop."""
    script = Script(replies)
    settings = {"TICK_SECONDS": 0.05, "VIEW_REFRESH_SECONDS": 0.5, **settings}
    with (
        serving(script) as url,
        running(folder, "run", "--no-api", COINGECKO_BASE_URL=url, **settings) as daemon,
    ):
        seen = lambda: len(alert_lines(folder)) >= 6 and script.polls > 40  # noqa: E731
        wait_until(seen, daemon, 60, folder)
        yield script
        before = script.polls
        wait_until(lambda: script.polls > before + 20, daemon, 60, folder)
        assert stop(daemon)[0] == 0
    output = (folder / "output.txt").read_text()
    assert "Traceback" not in output
    assert "damaged" not in output


def alert_lines(folder: Path) -> list[str]:
    path = folder / "alerts" / "alerts.txt"
    return path.read_text().splitlines() if path.exists() else []


def without_ids(lines: list[str]) -> list[str]:
    return [line.rpartition(" id=")[0] for line in lines]


def keys(lines: list[str]) -> Counter[tuple[str, str]]:
    """(state, id) of each line."""
    return Counter((line.split()[1], line.rpartition(" id=")[2]) for line in lines)


def asked(dsn: str, query: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def replies_in(dsn: str, served: list[list[Row]]) -> int:
    """How many replies the database holds: exactly the first ones, whole, rolled up, with just what they caused."""
    stored = Counter(asked(dsn, 'SELECT symbol, "timestamp", price::text, volume_24h::text FROM ticker_data'))
    number = len({time for _, time, _, _ in stored})
    assert stored == Counter(
        (row.symbol, row.time, row.price, row.volume) for reply in served[:number] for row in reply
    )
    caused = [tuple(line.split()[1:4]) for line in expected_lines(served[:number])]
    assert asked(dsn, "SELECT state, symbol, rule FROM alerts ORDER BY number") == caused
    return number


def assert_went_on(dsn: str, served: list[list[Row]], folder: Path) -> None:
    """After another run: everything is stored once, rolled up, and each alert is in the file once."""
    assert replies_in(dsn, served) == len(served)
    asked(dsn, "SELECT refresh_daily_ohlcv()")
    assert asked(dsn, "SELECT * FROM daily_ohlcv ORDER BY symbol, day") == asked(dsn, PLAIN_DAILY)
    written = keys(alert_lines(folder))
    assert set(written.values()) == {1}, "an alert stands there twice"
    assert set(asked(dsn, "SELECT state, id FROM alerts")) <= set(written), "an alert is not there"


@SERVERS
def test_a_dump_of_a_running_system_is_restored_elsewhere_and_goes_on(server_here: Installed, tmp_path: Path) -> None:
    replies, here, there = lively(), tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    backup, _ = documented("backup.md", "Back up")
    (restore,) = documented("backup.md", "Restore")
    with started(server_here) as dsn:
        with watching(here, replies, DATABASE_URL=dsn) as script:
            before = len(script.served) - 1
            do(backup, here, DATABASE_URL=dsn)
            after = len(script.served)
        assert len(script.served) > after
    (here / "cryptomonitor.dump").rename(there / "cryptomonitor.dump")

    # The machine is lost.
    with started(server_here) as dsn:
        do(restore, there, DATABASE_URL=dsn)
        number = replies_in(dsn, script.served)
        assert before <= number <= after
        with watching(there, replies[len(script.served) + 10 :], DATABASE_URL=dsn) as later:
            pass
        all_served = script.served[:number] + later.served
        assert_went_on(dsn, all_served, there)
        assert without_ids(alert_lines(there)) == expected_lines(all_served)

    # Only the database is lost.
    lines = alert_lines(here)
    with started(server_here) as dsn:
        do(restore, there, DATABASE_URL=dsn)
        with watching(here, replies[len(script.served) + 10 :], DATABASE_URL=dsn) as later:
            pass
        assert_went_on(dsn, script.served[:number] + later.served, here)
        assert alert_lines(here)[: len(lines)] == lines


def test_the_embedded_database_is_dumped_while_it_runs_and_everything_packed_when_it_does_not(tmp_path: Path) -> None:
    replies, here = lively(), tmp_path / "here"
    here.mkdir()
    (here / ".env").write_text("VIEW_REFRESH_SECONDS=0.5\n")
    dump, restore = documented("embedded-postgresql.md", "Backup")
    _, pack = documented("backup.md", "Back up")
    with watching(here, replies) as script:
        before = len(script.served) - 1
        do(dump, here)
        after = len(script.served)
    do(pack, here)

    dumped = tmp_path / "from the dump"
    dumped.mkdir()
    (here / "cryptomonitor.dump").rename(dumped / "cryptomonitor.dump")
    do(restore, dumped)
    with EmbeddedPostgres(dumped / "data") as server:
        number = replies_in(server.dsn, script.served)
        assert before <= number <= after
    with watching(dumped, replies[len(script.served) + 10 :]) as later:
        pass
    with EmbeddedPostgres(dumped / "data") as server:
        assert_went_on(server.dsn, script.served[:number] + later.served, dumped)

    packed = tmp_path / "packed"
    packed.mkdir()
    do(f"tar -xzf '{here}/cryptomonitor.tgz'", packed)
    with watching(packed, replies[len(script.served) :]) as later:
        pass
    with EmbeddedPostgres(packed / "data") as server:
        assert_went_on(server.dsn, script.served + later.served, packed)
    assert without_ids(alert_lines(packed)) == expected_lines(script.served + later.served)
