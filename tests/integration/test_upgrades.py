"""Every schema that was ever released becomes the newest one, whole or not at all, and keeps what is in it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

import psycopg2
import pytest
from psycopg2 import extensions as pg

from app.alerts.states import Episode, Outcome
from app.db import Database
from app.errors import DatabaseRefused, DatabaseUnavailable, SchemaTooNew
from app.migrations import Migration, known, migrate
from app.model import Alert, State
from app.spool import Entry
from app.store import Store
from tests.acceptance.daemon import REPOSITORY
from tests.conftest import new_database
from tests.releases import DATA, FIXED, RELEASED, Rows, digest, restore, rows, rows_of, schema, tables

T = TypeVar("T")

NEWEST = [migration.version for migration in known()]
SUICIDE = "SELECT pg_terminate_backend(pg_backend_pid());"

# What a catalog row says, without what counts rows or pages.
FINGERPRINT = """
    SELECT md5(string_agg(line, E'\\n' ORDER BY line COLLATE "C")) FROM (
        SELECT row(oid, relname, relnamespace, relkind, relowner, relfilenode, relacl, reloptions, relispopulated,
                   pg_get_expr(relpartbound, oid))::text FROM pg_class
        UNION ALL SELECT row(attrelid, attname, attnum, atttypid, attnotnull, attisdropped, attacl)::text
                  FROM pg_attribute
        UNION ALL SELECT t::text FROM pg_attrdef t UNION ALL SELECT t::text FROM pg_constraint t
        UNION ALL SELECT t::text FROM pg_description t UNION ALL SELECT t::text FROM pg_proc t
        UNION ALL SELECT t::text FROM pg_type t UNION ALL SELECT t::text FROM pg_rewrite t
        UNION ALL SELECT t::text FROM pg_trigger t UNION ALL SELECT t::text FROM pg_inherits t
        UNION ALL SELECT t::text FROM pg_default_acl t UNION ALL SELECT t::text FROM pg_namespace t
        UNION ALL SELECT row(indexrelid, indrelid, indkey, indisunique, indisvalid)::text FROM pg_index
    ) AS catalogs (line)
"""

released = pytest.mark.parametrize("version", RELEASED)


@pytest.fixture
def empty_dsns(server: str) -> Iterator[Callable[[], str]]:
    """Makes as many new databases as are asked for."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(new_database(server))


def up_to(version: int) -> list[Migration]:
    return [migration for migration in known() if migration.version <= version]


def migrated(dsn: str, migrations: list[Migration] | None = None) -> list[int]:
    """Migrate; the versions that were applied."""
    with closing(Database(dsn, threading.Event())) as database:
        return [migration.version for migration in migrate(database, migrations)]


