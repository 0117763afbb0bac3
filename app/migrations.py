"""Numbered migrations: applied in order under a lock, each whole or not at all; a newer schema is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psycopg2 import extensions as pg

from app import log
from app.db import Database, execute
from app.errors import SchemaTooNew
from app.queries import SQL_DIR


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

    All in one transaction: it ends with the newest schema or with the one it found. Raises SchemaTooNew for a database
    that a newer program has migrated.
    """
    migrations = known() if migrations is None else migrations
    return database.run(lambda cursor: _apply(cursor, migrations))


def _apply(cursor: pg.cursor, migrations: list[Migration]) -> list[Migration]:
    cursor.execute(
        "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning"
    )
    execute(cursor, "migration_lock")
    execute(cursor, "make_migrations_table")
    applied = {row[0] for row in execute(cursor, "applied_migrations")}
    newest = max((m.version for m in migrations), default=0)
    if applied and max(applied) > newest:
        raise SchemaTooNew(
            f"the database has schema version {max(applied)}, this program knows up to {newest}: "
            "it was used by a newer CryptoMonitor; start that one"
        )
    missing = [m for m in migrations if m.version not in applied]
    for migration in missing:
        cursor.execute(migration.sql)
        execute(cursor, "record_migration", version=migration.version, name=migration.name)
    for notice in cursor.connection.notices:
        log.get(__name__).warning(notice.strip().removeprefix("WARNING:  "), action="migrate")
    return missing
