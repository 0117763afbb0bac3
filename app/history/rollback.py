"""Sets the history back to what was known at a time, and keeps what that removes: it can be undone.

A tick is known from when it came (``fetched_at``), an alert from when it was recorded, a hole from when it was found.
All of it is one transaction, in which nobody else writes and after which nobody leads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg2 import extensions as pg

from app.db import Database, execute
from app.errors import AlreadyRunning, ConfigurationError, DatabaseRefused
from app.lease import RENEW_SECONDS

_STALE_SECONDS = 3 * RENEW_SECONDS  # who has not renewed the lease for so long leads no more
_PATIENCE_SECONDS = 3600.0  # for one statement; the server ends it sooner
_SPANS_AT_ONCE = 20

# What is done, and by which queries, in their order. Each removes what it keeps in a table of its own.
_SET_BACK = {
    "taking ticks away": (
        *("keep_quarantine", "remove_released", "remove_ticks"),
        *("forget_quarantine", "hold_again", "put_back_held"),
    ),
    "taking alerts away": (
        *("remove_outbox", "remove_alerts"),
        *("keep_alert_states", "forget_alert_states", "set_back_alert_states"),
    ),
    "opening gaps": ("keep_gaps", "remove_gaps", "open_gaps_again"),
}
_RESTORE = {
    "putting ticks back": (
        *("clear_for_held", "clear_for_ticks", "clear_held_ticks", "restore_ticks"),
        *("clear_for_quarantine", "restore_quarantine"),
    ),
    "putting alerts back": ("clear_for_alerts", "restore_alerts", "restore_outbox", "restore_alert_states"),
    "putting gaps back": ("clear_for_gaps", "restore_gaps"),
}
_COUNTED = {
    **{"remove_released": "ticks", "remove_ticks": "ticks", "remove_alerts": "alerts"},
    **{"keep_gaps": "gaps", "keep_quarantine": "held"},
}

_Span = tuple[str, datetime, datetime, int]
"""A symbol, from when to before when, and how many of its ticks there are touched."""

Told = Callable[[str, float], None]
"""Is told what is being done, and which share of that is done."""


@dataclass(frozen=True, slots=True)
class Came:
    """What is not as it was at a time.

    ``days``: ticks that came since, by symbol and (UTC) day. ``released``: ticks that were held then and are stored
    now; ``held``: the opposite, by hand. ``alerts``, ``gaps`` and ``quarantined`` are rows.
    """

    days: Sequence[tuple[str, date, int]]
    released: int
    held: int
    alerts: int
    gaps: int
    quarantined: int

    @property
    def ticks(self) -> int:
        """How many a rollback would remove."""
        return sum(count for *_, count in self.days) + self.released

    def __bool__(self) -> bool:
        return any((self.days, self.alerts, self.gaps, self.quarantined))


@dataclass(frozen=True, slots=True)
class Rollback:
    """A row of the table ``rollbacks``: what it removed, in rows."""

    id: int
    to_time: datetime
    done_at: datetime
    ticks: int
    alerts: int
    gaps: int
    held: int


class History:
    """The stored history, for the owner of its tables. For one thread at a time, like the Database it stands on.

    Every method raises DatabaseUnavailable or DatabaseRefused, and does all of its work or nothing; those that write
    raise AlreadyRunning where a daemon leads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def came_since(self, to_time: datetime) -> Came:
        """What a rollback would remove or change. Raises ConfigurationError where there is no going back to then."""

        def work(cursor: pg.cursor) -> Came:
            execute(cursor, "take_time")
            _demand_known(cursor, to_time)
            days = [(symbol, day, count) for symbol, day, count in execute(cursor, "what_came_since", to_time=to_time)]
            return Came(days, *execute(cursor, "what_else_came_since", to_time=to_time)[0])

        return self._database.once(work, patience=_PATIENCE_SECONDS)

    def last(self) -> Rollback | None:
        """The rollback that would be undone; None: there is none."""
        return self._database.once(_last)

    def roll_back(self, to_time: datetime, told: Told) -> Rollback:
        """Set all back to what was known then. Raises ConfigurationError where there is no going back to then."""

        def work(cursor: pg.cursor) -> Rollback:
            _hold_all(cursor, told)
            _demand_known(cursor, to_time)
            ((id_,),) = execute(cursor, "begin_rollback", to_time=to_time)
            counts = dict.fromkeys(_COUNTED.values(), 0)
            for text, names in _SET_BACK.items():
                told(text, 0.0)
                for name in names:
                    execute(cursor, name, rollback=id_, to_time=to_time)
                    if name in _COUNTED:
                        counts[_COUNTED[name]] += cursor.rowcount
            _recompute(cursor, _spans(cursor, id_), told)
            execute(cursor, "end_rollback", rollback=id_, **counts)
            return Rollback(*execute(cursor, "last_rollback")[0])

        return self._database.once(work, patience=_PATIENCE_SECONDS)

    def undo(self, rollback: Rollback, told: Told) -> None:
        """Put back what it removed. Raises ConfigurationError unless it is the latest that is not undone."""

        def work(cursor: pg.cursor) -> None:
            _hold_all(cursor, told)
            if _last(cursor) != rollback:
                raise ConfigurationError("somebody else has rolled back, or undone that, at this moment; look again")
            spans = _spans(cursor, rollback.id)
            for text, names in _RESTORE.items():
                told(text, 0.0)
                for name in names:
                    execute(cursor, name, rollback=rollback.id)
            _recompute(cursor, spans, told)
            execute(cursor, "undone", rollback=rollback.id)

        self._database.once(work, patience=_PATIENCE_SECONDS)


