"""Who may do what in the database: the owner, the daemon's role, the readers' role; and how a connection becomes one.

Both ways are tried: the owner of everything who takes the role on, and a login of its own that is only a member.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import extensions as pg
from psycopg2.errorcodes import INSUFFICIENT_PRIVILEGE

from app import db
from app.api.database import Reader
from app.db import APP, READER, Database, connect
from app.errors import DatabaseRefused, DatabaseUnavailable
from app.migrations import grant, known, migrate
from app.queries import QUERIES
from app.rules_store import RuleStore
from app.silences import Silences
from tests.conftest import Logged
from tests.integration.forbidden import FORBIDDEN

PROGRAM = Path(__file__).parents[2] / "app"

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
OF_APP = {
    "ticker_data": "SELECT INSERT",
    "alerts": "SELECT INSERT",
    "candles": "SELECT INSERT UPDATE",
    "instruments": "SELECT INSERT UPDATE",
    "alert_states": "SELECT INSERT UPDATE",
    "provider_calls": "SELECT INSERT UPDATE",
    "provider_accounts": "SELECT INSERT UPDATE",
    "provider_recent_calls": "SELECT INSERT DELETE",
    "outbox": "SELECT INSERT UPDATE",
    "channels": "SELECT INSERT UPDATE",
    "silences": "SELECT INSERT",  # and UPDATE of ended_at alone
    "rules": "SELECT INSERT UPDATE DELETE",
    "acknowledged": "SELECT INSERT UPDATE DELETE",
    "watch": "SELECT INSERT UPDATE DELETE",
    "aliases": "SELECT INSERT",
    "gaps": "SELECT INSERT UPDATE DELETE",
    "quarantine": "SELECT INSERT UPDATE",
    "batches": "SELECT INSERT DELETE",
    "tokens": "SELECT INSERT",  # and UPDATE of revoked_at and last_used_at alone
    "leader": "SELECT UPDATE",
    "daily_ohlcv": "SELECT",
    "schema_migrations": "SELECT",
    "metrics": "SELECT",  # a trigger fills it
    "rollbacks": "SELECT",
    "rolled_back_ticks": "SELECT",
    "rolled_back_quarantine": "SELECT",
    # Reached through the tables and views above, or by readers alone.
    "rights": "",
    "rolled_back_alerts": "",
    "rolled_back_outbox": "",
    "rolled_back_alert_states": "",
    "rolled_back_gaps": "",
    "ticker_data_2026_01": "",
    "candles_1m": "",
    "candles_1h": "",
    "candles_1d": "",
    "ohlcv_1m": "",
    "ohlcv_1h": "",
    "ohlcv_1d": "",
}
"""All that the daemon may do to each table and view. A new one has to be given its line here."""

OF_ALL = {"coverage", "iso_time", "known_ticks", "matches", "selects"}
MAY_CALL = {
    APP: {*OF_ALL, "make_partition", "refresh_daily_ohlcv", "hold_tick", "recompute_candles", "next_batch"},
    READER: OF_ALL,
}

ROLLBACK = (PROGRAM.parent / "sql" / "queries" / "rollback.sql").read_text(encoding="utf-8")
OWNERS = {
    *("make_migrations_table", "record_migration", "grant_rights"),
    *(name for name in re.findall(r"-- name: (\w+)", ROLLBACK) if not QUERIES[name].startswith("SELECT")),
}
"""The queries that only the owner may make."""


@dataclass(frozen=True)
class Kind:
    """A connection with the rights of a role: taken on by the owner, or those of a login that has no others."""

    role: str
    is_login: bool

    def __str__(self) -> str:
        return f"{'a login that is only a member of' if self.is_login else 'the owner as'} {self.role}"

    def open(self, dsn: str) -> pg.connection:
        connection = connect(_as(f"login_{self.role}", dsn) if self.is_login else dsn, role=self.role)
        connection.autocommit = True
        return connection


every_kind = pytest.mark.parametrize(
    "kind", [Kind(role, is_login) for role in (APP, READER) for is_login in (False, True)], ids=str
)


def _as(user: str, dsn: str) -> str:
    return re.sub(r"//[^@]*@", f"//{user}@", dsn)


@pytest.fixture(autouse=True)
def logins(server: str) -> None:
    """The logins that are members and nothing else."""
    with closing(psycopg2.connect(server)) as connection, connection, connection.cursor() as cursor:
        for role in (APP, READER):
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (f"login_{role}",))
            if not cursor.rowcount:
                cursor.execute(f"CREATE ROLE login_{role} LOGIN; GRANT {role} TO login_{role}")


@pytest.fixture
def dsn(dsn: str) -> str:
    """With a partition that was made after the rights were given."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT make_partition('2026-01-01')")
    return dsn


