"""Ticks as they were recorded, read back in the order in which they arrived."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, starmap
from operator import itemgetter
from typing import Any

from psycopg2 import extensions as pg

from app.alerts.checker import Checker
from app.db import READER, connect, execute, translated
from app.errors import ConfigurationError
from app.model import Batch, Tick
from app.queries import QUERIES

_PATIENCE_SECONDS = 600.0  # for one answer: thousands of windows may have to be found, or a slice sorted
_PAGE = 10_000  # rows fetched at once
_LOOK_AT = 10_000  # ticks of a symbol that are gone through for a value, as app.store does

_FIRST_SLICE = timedelta(hours=1)
_LEAST_SLICE, _LARGEST_SLICE = timedelta(minutes=1), timedelta(days=30)
_FEW_ROWS, _MANY_ROWS = 50_000, 400_000  # the server sorts so many in memory

_arrival_and_source = itemgetter(5, 6)


@dataclass(frozen=True, slots=True)
class Recording:
    """The live ticks that arrived in ``[since, until)``, of these symbols (None: of all), in one view of the database.

    No more of them than a page is ever in memory. Any method raises DatabaseUnavailable or DatabaseRefused.
    """

    connection: pg.connection
    since: datetime
    until: datetime
    symbols: Sequence[str] | None = None

    def warm(self, checker: Checker) -> bool:
        """Have symbols watched, their windows filled, as a daemon does that starts at ``since``; whether anything had
        arrived by then, of any symbol."""
        with self.connection.cursor() as cursor:
            found = execute(cursor, "symbols_of_span", since=self.since, until=self.until)
            ((has_begun,),) = execute(cursor, "has_begun", by=self.since)
        symbols = sorted(symbol for (symbol,) in found if self.symbols is None or symbol in self.symbols)
        checker.watch(symbols)
        of = {"symbols": symbols, "since": self.since, "seconds": checker.reach}
        if checker.fields_ago:
            fields = list(checker.fields_ago)
            checker.warm(self._rows("values_before_those", **of, fields=fields, look_at=_LOOK_AT))
        checker.warm(self._rows("ticks_before", **of))
        return bool(has_begun)

    def batches(self) -> Iterator[Batch]:
        """The ticks, by time of arrival. Those of one reply are one batch again, sorted as it was."""
        start, width = self.since, _FIRST_SLICE
        while start < self.until:
            end = min(start + width, self.until)
            count = 0
            for batch in _batches(self._rows("ticks_as_they_came", since=start, until=end, symbols=self._wanted)):
                count += len(batch.ticks)
                yield batch
            # Narrow enough to be sorted in memory, and wide enough to hurry through empty years.
            if count < _FEW_ROWS:
                width = min(2 * width, _LARGEST_SLICE)
            elif count > _MANY_ROWS:
                width = max(width / 2, _LEAST_SLICE)
            start = end

    @property
    def _wanted(self) -> list[str] | None:
        return None if self.symbols is None else list(self.symbols)

    def _rows(self, query: str, **values: object) -> Iterator[Any]:
        """Rows of a query, fetched a page at a time."""
        with self.connection.cursor(name=query) as cursor:
            cursor.itersize = _PAGE
            cursor.execute(QUERIES[query], values)
            yield from cursor


@contextmanager
def recorded(dsn: str, since: datetime, until: datetime, symbols: Collection[str] | None = None) -> Iterator[Recording]:
    """Open a database for reading what it has now, and nothing else.

    Raises ConfigurationError where a symbol has no tick at all, DatabaseUnavailable, DatabaseRefused.
    """
    with translated(), closing(connect(dsn, "cryptomonitor backtest", role=READER)) as connection:
        connection.patience = _PATIENCE_SECONDS
        with connection.cursor() as cursor:
            execute(cursor, "long_look")
            if symbols is not None:
                _demand_ticks(cursor, symbols)
        yield Recording(connection, since, until, None if symbols is None else sorted(symbols))


def _demand_ticks(cursor: pg.cursor, symbols: Collection[str]) -> None:
    known = {symbol for (symbol,) in execute(cursor, "symbols_with_ticks", symbols=list(symbols))}
    if missing := sorted(set(symbols) - known):
        raise ConfigurationError(f"--symbols: no tick is stored of {', '.join(missing)}")


def _batches(rows: Iterator[Any]) -> Iterator[Batch]:
    for (fetched_at, source), reply in groupby(rows, _arrival_and_source):
        yield Batch(source, fetched_at, tuple(starmap(Tick, reply)))
