"""Quarantine by hand: what is held, and the way of a tick into it and out of it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg2 import extensions as pg

from app.db import Database, execute
from app.errors import DataRefused
from app.model import Tick
from app.store import tick_values


@dataclass(frozen=True, slots=True)
class Kept:
    """A row of the table: a tick that is held, or was until ``settled_at``, by three ticks or by hand."""

    symbol: str
    timestamp: datetime
    price: Decimal
    median: Decimal | None
    source: str
    state: str
    held_at: datetime
    settled_at: datetime | None
    settled_by: str | None
    why: str


class Quarantine:
    """The table. Each change is one transaction, candles included, and can be taken back by its opposite.

    A daemon that runs keeps what it has in its windows. Raises DatabaseUnavailable or DatabaseRefused, and waits for
    nobody.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, symbol: str | None, limit: int, *, released_too: bool = False) -> Sequence[Kept]:
        """The latest, of one symbol or of all; the newest first."""
        values = {"symbol": symbol, "limit": limit, "all": released_too}
        rows = self._database.once(lambda cursor: execute(cursor, "list_quarantine", **values))
        return [Kept(*row) for row in rows]

    def release(self, symbol: str, timestamp: datetime) -> bool:
        """Store a held tick as it is, and roll it up. False: none is held with that time.

        Raises DataRefused where another of that time is stored: the first stands.
        """

        def work(cursor: pg.cursor) -> bool:
            rows = execute(cursor, "release_tick", symbol=symbol, timestamp=timestamp)
            for row in rows:
                tick = Tick(*row)
                execute(cursor, "make_partition", month=tick.timestamp.date().replace(day=1))
                if not execute(cursor, "store_ticks", **tick_values([tick])):
                    raise DataRefused(f"another tick of {symbol} with that time is stored; hold that one first")
            return bool(rows)

        return self._database.once(work)

    def hold(self, symbol: str, timestamp: datetime, why: str) -> bool:
        """Take a stored tick out of ticker_data and its candles. False: none is stored with that time.

        Raises DataRefused where another of that time is held already.
        """
        values = {"symbol": symbol, "timestamp": timestamp, "why": why}
        ((held,),) = self._database.once(lambda cursor: execute(cursor, "hold_tick", **values))
        if held is None:
            raise DataRefused(f"another tick of {symbol} with that time is held already; the first stands")
        return bool(held)
