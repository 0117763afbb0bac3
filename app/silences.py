"""Silences: which alerts the channels are not to hear of, for how long, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.db import Database, execute


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts are silenced whose rule, symbol and severity match these patterns, in which ``*`` is any text. That of
    symbols is as rules have it: ``BTC`` is the one of the default market, ``*@`` are all of that.

    What counts is the time of the alert's tick: from ``starts_at`` until before ``ends_at``, or ``ended_at`` where
    somebody ended it earlier. ``has_begun`` and ``is_over`` are by the database's clock.
    """

    id: int
    rule: str
    symbol: str
    severity: str
    starts_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    why: str
    created_at: datetime
    has_begun: bool
    is_over: bool


class Silences:
    """The table of them. Raises DatabaseUnavailable or DatabaseRefused, and waits for nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, *, rule: str, symbol: str, severity: str, length: timedelta, why: str, starts_at: datetime | None = None
    ) -> Silence:
        """A new one, from now on or from a time on. Raises DataRefused for what the table does not take."""
        wanted = {"rule": rule, "symbol": symbol, "severity": severity, "why": why}
        (row,) = self._query("add_silence", **wanted, length=length, starts_at=starts_at)
        return Silence(*row)

    def read(self, *, over_too: bool = False) -> list[Silence]:
        """Those in force and those to come, by their beginning; on demand those that are over, too."""
        return [Silence(*row) for row in self._query("list_silences", all=over_too)]

    def end(self, id_: int) -> Silence | None:
        """It silences nothing from now on. None: there is none of this id that is not over."""
        rows = self._query("end_silence", id=id_)
        return Silence(*rows[0]) if rows else None

    def _query(self, query: str, /, **values: object) -> Any:
        return self._database.once(lambda cursor: execute(cursor, query, **values))