def state(dsn: str) -> tuple[str, Rows]:
    """All that a database holds, in a form that can be compared."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        return look(cursor)


def look(cursor: pg.cursor) -> tuple[str, Rows]:
    cursor.execute(FINGERPRINT)
    (fingerprint,) = cursor.fetchone() or ("",)
    return fingerprint, rows_of(cursor)


# What was released.


@pytest.mark.parametrize("version", FIXED)
def test_a_released_migration_is_never_edited(version: int) -> None:
    """Databases that have it would stay as they are, and differ from new ones: write another migration instead."""
    (migration,) = (migration for migration in known() if migration.version == version)
    assert digest(migration.sql) == FIXED[version]


@released
def test_there_is_a_recording_of_every_release_with_a_row_in_every_table(
    version: int, empty_dsn: str, request: pytest.FixtureRequest
) -> None:
    assert (DATA / f"schema_{version:04d}.sql").stat().st_size < 100_000
    restore(empty_dsn, version)
    tomorrow = {table for table in rows(empty_dsn) if table.startswith("ticker_data_") and table >= "ticker_data_2026"}
    assert [table for table, found in rows(empty_dsn).items() if not found and table not in tomorrow] == []


@pytest.mark.parametrize("path", sorted(DATA.glob("*_0*")), ids=lambda path: path.name)
def test_a_recording_tells_nothing_of_the_machine_it_was_made_on(path: Any) -> None:
    assert not re.search(r"/(tmp|home|root|work|Users)\b|(?<![\w.])[\w.-]+@[\w.-]+\w|password", path.read_text())


# From old to new.


@released
def test_an_old_database_brought_up_to_date_is_a_new_one(
    version: int, empty_dsn: str, empty_dsns: Callable[[], str]
) -> None:
    other_dsn = empty_dsns()
    restore(empty_dsn, version)
    assert migrated(empty_dsn) == [number for number in NEWEST if number > version]
    migrated(other_dsn)
    with closing(psycopg2.connect(other_dsn)) as connection, connection, connection.cursor() as cursor:
        for month in re.findall(r"CREATE TABLE public\.ticker_data_(\d{4}_\d\d)", schema(empty_dsn)):
            cursor.execute("SELECT make_partition(%s)", (month.replace("_", "-") + "-01",))
    assert unnamed(schema(empty_dsn)) == unnamed(schema(other_dsn))


def unnamed(dump: str) -> str:
    """Without the names that NOT NULL has from PostgreSQL 18 on: a dump of an older server brings none along."""
    return re.sub(r" CONSTRAINT \w+ NOT NULL", " NOT NULL", dump)


@released
def test_an_upgrade_keeps_every_row(version: int, empty_dsn: str) -> None:
    restore(empty_dsn, version)
    with closing(psycopg2.connect(empty_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT symbol) FROM ticker_data")
        assert cursor.fetchone() == (54, 3)
        columns = tables(cursor)
    before = rows(empty_dsn, columns)
    migrated(empty_dsn)
    after = rows(empty_dsn, columns)
    assert [table for table in before if not before[table] <= after[table]] == []
    assert {table for table in before if before[table] != after[table]} <= {"schema_migrations"}


def test_what_fired_before_there_were_silences_ends_where_it_was_told(empty_dsn: str) -> None:
    restore(empty_dsn, 1)
    migrated(empty_dsn, up_to(4))
    with closing(psycopg2.connect(empty_dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("""
            INSERT INTO alerts (id, state, "timestamp", symbol, rule, terms)
            SELECT id, 'FIRING', '2024-03-01 12:00Z', 'BTC', 'r', '{"price": "1"}'
            FROM unnest(ARRAY['told', 'told.2', 'untold']) AS t (id);
            INSERT INTO outbox (id, state, channel, symbol, delivered_at) VALUES
                ('told', 'FIRING', 'ops', 'BTC', now()), ('told.2', 'FIRING', 'night', 'BTC', NULL);
            INSERT INTO alert_states (rule, symbol, state, id, since, as_of, last_line_at, lines)
            VALUES ('r', 'ETH', 'FIRING', 'told', '2024-03-01 12:00Z', '2024-03-01 12:00Z', '2024-03-01 12:00Z', 2);
        """)
    migrated(empty_dsn)
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    resolved = [Alert(id_, State.RESOLVED, noon, "BTC", "r", (("price", "1"),)) for id_ in ("told", "untold")]
    with closing(Database(empty_dsn, threading.Event())) as database:
        store = Store(database, ("ops", "new"))
        assert store.episodes()["r", "ETH"] == Episode(State.FIRING, "told", noon, noon, noon, 2)
        assert {alert.severity for alert in store.alerts_since(None)} == {""}
        store.save_spooled([Entry(1, (), Outcome(alerts=resolved))])
    assert sorted(rows(empty_dsn, {"outbox": ["id", "channel", "state"]})["outbox"]) == [
        "(told,night,RESOLVED)",
        "(told,ops,FIRING)",
        "(told,ops,RESOLVED)",
        "(told.2,night,FIRING)",
    ]


def test_an_upgrade_gives_metrics_their_ids_in_order_and_the_candles_of_the_last_day_their_sums(empty_dsn: str) -> None:
    restore(empty_dsn, 1)
    migrated(empty_dsn, up_to(7))
    with closing(psycopg2.connect(empty_dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("""
            TRUNCATE instruments, ticker_data, candles;
            SELECT make_partition((now() - interval '35 hours' * day)::date) FROM generate_series(0, 1) AS day;
            INSERT INTO instruments (symbol, base, quote, market, added_at)
            VALUES ('B', 'B', 'USD', 'm', '2024-01-02'), ('C', 'C', 'USD', 'm', '2024-01-01'),
                ('A', 'A', 'USD', 'm', '2024-01-02');
            INSERT INTO ticker_data ("timestamp", symbol, price, volume_24h, fetched_at, source)
            SELECT now() - hours * interval '1 hour' - second * interval '1 s', symbol, second + 0.5,
                CASE WHEN second > 1 THEN 7 END, now(), 'm'
            FROM unnest(ARRAY['A', 'B']) AS symbol, unnest(ARRAY[0, 1, 23, 35]) AS hours,
                generate_series(1, 3) AS second;
            SELECT recompute_candles(symbol, now() - interval '36 hours', now()) FROM unnest(ARRAY['A', 'B']) AS symbol;
        """)
    migrated(empty_dsn)
    with closing(psycopg2.connect(empty_dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT symbol, type FROM metrics ORDER BY id")
        assert cursor.fetchall() == [(symbol, type_) for symbol in "CAB" for type_ in ("price", "volume")]
        cursor.execute("""
            SELECT width, symbol, sum(price_sum), sum(price_squares), sum(volumes), sum(volume_sum), sum(volume_squares)
            FROM candles WHERE width <> '1d' AND bucket >= now() - interval '25 hours' GROUP BY 1, 2 ORDER BY 1, 2
        """)
        # 0.5 + 1 + 1.5 ... of three ticks, three times.
        its = (Decimal("22.5"), Decimal("62.25"), Decimal(6), Decimal(42), Decimal(294))
        assert cursor.fetchall() == [(width, symbol, *its) for width in ("1h", "1m") for symbol in "AB"]
        cursor.execute("SELECT count(*), count(price_sum) FROM candles WHERE bucket < now() - interval '30 hours'")
        assert [bool(count) for count in cursor.fetchone() or ()] == [True, False]


# What is refused, with nothing changed.


def test_a_newer_schema_is_refused_and_nothing_is_changed(dsn: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO schema_migrations (version, name) VALUES (9999, 'of the future')")
    before = state(dsn)
    with pytest.raises(
        SchemaTooNew, match=r"schema version 9999, this program knows up to \d+.*start that one"
    ) as caught:
        migrated(dsn)
    assert caught.value.exit_code == 78
    assert state(dsn) == before


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE alerts (mine text); INSERT INTO alerts VALUES ('keep')",
        "CREATE VIEW alerts AS SELECT 1 AS mine",
        "CREATE TABLE ticker_data (symbol text, price numeric)",
        "CREATE MATERIALIZED VIEW daily_ohlcv AS SELECT 1 AS mine",
        "CREATE SEQUENCE candles",
        "CREATE TYPE instruments AS (mine text)",
        "CREATE FUNCTION make_partition(month date) RETURNS boolean LANGUAGE sql RETURN false",
        "CREATE TABLE schema_migrations (version text PRIMARY KEY); INSERT INTO schema_migrations VALUES ('20240101')",
        "CREATE TABLE schema_migrations (version bigint, dirty bool); INSERT INTO schema_migrations VALUES (3, false)",
        "CREATE VIEW schema_migrations AS SELECT 1::integer AS version",
    ],
    ids=lambda sql: " ".join(sql.split()[1:3]),
)
def test_what_others_have_under_our_names_stays_theirs(theirs: str, empty_dsn: str) -> None:
    with closing(psycopg2.connect(empty_dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(theirs)
    before = state(empty_dsn)
    with pytest.raises(
        DatabaseRefused, match=r"something else under a name .*\(.*\w+.*\).*database of its own"
    ) as caught:
        migrated(empty_dsn)
    assert caught.value.exit_code == 69
    assert state(empty_dsn) == before


# Two at once.


def test_migrators_that_start_at_once_migrate_once_over_and_over(empty_dsns: Callable[[], str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for turn in range(10):
            dsn = empty_dsns()
            if turn % 2:
                restore(dsn, 1)
            done = sorted(pool.map(migrated, [dsn] * 4))
            assert done == [[], [], [], NEWEST[turn % 2 :]]


def test_processes_that_start_at_once_migrate_once_over_and_over(empty_dsns: Callable[[], str]) -> None:
    with ExitStack() as stack:
        migrators = [stack.enter_context(migrator()) for _ in range(3)]
        for turn in range(8):
            dsn = empty_dsns()
            if turn % 2:
                restore(dsn, 1)
            for other in migrators:
                write(other, dsn)
            assert sorted(read(other) for other in migrators) == ["", "", " ".join(map(str, NEWEST[turn % 2 :]))]


MIGRATOR = """
import sys, threading
from contextlib import closing
from app.db import Database
from app.migrations import migrate
for dsn in sys.stdin:
    with closing(Database(dsn.strip(), threading.Event())) as database:
        print(*(migration.version for migration in migrate(database)), flush=True)
