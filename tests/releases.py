"""What releases of CryptoMonitor left behind (tests/data, written by tests/data/record.py), brought back to life."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import extensions as pg

from tests.servers import available

DATA = Path(__file__).parent / "data"

RELEASED: Mapping[int, str] = {
    1: "6b5952c0f3719895f00b3db88c1b704a77b0258349837570d59633ec1ea0030e",
}
"""The schemas of which there is a recording, and the digest of each one's migration."""

FIXED: Mapping[int, str] = {
    **RELEASED,
    2: "745372f16e9d57e534e5b8275ae2d21f17106ab52b7205b857b4126932563734",
    3: "73c6dd3b8d7b90fdc05faf42eeef144ab14824b2311ea401b444d008e23c0a5b",
    4: "00b4052184e5a4ccebce6549e79df4d428a9bafd39328ccbc08cf30eba301ff3",
}
"""The digest of every migration that people may have run. Such a file never changes: what it did is done."""

Rows = dict[str, set[str]]


def digest(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()


def restore(dsn: str, version: int) -> None:
    """The database as the release with this schema left it."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        make_reader(cursor)
        cursor.execute((DATA / f"schema_{version:04d}.sql").read_text(encoding="utf-8"))


def make_reader(cursor: pg.cursor) -> None:
    """The role that dumps grant rights to. It belongs to the server, and is in no dump."""
    cursor.execute("SELECT FROM pg_roles WHERE rolname = 'cryptomonitor_reader'")
    if not cursor.rowcount:
        cursor.execute("CREATE ROLE cryptomonitor_reader NOLOGIN")


def restore_journal(path: Path, version: int) -> None:
    """``alerts.sqlite`` as that release left it."""
    with closing(sqlite3.connect(path)) as journal:
        journal.executescript((DATA / f"journal_{version:04d}.sql").read_text(encoding="utf-8"))


def schema(dsn: str) -> str:
    """What ``pg_dump --schema-only`` says of a database, without the password that it makes up for each dump."""
    newest = max(available(), key=lambda server: server.major)
    dump = subprocess.run(
        [newest.programs / "pg_dump", "--schema-only", dsn], capture_output=True, text=True, check=True
    ).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", dump, flags=re.MULTILINE)


def tables(cursor: pg.cursor) -> dict[str, list[str]]:
    """The columns of every table and materialized view that holds rows of its own."""
    cursor.execute("""
        SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'm')
        GROUP BY c.relname
    """)
    return dict(cursor.fetchall())


def rows(dsn: str, of: dict[str, list[str]] | None = None) -> Rows:
    """All rows of all tables, as text; of these tables and columns where some are named."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        return rows_of(cursor, of)


def rows_of(cursor: pg.cursor, of: dict[str, list[str]] | None = None) -> Rows:
    """The same over a connection that there is."""
    found: Rows = {}
    for table, columns in (of or tables(cursor)).items():
        row = ", ".join(f'"{column}"' for column in columns)
        cursor.execute(f"SELECT ROW({row})::text FROM {table}")
        found[table] = {text for (text,) in cursor.fetchall()}
    return found
