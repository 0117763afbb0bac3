"""Named queries as prepared statements: planned once for a connection, and sent several at a time.

For a few rows a server is longer at planning than at writing, and on a busy machine every way there and back may have
to wait for a turn of the processor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from psycopg2 import extensions as pg

from app.queries import QUERIES

_PARAMETER = re.compile(r"%\(\w+\)s(?P<type>::\w+(\[\])?)?")


def execute_together(cursor: pg.cursor, calls: Mapping[str, Mapping[str, object]]) -> list[tuple[Any, ...]]:
    """Run named queries with their values, in this order, in one message to the server; the rows of the last one.

    Their plans are not made for the values: meant for rows that are few. The connection has to be one of app.db.
    """
    return _send(cursor, [(_prepare(name), values) for name, values in calls.items()])


def commit_together(
    cursor: pg.cursor, demanded: Mapping[str, Mapping[str, object]], calls: Mapping[str, Mapping[str, object]]
) -> list[tuple[Any, ...]]:
    """The same, and commit it, in the one message: nothing may have been run in the transaction before.

    Unless each of the demanded queries has a row, nothing is done: raises psycopg2.errors.DivisionByZero.
    """
    statements = [(_demand(name), values) for name, values in demanded.items()]
    statements += [(_prepare(name), values) for name, values in calls.items()]
    connection = cursor.connection
    connection.autocommit = True  # no BEGIN of its own: what comes in one message is one transaction to the server
    try:
        return _send(cursor, statements)
    finally:
        if not connection.closed:
            connection.autocommit = False


@dataclass(frozen=True, slots=True)
class _Statement:
    name: str
    make: str
    run: str


def _send(cursor: pg.cursor, statements: Sequence[tuple[_Statement, Mapping[str, object]]]) -> list[tuple[Any, ...]]:
    known: set[str] = cursor.connection.prepared  # type: ignore[attr-defined]
    for statement, _ in statements:
        if statement.name not in known:
            cursor.execute(statement.make)
            known.add(statement.name)  # for as long as the connection lasts, even if this transaction is undone
    cursor.execute(b"; ".join(cursor.mogrify(statement.run, values) for statement, values in statements))
    return list(cursor.fetchall()) if cursor.description else []


@cache
def _prepare(name: str) -> _Statement:
    """What prepares a named query, and what runs it then, with the query's own parameters."""
    return _statement(name, QUERIES[name].rstrip(";"))


@cache
def _demand(name: str) -> _Statement:
    """The same for a query that ends what is done with it when it has no row."""
    query = QUERIES[name].rstrip(";")
    return _statement(f"{name}, demanded", f"SELECT 1 / count(*) FROM ({query}) AS found")  # noqa: S608  (our own words)


def _statement(name: str, query: str) -> _Statement:
    places: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        return f"${places.setdefault(match[0], len(places) + 1)}{match['type'] or ''}"

    text = _PARAMETER.sub(place, query).replace("%%", "%")
    given = f" ({', '.join(places)})" if places else ""
    return _Statement(name, f'PREPARE "{name}" AS {text}', f'EXECUTE "{name}"{given}')