def rows(connection: pg.connection, sql: str, *values: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def allowed(connection: pg.connection, sql: str) -> bool:
    """Whether the rights suffice; what else is wrong with the statement does not matter."""
    return refusal(connection, sql) != INSUFFICIENT_PRIVILEGE


def refusal(connection: pg.connection, sql: str) -> str | None:
    """The code of the error that the statement ends with; None: it succeeds."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql)
        except psycopg2.Error as error:
            return error.pgcode
        finally:
            cursor.execute("ROLLBACK")
    return None


# What is forbidden


@every_kind
def test_what_a_role_is_not_for_is_refused(dsn: str, kind: Kind) -> None:
    assert len(set(FORBIDDEN[kind.role])) >= 40
    with closing(kind.open(dsn)) as connection:
        assert [sql for sql in FORBIDDEN[kind.role] if allowed(connection, sql)] == []


def test_all_of_it_is_there_to_be_forbidden(dsn: str) -> None:
    """Else a spelling mistake would look like a refusal: the owner, a superuser here, is refused none of it."""
    for sql in {*FORBIDDEN[APP], *FORBIDDEN[READER]}:
        with closing(psycopg2.connect(dsn)) as connection:
            # The class of spelling mistakes and of names that nothing has.
            assert not (refusal(connection, sql) or "").startswith("42"), sql


@pytest.mark.parametrize("role", [APP, READER])
def test_a_login_that_is_only_a_member_can_become_nobody_else(dsn: str, role: str) -> None:
    with closing(Kind(role, is_login=True).open(dsn)) as connection:
        other = READER if role == APP else APP
        for statement in ("SET ROLE cryptomonitor", f"SET ROLE {other}", "SET SESSION AUTHORIZATION cryptomonitor"):
            assert not allowed(connection, statement)
        assert allowed(connection, "RESET ROLE")
        assert [sql for sql in FORBIDDEN[role] if allowed(connection, sql)] == []


def test_what_the_api_asks_can_change_nothing_twice_over(dsn: str) -> None:
    """Its transactions are read-only, too."""
    for statement in FORBIDDEN[READER]:
        with pytest.raises((DatabaseRefused, DatabaseUnavailable)) as caught:
            Reader(lambda: dsn).ask(lambda cursor, statement=statement: cursor.execute(statement))
        said = str(caught.value.__cause__)
        assert re.search("permission denied|must be|read-only|only roles with|inside a transaction", said), said


def test_what_the_api_asks_is_asked_as_the_reader_read_only_and_for_two_seconds(dsn: str) -> None:
    def look(cursor: pg.cursor) -> tuple[object, ...] | None:
        cursor.execute(
            "SELECT current_user, current_setting('transaction_read_only'), current_setting('statement_timeout')"
        )
        return cursor.fetchone()

    assert Reader(lambda: dsn).ask(look) == (READER, "on", "2s")


# What is allowed


def test_each_role_has_exactly_the_rights_that_are_written_down(dsn: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection:
        found = rows(connection, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                                 " AND relkind IN ('r', 'p', 'v', 'm')")  # fmt: skip
        assert {name for (name,) in found} == set(OF_APP)
        for relation, of_app in OF_APP.items():
            for role, rights in ((APP, of_app), (READER, "SELECT"), ("public", "")):
                has = [
                    right
                    for right in RIGHTS
                    if rows(connection, "SELECT has_table_privilege(%s, %s, %s)", role, relation, right) == [(True,)]
                ]
                assert has == rights.split(), (role, relation)


def test_each_role_may_call_exactly_the_functions_that_are_written_down(dsn: str) -> None:
    functions = (
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND has_function_privilege(%s, oid,"
        " 'EXECUTE')"
    )
    with closing(psycopg2.connect(dsn)) as connection:
        for role, names in MAY_CALL.items():
            assert {name for (name,) in rows(connection, functions, role)} == names


def test_functions_with_the_owners_rights_look_for_their_tables_nowhere_else(dsn: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection:
        definers = rows(connection, "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND"
                                    " pronamespace = 'public'::regnamespace")  # fmt: skip
    assert {name for name, _ in definers} == {
        *("make_partition", "refresh_daily_ohlcv"),
        *("hold_tick", "recompute_candles"),
        "make_metrics",
    }
    assert [config for _, config in definers] == [["search_path=public, pg_temp"]] * len(definers)


@pytest.mark.parametrize("is_login", [False, True], ids=["taken on", "login"])
def test_every_query_of_the_daemon_and_of_the_api_is_allowed_to_its_role(dsn: str, is_login: bool) -> None:
    code = {file: file.read_text(encoding="utf-8") for file in PROGRAM.rglob("*.py")}
    of_api = "".join(text for file, text in code.items() if "api" in file.relative_to(PROGRAM).parts)
    elsewhere = "".join(text for file, text in code.items() if "api" not in file.relative_to(PROGRAM).parts)
    asked = set(re.findall(r'execute\(\w+, "(\w+)"', of_api))
    assert {"short_questions", "latest_ticks"} <= asked
    # What the API is asked to change it changes with the rights of the daemon, over connections of their own.
    written = {name for name in asked if re.search(r"\b(INSERT INTO|UPDATE|DELETE FROM)\b", QUERIES[name])}
    of_api_alone = {name for name in asked - written if f'"{name}"' not in elsewhere}
    for role, names in ((READER, asked - written), (APP, set(QUERIES) - of_api_alone - OWNERS)):
        with closing(Kind(role, is_login).open(dsn)) as connection:
            # Rights are looked at before values are.
            null = re.compile(r"%\(\w+\)s")
            assert [name for name in names if not allowed(connection, null.sub("NULL", QUERIES[name]))] == []


@pytest.mark.parametrize("is_login", [False, True], ids=["taken on", "login"])
def test_the_daemons_role_stores_makes_partitions_and_refreshes(dsn: str, is_login: bool) -> None:
    user = _as(f"login_{APP}", dsn) if is_login else dsn
    month, time = date(2031, 5, 1), datetime(2031, 5, 7, 12, tzinfo=UTC)
    tick = {"timestamp": time, "symbol": "BTC", "price": 1, "volume_24h": 2, "market_cap": 3}
    alert = {"id": "x", "state": "FIRING", "timestamp": time, "symbol": "BTC", "rule": "r", "terms": '{"price": "1"}'}
    alert["severity"] = "warning"
    with closing(Database(user, threading.Event(), role=APP)) as database:
        assert database.query("make_partition", month=month) == [(True,)]
        values = {**tick, "fetched_at": time, "source": "s", "origin": "live", "markets": None}
        for _ in range(2):  # the second time into candles that are there
            database.query("store_ticks", **{name: [value] for name, value in values.items()})
            values["timestamp"] = time.replace(minute=1)
        database.query("record_alerts", **{name: [value] for name, value in alert.items()})
        silence = Silences(database).add(rule="*", symbol="*", severity="*", length=timedelta(hours=1), why="upkeep")
        assert Silences(database).end(silence.id) is not None
        RuleStore(database).file_rules_are([("r", {"when": "price > 1"}, "d")], epoch=0)
        RuleStore(database).file_rules_are([], epoch=0)
        database.query("refresh_daily_ohlcv")
        assert database.query("newest_day") == [(time.date(),)]
    with closing(Kind(READER, is_login).open(dsn)) as connection:
        assert rows(connection, "SELECT count(*) FROM ticker_data_2031_05") == [(2,)]
        assert rows(connection, "SELECT ticks, close FROM ohlcv_1d") == [(2, 1)]
        assert rows(connection, "SELECT number, id FROM alerts") == [(1, "x")]
        assert rows(connection, "SELECT why, ended_at IS NULL FROM silences") == [("upkeep", False)]


# How a connection becomes a role


def test_a_connection_that_broke_is_opened_again_with_the_same_role(dsn: str) -> None:
    def who(cursor: pg.cursor) -> tuple[object, ...]:
        cursor.execute("SELECT current_user, pg_backend_pid()")
        return cursor.fetchone() or ()

    with closing(Database(dsn, threading.Event(), role=APP)) as database:
        user, pid = database.run(who)
        assert user == APP
        with closing(psycopg2.connect(dsn)) as other:
            rows(other, "SELECT pg_terminate_backend(%s, 5000)", pid)
        again, other_pid = database.run(who)
    assert again == APP
    assert other_pid != pid


def test_without_a_role_a_connection_is_the_users_own(dsn: str) -> None:
    with closing(connect(dsn)) as connection:
        assert rows(connection, "SELECT current_user = session_user") == [(True,)]


@pytest.fixture
def notes(logged: Logged) -> Iterator[Logged]:
    db._note_that_it_may_do_more.cache_clear()
    yield logged
    db._note_that_it_may_do_more.cache_clear()


def test_where_the_role_cannot_be_taken_on_the_log_says_so_once_and_it_works(
    dsn: str, server: str, notes: Logged
) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = 'stranger'")
        if not cursor.rowcount:
            cursor.execute("CREATE ROLE stranger LOGIN")
        cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO stranger")
    for _ in range(3):
        with closing(connect(_as("stranger", dsn), role=APP)) as connection:
            assert rows(connection, "SELECT current_user") == [("stranger",)]
    said = notes.read_new()
    assert said.count("The database user stranger cannot become the role cryptomonitor_app") == 1
    assert "docs/roles.md" in said


def test_a_member_that_has_the_rights_but_may_not_become_the_role_works_without_a_note(dsn: str, notes: Logged) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        if connection.server_version < 160000:
            pytest.skip("before version 16 every member may become the role")
        cursor.execute("SELECT FROM pg_roles WHERE rolname = 'heir'")
        if not cursor.rowcount:
            cursor.execute("CREATE ROLE heir LOGIN; GRANT cryptomonitor_app TO heir WITH INHERIT TRUE, SET FALSE")
    with closing(connect(_as("heir", dsn), role=APP)) as connection:
        assert rows(connection, "SELECT current_user") == [("heir",)]
        assert rows(connection, "SELECT count(*) FROM ticker_data") == [(0,)]
    assert notes.read_new() == ""


def test_a_member_that_inherits_nothing_becomes_the_role_all_the_same(dsn: str, notes: Logged) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = 'poor'")
        if not cursor.rowcount:
            cursor.execute("CREATE ROLE poor LOGIN NOINHERIT; GRANT cryptomonitor_app TO poor")
    with closing(connect(_as("poor", dsn), role=APP)) as connection:
        assert rows(connection, "SELECT current_user, session_user") == [(APP, "poor")]
    assert notes.read_new() == ""


def test_an_empty_database_is_no_reason_for_a_note(empty_dsn: str, notes: Logged) -> None:
    with closing(connect(empty_dsn, role=READER)) as connection:
        assert rows(connection, "SELECT current_user = session_user") == [(True,)]
    assert notes.read_new() == ""


def test_a_role_without_its_rights_here_is_not_taken_on_until_they_are_given(dsn: str, notes: Logged) -> None:
    """As after a restore that left the rights out."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {APP}, {READER}")
    with closing(connect(dsn, role=APP)) as connection:
        assert rows(connection, "SELECT current_user = session_user") == [(True,)]
    assert "cannot become the role cryptomonitor_app" in notes.read_new()
    with closing(Database(dsn, threading.Event())) as owner:
        grant(owner)
    test_each_role_has_exactly_the_rights_that_are_written_down(dsn)


