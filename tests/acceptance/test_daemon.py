"""The daemon when things around it fail, and when it is told to stop."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import pytest

from app.embedded import EmbeddedPostgres
from tests.acceptance.daemon import running, stop, wait_until
from tests.acceptance.scripted import Script, serving
from tests.acceptance.test_recorded_market import made_up
from tests.pace import in_time
from tests.ports import free_port

pytestmark = pytest.mark.acceptance


def stored(dsn: str) -> Counter[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT symbol, "timestamp", price::text FROM ticker_data')
        return Counter(cursor.fetchall())


def served(script: Script) -> Counter[tuple[object, ...]]:
    return Counter({(row.symbol, row.time, row.price) for reply in script.served for row in reply})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_full_run_stores_all_that_was_served(number: signal.Signals, tmp_path: Path) -> None:
    """With the embedded server and the API: everything that `make run` starts."""
    script = Script(made_up(2000))
    with (
        serving(script) as url,
        running(tmp_path, "run", COINGECKO_BASE_URL=url, TICK_SECONDS=0.05, API_PORT=free_port()) as daemon,
    ):
        wait_until(lambda: script.polls > 60, daemon, 60, tmp_path)
        code, seconds = stop(daemon, number)
        assert code == 0, (tmp_path / "output.txt").read_text()
        assert in_time(seconds, 5)
    with EmbeddedPostgres(tmp_path / "data") as server:
        assert stored(server.dsn) == served(script)
    assert "Traceback" not in (tmp_path / "output.txt").read_text()


def test_a_database_that_goes_away_for_a_while_costs_nothing(tmp_path: Path) -> None:
    script = Script(made_up(2000))
    server = EmbeddedPostgres(tmp_path / "server")
    with server, serving(script) as url:
        with running(
            tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, TICK_SECONDS=0.05, DATABASE_URL=server.dsn
        ) as daemon:
            wait_until(lambda: script.polls > 50, daemon, 60, tmp_path)
            server.stop()
            status = tmp_path / "data" / "status.json"
            wait_until(lambda: "does not answer" in (tmp_path / "output.txt").read_text(), daemon, 60, tmp_path)
            before = script.polls
            wait_until(lambda: script.polls > before + 50, daemon, 60, tmp_path)
            wait_until(lambda: json.loads(status.read_text())["spool"]["batches"] > 50, daemon, 60, tmp_path)
            server.start()
            wait_until(lambda: json.loads(status.read_text())["spool"]["batches"] == 0, daemon, 60, tmp_path)
            assert json.loads(status.read_text())["state"] == "running"
            assert stop(daemon)[0] == 0
        assert stored(server.dsn) == served(script)
    output = (tmp_path / "output.txt").read_text()
    assert output.count("The database is back;") >= 1
    assert "Traceback" not in output


def test_a_stop_while_the_database_is_away_ends_in_time_and_the_next_start_stores_the_rest(tmp_path: Path) -> None:
    script = Script(made_up(2000))
    server = EmbeddedPostgres(tmp_path / "server")
    with serving(script) as url:
        with (
            server,
            running(
                tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, TICK_SECONDS=0.05, DATABASE_URL=server.dsn
            ) as daemon,
        ):
            wait_until(lambda: script.polls > 20, daemon, 60, tmp_path)
            server.stop()
            wait_until(lambda: "does not answer" in (tmp_path / "output.txt").read_text(), daemon, 60, tmp_path)
            code, seconds = stop(daemon)
        assert code == 0
        assert in_time(seconds, 5)
        answered = served(script)
        assert "batches wait in the spool; the next start stores them" in (tmp_path / "output.txt").read_text()
        with (
            server,
            running(
                tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, TICK_SECONDS=86400, DATABASE_URL=server.dsn
            ) as daemon,
        ):
            status = tmp_path / "data" / "status.json"
            wait_until(lambda: json.loads(status.read_text())["state"] == "running", daemon, 60, tmp_path)
            assert stop(daemon)[0] == 0
            assert stored(server.dsn) >= answered


def test_a_provider_that_hangs_does_not_hold_up_a_stop(dsn: str, tmp_path: Path) -> None:
    with (
        hanging() as (url, asked),
        running(tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, DATABASE_URL=dsn) as daemon,
    ):
        wait_until(asked.is_set, daemon, 60, tmp_path)
        code, seconds = stop(daemon)
    assert code == 0
    assert in_time(seconds, 5)


def test_a_coin_that_nobody_knows_ends_the_start_with_its_name(dsn: str, tmp_path: Path) -> None:
    coins = '[{"id":"bitcoin","symbol":"btc","name":"Bitcoin"}]'
    with (
        serving(Script([(200, "{}")]), coins_list=coins) as url,
        running(
            tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, DATABASE_URL=dsn, WATCH="BTC,NOSUCHCOIN"
        ) as daemon,
    ):
        assert daemon.wait(60) == 78
    last = (tmp_path / "output.txt").read_text().splitlines()[-1]
    assert last.startswith("cryptomonitor: WATCH")
    assert "NOSUCHCOIN" in last


def test_ticks_flow_while_one_coin_vanishes_from_the_replies(dsn: str, tmp_path: Path) -> None:
    whole = made_up(120)
    script = Script(
        [[row for row in reply if row.symbol != "ETH"] if n % 40 > 20 else reply for n, reply in enumerate(whole)]
    )
    with (
        serving(script) as url,
        running(tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, TICK_SECONDS=0.05, DATABASE_URL=dsn) as daemon,
    ):
        wait_until(script.polled_beyond.is_set, daemon, 60, tmp_path)
        assert stop(daemon)[0] == 0
    assert stored(dsn) == served(script)
    output = (tmp_path / "output.txt").read_text()
    assert output.count("The price of ETH cannot be used") == 1, "one message a kind and a minute"
    assert output.count("The price of ETH can be used again") == 2


@contextmanager
def hanging() -> Iterator[tuple[str, threading.Event]]:
    """A provider that takes calls and never answers; the event is set by the first."""
    asked, over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            over.wait(60)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api/v3", asked
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_embedded_server_that_does_not_start_ends_it_with_the_reason(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "data"):
        pass
    with (tmp_path / "data" / "postgres" / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = 'nonsense'\n")
    with running(tmp_path, "run", "--no-api") as daemon:
        assert daemon.wait(60) == 69
    output = (tmp_path / "output.txt").read_text()
    assert "cryptomonitor: the embedded PostgreSQL does not start" in output
    assert 'shared_buffers": "nonsense"' in output
    assert "Traceback" not in output


def test_a_stop_while_another_holds_the_migration_lock_ends_in_time(dsn: str, tmp_path: Path) -> None:
    with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('cryptomonitor'), hashtext('migrations'))")
        with running(tmp_path, "run", "--no-api", DATABASE_URL=dsn) as daemon:
            status = tmp_path / "data" / "status.json"
            waiting = "waiting for the database"
            wait_until(lambda: status.exists() and waiting in status.read_text(), daemon, 60, tmp_path)
            code, seconds = stop(daemon)
    assert code == 0
    assert in_time(seconds, 5)
