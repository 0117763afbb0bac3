"""Silences: which alerts the channels are not to hear of, for how long, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg2 import extensions as pg

from app.alerts.definition import canonical_pattern
from app.alerts.rules import SEVERITIES
from app.db import Asked, execute
from app.errors import ConfigurationError

MOST = 1000
"""That are in force or to come at once."""

_LATEST_YEAR = 9000  # of what databases and Python know
_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


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

    @property
    def stage(self) -> Literal["to come", "in force", "over"]:
        if self.is_over:
            return "over"
        return "in force" if self.has_begun else "to come"


class TooMany(ConfigurationError):
    """There are so many silences that one has to end before the next is made."""


class Silences:
    """The table of them. Raises DatabaseUnavailable or DatabaseRefused, and waits for nobody."""

    def __init__(self, database: Asked) -> None:
        self._database = database

    def add(
        self,
        *,
        rule: str,
        symbol: str,
        severity: str,
        why: str,
        length: timedelta | None = None,
        until: datetime | None = None,
        starts_at: datetime | None = None,
    ) -> Silence:
        """A new one, from now on or from a time on, for so long or until a time.

        Raises DataRefused for what the table does not take, TooMany where there are MOST.
        """
        times = {"length": length, "ends_at": until, "starts_at": starts_at}

        def work(cursor: pg.cursor) -> Silence:
            execute(cursor, "lock_silences")
            ((count,),) = execute(cursor, "count_silences")  # in a statement of its own, to see what others just added
            if count >= MOST:
                raise TooMany(f"There are {MOST:,} silences in force or to come, and at most that many may be.")
            (row,) = execute(cursor, "add_silence", rule=rule, symbol=symbol, severity=severity, why=why, **times)
            return Silence(*row)

        return self._database.once(work)

    def find(self, id_: int) -> Silence | None:
        """The one of this id, over or not."""
        rows = self._query("find_silence", id=id_)
        return Silence(*rows[0]) if rows else None

    def page(self, *, over_too: bool, before: int | None, limit: int) -> list[Silence]:
        """The latest, by their ids, of those that came before this one."""
        return [Silence(*row) for row in self._query("page_of_silences", all=over_too, before=before, limit=limit)]

    def read(self, *, over_too: bool = False) -> list[Silence]:
        """Those in force and those to come, by their beginning; on demand those that are over, too."""
        return [Silence(*row) for row in self._query("list_silences", all=over_too)]

    def end(self, id_: int) -> Silence | None:
        """It silences nothing from now on. None: there is none of this id that is not over."""
        rows = self._query("end_silence", id=id_)
        return Silence(*rows[0]) if rows else None

    def _query(self, query: str, /, **values: object) -> Any:
        return self._database.once(lambda cursor: execute(cursor, query, **values))


# What somebody wants silenced, read: each raises ValueError with what it should be.


def read_pattern(text: str) -> str:
    """A pattern of names of rules."""
    if not text or " " in text:
        raise ValueError("should be a name, in which * stands for any text, without spaces")
    return read_line(text)


def read_severity(text: str) -> str:
    """A pattern of severities."""
    read_pattern(text)
    if "*" not in text and text not in SEVERITIES:
        raise ValueError(f"should be {', '.join(SEVERITIES)}, or a pattern with *")
    return text


def read_symbols(text: str, market: str) -> str:
    """A pattern of symbols, as the table has it; ``market``: the default one."""
    return canonical_pattern(text, market)


def read_line(text: str) -> str:
    """A text for people."""
    if not (text.strip() and _LINE.fullmatch(text)):
        raise ValueError("should be a text of one line")
    return text


def demand_an_end(starts_at: datetime, length: timedelta, now: datetime) -> None:
    """That it is not over already, and ends in a year that there will be."""
    try:
        ends_at = starts_at + length
    except OverflowError:
        ends_at = None
    if ends_at is None or ends_at.year >= _LATEST_YEAR:
        raise ValueError("is so late that it would never end")
    if ends_at <= now:
        raise ValueError("is so long ago that it would be over already")
