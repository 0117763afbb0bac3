"""Upkeep of what is read: daily_ohlcv is refreshed, partitions are made before they are needed, batches forgotten."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from psycopg2 import extensions as pg

from app import log
from app.clock import Clock
from app.db import Database, execute
from app.errors import DatabaseRefused, DatabaseUnavailable

_MONTHS_AHEAD = 2
_REFRESH_SECONDS = 600.0  # that a refresh may take, after years of many symbols
_BATCH_MINUTES, _BATCHES = 15, 50_000  # that the stream can go back


class Upkeep:
    """Refreshes daily_ohlcv when there is something new in it, and makes partitions ahead. For one thread at a time."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._seen = -1  # how many ticks had been stored at the last refresh
        self._open = True  # whether the newest day was still going on at the last refresh
        self._partitioned: date | None = None
        self.refreshed_at: datetime | None = None
        self.refresh_seconds: float | None = None

    def step(self, stored: int) -> bool:
        """One round; ``stored``: how many ticks have been stored so far. True if daily_ohlcv was refreshed.

        It is when ticks came in since, and while today is open: its coverage changes with the clock. While the
        database is away there is nothing to do.
        """
        try:
            return self._step(stored)
        except (DatabaseUnavailable, DatabaseRefused) as error:
            log.get(__name__).debug(f"daily_ohlcv was not refreshed: {error}.", action="not_refreshed")
            return False

    def _step(self, stored: int) -> bool:
        today = self._clock.now().date()
        if self._partitioned != today:
            self.make_partitions(today)
            self._partitioned = today
        self._database.once(lambda c: execute(c, "forget_batches", minutes=_BATCH_MINUTES, most=_BATCHES))
        if stored == self._seen and not self._open:
            return False
        self.refresh()
        self._seen = stored
        return True

    def refresh(self) -> None:
        """Bring daily_ohlcv up to date without blocking its readers. Raises DatabaseUnavailable."""
        started, self.refreshed_at = self._clock.monotonic(), self._clock.now()
        newest = self._database.once(_refresh, patience=_REFRESH_SECONDS)
        self._open = newest is not None and newest >= self.refreshed_at.date()
        self.refresh_seconds = self._clock.monotonic() - started

    def make_partitions(self, today: date) -> None:
        """The partitions of ticker_data for this month and the next two."""
        months = [today.replace(day=1)]
        for _ in range(_MONTHS_AHEAD):
            months.append((months[-1] + timedelta(days=32)).replace(day=1))
        self._database.once(lambda cursor: [execute(cursor, "make_partition", month=month) for month in months])


def _refresh(cursor: pg.cursor) -> date | None:
    """Refresh daily_ohlcv; the newest day in it."""
    execute(cursor, "take_time")
    execute(cursor, "refresh_daily_ohlcv")
    newest: date | None = execute(cursor, "newest_day")[0][0]
    return newest
