"""The schema: how it comes about, and that it explains itself."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime

import psycopg2
import pytest

from app.db import Database
from app.errors import SchemaTooNew
from app.migrations import Migration, known, migrate
from tests.conftest import Logged


def test_migrating_twice_does_nothing_the_second_time(empty_dsn: str) -> None:
    with closing(Database(empty_dsn, threading.Event())) as database:
        assert [m.version for m in migrate(database)] == [m.version for m in known()]
        assert migrate(database) == []


def test_two_migrators_at_once_migrate_once(empty_dsn: str) -> None:
    def once(_: int) -> int:
        with closing(Database(empty_dsn, threading.Event())) as database:
            return len(migrate(database))

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(once, range(4))) == [0, 0, 0, len(known())]


def test_a_migration_that_fails_leaves_the_schema_as_it_was(empty_dsn: str) -> None:
    broken = [*known(), Migration(9000, "broken", "CREATE TABLE half (x int); SELECT 1/0;")]
    with closing(Database(empty_dsn, threading.Event())) as database:
        with pytest.raises(Exception, match="division by zero"):
            migrate(database, broken)
        assert database.run(lambda c: (c.execute("SELECT to_regclass('half')"), c.fetchone())[1]) == (None,)
        assert [m.version for m in migrate(database)] == [m.version for m in known()]


def test_a_newer_schema_is_refused(empty_dsn: str) -> None:
    with closing(Database(empty_dsn, threading.Event())) as database:
        migrate(database, [*known(), Migration(9000, "newer", "SELECT 1")])
        with pytest.raises(SchemaTooNew, match="version 9000"):
            migrate(database)


def test_migrations_are_numbered_without_a_hole() -> None:
    assert [m.version for m in known()] == list(range(1, len(known()) + 1))


def test_every_table_view_and_column_has_a_comment(database: Database) -> None:
    def bare(cursor: psycopg2.extensions.cursor) -> list[tuple[str, str]]:
        cursor.execute("""
            SELECT c.relname, coalesce(a.attname, '')
            FROM pg_class c
            LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
              AND (obj_description(c.oid, 'pg_class') IS NULL
                   OR (col_description(c.oid, a.attnum) IS NULL
                       -- a partition's columns are its parent's
                       AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)))
        """)
        return list(cursor.fetchall())

    database.query("make_partition", month=datetime(2026, 11, 1, tzinfo=UTC).date())
    assert database.run(bare) == []


def test_a_person_can_read_everything_and_change_nothing(dsn: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT make_partition('2026-01-01')")
        connection.commit()
        cursor.execute("SET ROLE cryptomonitor_reader")
        for relation in (
            "ticker_data_2026_01",
            "ticker_data",
            "daily_ohlcv",
            "ohlcv_1m",
            "ohlcv_1h",
            "ohlcv_1d",
            "instruments",
            "alerts",
        ):
            cursor.execute(f"SELECT * FROM {relation} LIMIT 0")
        connection.commit()
        for statement in (
            "DELETE FROM ticker_data",
            "INSERT INTO alerts (id, state) VALUES ('x', 'FIRING')",
            "UPDATE instruments SET watched = false",
            "REFRESH MATERIALIZED VIEW daily_ohlcv",
            "SELECT refresh_daily_ohlcv()",
            "SELECT make_partition('2026-01-01')",
            "CREATE TABLE mine (x int)",
        ):
            cursor.execute("SET ROLE cryptomonitor_reader")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
            connection.rollback()


def test_without_the_right_to_make_roles_there_is_a_note_and_everything_else(empty_dsn: str, logged: Logged) -> None:
    with closing(psycopg2.connect(empty_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = 'cryptomonitor_reader'")
        if cursor.fetchone():
            cursor.execute("ALTER ROLE cryptomonitor_reader RENAME TO cryptomonitor_reader_elsewhere")
        cursor.execute("CREATE ROLE plain LOGIN")
        cursor.execute("GRANT CREATE ON SCHEMA public TO plain")
        connection.commit()
        try:
            plain = re.sub(r"//[^@]*@", "//plain@", empty_dsn)
            with closing(Database(plain, threading.Event())) as database:
                assert [m.version for m in migrate(database)] == [m.version for m in known()]
            assert "The role cryptomonitor_reader could not be made" in logged.read_new()
        finally:
            cursor.execute("DROP OWNED BY plain CASCADE")
            cursor.execute("DROP ROLE plain")
            cursor.execute("SELECT FROM pg_roles WHERE rolname = 'cryptomonitor_reader_elsewhere'")
            if cursor.rowcount:
                cursor.execute("ALTER ROLE cryptomonitor_reader_elsewhere RENAME TO cryptomonitor_reader")
            connection.commit()


def test_two_who_need_the_same_partition_make_it_once(dsn: str) -> None:
    def make(_: int) -> list[bool]:
        with closing(Database(dsn, threading.Event())) as database:
            return [database.query("make_partition", month=date(year, 1, 1))[0][0] for year in range(2010, 2040)]

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(4)))
    assert [sum(by_thread) for by_thread in zip(*made, strict=True)] == [1] * 30


def test_an_open_reader_does_not_hold_up_a_new_partition(dsn: str, database: Database) -> None:
    with closing(psycopg2.connect(dsn)) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ticker_data")  # its lock is held until the transaction ends
        assert database.query("make_partition", month=datetime(2009, 1, 3, tzinfo=UTC).date()) == [(True,)]
        assert database.query("make_partition", month=datetime(2009, 1, 31, tzinfo=UTC).date()) == [(False,)]
