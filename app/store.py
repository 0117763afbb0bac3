"""What goes into PostgreSQL and comes back at the start: ticks, alerts, states, instruments."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from psycopg2 import extensions as pg

from app import log
from app.alerts.checker import PastTick
from app.alerts.states import Episode, Key, Outcome
from app.db import Database, execute, translated
from app.errors import DataRefused, Deposed
from app.model import Alert, Finding, Instrument, Known, State, Tick
from app.prepared import commit_together, execute_together
from app.quarantine import Held
from app.quarantine_prices import WINDOW
from app.spool import Entry

_VALUES = ("price", "volume_24h", "market_cap")
_TICK_COLUMNS = ("timestamp", "symbol", *_VALUES, "fetched_at", "source", "origin", "markets")
_OF_TICK = len(_TICK_COLUMNS)
_HELD_COLUMNS = ("median", "why", "held_at", "settled_at")
_EPISODE_COLUMNS = ("state", "id", "since", "as_of", "last_line_at", "lines", "recovering_since", "digest")
_ALERT_COLUMNS = ("id", "state", "timestamp", "symbol", "rule", "severity")
_COLUMN_OF = {"price": "price", "volume": "volume_24h", "market_cap": "market_cap"}
_PAGE = 1000  # alerts read at once
_PAGE_OF_TICKS = 50_000  # ticks read at once: some 30 MB
_PAGE_OF_SYMBOLS = 100  # whose values are looked for at once
_LOOK_AT = 10_000  # ticks of a symbol that are gone through for a value
_PATIENCE_SECONDS = 15.0  # for one answer
_HURRY_SECONDS = 2.0  # where others wait meanwhile: a batch can go to the spool instead
_ROWS_A_SECOND = 2000  # that a slow server writes: a large batch may take so much longer
_FEW = 200  # rows up to which it is quicker not to plan for them anew


@dataclass(frozen=True, slots=True)
class Saved:
    """How many ticks were new to the database, and how many it would not take."""

    stored: int = 0
    refused: int = 0


class Store:
    """The daemon's own writer. For one thread at a time, like the Database it stands on.

    All of it is done now or not at all, and can be done again: raises DatabaseUnavailable (or DatabaseRefused, where
    somebody took our rights or tables away) and waits for nobody. Alerts are queued for these channels.
    """

    def __init__(self, database: Database, channels: Sequence[str] = ()) -> None:
        self._database, self._channels = database, channels
        self._months: set[date] = set()

    def save(self, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held] = ()) -> Saved:
        """Store a batch and what it caused in one transaction, under the epoch of the lease that it belongs to.

        Returns after the commit: then the batch is *accepted*. A tick that the database refuses is logged and left
        out, and the others are stored. Raises Deposed when another daemon leads since; then nothing is stored.
        """

        def fenced(cursor: pg.cursor) -> Outcome:
            demand_lead(cursor, outcome.epoch)
            return outcome

        rows = len(ticks) + len(held) + len(outcome.alerts) + len(outcome.episodes)
        patience = _HURRY_SECONDS + rows // _ROWS_A_SECOND
        if rows <= _FEW:
            with suppress(DataRefused):  # for a value, or for not leading: which of them it is shows below
                return self._store_few(ticks, outcome, held, patience)
        return self._store(ticks, held, fenced, patience)

    def save_spooled(self, entries: Sequence[Entry]) -> Saved:
        """Store batches that the spool accepted, in their order, in one transaction.

        It needs no lease, as ticks and alerts are facts, whoever found them. Not so states: those found under an
        epoch that is over say nothing of now, and are left out.
        """
        ticks = [tick for entry in entries for tick in entry.ticks]
        held = [it for entry in entries for it in entry.held]
        return self._store(ticks, held, lambda cursor: _together(cursor, entries), _PATIENCE_SECONDS)

    def _store(
        self, ticks: Sequence[Tick], held: Sequence[Held], outcome: Callable[[pg.cursor], Outcome], patience: float
    ) -> Saved:
        self._make_partitions(ticks, patience)
        try:
            return self._database.once(lambda c: Saved(self._write(c, ticks, outcome(c), held)), patience=patience)
        except DataRefused:
            self._months.clear()  # it may be a partition that somebody took away
            self._make_partitions(ticks, patience)
            work = partial(self._write_what_is_taken, ticks=ticks, outcome=outcome, held=held)
            return _reported(*self._database.once(work, patience=patience))

    def _store_few(self, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held], patience: float) -> Saved:
        """All of it in one message to the server: an alert waits for it."""
        self._make_partitions(ticks, patience)
        lead = {"leading": {"epoch": outcome.epoch}}
        calls = self._calls(ticks, outcome, held)
        rows = self._database.once(lambda cursor: commit_together(cursor, lead, calls), patience=patience)
        return Saved(len(rows) if ticks else 0)

    def _make_partitions(self, ticks: Iterable[Tick], patience: float) -> None:
        for month in sorted({tick.timestamp.date().replace(day=1) for tick in ticks} - self._months):
            self._query("make_partition", patience, month=month)
            self._months.add(month)

    def save_instruments(self, market: str, instruments: Sequence[Instrument], epoch: int = 0) -> None:
        """Write down what is watched on a market now; what no longer is stays, unwatched. Raises Deposed."""
        columns = ("symbol", "base", "quote", "provider_id", "name")
        values = {c: [getattr(i, c) for i in instruments] for c in columns}

        def work(cursor: pg.cursor) -> None:
            demand_lead(cursor, epoch)
            execute(cursor, "save_instruments", market=market, **values)

        self._database.once(work, patience=_PATIENCE_SECONDS)

    def known_instruments(self, market: str) -> list[Known]:
        """What is or was watched on a market, with the coins that the symbols mean."""
        rows = self._query("known_instruments", _HURRY_SECONDS, market=market)
        return [
            Known(Instrument(base, quote, its_market, symbol, id_, name), watched, frozenset(ids) - {id_}, *times)
            for symbol, base, quote, its_market, id_, name, watched, ids, *times in rows
        ]

    def settle_instruments(self, market: str, findings: Sequence[Finding], at: datetime, epoch: int = 0) -> None:
        """Write down what was found out about who is who on a market. Raises Deposed."""
        columns = ("symbol", "provider_id", "name", "is_delisted", "why")
        values = {c: [getattr(finding, c) for finding in findings] for c in columns}

        def work(cursor: pg.cursor) -> None:
            demand_lead(cursor, epoch)
            execute(cursor, "settle_instruments", market=market, at=at, **values)

        self._database.once(work, patience=_PATIENCE_SECONDS)

    def recent_ticks(self, symbols: Iterable[str], seconds: float) -> Iterator[PastTick]:
        """The live ticks that lie at most so long before each symbol's newest: a symbol after the other, oldest first.

        Read page by page. The seconds are also a guess at how many ticks a symbol has there.
        """
        left, after = list(dict.fromkeys(symbols)), None
        at_once = max(1, int(_PAGE_OF_TICKS / max(1.0, seconds)))
        while left:
            window = {"symbols": left[:at_once], "seconds": seconds, "after": after, "limit": _PAGE_OF_TICKS}
            page = self._query("recent_ticks", _PATIENCE_SECONDS, **window)
            yield from page
            if len(page) < _PAGE_OF_TICKS:
                left, after = left[at_once:], None
            else:
                last, after, *_ = page[-1]
                left = left[left.index(last) :]

    def values_before(
        self, symbols: Iterable[str], seconds: float, fields: Collection[str] = ("price",)
    ) -> Iterator[PastTick]:
        """For each symbol and each of these fields the latest live tick that has it, of those before recent_ticks.

        Up to three of a symbol, oldest first. A field that a symbol's last ten thousand ticks before lack is not found.
        """
        left, columns = list(dict.fromkeys(symbols)), [_COLUMN_OF[field] for field in fields]
        for start in range(0, len(left), _PAGE_OF_SYMBOLS):
            where = {"symbols": left[start : start + _PAGE_OF_SYMBOLS], "seconds": seconds}
            page = self._query("values_before", _PATIENCE_SECONDS, **where, columns=columns, look_at=_LOOK_AT)
            for _, *tick in page:
                yield tuple(tick)

    def recent_prices(self, symbols: Sequence[str]) -> list[tuple[str, datetime, Decimal, str]]:
        """Live prices of the last five minutes of each symbol: the last of ten seconds each, with time and source."""
        seconds = WINDOW.total_seconds()
        return self._query("recent_prices", _PATIENCE_SECONDS, symbols=list(symbols), seconds=seconds)

    def held_lately(self, symbols: Sequence[str]) -> list[Held]:
        """The ticks of the last five minutes that are held, as they came."""
        seconds = WINDOW.total_seconds()
        rows = self._query("held_lately", _PATIENCE_SECONDS, symbols=list(symbols), seconds=seconds)
        return [Held(Tick(*row[:_OF_TICK]), *row[_OF_TICK:]) for row in rows]

    def episodes(self) -> dict[Key, Episode]:
        """Where every rule stands that was true for a symbol once, INACTIVE ones too."""
        rows = self._query("load_alert_states", _PATIENCE_SECONDS)
        return {(rule, symbol): Episode(State(state), *rest) for rule, symbol, state, *rest in rows}

    def alerts_since(self, recorded_at: datetime | None, ago: timedelta | None = None) -> Iterator[Alert]:
        """The alerts recorded since then or so long ago, whichever is earlier (None: all), in the order recorded.

        Read page by page. ``ago`` is by the database's clock, which may be far from ours.
        """
        after = 0
        while page := self._query("alerts_after", _HURRY_SECONDS, since=recorded_at, ago=ago, after=after, limit=_PAGE):
            for after, id_, state, timestamp, symbol, rule, terms, severity in page:  # noqa: B007
                yield Alert(id_, State(state), timestamp, symbol, rule, tuple(terms.items()), severity)

    def _query(self, name: str, patience: float, /, **values: object) -> list[tuple[Any, ...]]:
        return self._database.once(lambda cursor: execute(cursor, name, **values), patience=patience)

    def _write_what_is_taken(
        self,
        cursor: pg.cursor,
        ticks: Sequence[Tick],
        outcome: Callable[[pg.cursor], Outcome],
        held: Sequence[Held],
    ) -> tuple[Saved, _Refused]:
        """As _write, all in the one transaction too, but what the database refuses is left out and noted.

        Each is tried by itself and undone, with its locks: a batch has one number, which is taken at the end.
        """
        caused, refused = outcome(cursor), _Refused()

        def is_taken(
            it: Tick | Alert, ticks: Sequence[Tick] = (), alerts: Sequence[Alert] = (), held: Sequence[Held] = ()
        ) -> bool:
            before = len(refused)
            cursor.execute("SAVEPOINT one")
            try:
                with translated():
                    self._write(cursor, ticks, Outcome(alerts=list(alerts)), held)
            except DataRefused as error:
                refused.append((it, error))
            cursor.execute("ROLLBACK TO one; RELEASE one")
            return len(refused) == before

        held = [one for one in held if is_taken(one.tick, held=(one,))]
        ticks = [tick for tick in ticks if is_taken(tick, ticks=(tick,))]
        alerts = [alert for alert in caused.alerts if is_taken(alert, alerts=(alert,))]
        stored = self._write(cursor, ticks, replace(caused, alerts=alerts), held)
        return Saved(stored, sum(isinstance(it, Tick) for it, _ in refused)), refused

    def _write(self, cursor: pg.cursor, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held] = ()) -> int:
        """Returns how many ticks were new."""
        calls = self._calls(ticks, outcome, held)
        rows: Sequence[object] = ()
        if len(ticks) + len(held) + len(outcome.alerts) + len(outcome.episodes) <= _FEW:
            rows = execute_together(cursor, calls) if calls else ()
        else:
            for name, values in calls.items():
                rows = execute(cursor, name, **values)
        return len(rows) if ticks else 0

    def _calls(
        self, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held]
    ) -> Mapping[str, Mapping[str, object]]:
        """The queries that store it, in their order, with their values."""
        calls: dict[str, Mapping[str, object]] = {}
        if outcome.alerts:
            calls |= self._record(outcome.alerts)
        if episodes := outcome.episodes:
            calls["save_alert_states"] = {
                "rule": [rule for rule, _ in episodes],
                "symbol": [symbol for _, symbol in episodes],
                **{c: [getattr(e, c) for e in episodes.values()] for c in _EPISODE_COLUMNS},
            }
        if held:  # before the ticks, as none is stored that is held
            calls["hold_ticks"] = {
                **tick_values([it.tick for it in held]),
                **{c: [getattr(it, c) for it in held] for c in _HELD_COLUMNS},
            }
        if ticks:  # last, as its rows are asked for
            calls["store_ticks"] = tick_values(ticks)
        elif alerts := outcome.alerts:  # what the stream tells comes at the end, be it with ticks or without
            calls["announce_alerts"] = {"id": [a.id for a in alerts], "state": [a.state for a in alerts]}
        return calls

    def _record(self, alerts: Sequence[Alert]) -> Mapping[str, Mapping[str, object]]:
        values: dict[str, object] = {c: [getattr(a, c) for a in alerts] for c in _ALERT_COLUMNS}
        calls = {"record_alerts": {**values, "terms": [json.dumps(dict(a.terms)) for a in alerts]}}
        queued = [(alert, channel) for alert in alerts for channel in self._channels_of(alert)]
        if queued:
            calls["queue_alerts"] = {
                "id": [alert.id for alert, _ in queued],
                "state": [alert.state for alert, _ in queued],
                "channel": [channel for _, channel in queued],
            }
        return calls

    def _channels_of(self, alert: Alert) -> Sequence[str | None]:
        if alert.state is State.RESOLVED:
            return (None,)  # the database knows who heard of its beginning
        return [name for name in self._channels if alert.channels is None or name in alert.channels]


_Refused = list[tuple[Tick | Alert, DataRefused]]


def tick_values(ticks: Sequence[Tick]) -> dict[str, list[object]]:
    """The values of the query store_ticks."""
    return {c: [getattr(t, c) for t in ticks] for c in _TICK_COLUMNS}


def demand_lead(cursor: pg.cursor, epoch: int) -> None:
    """Raises Deposed unless this epoch leads; if it does, it leads until the transaction ends."""
    if not _leads(cursor, epoch):
        raise Deposed(f"epoch {epoch} is over: another daemon leads since")


def _leads(cursor: pg.cursor, epoch: int) -> bool:
    """Whether it leads: a successor has to wait for the end of the transaction."""
    return bool(execute_together(cursor, {"leading": {"epoch": epoch}}))


def _together(cursor: pg.cursor, entries: Sequence[Entry]) -> Outcome:
    """What several batches caused, as one; without states of an epoch that is over."""
    together = Outcome()
    leads = {epoch: _leads(cursor, epoch) for epoch in {entry.outcome.epoch for entry in entries}}
    for entry in entries:
        together.alerts += entry.outcome.alerts
        if leads[entry.outcome.epoch]:
            together.episodes |= entry.outcome.episodes
    return together


def _reported(saved: Saved, refused: _Refused) -> Saved:
    for it, error in refused:
        what = "tick" if isinstance(it, Tick) else "alert"
        log.get(__name__).error(
            f"The database will not take this {what} of {it.symbol} ({error}); it is lost.",
            action=f"{what}_refused",
            symbol=it.symbol,
            timestamp=it.timestamp.isoformat(),
        )
    return saved
