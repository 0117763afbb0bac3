"""Numbered migrations: applied in order under a lock, each whole or not at all; a newer schema is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psycopg2 import errors as pg_errors
from psycopg2 import extensions as pg

from app import log
from app.db import Database, execute
from app.errors import DatabaseRefused, SchemaTooNew
from app.queries import SQL_DIR

# What the server says where a name is taken.
_TAKEN = (
    pg_errors.DuplicateTable,
    pg_errors.DuplicateObject,
    pg_errors.DuplicateFunction,
    pg_errors.WrongObjectType,
)

_PATIENCE_SECONDS = 3600.0  # a migration may have much to rewrite


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``sql/migrations``: ``0001_initial.sql`` is version 1, named initial."""

    version: int
    name: str
    sql: str


def known(folder: Path = SQL_DIR / "migrations") -> list[Migration]:
    """The migrations this program has, in order."""
    files = sorted(folder.glob("*.sql"))
    return [Migration(int(f.stem[:4]), f.stem[5:], f.read_text(encoding="utf-8")) for f in files]


def migrate(database: Database, migrations: list[Migration] | None = None) -> list[Migration]:
    """Bring the schema up to date; the migrations that were applied (none where it is already).

    All in one transaction: it ends with the newest schema or with the one it found. Where nothing is to be done it
    needs no right but to look. Raises SchemaTooNew for a database that a newer program has migrated, DatabaseRefused
    for a user who may not change the schema, and where something of others has the name of something of ours.
    """
    migrations = known() if migrations is None else migrations
    return database.run(lambda cursor: _apply(cursor, migrations), patience=_PATIENCE_SECONDS)


def _apply(cursor: pg.cursor, migrations: list[Migration]) -> list[Migration]:
    cursor.execute(
        "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning"
    )
    execute(cursor, "migration_lock")
    applied = applied_versions(cursor)
    newest = max((m.version for m in migrations), default=0)
    if applied and max(applied) > newest:
        raise SchemaTooNew(
            f"the database has schema version {max(applied)}, this program knows up to {newest}: "
            "it was used by a newer CryptoMonitor; start that one"
        )
    missing = [m for m in migrations if m.version not in applied]
    try:
        if not applied:
            execute(cursor, "make_migrations_table")
        for migration in missing:
            cursor.execute(migration.sql)
            execute(cursor, "record_migration", version=migration.version, name=migration.name)
    except pg_errors.InsufficientPrivilege as error:
        raise DatabaseRefused(
            f"the database has schema version {max(applied, default=0)}, this program needs {newest}, and the user of "
            f"DATABASE_URL may not change it ({error.diag.message_primary}): run `python -m app migrate` as the owner "
            "of its tables"
        ) from error
    except _TAKEN as error:
        raise _not_ours(error.diag.message_primary or "") from error
    _pass_on(cursor.connection.notices)
    return missing


def applied_versions(cursor: pg.cursor) -> set[int]:
    """The versions of the schema that this database has. Raises DatabaseRefused where they are another program's."""
    ((has_table, is_ours),) = execute(cursor, "has_migrations_table")
    if has_table and not is_ours:
        raise _not_ours("schema_migrations has other columns")
    return {version for (version,) in execute(cursor, "applied_migrations")} if has_table else set()


def _not_ours(what: str) -> DatabaseRefused:
    return DatabaseRefused(
        f"the database's schema public holds something else under a name that CryptoMonitor needs ({what}). Nothing "
        "was changed: name a database of its own in DATABASE_URL, or move that away"
    )


def grant(database: Database) -> None:
    """Give the roles their rights anew: somebody may have made one, a restore may have brought none.

    Does nothing for a user who may not.
    """
    database.run(_grant)


def _grant(cursor: pg.cursor) -> None:
    ((allowed,),) = execute(cursor, "may_grant_rights")
    if allowed:
        cursor.execute("SET LOCAL client_min_messages = warning")
        execute(cursor, "grant_rights")
        _pass_on(cursor.connection.notices)


def _pass_on(notices: list[str]) -> None:
    if notices:
        said = " ".join(notice.strip().removeprefix("WARNING:  ") for notice in notices)
        log.get(__name__).warning(said, action="migrate")
    notices.clear()
