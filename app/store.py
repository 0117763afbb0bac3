"""What goes into PostgreSQL and comes back at the start: ticks, alerts, states, instruments, calls spent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal

from psycopg2 import extensions as pg

from app import log
from app.alerts.checker import Episode, Key, Outcome
from app.db import Database, execute, translated
from app.errors import DataRefused
from app.model import Alert, Instrument, State, Tick

_TICK_COLUMNS = ("timestamp", "symbol", "price", "volume_24h", "market_cap", "fetched_at", "source", "origin")
_EPISODE_COLUMNS = ("state", "id", "since", "last_line_at", "lines")
_PAGE = 1000  # alerts read at once


class Store:
    """The daemon's own writer. For one thread at a time, like the Database it stands on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._months: set[date] = set()
        self.refused = 0  # ticks that the database would not take

    @property
    def is_open(self) -> bool:
        """Whether the database answers: it is not being waited for."""
        return self._database.waiting_because is None

    def save(self, ticks: Sequence[Tick], outcome: Outcome) -> int:
        """Store a batch and what it caused in one transaction; how many ticks were new to the database.

        Returns after the commit, waiting for the database if need be: then the batch is *accepted*. A tick that the
        database refuses is logged and left out, and the others are stored. Raises DatabaseUnavailable when the
        program is stopping and the database is away.
        """
        self._make_partitions(ticks)
        try:
            return self._database.run(lambda cursor: _write(cursor, ticks, outcome))
        except DataRefused:
            refused: dict[Tick, DataRefused] = {}
            stored = self._database.run(lambda cursor: _write_what_is_taken(cursor, ticks, outcome, refused))
            for tick, error in refused.items():
                self._report(tick, error)
            return stored

    def _report(self, tick: Tick, error: DataRefused) -> None:
        self.refused += 1
        log.get(__name__).error(
            f"The database will not take this tick of {tick.symbol} ({error}); it is lost.",
            action="tick_refused",
            symbol=tick.symbol,
            timestamp=tick.timestamp.isoformat(),
        )

    def _make_partitions(self, ticks: Iterable[Tick]) -> None:
        for month in sorted({tick.timestamp.date().replace(day=1) for tick in ticks} - self._months):
            self._database.query("make_partition", month=month)
            self._months.add(month)

    def save_instruments(self, market: str, instruments: Sequence[Instrument]) -> None:
        """Write down what is watched on a market now; what no longer is stays, unwatched."""
        columns = ("symbol", "base", "quote", "provider_id", "name")
        values = {c: [getattr(i, c) for i in instruments] for c in columns}
        self._database.query("save_instruments", market=market, **values)

    def recent_ticks(
        self, symbols: Sequence[str], seconds: float
    ) -> list[tuple[str, datetime, Decimal, Decimal | None, Decimal | None]]:
        """(symbol, time, price, volume, cap) of the live ticks that lie so close before each symbol's newest."""
        return self._database.query("recent_ticks", symbols=list(symbols), seconds=seconds)

    def episodes(self) -> dict[Key, Episode]:
        """Every rule that is pending or firing."""
        rows = self._database.query("load_alert_states")
        return {(rule, symbol): Episode(State(state), *rest) for rule, symbol, state, *rest in rows}

    def alerts_since(self, recorded_at: datetime | None) -> Iterator[Alert]:
        """The alerts recorded since then (None: all there are), in the order recorded, read page by page."""
        after = 0
        while page := self._database.query("alerts_after", since=recorded_at, after=after, limit=_PAGE):
            for after, id_, state, timestamp, symbol, rule, terms in page:  # noqa: B007
                yield Alert(id_, State(state), timestamp, symbol, rule, tuple(terms.items()))


class CallLedger:
    """Where calls against monthly limits are counted (app.limits.Ledger). All sources share it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()

    def reserve(self, source: str, month: date, calls: int) -> int:
        """Add so many calls to the month's count; the count with them. Waits for nobody: raises DatabaseUnavailable."""
        values = {"source": source, "month": month, "calls": calls}
        with self._lock:
            return int(self._database.once(lambda cursor: execute(cursor, "reserve_calls", **values))[0][0])


def _write_what_is_taken(
    cursor: pg.cursor, ticks: Sequence[Tick], outcome: Outcome, refused: dict[Tick, DataRefused]
) -> int:
    """As _write, all in the one transaction too, but a tick that the database refuses is left out and noted."""
    refused.clear()  # the work may be done again from its start
    stored = 0
    for tick in ticks:
        cursor.execute("SAVEPOINT tick")
        try:
            with translated():
                stored += _write(cursor, (tick,), Outcome())
        except DataRefused as error:
            cursor.execute("ROLLBACK TO tick")
            refused[tick] = error
    return stored + _write(cursor, (), outcome)


def _write(cursor: pg.cursor, ticks: Sequence[Tick], outcome: Outcome) -> int:
    stored = 0
    if ticks:
        stored = len(execute(cursor, "store_ticks", **{c: [getattr(t, c) for t in ticks] for c in _TICK_COLUMNS}))
    if outcome.alerts:
        alerts = outcome.alerts
        execute(
            cursor,
            "record_alerts",
            terms=[json.dumps(dict(alert.terms)) for alert in alerts],
            **{c: [getattr(a, c) for a in alerts] for c in ("id", "state", "timestamp", "symbol", "rule")},
        )
    changed = {key: episode for key, episode in outcome.episodes.items() if episode is not None}
    if changed:
        execute(
            cursor,
            "save_alert_states",
            rule=[rule for rule, _ in changed],
            symbol=[symbol for _, symbol in changed],
            **{c: [getattr(e, c) for e in changed.values()] for c in _EPISODE_COLUMNS},
        )
    ended = [key for key, episode in outcome.episodes.items() if episode is None]
    if ended:
        execute(cursor, "forget_alert_states", rule=[rule for rule, _ in ended], symbol=[s for _, s in ended])
    return stored
