"""Connections: patient, re-opened, their errors translated."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from app.db import Database, connect, translated
from app.embedded import EmbeddedPostgres
from app.errors import DatabaseRefused, DatabaseUnavailable, DataRefused, Stopping
from tests.conftest import Logged


def one(database: Database, sql: str) -> object:
    return database.run(lambda cursor: (cursor.execute(sql), cursor.fetchone())[1][0])  # type: ignore[index]


def cut(dsn: str, cursor: psycopg2.extensions.cursor) -> None:
    """As when the server is restarted."""
    pid = cursor.connection.info.backend_pid
    with closing(psycopg2.connect(dsn)) as other, other.cursor() as killer:
        killer.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def test_a_connection_that_was_cut_while_nobody_used_it_costs_no_attempt(dsn: str, database: Database) -> None:
    def pid(cursor: psycopg2.extensions.cursor) -> int:
        return int(cursor.connection.info.backend_pid)

    first = database.once(pid)
    assert database.once(pid) == first
    with closing(psycopg2.connect(dsn)) as other, other.cursor() as killer:
        killer.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
    assert database.once(pid) != first


def test_a_connection_that_was_cut_is_opened_again_and_the_work_done_again(
    dsn: str, database: Database, logged: Logged
) -> None:
    attempts = []

    def work(cursor: psycopg2.extensions.cursor) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            cut(dsn, cursor)
        cursor.execute("SELECT 42")
        return int((cursor.fetchone() or (0,))[0])

    assert database.run(work) == 42
    assert len(attempts) == 2
    said = logged.read_new()
    assert said.count("does not answer") == 1
    assert said.count("The database is back.") == 1, said


def test_it_waits_for_a_server_that_is_not_up_yet(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    with server:
        pass  # made, so that its database is there as soon as it answers
    with closing(Database(server.dsn, threading.Event())) as database:
        answers: list[object] = []
        waiting = threading.Thread(target=lambda: answers.append(one(database, "SELECT 1")))
        waiting.start()
        while database.waiting_because is None:
            time.sleep(0.01)
        with server:
            waiting.join(60)
            assert answers == [1]


def test_stopping_ends_the_wait(tmp_path: Path) -> None:
    stop = threading.Event()
    database = Database(f"host={tmp_path} user=nobody dbname=nothing", stop)
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        database.query("newest_day")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("wrong", "said"), [("role", "nobody_of_that_name"), ("database", "no_such_database")])
def test_a_server_that_says_no_at_the_start_is_not_asked_again(dsn: str, wrong: str, said: str) -> None:
    bad = re.sub(r"//[^@]*@", f"//{said}@", dsn) if wrong == "role" else re.sub(r"/test_\w+", f"/{said}", dsn)
    with pytest.raises(DatabaseRefused, match=f'{wrong} "{said}" does not exist'):  # and not asked again for ever
        Database(bad, threading.Event()).query("newest_day")


def test_a_refusal_later_on_is_a_fault_that_may_pass(dsn: str, server: str) -> None:
    stop = threading.Event()
    with closing(Database(dsn, stop)) as database, closing(psycopg2.connect(server)) as admin:
        admin.autocommit = True
        name = one(database, "SELECT current_database()")
        pid = one(database, "SELECT pg_backend_pid()")
        with admin.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            cursor.execute(f"ALTER DATABASE {name} RENAME TO {name}_away")
            answers: list[object] = []
            waiting = threading.Thread(target=lambda: answers.append(one(database, "SELECT 1")))
            waiting.start()
            while "does not exist" not in (database.waiting_because or ""):
                time.sleep(0.01)
            cursor.execute(f"ALTER DATABASE {name}_away RENAME TO {name}")
        waiting.join(60)
        assert answers == [1]


def test_a_frozen_server_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    stop = threading.Event()
    with EmbeddedPostgres(tmp_path) as server, closing(Database(server.dsn, stop)) as database:
        backend = _outer_pid(server, int(str(one(database, "SELECT pg_backend_pid()"))))
        os.kill(backend, signal.SIGSTOP)
        try:
            threading.Timer(0.3, stop.set).start()
            began = time.monotonic()
            with pytest.raises(Stopping, match="does not answer in time to stop"):
                one(database, "SELECT 1")
            assert time.monotonic() - began < 10  # an answer may take 15 s
        finally:
            os.kill(backend, signal.SIGCONT)


@pytest.mark.one_server
def test_a_long_statement_gets_the_time_it_is_given_and_no_more(database: Database) -> None:
    def work(seconds: float, patience: float) -> None:
        database.once(lambda cursor: cursor.execute("SELECT pg_sleep(%s)", (seconds,)), patience=patience)

    work(0.5, patience=30)
    with pytest.raises(DatabaseUnavailable, match="the server does not answer"):
        work(30, patience=0.3)


def test_a_missing_password_is_a_refusal() -> None:
    said = 'connection to server at "127.0.0.1", port 5432 failed: fe_sendauth: no password supplied'
    with pytest.raises(DatabaseRefused), translated():
        raise psycopg2.OperationalError(said)


def test_a_database_of_another_encoding_is_refused(server: str) -> None:
    with closing(psycopg2.connect(server)) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
            try:
                with pytest.raises(DatabaseRefused, match="encoding is LATIN1"):
                    connect(server.replace("/cryptomonitor?", "/latin?"))
            finally:
                cursor.execute("DROP DATABASE latin WITH (FORCE)")


def _outer_pid(server: EmbeddedPostgres, inner: int) -> int:
    """The backend's number as this process sees it: the embedded server of root may live in a namespace of its own."""
    assert server._child is not None
    found = []
    for process in psutil.Process(server._child.pid).children(recursive=True):
        with suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            if lines.get("NSpid", lines["Pid"]).split()[-1] == str(inner):
                found.append(process.pid)
    assert len(found) == 1
    return found[0]


def test_what_the_database_will_not_take_is_told_from_what_it_may_take_later(database: Database) -> None:
    with pytest.raises(DataRefused):
        one(database, "SELECT 1/0")
    with pytest.raises(DatabaseRefused, match="no_such_table"):
        one(database, "SELECT * FROM no_such_table")
    assert one(database, "SELECT 1") == 1


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def work(cursor: psycopg2.extensions.cursor) -> None:
        cursor.execute("INSERT INTO provider_calls VALUES ('x', '2026-11-01', 1)")
        cursor.execute("SELECT 1/0")

    with pytest.raises(DataRefused):
        database.run(work)
    assert one(database, "SELECT count(*) FROM provider_calls") == 0


def test_sessions_are_durable_bounded_and_in_utc(dsn: str) -> None:
    with closing(connect(dsn)) as connection, connection.cursor() as cursor:
        for setting, value in (
            ("synchronous_commit", "on"),
            ("timezone", "UTC"),
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
            ("search_path", "public"),
        ):
            cursor.execute("SELECT current_setting(%s)", (setting,))
            assert cursor.fetchone() == (value,)


def test_the_wish_to_stop_ends_an_opening_too() -> None:
    """A server that accepts and says nothing."""
    stop = threading.Event()
    stop.set()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        closing(
            Database(f"host=127.0.0.1 port={silent.getsockname()[1]} user=a dbname=b sslmode=disable", stop)
        ) as database,
        pytest.raises(DatabaseUnavailable, match="in time to stop"),
    ):
        database.once(lambda cursor: None)
