"""The API over a real database, and as the process that ``serve`` is."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
import requests
from structlog.testing import capture_logs

from app import status
from app.api.database import Busy, Reader, TooSlow
from app.api.edge import Edge
from app.api.problems import problem_reply
from app.db import Database
from app.embedded import EmbeddedPostgres
from app.errors import DatabaseRefused, DatabaseUnavailable
from app.queries import QUERIES
from tests.api import an_api
from tests.asgi import request
from tests.pace import in_time
from tests.ports import free_port
from tests.statuses import a_status

ROOT = Path(__file__).parents[2]


@pytest.fixture
def api(tmp_path: Path, dsn: str) -> Edge:
    """Beside a daemon that is well."""
    status.write(tmp_path, a_status(datetime.now(UTC)))
    return an_api(tmp_path, dsn)


def run(database: Database, *statements: str) -> None:
    def all_of_them(cursor: psycopg2.extensions.cursor) -> None:
        for statement in statements:
            cursor.execute(statement)

    database.run(all_of_them)


def store(database: Database, symbol: str, *timestamps: datetime) -> None:
    """Watch a symbol, with ticks at these times."""
    run(
        database,
        f"INSERT INTO instruments (symbol, base, quote, market) VALUES ('{symbol}', '{symbol}', 'USD', 'coingecko')",
        *(f"SELECT make_partition('{t.date()}')" for t in timestamps),
        *(
            "INSERT INTO ticker_data (timestamp, symbol, price, fetched_at, source)"
            f" VALUES ('{t.isoformat()}', '{symbol}', 1, now(), 'coingecko')"
            for t in timestamps
        ),
    )


def test_readyz_is_ready_when_the_database_answers_and_ticks_arrive(api: Edge) -> None:
    reply = request(api, "/readyz")
    assert (reply.status, reply.json) == (200, {"status": "ready"})


def test_the_status_has_the_newest_tick_of_every_watched_symbol_and_its_lag(api: Edge, database: Database) -> None:
    now = datetime.now(UTC)
    store(database, "BTC", now - timedelta(days=40), now - timedelta(seconds=90), now - timedelta(days=80))
    store(database, "NEW")
    store(database, "GONE", now)
    run(database, "UPDATE instruments SET watched = false WHERE symbol = 'GONE'")
    found = request(api, "/api/v1/status").json["database"]
    assert (found["answers"], found["reason"]) == (True, None)
    assert re.match(r"\d\d\.\d", found["version"])
    assert found["size_bytes"] > 1_000_000
    assert found["latest"].keys() == {"BTC", "NEW"}
    assert datetime.fromisoformat(found["latest"]["BTC"]["timestamp"]) == now - timedelta(seconds=90)
    assert found["latest"]["BTC"]["lag_seconds"] == pytest.approx(90, abs=10)
    assert found["latest"]["NEW"] == {"timestamp": None, "lag_seconds": None}


def test_the_status_has_what_each_channel_was_not_told(api: Edge, database: Database) -> None:
    run(
        database,
        "INSERT INTO channels (name) VALUES ('ops'), ('quiet')",
        "INSERT INTO alerts (id, state, timestamp, symbol, rule, terms)"
        " SELECT n::text, 'FIRING', now(), 'BTC', 'r', '{}' FROM generate_series(1, 6) AS n",
        "INSERT INTO outbox (id, state, channel, symbol, created_at, delivered_at, dead_at)"
        " SELECT n::text, 'FIRING', 'ops', 'BTC', '2026-11-22T10:00:00Z'::timestamptz + n * interval '1 min',"
        " CASE WHEN n = 1 THEN now() END, CASE WHEN n IN (2, 3) THEN now() END FROM generate_series(1, 6) AS n",
    )
    assert request(api, "/api/v1/status").json["database"]["outbox"] == {
        "ops": {"waiting": 3, "oldest_at": "2026-11-22T10:04:00Z", "dead": 2},
        "quiet": {"waiting": 0, "oldest_at": None, "dead": 0},
    }


def test_the_growth_is_what_the_ticks_of_the_last_24_hours_take(api: Edge, database: Database) -> None:
    assert request(api, "/api/v1/status").json["database"]["growth_bytes_per_day"] is None
    days = "date_trunc('day', now(), 'UTC') - n * interval '1 day'"
    run(
        database,
        "INSERT INTO instruments (symbol, base, quote, market, watched) VALUES"
        " ('BTC', 'BTC', 'USD', 'coingecko', true), ('GONE', 'GONE', 'USD', 'coingecko', false)",
        *(f"SELECT make_partition((now() - interval '{months} month')::date)" for months in range(2)),
        "INSERT INTO ticker_data (timestamp, symbol, price, fetched_at, source)"
        " SELECT now() - n * interval '1 min', 'BTC', 1, now(), 'coingecko' FROM generate_series(1, 5000) AS n",
        "INSERT INTO candles (width, symbol, bucket, open, open_at, high, low, close, close_at, ticks, minutes)"
        f" SELECT '1d', symbol, {days}, 1, now(), 1, 1, 1, now(), 10 ^ (n + 1), B'1'"
        " FROM generate_series(0, 2) AS n, instruments",
        "ANALYZE ticker_data",
    )
    taken = """
        SELECT sum(pg_total_relation_size(oid)), extract(epoch FROM now() - date_trunc('day', now(), 'UTC')) / 86400
        FROM pg_class WHERE relname ~ '^(ticker_data|candles)_' AND relkind = 'r'"""
    ((size, elapsed),) = database.run(lambda cursor: cursor.execute(taken) or cursor.fetchall())
    found = request(api, "/api/v1/status").json["database"]["growth_bytes_per_day"]
    # Of BTC 10 today and 100 yesterday, of which some are older than 24 hours; what nobody watches does not grow.
    assert found == pytest.approx(float(size) / 5000 * (10 + 100 * (1 - float(elapsed))), rel=0.01)


def test_prometheus_gets_the_database_too(api: Edge, database: Database) -> None:
    store(database, "BTC", datetime.now(UTC) - timedelta(seconds=90))
    page = request(api, "/metrics").body.decode()
    figures = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert figures["cryptomonitor_database_up"] == "1.0"
    assert float(figures["cryptomonitor_database_size_bytes"]) > 1_000_000
    assert float(figures['cryptomonitor_symbol_lag_seconds{symbol="BTC"}']) == pytest.approx(90, abs=10)


def test_the_newest_ticks_are_found_by_the_index_alone(database: Database) -> None:
    now = datetime.now(UTC).replace(day=15)
    store(database, "BTC", *(now - timedelta(days=30 * months) for months in range(4)))

    def plan(cursor: psycopg2.extensions.cursor) -> str:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + QUERIES["latest_ticks"])
        return "\n".join(row[0] for row in cursor.fetchall())

    steps = [line for line in database.run(plan).splitlines() if "on ticker_data" in line]
    assert steps
    assert all("Index Only Scan Backward" in step for step in steps)
    # The newest month has one: no older one is even looked at.
    assert sum("never executed" in step for step in steps) == len(steps) - 1


def test_what_the_api_asks_cannot_write(dsn: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        Reader(lambda: dsn).ask(lambda cursor: cursor.execute("CREATE TABLE mine (x int)"))


@pytest.mark.one_server
def test_what_the_api_asks_ends_after_two_seconds(dsn: str) -> None:
    begin = time.monotonic()
    with pytest.raises(TooSlow):
        Reader(lambda: dsn).ask(lambda cursor: cursor.execute("SELECT pg_sleep(60)"))
    assert 1.9 < time.monotonic() - begin < 9  # the daemon's own statements have 10 s


@pytest.mark.one_server
@pytest.mark.parametrize("in_one", [True, False])
def test_a_question_that_takes_too_long_is_told_from_a_database_that_is_away(dsn: str, in_one: bool) -> None:
    reader = Reader(lambda: dsn)
    with capture_logs() as lines, pytest.raises(TooSlow) as ended:
        reader.ask(lambda cursor: cursor.execute("SELECT pg_sleep(60)"), 0.1, is_one_statement=in_one)
    assert [line["action"] for line in lines] == ["too_slow"]
    reply = problem_reply(ended.value)
    assert reply.status_code == 503
    assert b'"The question takes the database too long: ask for less, or again later."' in reply.body
    assert reader.trouble() is None


def test_a_database_without_our_tables_is_said_to_refuse(tmp_path: Path, empty_dsn: str) -> None:
    api = an_api(tmp_path, empty_dsn)
    found = request(api, "/api/v1/status").json["database"]
    assert (found["answers"], found["latest"]) == (False, {})
    assert found["reason"] == "the database refuses the question; the API's log says why"


def test_a_database_that_is_away_and_comes_back_is_noticed(api: Edge, dsn: str, server: str) -> None:
    name = dsn.partition("?")[0].rpartition("/")[2]
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        reply = request(api, "/readyz")
        assert reply.status == 503
        assert name.encode() not in reply.body
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert request(api, "/readyz").status == 200


@pytest.mark.one_server
def test_more_questions_than_places_wait_and_then_give_up(dsn: str) -> None:
    reader = Reader(lambda: dsn)
    in_use, release = threading.Semaphore(0), threading.Event()

    def hold(_: object) -> None:
        in_use.release()
        release.wait(120)

    holders = [threading.Thread(target=reader.ask, args=(hold,)) for _ in range(8)]
    for holder in holders:
        holder.start()
    for _ in holders:
        assert in_use.acquire(timeout=60)
    begin = time.monotonic()
    with pytest.raises(Busy, match=r"^all 8 connections of the API wait for an answer$"):
        reader.query("answers")
    assert time.monotonic() - begin > 0.4
    release.set()
    for holder in holders:
        holder.join()
    assert reader.trouble() is None


def test_a_database_that_hangs_is_given_up_after_two_seconds(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        reader = Reader(lambda: server.dsn)
        assert reader.trouble() is None
        postmaster = int((tmp_path / "postgres" / "postmaster.pid").read_text().split()[0])
        ((backend,),) = reader.ask(lambda cursor: cursor.execute("SELECT pg_backend_pid()") or cursor.fetchall())
        # The connection that is kept hangs, and then the attempt to open another.
        for hanging in ([backend], [postmaster]):
            for pid in hanging:
                os.kill(pid, signal.SIGSTOP)
            try:
                begin = time.monotonic()
                assert reader.trouble() == "the database does not answer"
                assert time.monotonic() - begin < 9
            finally:
                for pid in hanging:
                    os.kill(pid, signal.SIGCONT)
        assert reader.trouble() is None


def test_connections_are_kept_and_no_transaction_is_left_to_the_next(dsn: str) -> None:
    reader = Reader(lambda: dsn)

    def pid(cursor: psycopg2.extensions.cursor) -> object:
        cursor.execute(
            "SELECT pg_backend_pid(), pg_current_xact_id_if_assigned(), current_setting('statement_timeout')"
        )
        return cursor.fetchone()

    first = reader.ask(pid)
    with pytest.raises(ZeroDivisionError):
        reader.ask(lambda cursor: cursor.execute("SELECT 1") or 1 / 0)
    with pytest.raises(DatabaseUnavailable):
        reader.ask(lambda cursor: cursor.execute("SELECT pg_sleep(60)"), seconds=0.05)
    with pytest.raises(DatabaseRefused):
        reader.ask(lambda cursor: cursor.execute("SELECT nothing"))
    assert reader.ask(pid, seconds=1.5)[2] == "1500ms"
    assert reader.ask(pid) == first == (first[0], None, "2s")


def test_a_connection_that_the_server_left_is_not_used_again(dsn: str) -> None:
    reader = Reader(lambda: dsn)
    with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
        for _ in range(2):
            ((pid,),) = reader.ask(lambda c: c.execute("SELECT pg_backend_pid()") or c.fetchall())
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            assert reader.trouble() is None


def test_where_there_is_another_server_the_old_ones_connections_are_closed(dsn: str, database: Database) -> None:
    addresses = iter([dsn, f"{dsn}&connect_timeout=7", f"{dsn}&connect_timeout=7"])
    reader = Reader(lambda: next(addresses))

    def pid(cursor: psycopg2.extensions.cursor) -> int:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])

    old = reader.ask(pid)
    new = reader.ask(pid)
    assert old != new
    assert reader.ask(pid) == new
    gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    while database.run(lambda cursor: cursor.execute(gone, [old]) or cursor.fetchall()) != [(0,)]:
        pass


def test_a_wrong_password_is_a_refusal_that_names_no_user() -> None:
    def refused() -> str | None:
        raise DatabaseRefused('password authentication failed for user "walter"')

    assert Reader(refused).trouble() == "the database refuses the question; the API's log says why"


# The process --------------------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> int:
    return free_port()


def start(data_dir: Path, port: int, **settings: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DATA_DIR": str(data_dir),
        "API_PORT": str(port),
        **settings,
    }
    # Not from the repository's folder, where a .env may lie.
    return subprocess.Popen(
        [sys.executable, "-m", "app", "serve"], cwd=data_dir, env=environment, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def serving(data_dir: Path, port: int, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """``serve``, once it answers; ended by the test or else by us."""
    process = start(data_dir, port, **settings)
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert f"The API answers on http://127.0.0.1:{port}" in first
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, float, str]:
    """End it: its exit code, how many seconds it took, and what it said."""
    begin = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return process.returncode, time.monotonic() - begin, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_and_ends_quietly(tmp_path: Path, port: int, number: signal.Signals) -> None:
    with serving(tmp_path, port) as process, requests.Session() as session:
        reply = session.get(f"http://127.0.0.1:{port}/healthz", timeout=60)
        assert (reply.status_code, reply.json()) == (200, {"status": "ok"})
        assert "server" not in reply.headers
        # The session still holds its connection open.
        code, seconds, said = ended(process, number)
    assert (code, said) == (0, "")
    assert in_time(seconds, 5)


@pytest.mark.one_server
def test_serve_ends_in_time_while_a_reply_waits_for_the_database(tmp_path: Path, port: int, dsn: str) -> None:
    with (
        closing(psycopg2.connect(dsn)) as blocker,
        serving(tmp_path, port, DATABASE_URL=dsn) as process,
        socket.create_connection(("127.0.0.1", port), timeout=60) as client,
    ):
        cursor = blocker.cursor()
        cursor.execute("LOCK TABLE instruments")
        client.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: testing\r\n\r\n")
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%instruments AS i%' AND wait_event = 'relation'"
        )
        while not cursor.execute(waiting) and cursor.fetchone() == (0,):
            cursor.execute("SELECT pg_stat_clear_snapshot(), pg_sleep(0.01)")
        code, seconds, said = ended(process, signal.SIGTERM)
    assert (code, said) == (0, "")
    assert in_time(seconds, 5)


def test_head_has_no_body_on_the_wire(tmp_path: Path, port: int) -> None:
    with serving(tmp_path, port), socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: testing\r\nConnection: close\r\n\r\n")
        reply = b"".join(iter(lambda: client.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert reply.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "nonsense",
    [b"\x16\x03\x01\x00\xa5\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000],
    ids=["no HTTP", "headers without end"],
)
def test_nonsense_is_refused_without_a_word_in_the_log(tmp_path: Path, port: int, nonsense: bytes) -> None:
    with serving(tmp_path, port) as process:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(nonsense)
            assert client.recv(65536).startswith(b"HTTP/1.1 400 ")
        assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=60).status_code == 200
        assert ended(process, signal.SIGTERM)[2] == ""


def test_a_second_serve_on_the_same_port_ends_with_75_and_one_line(tmp_path: Path, port: int) -> None:
    with serving(tmp_path, port):
        second = start(tmp_path, port)
        _, said = second.communicate(timeout=60)
    assert second.returncode == 75
    assert said == (
        f"cryptomonitor: port {port} of 127.0.0.1 is in use by another process; end that one, or set API_PORT to a"
        " free port\n"
    )


def test_serve_says_that_tokens_travel_in_clear_where_others_can_ask(tmp_path: Path, port: int) -> None:
    process = start(tmp_path, port, API_HOST="0.0.0.0")
    try:
        assert process.stderr is not None
        assert "API_HOST=0.0.0.0: from elsewhere the API asks for a token, which" in process.stderr.readline()
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=60).status_code == 200
    finally:
        process.kill()
        process.communicate()


def test_serve_waits_for_the_embedded_database_and_finds_it(tmp_path: Path, port: int) -> None:
    with serving(tmp_path, port):
        url = f"http://127.0.0.1:{port}"
        assert "the database does not answer" in requests.get(f"{url}/readyz", timeout=60).json()["reasons"]
        with EmbeddedPostgres(tmp_path):
            status.write(tmp_path, a_status(datetime.now(UTC)))
            reply = requests.get(f"{url}/readyz", timeout=60)
            assert (reply.status_code, reply.json()) == (200, {"status": "ready"})


def test_an_access_line_is_json_where_asked_for(tmp_path: Path, port: int) -> None:
    with serving(tmp_path, port, LOG_LEVEL="debug", LOG_FORMAT="json") as process:
        requests.get(f"http://127.0.0.1:{port}/healthz?key=secret", timeout=60)
        said = ended(process, signal.SIGTERM)[2]
    (line,) = [json.loads(line) for line in said.splitlines()]
    assert (line["action"], line["method"], line["path"], line["status"]) == ("access", "GET", "/healthz", 200)
    assert "secret" not in said


@pytest.mark.one_server
@pytest.mark.parametrize("chunked", [False, True], ids=["said", "chunked"])
def test_a_client_whose_body_is_too_long_gets_its_answer_all_the_same(tmp_path: Path, port: int, chunked: bool) -> None:
    head = "Transfer-Encoding: chunked" if chunked else "Content-Length: 20000000"
    piece = b"186a0\r\n" + b"x" * 100_000 + b"\r\n" if chunked else b"x" * 100_000
    with serving(tmp_path, port), socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        path = "/api/v1/rules/backtest"
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n\r\n".encode())
        for _ in range(200):
            client.sendall(piece)
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
