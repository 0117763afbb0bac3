"""Every start that cannot succeed ends at once, by its documented code, with one message that says what to do."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from app.alerts.file import AlertsFile
from app.clock import SystemClock
from app.embedded import EmbeddedPostgres
from app.instance import instance_lock
from tests.acceptance.daemon import running, stop, wait_until
from tests.acceptance.test_commands import CANARY, NOBODY, Ended, ended, interrupted_while_loading
from tests.conftest import new_database
from tests.pace import in_time
from tests.ports import free_port

pytestmark = pytest.mark.acceptance

Prepare = Callable[[Path], object]


def nothing(_: Path) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """What is wrong, the exit code, and what the one message has to say; ``prepare`` gets the folder of the start.

    In ``says``, HERE stands for that folder. What ``prepare`` gives is held until the start has ended.
    """

    name: str
    code: int
    says: str
    settings: dict[str, object]
    prepare: Prepare = nothing
    options: tuple[str, ...] = ("--no-api",)


def env(text: str | bytes) -> Prepare:
    return lambda folder: (folder / ".env").write_bytes(text if isinstance(text, bytes) else text.encode())


def file(name: str) -> Prepare:
    return lambda folder: ((folder / name).parent.mkdir(parents=True, exist_ok=True), (folder / name).write_text("x"))


def folder(name: str) -> Prepare:
    return lambda folder: (folder / name).mkdir(parents=True)


def link(name: str) -> Prepare:
    return lambda folder: ((folder / name).parent.mkdir(), (folder / name).symlink_to(folder / "elsewhere"))


def newer(name: str) -> Prepare:
    """One of our SQLite files, as a later version of the program will make it."""

    def prepare(folder: Path) -> None:
        (folder / "data").mkdir()
        with closing(sqlite3.connect(folder / "data" / name)) as database:
            database.execute("PRAGMA user_version = 99")

    return prepare


@contextmanager
def port_taken(_: Path) -> Iterator[None]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", TAKEN))
        other.listen()
        yield


@contextmanager
def file_held(folder: Path) -> Iterator[None]:
    with closing(AlertsFile(folder / "alerts" / "alerts.txt", folder / "other.sqlite", SystemClock())) as other:
        other.open()
        yield


@contextmanager
def journal_held(folder: Path) -> Iterator[None]:
    with closing(AlertsFile(folder / "other.txt", folder / "data" / "alerts.sqlite", SystemClock())) as other:
        other.open()
        yield


def another_major(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data"):
        pass
    (folder / "data" / "postgres" / "PG_VERSION").write_text("12\n")


def bad_server_setting(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data"):
        pass
    with (folder / "data" / "postgres" / "postgresql.conf").open("a") as conf:
        conf.write("shared_buffers = 'nonsense'\n")


TAKEN = free_port()

CASES = [
    # 78: a setting, or what was left by a newer program
    Case("number too small", 78, r"TICK_SECONDS=0.01 \(in the environment\): .*from 0.05 to", {"TICK_SECONDS": 0.01}),
    Case("no number", 78, r"API_PORT=eighty \(in the environment\): should be a whole number", {"API_PORT": "eighty"}),
    Case("no such choice", 78, r"LOG_LEVEL=loud .*should be debug, info, warning or error", {"LOG_LEVEL": "loud"}),
    Case("no symbol", 78, r"WATCH=BTC,B TC .*'B TC': should be a symbol like BTC", {"WATCH": "BTC,B TC"}),
    Case("no such market", 78, r"WATCH: '@krakken': no such market; the nearest are", {"WATCH": "BTC@krakken"}),
    Case("no such source", 78, r"SOURCE=gecko: no such market; the nearest are", {"SOURCE": "gecko"}),
    Case("plan without a key", 78, r"COINGECKO_PLAN=demo .*needs COINGECKO_API_KEY", {"COINGECKO_PLAN": "demo"}),
    Case("key without a plan", 78, r"COINGECKO_API_KEY=\*+ \(in the environment\): is set, so COINGECKO_PLAN",
         {"COINGECKO_API_KEY": CANARY}),
    Case("no address", 78, r"COINGECKO_BASE_URL=ftp://x .*should be an http", {"COINGECKO_BASE_URL": "ftp://x"}),
    Case("misspelt", 78, r"COINGECKO_API_KEYS .*did you mean COINGECKO_API_KEY\?", {"COINGECKO_API_KEYS": CANARY}),
    Case("spool without room", 78, r"SPOOL_MAX_MB=0 .*from 1 to", {"SPOOL_MAX_MB": 0}),
    Case("no database URL", 78, r"DATABASE_URL=\*+ .*should be postgresql://", {"DATABASE_URL": f"x://{CANARY}@db"}),
    Case("no secret file", 78, r"DATABASE_URL_FILE=/nosuch .*cannot be read \(No", {"DATABASE_URL_FILE": "/nosuch"}),
    Case("unknown key in .env", 78, r"TICK \(in .env\): no such setting", {}, env("TICK=1\n")),
    Case(".env is no text", 78, r"\.env: .*UTF-8", {}, env(b"WATCH=\xff\n")),
    Case(".env is a folder", 78, r"\.env: cannot be read \(Is a directory\)", {}, folder(".env")),
    Case("address of another", 78, r"API_HOST=192.0.2.1: this machine has no such address", {"API_HOST": "192.0.2.1"},
         options=()),
    Case("newer journal", 78, r"HERE/data/alerts.sqlite: .*newer version.*run that one", {}, newer("alerts.sqlite")),
    Case("data of another PostgreSQL", 78, r"HERE/data/postgres.* 12", {"DATABASE_URL": ""}, another_major),
    # 75: somebody else is there
    Case("same DATA_DIR", 75, r"\(pid \d+\) uses DATA_DIR=HERE/data: stop", {}, lambda f: instance_lock(f / "data")),
    Case("port taken", 75, rf"port {TAKEN} of 127.0.0.1 is in use .*set API_PORT", {"API_PORT": TAKEN}, port_taken,
         options=()),
    Case("same alerts file", 75, r"HERE/alerts/alerts.txt: another process writes it", {}, file_held),
    Case("same journal", 75, r"HERE/data/alerts.sqlite: another process has it open", {}, journal_held),
    # 69: the database says no
    Case("option without meaning", 69, "invalid sslmode value: \"x\"; check DATABASE_URL",
         {"DATABASE_URL": f"{NOBODY}?sslmode=x"}),
    Case("server does not start", 69, r"embedded PostgreSQL does not start \(HERE/data/postgres.log\)",
         {"DATABASE_URL": ""}, bad_server_setting),
    # 73: nothing can be written there
    Case("DATA_DIR in a file", 73, r"DATA_DIR=HERE/file/data: cannot be written", {"DATA_DIR": "file/data"},
         file("file")),
    Case("DATA_DIR is a file", 73, r"DATA_DIR=HERE/data: cannot be written \(.*has to be a folder", {}, file("data")),
    Case("lock is a folder", 73, r"DATA_DIR=HERE/data: cannot be written", {}, folder("data/lock")),
    Case("alerts in a file", 73, r"HERE/alerts: .*move that away", {}, file("alerts")),
    Case("alerts.txt is a folder", 73, r"HERE/alerts/alerts.txt: .*folder stands in its place", {},
         folder("alerts/alerts.txt")),
    Case("alerts.txt is a link", 73, r"HERE/alerts/alerts.txt: .*symbolic link", {}, link("alerts/alerts.txt")),
    Case("journal is a folder", 73, r"HERE/data/alerts.sqlite: cannot be opened", {}, folder("data/alerts.sqlite")),
    Case("spool is a folder", 73, r"HERE/data/spool.sqlite: ", {}, folder("data/spool.sqlite")),
]  # fmt: skip


def start(folder: Path, case: Case) -> Ended:
    """Start it as the case wants it."""
    paths = {
        "DATA_DIR": folder / str(case.settings.get("DATA_DIR", "data")),
        "ALERTS_FILE": folder / "alerts/alerts.txt",
    }
    database = {} if "DATABASE_URL_FILE" in case.settings else {"DATABASE_URL": NOBODY}
    port = {} if "API_PORT" in case.settings else {"API_PORT": free_port()}
    return ended(folder, "run", *case.options, **{**database, **port, **case.settings, **paths})


def assert_one_message(done: Ended, code: int, says: str, folder: Path) -> None:
    """The code, one message and no other, no secret, and soon (of what loading the program takes on this machine)."""
    assert done.code == code, done.err
    assert re.search(says.replace("HERE", re.escape(str(folder))), done.err, flags=re.DOTALL), done.err
    assert done.err.count("cryptomonitor: ") == len(done.err.splitlines()), done.err
    assert len(done.reason) < 500
    assert "Traceback" not in done.err
    assert CANARY not in done.out + done.err
    assert done.out == ""
    assert in_time(done.seconds, 2) or done.seconds < 2 + 2 * ended(folder, "run", "--help").seconds


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_start_that_cannot_succeed_ends_at_once_and_says_why(case: Case, tmp_path: Path) -> None:
    with ExitStack() as held:
        prepared = case.prepare(tmp_path)
        if hasattr(prepared, "__exit__"):
            held.enter_context(prepared)
        assert_one_message(start(tmp_path, case), case.code, case.says, tmp_path)
    if case.prepare is nothing and case.code == 78 and "--no-api" in case.options:
        assert list(tmp_path.iterdir()) == [], "a bad setting is found before anything is made"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("name", ["data/alerts.sqlite", "data/lock", "alerts/alerts.txt"])
def test_a_file_that_is_not_ours_to_write_ends_it(name: str, tmp_path: Path) -> None:
    file(name)(tmp_path)
    (tmp_path / name).chmod(0o444)
    case = Case("not ours", 73, rf"HERE/{Path(name).parts[0]}", {})
    assert_one_message(start(tmp_path, case), 73, case.says, tmp_path)


# What only a real server can say no to.


@pytest.fixture
def plain(server: str) -> Iterator[str]:
    """A role that may connect, and nothing else."""
    with closing(psycopg2.connect(server)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE ROLE plain LOGIN")
        yield "plain"
        cursor.execute("DROP ROLE plain")


def test_a_database_that_is_not_for_us_ends_it(server: str, empty_dsn: str, plain: str, tmp_path: Path) -> None:
    with closing(psycopg2.connect(server)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            for url, says in (
                (make_dsn(server, user="nosuch"), 'role "nosuch" does not exist'),
                (make_dsn(server, dbname="latin"), r"encoding is LATIN1; CryptoMonitor needs UTF8 \(CREATE DATABASE"),
                (
                    make_dsn(empty_dsn, user=plain),
                    "may not change it .*permission denied for schema public.*as the owner",
                ),
            ):
                case = Case("database", 69, says, {"DATABASE_URL": url})
                assert_one_message(start(tmp_path, case), 69, says, tmp_path)
        finally:
            cursor.execute("DROP DATABASE latin")


def test_a_database_that_others_use_ends_it_and_stays_theirs(server: str, tmp_path: Path) -> None:
    with new_database(server) as dsn, closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE alerts (mine text)")
        connection.commit()
        case = Case("others", 69, r'relation "alerts" already exists.*database of its own', {"DATABASE_URL": dsn})
        assert_one_message(start(tmp_path, case), 69, case.says, tmp_path)
        cursor.execute("SELECT array_agg(relname::text) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert cursor.fetchone() == (["alerts"],)


def test_a_server_that_is_away_is_waited_for_and_said_once(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    with running(tmp_path, "run", "--no-api", DATABASE_URL=NOBODY) as daemon:
        wait_until(lambda: "waiting for it" in output.read_text(), daemon, 60, tmp_path)
        with pytest.raises(AssertionError, match="not within"):
            wait_until(lambda: output.read_text().count("waiting for it") > 1, daemon, 2, tmp_path)
        assert stop(daemon)[0] == 0
    assert "Traceback" not in output.read_text()


def test_the_api_alone_stays_up_where_the_database_refuses_it_and_says_so(server: str, tmp_path: Path) -> None:
    url, port, output = make_dsn(server, dbname="nosuch"), free_port(), tmp_path / "output.txt"
    with running(tmp_path, "serve", DATABASE_URL=url, API_PORT=port) as api:

        def refused() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as asking:
                    asking.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                    asking.recv(1000)
            except OSError:
                return False
            return "The database does not answer the API: " in output.read_text()

        wait_until(refused, api, 60, tmp_path)
        said = output.read_text()
        assert stop(api)[0] == 0
    assert 'database "nosuch" does not exist' in said
    assert said.count("does not answer the API") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize(("command", "code"), [("run", 0), ("serve", 0), ("doctor", -signal.SIGTERM)])
def test_a_stop_while_the_program_is_being_loaded_is_no_failure(command: str, code: int, tmp_path: Path) -> None:
    """Of what has a result to give it is one."""
    ended_with, said = interrupted_while_loading(tmp_path, command, signal.SIGTERM)
    assert ended_with == code
    assert "Traceback" not in said


def test_the_table_is_not_shorter_than_it_was_promised() -> None:
    assert len(CASES) >= 20
    assert {case.code for case in CASES} == {69, 73, 75, 78}
    assert len({case.name for case in CASES}) == len(CASES)
