"""Named queries as prepared statements: planned once for a connection, and sent several at a time.

For a few rows a server is longer at planning than at writing, and on a busy machine every way there and back may have
to wait for a turn of the processor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from psycopg2 import extensions as pg

from app.queries import QUERIES

_PARAMETER = re.compile(r"%\(\w+\)s(?P<type>::\w+(\[\])?)?")


def execute_together(cursor: pg.cursor, calls: Mapping[str, Mapping[str, object]]) -> list[tuple[Any, ...]]:
    """Run named queries with their values, in this order, in one message to the server; the rows of the last one.

    Their plans are not made for the values: meant for rows that are few. The connection has to be one of app.db.
    """
    known: set[str] = cursor.connection.prepared  # type: ignore[attr-defined]
    for name in calls:
        if name not in known:
            cursor.execute(_prepare(name)[0])
            known.add(name)  # for as long as the connection lasts, even if this transaction is undone
    cursor.execute(b"; ".join(cursor.mogrify(_prepare(name)[1], values) for name, values in calls.items()))
    return list(cursor.fetchall()) if cursor.description else []


@cache
def _prepare(name: str) -> tuple[str, str]:
    """What prepares a named query, and what runs it then, with the query's own parameters."""
    places: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        return f"${places.setdefault(match[0], len(places) + 1)}{match['type'] or ''}"

    text = _PARAMETER.sub(place, QUERIES[name]).replace("%%", "%").rstrip(";")
    given = f" ({', '.join(places)})" if places else ""
    return f'PREPARE "{name}" AS {text}', f'EXECUTE "{name}"{given}'
