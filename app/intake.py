"""The way of a batch: rules, then the database, then alerts.txt. When it returns, the batch is accepted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from app.alerts.checker import Checker
from app.alerts.file import AlertsFile
from app.clock import Clock
from app.errors import CannotWrite
from app.model import Batch, Instrument
from app.store import Store


@dataclass(slots=True)
class Counts:
    """What has come in since the start."""

    stored: int = 0
    duplicates: int = 0
    late: int = 0
    refused: int = 0
    last_new_tick_at: datetime | None = None


class Intake:
    """Takes batches from all sources, one at a time, so that rules see ticks in the order in which they are stored."""

    def __init__(self, checker: Checker, store: Store, alerts: AlertsFile, clock: Clock) -> None:
        self._checker, self._store, self._alerts, self._clock = checker, store, alerts, clock
        self._lock = threading.Lock()
        self.counts = Counts()

    def accept(self, batch: Batch) -> None:
        """Check a batch against the rules, commit it with what it caused, hand its alerts on.

        Raises DatabaseUnavailable when the program is stopping and the database is away: the batch is not accepted.
        """
        with self._lock:
            outcome = self._checker.check(batch)
            refused = self._store.refused
            stored = self._store.save(batch.ticks, outcome)
            refused = self._store.refused - refused
            self._alerts.write(outcome.alerts)
            counts = self.counts
            counts.stored += stored
            counts.late += outcome.late
            counts.refused += refused
            counts.duplicates += len(batch.ticks) - stored - refused
            if outcome.new:
                counts.last_new_tick_at = self._clock.now()

    def tend_alerts(self) -> None:
        """Write what waits for alerts.txt; fetch from the database what was too much to wait in memory."""
        # A journal that cannot be read is in the file's own trouble, and said there.
        with suppress(CannotWrite):
            if self._alerts.flush() and self._alerts.behind:
                self.catch_up()

    def catch_up(self) -> int:
        """Write the alerts that are in the database and not in alerts.txt yet; how many they were."""
        with self._lock:
            return self._alerts.catch_up(self._store.alerts_since(self._alerts.since))

    def watch(self, market: str, instruments: Sequence[Instrument]) -> None:
        """Write down what is watched on a market from now on, and read its windows back from the database."""
        symbols = [instrument.symbol for instrument in instruments]
        with self._lock:
            self._store.save_instruments(market, instruments)
            self._checker.warm(self._store.recent_ticks(symbols, self._checker.reach))

    @property
    def is_open(self) -> bool:
        """Whether the database has taken what it was given last: it is not being waited for."""
        return self._store.is_open

    @property
    def firing(self) -> int:
        """How many rules fire now, counted over all symbols."""
        return self._checker.firing
