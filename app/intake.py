"""The way of a batch: rules, then database or spool, then alerts.txt. When it returns, the batch is accepted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app import log
from app.alerts.checker import Checker, Outcome
from app.alerts.file import AlertsFile
from app.clock import Clock
from app.errors import CannotWrite, DatabaseRefused, DatabaseUnavailable, Deposed, SpoolFull, Stopping
from app.lease import Lease
from app.model import Batch, Instrument, Tick
from app.spool import Spool
from app.store import Saved, Store

_TRY_AGAIN_SECONDS = 1.0


@dataclass(slots=True)
class Counts:
    """What has come in since the start, and what became of it."""

    stored: int = 0
    duplicates: int = 0
    late: int = 0
    refused: int = 0
    last_new_tick_at: datetime | None = None

    def add(self, ticks: int, saved: Saved) -> None:
        """So many ticks, and what the database made of them."""
        self.stored += saved.stored
        self.refused += saved.refused
        self.duplicates += ticks - saved.stored - saved.refused


class Intake:
    """Takes batches from all sources, one at a time, so that rules see ticks in the order in which they are stored.

    It belongs to one epoch of the lease, and is done when ``over`` is set.
    """

    def __init__(
        self,
        checker: Checker,
        store: Store,
        spool: Spool,
        alerts: AlertsFile,
        clock: Clock,
        over: threading.Event,
        lease: Lease,
        counts: Counts | None = None,
    ) -> None:
        self._checker, self._store, self._spool, self._alerts = checker, store, spool, alerts
        self._clock, self._over, self._lease = clock, over, lease
        self._lock = threading.Lock()
        self.counts = counts or Counts()
        self.blocked: str | None = None
        """Why no batch can be accepted now, and polling waits."""

    def accept(self, batch: Batch) -> None:
        """Check a batch against the rules, commit it with what it caused, hand its alerts on.

        While neither database nor spool take it, it waits, and with it the polling. Raises Stopping when told to stop
        meanwhile, Deposed when another daemon leads since: then the batch is not accepted.
        """
        with self._lock:
            outcome = self._checker.check(batch)
            self._keep(batch.ticks, outcome)
            self._alerts.write(outcome.alerts)
            self.counts.late += outcome.late
            if outcome.new:
                self.counts.last_new_tick_at = self._clock.now()

    def watch(self, market: str, instruments: Sequence[Instrument]) -> None:
        """Write down what is watched on a market from now on, and read its windows back from the database.

        Raises DatabaseUnavailable: nothing is to be polled before that has worked. Raises Deposed.
        """
        symbols = [instrument.symbol for instrument in instruments]
        with self._lock:
            self._store.save_instruments(market, instruments, self._checker.epoch)
            self._checker.warm(self._store.recent_ticks(symbols, self._checker.reach))

    @property
    def firing(self) -> int:
        """How many rules fire now, counted over all symbols."""
        return self._checker.firing

    def _keep(self, ticks: Sequence[Tick], outcome: Outcome) -> None:
        """Have it on a disk, be it the database's or ours."""
        while not (self._store_at_once(ticks, outcome) or self._put_aside(ticks, outcome)):
            if self._clock.wait(self._over, _TRY_AGAIN_SECONDS):
                raise Stopping(f"{self.blocked}")
        if self.blocked is not None:
            log.get(__name__).info("Batches are accepted again; polling goes on.", action="polling_back")
            self.blocked = None

    def _store_at_once(self, ticks: Sequence[Tick], outcome: Outcome) -> bool:
        # Behind what waits in the spool, never past it: the order is that in which batches came.
        if not self._spool.is_empty:
            return False
        # Who was frozen in the middle of it finds the connection broken, and perhaps another leading: that has to be
        # asked before the batch may count as accepted.
        return self._saved(ticks, outcome) or (self._lease.is_old and self._saved(ticks, outcome))

    def _saved(self, ticks: Sequence[Tick], outcome: Outcome) -> bool:
        try:
            self.counts.add(len(ticks), self._store.save(ticks, outcome))
        except (DatabaseUnavailable, DatabaseRefused) as error:
            log.get(__name__).debug(f"A batch goes to the spool: {error}.", action="spooled")
            return False
        return True

    def _put_aside(self, ticks: Sequence[Tick], outcome: Outcome) -> bool:
        if self._lease.epoch != outcome.epoch:
            raise Deposed(f"epoch {outcome.epoch} is over: another daemon leads since")
        try:
            self._spool.append(ticks, outcome)
        except (SpoolFull, CannotWrite) as error:
            self.blocked = str(error)
            log.get(__name__).error(
                f"Polling has stopped: the database is away, and {error}. It goes on when either works again.",
                action="polling_stopped",
            )
            return False
        return True