# Who migrates


def test_the_daemons_login_starts_on_a_schema_that_is_current(dsn: str) -> None:
    with closing(Database(_as(f"login_{APP}", dsn), threading.Event(), role=APP)) as database:
        assert migrate(database) == []
        grant(database)  # does nothing, quietly


def test_the_daemons_login_is_told_who_has_to_migrate(dsn: str, empty_dsn: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM schema_migrations WHERE version > 1")
    for address, version in ((dsn, 1), (empty_dsn, 0)):
        with (
            closing(Database(_as(f"login_{APP}", address), threading.Event(), role=APP)) as database,
            pytest.raises(DatabaseRefused) as caught,
        ):
            migrate(database)
        assert f"has schema version {version}, this program needs {known()[-1].version}" in str(caught.value)
        assert "run `python -m app migrate` as the owner" in str(caught.value)


@pytest.fixture
def small_owner(server: str) -> Iterator[str]:
    """A database of a user who may make roles but is no superuser, on a server where our roles have other names."""
    with closing(psycopg2.connect(server)) as admin, admin.cursor() as cursor:
        admin.autocommit = True
        for role in (APP, READER):
            cursor.execute(f"ALTER ROLE {role} RENAME TO {role}_elsewhere")
        cursor.execute("CREATE ROLE small LOGIN CREATEROLE")
        cursor.execute("CREATE DATABASE of_small OWNER small")
        try:
            yield _as("small", server).replace("/cryptomonitor?", "/of_small?")
        finally:
            cursor.execute("DROP DATABASE of_small WITH (FORCE)")
            for role in (APP, READER):
                with suppress(psycopg2.errors.UndefinedObject):
                    cursor.execute(f"DROP ROLE {role}")
                cursor.execute(f"ALTER ROLE {role}_elsewhere RENAME TO {role}")
            cursor.execute("DROP ROLE small")


def test_an_owner_who_may_make_roles_and_nothing_else_makes_them_and_becomes_them(
    small_owner: str, notes: Logged
) -> None:
    with closing(Database(small_owner, threading.Event())) as database:
        assert [m.version for m in migrate(database)] == [m.version for m in known()]
        database.query("make_partition", month=date(2026, 1, 1))
    for role in (APP, READER):
        with closing(connect(small_owner, role=role)) as connection:
            connection.autocommit = True
            assert rows(connection, "SELECT current_user, session_user") == [(role, "small")]
            assert [sql for sql in FORBIDDEN[role] if allowed(connection, sql)] == []
    assert notes.read_new() == ""


def test_an_owner_who_may_not_make_roles_is_told_and_works_with_all_rights(
    small_owner: str, server: str, notes: Logged
) -> None:
    with closing(psycopg2.connect(server)) as admin, admin, admin.cursor() as cursor:
        cursor.execute("ALTER ROLE small NOCREATEROLE")
    with closing(Database(small_owner, threading.Event())) as database:
        assert [m.version for m in migrate(database)] == [m.version for m in known()]
    said = notes.read_new()
    assert "The role cryptomonitor_app could not be made" in said
    with closing(Database(small_owner, threading.Event(), role=APP)) as database:
        assert database.query("make_partition", month=date(2026, 1, 1)) == [(True,)]
    assert "The database user small cannot become the role cryptomonitor_app" in notes.read_new()
    # An administrator does what docs/roles.md says; then the owner migrates once more.
    with closing(psycopg2.connect(server)) as admin, admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {APP}; CREATE ROLE {READER}; GRANT {APP}, {READER} TO small")
    with closing(Database(small_owner, threading.Event())) as database:
        grant(database)
    for role in (APP, READER):
        with closing(connect(small_owner, role=role)) as connection:
            assert rows(connection, "SELECT current_user") == [(role,)]


def test_nobody_but_the_owner_makes_things_in_the_schema_also_where_everybody_once_could(empty_dsn: str) -> None:
    """As in a database that was made before PostgreSQL 15."""
    with closing(psycopg2.connect(empty_dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    with closing(Database(empty_dsn, threading.Event())) as database:
        migrate(database)
    with closing(connect(_as(f"login_{APP}", empty_dsn))) as connection:
        assert not allowed(connection, "CREATE TABLE mine (x int)")
