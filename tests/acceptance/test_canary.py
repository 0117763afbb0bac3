"""A canary in every setting that is a secret or may hold one: whatever happens, it shows nowhere.

Nowhere: the log and what is printed, alerts.txt, all files of DATA_DIR, what the API answers, the arguments of every
process, every table of the database, and what the server knows of our connections.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest

from app.embedded import EmbeddedPostgres
from tests.acceptance.canary import CANARY, PASSWORD, everything_else, leaks, secrets_of, with_password
from tests.acceptance.daemon import environment, running, stop, wait_until
from tests.acceptance.echoing import REPLIES, Said, serving
from tests.acceptance.scripted import body
from tests.acceptance.test_recorded_market import made_up
from tests.ports import free_port

pytestmark = pytest.mark.acceptance

PATHS = (
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/status",
    "/openapi.json",
    "/docs",
    "/nosuch",
    "/api/v1/status?x=",
)


def files(folder: Path) -> str:
    """All that stands in all files, but for those that are there to hold secrets."""
    return "\n".join(
        f"{path}: {path.read_bytes().decode('latin-1')}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "secrets" not in path.parts and path.name != ".env"
    )


def content(dsn: str) -> str:
    """All that stands in all tables, and what the server knows of the connections there are."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                       " AND relkind IN ('r', 'p', 'm')")  # fmt: skip
        tables = [name for (name,) in cursor.fetchall()]
        assert "outbox" in tables
        lines = []
        for table in [*tables, "pg_stat_activity", "pg_settings"]:
            cursor.execute(f"SELECT t::text FROM {table} AS t")
            lines += [f"{table}: {row}" for (row,) in cursor.fetchall()]
        return "\n".join(lines)