"""


@contextmanager
def migrator() -> Iterator[subprocess.Popen[str]]:
    """A process that migrates each database whose address it is given."""
    with subprocess.Popen(
        [sys.executable, "-c", MIGRATOR], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# Killed in the midst of it.


class Attempt(Database):
    """One attempt and no other, as when the program is killed with its connection."""

    def run(self, work: Callable[[pg.cursor], T], *, patience: float = 15.0) -> T:
        return self.once(work, patience=patience)


def attempt(dsn: str, migrations: list[Migration]) -> None:
    with closing(Attempt(dsn, threading.Event())) as database, pytest.raises(DatabaseUnavailable):
        migrate(database, migrations)


@pytest.mark.one_server
@pytest.mark.parametrize("version", NEWEST)
def test_a_kill_at_any_statement_of_a_migration_changes_nothing_and_the_next_start_completes_it(
    version: int, empty_dsn: str
) -> None:
    *earlier, migration = up_to(version)
    if version > 1:
        restore(empty_dsn, 1)
        migrated(empty_dsn, earlier)
    statements = split(migration.sql)
    with closing(psycopg2.connect(empty_dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        before = look(cursor)
        for number in range(len(statements) + 1):
            sql = "".join([*statements[:number], SUICIDE, *statements[number:]])
            attempt(empty_dsn, [*earlier, Migration(version, migration.name, sql)])
            assert look(cursor) == before, f"killed before statement {number}"
    assert migrated(empty_dsn) == [number for number in NEWEST if number >= version]


@released
def test_a_kill_at_any_call_of_the_migrator_leaves_the_old_schema_or_the_new(version: int, empty_dsn: str) -> None:
    restore(empty_dsn, version)
    before = state(empty_dsn)
    for calls in count():
        with closing(Cut(empty_dsn, calls)) as database:
            try:
                migrate(database)
                break
            except DatabaseUnavailable:
                assert state(empty_dsn) == before, f"killed at call {calls}"
    assert calls > 2 * len(NEWEST[version:])
    assert state(empty_dsn) != before
    assert migrated(empty_dsn) == []


class Cut(Attempt):
    """The server ends the connection before a certain statement of the client, the COMMIT included."""

    def __init__(self, dsn: str, calls: int) -> None:
        super().__init__(dsn, threading.Event())
        self._killer, self._left = dsn, calls

    def once(self, work: Callable[[pg.cursor], T], *, patience: float = 15.0) -> T:
        def cut(cursor: pg.cursor) -> T:
            result = work(_Counting(cursor, self._count))  # type: ignore[arg-type]
            self._count(cursor)
            return result

        return super().once(cut, patience=patience)

    def _count(self, cursor: pg.cursor) -> None:
        self._left -= 1
        if self._left < 0:
            with closing(psycopg2.connect(self._killer)) as other, other.cursor() as killer:
                killer.execute("SELECT pg_terminate_backend(%s, 10000)", (cursor.connection.info.backend_pid,))


class _Counting:
    """A cursor that counts before it executes."""

    def __init__(self, cursor: pg.cursor, call: Callable[[pg.cursor], None]) -> None:
        self._cursor, self._call = cursor, call

    def execute(self, *arguments: Any) -> None:
        self._call(self._cursor)
        self._cursor.execute(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


SQL_VERBS = ("CREATE", "COMMENT", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE", "GRANT", "REVOKE", "DO", "SELECT")
TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|\"[^\"]*\"|[^;]", re.DOTALL)


def split(sql: str) -> list[str]:
    """The statements of a file, each with its semicolon."""
    assert "BEGIN ATOMIC" not in sql, "its semicolons end nothing"
    statements, start, at = [], 0, 0
    while at < len(sql):
        token = TOKEN.match(sql, at)
        at = token.end() if token else at + 1
        if token is None:
            statements.append(sql[start:at])
            start = at
    return statements


def test_a_file_is_split_where_its_statements_end() -> None:
    for migration in known():
        pieces = split(migration.sql)
        assert "".join(pieces) == migration.sql.rstrip()
        firsts = {re.sub(r"--.*", "", piece).split()[0] for piece in pieces}
        assert {"CREATE", "COMMENT"} <= firsts <= {*SQL_VERBS}