def _hold_all(cursor: pg.cursor, told: Told) -> None:
    """Nobody else leads or writes until the transaction ends. Raises AlreadyRunning, DatabaseRefused."""
    told("waiting for who writes", 0.0)
    execute(cursor, "take_time")
    ((user, owns),) = execute(cursor, "owns_the_tables")
    if not owns:
        raise DatabaseRefused(
            f"the database user {user} may not take ticks away: like `migrate`, rollback is for the user who owns the"
            " tables (docs/roles.md)"
        )
    execute(cursor, "lock_leader")
    ((_, leader, free),) = execute(cursor, "show_leader", stale=_STALE_SECONDS, holder="")
    if not free:
        raise AlreadyRunning(
            f"a daemon leads, {leader}, and has in memory what is to be removed: stop it and those that stand by, and"
            " start them again afterwards"
        )
    execute(cursor, "depose_leader")
    execute(cursor, "hold_history")


def _demand_known(cursor: pg.cursor, to_time: datetime) -> None:
    """Raises ConfigurationError where nothing was known then, or where what was known then is removed already."""
    if between := execute(cursor, "rollback_between", to_time=to_time):
        earlier = Rollback(*between[0])
        raise ConfigurationError(
            f"--to: what was known then was removed on {earlier.done_at.isoformat()}, by the rollback to"
            f" {earlier.to_time.isoformat()}: take that back first, with `rollback --undo`"
        )
    if not execute(cursor, "known_anything", to_time=to_time)[0][0]:
        first = execute(cursor, "first_arrival")[0][0]
        came = "no tick is stored" if first is None else f"the first tick came on {first.isoformat()}"
        raise ConfigurationError(f"--to: nothing was known then; {came}")


def _last(cursor: pg.cursor) -> Rollback | None:
    return next((Rollback(*row) for row in execute(cursor, "last_rollback")), None)


def _spans(cursor: pg.cursor, rollback: int) -> Sequence[_Span]:
    rows = execute(cursor, "touched_spans", rollback=rollback)
    return [(symbol, begin, end, ticks) for symbol, begin, end, ticks in rows]


def _recompute(cursor: pg.cursor, spans: Sequence[_Span], told: Told) -> None:
    """Candles are made anew where ticks went or came."""
    done, total = 0, sum(ticks for *_, ticks in spans)
    for start in range(0, len(spans), _SPANS_AT_ONCE):
        told("making candles anew", done / total)
        symbols, begins, ends, ticks = zip(*spans[start : start + _SPANS_AT_ONCE], strict=True)
        execute(cursor, "recompute_candles", symbol=list(symbols), begins_at=list(begins), ends_at=list(ends))
        done += sum(ticks)