def answers(port: int) -> str:
    """What the API answers, status, headers and body, to whatever one may ask it."""
    said = []
    for path in PATHS:
        for method in ("GET", "HEAD", "POST"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            with closing(connection):
                connection.request(method, path)
                reply = connection.getresponse()
                said.append(f"{method} {path}: {reply.status} {reply.headers} {reply.read().decode()}")
    return "\n".join(said)


@pytest.fixture(autouse=True)
def arguments() -> Iterator[set[str]]:
    """The command lines of all processes that live, be it for a moment, while a test runs: none has a secret."""
    found: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.2):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    found.add(file.read_bytes().decode("utf-8", "replace").replace("\0", " "))

    looking = threading.Thread(target=look)
    looking.start()
    yield found
    done.set()
    looking.join()
    assert leaks("\n".join(found)) == []


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server that lets the superuser in with any password, and ``guarded`` with his own alone."""
    with tempfile.TemporaryDirectory(prefix="cryptomonitor-test-") as name:
        access = Path(name, "hba.conf")
        access.write_text("local all guarded scram-sha-256\nlocal all all trust\n")
        access.chmod(0o644)
        with EmbeddedPostgres(Path(name), settings={"hba_file": str(access), "fsync": "off"}) as server:
            with closing(psycopg2.connect(server.dsn)) as connection, connection, connection.cursor() as cursor:
                cursor.execute("CREATE ROLE guarded LOGIN PASSWORD 'another'")
            yield server.dsn


@pytest.fixture
def dsn(postgres: str) -> Iterator[str]:
    """An empty database on it."""
    with closing(psycopg2.connect(postgres)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE DATABASE canary")
        yield postgres.replace("/cryptomonitor?", "/canary?")
        cursor.execute("DROP DATABASE canary WITH (FORCE)")


# A whole life


def steps() -> list[str | Callable[[str], Said]]:
    """Prices that make alerts, and every reply that repeats the key; those that end a polling for long come last."""
    prices = [body(rows) for rows in made_up(100)]
    short = [reply for name, reply in REPLIES.items() if not name.startswith(("4", "301"))]
    told: list[str | Callable[[str], Said]] = []
    for number, price in enumerate(prices):
        told.append(price)
        if number % 4 == 0 and short:
            told.append(short.pop())  # never two in a row: that would slow the polling down
    return [*told, REPLIES["401 as CoinGecko says it"]]


@pytest.mark.parametrize(("style", "in_files"), [("console", False), ("json", True)])
def test_a_life_with_good_and_bad_replies(style: str, in_files: bool, dsn: str, tmp_path: Path) -> None:
    with serving(*steps()) as echoing:
        settings = secrets_of(echoing, dsn)
        if in_files:
            (tmp_path / "secrets").mkdir()
            for key, value in settings.items():
                (tmp_path / "secrets" / key).write_text(f"{value}\n")
            settings = {f"{key}_FILE": tmp_path / "secrets" / key for key in settings}
        port = free_port()
        others = {**everything_else(echoing), "LOG_FORMAT": style, "API_PORT": port}
        with running(tmp_path, "run", **settings, **others) as daemon:
            output = tmp_path / "output.txt"
            wait_until(lambda: len(echoing.posted) >= 3, daemon, 90, tmp_path)
            said = answers(port)
            wait_until(lambda: "coingecko: HTTP 401" in output.read_text(), daemon, 90, tmp_path)
            said += answers(port)
            stored = content(dsn)
            code, _ = stop(daemon)
            assert code == 0, output.read_text()
    assert all(CANARY in post for post in echoing.posted), "the receiver is told, or else nothing is tested here"
    assert (tmp_path / "alerts" / "alerts.txt").read_text().count("FIRING") >= 1
    assert "HTTP 401" in output.read_text()
    assert '"sources"' in said
    assert "ticker_data" in stored
    for text in (said, stored, content(dsn), files(tmp_path)):
        assert leaks(text) == []


def test_a_database_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "server")
    with serving(*(body(rows) for rows in made_up(2000))) as echoing, server:
        settings = {**secrets_of(echoing, server.dsn), **everything_else(echoing)}
        with running(tmp_path, "run", "--no-api", **settings) as daemon:
            wait_until(lambda: echoing.asked > 10, daemon, 60, tmp_path)
            server.stop()
            status = tmp_path / "data" / "status.json"
            wait_until(lambda: json.loads(status.read_text())["spool"]["batches"] > 5, daemon, 60, tmp_path)
            assert leaks(files(tmp_path)) == []
            server.start()
            wait_until(lambda: json.loads(status.read_text())["spool"]["batches"] == 0, daemon, 60, tmp_path)
            assert leaks(content(server.dsn)) == []
            assert stop(daemon)[0] == 0
    # The server's own files, and its log, are among them.
    assert "postgres.log" in files(tmp_path)
    assert leaks(files(tmp_path)) == []


# Ends


def ended(folder: Path, *command: str, **settings: object) -> tuple[int, str]:
    """Run a command to its end: its exit code, and what it printed."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        *(("run", wrong) for wrong in ("password", "user", "database", "port")),
        *(("doctor", wrong) for wrong in ("password", "port")),
        ("migrate", "password"),
    ],
)
def test_a_database_that_cannot_be_had(command: str, wrong: str, dsn: str, tmp_path: Path) -> None:
    url = {
        "password": with_password(dsn, user="guarded"),
        "user": with_password(dsn, user="nosuch"),
        "database": with_password(dsn).replace("/canary?", "/nosuch?"),
        "port": f"postgresql://me:{quote(PASSWORD, safe='')}@localhost:{free_port()}/x",
    }[wrong]
    settings = {"DATABASE_URL": url, "COINGECKO_BASE_URL": "http://127.0.0.1:9", "LOG_LEVEL": "debug"}
    if wrong != "port" or command == "doctor":
        code, said = ended(tmp_path, "-m", "app", command, **settings)
        assert code == 69, said
    else:
        with running(tmp_path, command, **settings) as process:
            output = tmp_path / "output.txt"
            wait_until(lambda: "does not answer" in output.read_text(), process, 60, tmp_path)
            stop(process)
        said = output.read_text()
    assert re.search("authentication failed|does not exist|does not answer|refused|root certificate file", said), said
    assert leaks(said + files(tmp_path)) == []


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize("command", ["run", "doctor", "serve"])
def test_an_error_that_nobody_foresaw(style: str, command: str, dsn: str, tmp_path: Path) -> None:
    """In the middle of it all, with every secret in some local variable."""
    (tmp_path / "crash.py").write_text(f"""
import sys
sys.path.insert(0, {os.fspath(Path(__file__).parents[2])!r})
import app.api.status, app.http, app.cli
def boom(*_, **__):
    raise RuntimeError("boom")
app.http._session.__globals__["_Session"].request = boom
app.api.status._ask = boom
app.cli.main()
""")
    with serving("{}") as echoing:
        port = free_port()
        settings = {
            **secrets_of(echoing, dsn), **everything_else(echoing), "LOG_FORMAT": style, "API_PORT": port,
        }  # fmt: skip
        if command == "serve":
            said = _of_a_server(tmp_path, port, settings)
        else:
            options = ["--no-api"] if command == "run" else []
            code, said = ended(tmp_path, "crash.py", command, *options, **settings)
            assert code == 70, said
    assert "boom" in said
    assert "Traceback" in said
    assert leaks(said + files(tmp_path)) == []


def _of_a_server(folder: Path, port: int, settings: dict[str, object]) -> str:
    output = folder / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "crash.py", "serve"],
            cwd=folder,
            env=environment(folder, **settings),
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        wait_until(lambda: "The API answers" in output.read_text(), process, 60, folder)
        said = answers(port)
        assert "500" in said
    finally:
        process.terminate()
        process.wait(60)
    return said + output.read_text()
