"""What the daemon says of itself: status.json once a second, one line a minute in the log."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app import __version__, log, status
from app.alerts.file import AlertsFile
from app.backlog import Backlog
from app.beside import Beside
from app.calls import CallLedger
from app.channels.delivery import Delivery, Health
from app.clock import Clock
from app.db import Database
from app.errors import CannotWrite
from app.fetcher import Fetcher
from app.history.backfiller import Backfiller
from app.intake import Counts, Intake
from app.lease import Lease
from app.markets import Markets
from app.rules import Rules
from app.spool import Spool
from app.store import Store
from app.tasks import Tasks
from app.views import Upkeep
from app.watchlist import Watchlist


@dataclass(frozen=True, slots=True)
class Parts:
    """What stands for as long as the daemon runs, whether it leads or not."""

    alerts: AlertsFile
    spool: Spool
    store: Store
    backlog: Backlog
    upkeep: Upkeep
    lease: Lease
    ledger: CallLedger
    rules: Rules
    watchlist: Watchlist
    facts: Beside
    deliveries: Sequence[Delivery]
    filler: Database


@dataclass(frozen=True, slots=True)
class Term:
    """What there is only while it leads."""

    intake: Intake
    markets: Markets
    backfill: Backfiller


class Report:
    """Gathers the figures of all parts."""

    def __init__(self, data_dir: Path, clock: Clock, tasks: Tasks) -> None:
        self._data_dir, self._clock, self._tasks = data_dir, clock, tasks
        self._started_at = clock.now()
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._counted: dict[str, int] = {}
        self._log = log.get(__name__)
        self.state: status.DaemonState = "starting"
        self.parts: Parts | None = None
        self.term: Term | None = None
        self.counts = Counts()
        """Of all terms."""

    @property
    def stored(self) -> int:
        """Ticks stored since the start, at once or by way of the spool."""
        filled = self.term.backfill.stored if self.term else 0
        return self.counts.stored + filled + (self.parts.backlog.counts.stored if self.parts else 0)

    def write_status(self) -> None:
        """Write status.json; that it cannot be written is said once, and ends nothing."""
        with self._lock:
            trouble = None
            try:
                status.write(self._data_dir, self._status())
            except CannotWrite as error:
                trouble = str(error)
            if trouble != self._trouble:
                if trouble is None:
                    self._log.info("status.json can be written again.", action="status_file_works")
                else:
                    self._log.warning(trouble, action="status_file")
                self._trouble = trouble

    def summarise(self) -> None:
        """One line on what has happened since the last one."""
        if self.parts is None:
            return
        health = [fetcher.health for fetcher in self._fetchers]
        now = {
            "stored": self.stored,
            "seen_before": self.counts.duplicates + self.parts.backlog.counts.duplicates,
            "calls": sum(budget.calls for budget in {fetcher.source.budget for fetcher in self._fetchers}),
            "failed": sum(h.failures for h in health),
            "values_lost": sum(h.values_lost for h in health),
            "overruns": sum(h.overruns for h in health),
        }
        # A new term begins to count anew.
        since = {key: max(0, value - self._counted.get(key, 0)) for key, value in now.items()}
        first, self._counted = not self._counted, now
        if not first:
            waiting = {"spooled": self.parts.spool.waiting} if not self.parts.spool.is_empty else {}
            self._log.info(
                f"{since.pop('stored')} ticks stored in the last minute, {self._firing} alerts firing.",
                action="summary",
                **since,
                **waiting,
            )

    @property
    def _fetchers(self) -> Sequence[Fetcher]:
        return [*self.term.markets.fetchers, *self.term.markets.stand_ins] if self.term else ()

    @property
    def _firing(self) -> int:
        return self.term.intake.firing if self.term else 0

    def _status(self) -> status.Status:
        parts = self.parts
        return status.Status(
            written_at=self._clock.now(),
            started_at=self._started_at,
            last_new_tick_at=self.counts.last_new_tick_at,
            pid=os.getpid(),
            version=__version__,
            state=self.state,
            interval_seconds=max((f.interval for f in self.term.markets.fetchers), default=0.0) if self.term else 0.0,
            tasks=self._tasks.states(),
            sources=self._sources(),
            ticks=self._ticks(),
            alerts=status.AlertCounts(
                rules=len(self.term.intake.rules.rules) if self.term else 0,
                rules_trouble=parts.rules.trouble if parts else None,
                firing=self._firing,
                unknown=self.term.intake.unknown if self.term else 0,
                written=parts.alerts.written if parts else 0,
                waiting=parts.alerts.waiting if parts else 0,
            ),
            views=status.ViewStatus(
                refreshed_at=parts.upkeep.refreshed_at if parts else None,
                refresh_seconds=parts.upkeep.refresh_seconds if parts else None,
            ),
            spool=status.SpoolStatus(
                batches=parts.spool.waiting if parts else 0,
                bytes=parts.spool.bytes if parts else 0,
                oldest_at=parts.spool.oldest if parts else None,
                damaged=parts.spool.quarantined if parts else 0,
                polling_stopped=self.term.intake.blocked if self.term else None,
            ),
            lease=status.LeaseStatus(
                epoch=parts.lease.epoch if parts else None, leader=parts.lease.leader if parts else None
            ),
            channels={delivery.name: _channel(delivery.health) for delivery in parts.deliveries} if parts else {},
            composites=self._composites(),
            gaps=self._gaps(),
            set_aside=parts.facts.aside.count if parts else 0,
        )

    def _sources(self) -> dict[str, status.SourceStatus]:
        if self.term is None:
            return {}
        asked = {f.source.name: _source(f) for f in self.term.markets.fetchers}
        return asked | {f"{f.source.name} (stand-in)": _source(f) for f in self.term.markets.stand_ins}

    def _composites(self) -> dict[str, status.CompositeStatus]:
        made = self.term.intake.composites if self.term else {}
        return {
            symbol: status.CompositeStatus(markets=tuple(its.markets), stale=tuple(its.stale), off=tuple(its.off))
            for symbol, its in made.items()
        }

    def _gaps(self) -> status.GapStatus:
        if self.term is None:
            return status.GapStatus(open=0, filled=0, unrecoverable=0, doing=None)
        counts, doing = self.term.backfill.counts, self.term.backfill.doing
        return status.GapStatus(open=counts.open, filled=counts.filled, unrecoverable=counts.unrecoverable, doing=doing)

    def _ticks(self) -> status.TickCounts:
        spooled = self.parts.backlog.counts if self.parts else Counts()
        return status.TickCounts(
            stored=self.stored,
            duplicates=self.counts.duplicates + spooled.duplicates,
            late=self.counts.late,
            refused=self.counts.refused + spooled.refused,
            held=self.counts.held,
        )


def _source(fetcher: Fetcher) -> status.SourceStatus:
    health, budget = fetcher.health, fetcher.source.budget
    per_minute = budget.per_minute
    return status.SourceStatus(
        state=health.state,
        reason=health.reason or None,
        symbols=health.symbols,
        calls=budget.calls,
        failures=health.failures,
        consecutive_failures=health.consecutive_failures,
        overruns=health.overruns,
        values_lost=health.values_lost,
        last_reply_at=health.last_reply_at,
        next_call_at=health.next_call_at,
        calls_this_month=budget.spent_this_month,
        calls_per_month=budget.per_month,
        calls_per_minute=budget.per_minute_of_plan,
        learned_per_minute=per_minute if per_minute < budget.per_minute_of_plan else None,
        pace=budget.mode,
        credits_left=budget.left_this_month,
        credits_for_backfill=budget.left_for_backfill,
        credits_end_at=budget.ends_at,
    )


def _channel(health: Health) -> status.ChannelStatus:
    return status.ChannelStatus(
        queued=health.queued,
        delivered=health.delivered,
        dead=health.dead,
        trouble=health.trouble,
        last_delivered_at=health.last_delivered_at,
    )
