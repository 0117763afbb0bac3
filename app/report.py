"""What the daemon says of itself: status.json once a second, one line a minute in the log."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app import __version__, log, status
from app.alerts.file import AlertsFile
from app.clock import Clock
from app.errors import CannotWrite
from app.fetcher import Fetcher
from app.intake import Intake
from app.tasks import Tasks
from app.views import Upkeep


@dataclass(frozen=True, slots=True)
class Parts:
    """What is reported on, once it stands."""

    intake: Intake
    alerts: AlertsFile
    upkeep: Upkeep
    fetchers: Sequence[Fetcher]


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

    def write_status(self) -> None:
        """Write status.json; that it cannot be written is said once, and ends nothing."""
        with self._lock:
            trouble = None
            try:
                status.write(self._data_dir, self._status())
            except CannotWrite as error:
                trouble = str(error)
            if trouble != self._trouble:
                self._log.warning(trouble or "status.json can be written again.", action="status_file")
                self._trouble = trouble

    def summarise(self) -> None:
        """One line on what has happened since the last one."""
        if self.parts is None:
            return
        counts = self.parts.intake.counts
        health = [fetcher.health for fetcher in self.parts.fetchers]
        now = {
            "stored": counts.stored,
            "seen_before": counts.duplicates,
            "calls": sum(fetcher.source.budget.calls for fetcher in self.parts.fetchers),
            "failed": sum(h.failures for h in health),
            "values_lost": sum(h.values_lost for h in health),
            "overruns": sum(h.overruns for h in health),
        }
        since = {key: value - self._counted.get(key, 0) for key, value in now.items()}
        first, self._counted = not self._counted, now
        if not first:
            self._log.info(
                f"{since.pop('stored')} ticks stored in the last minute, {self.parts.intake.firing} alerts firing.",
                action="summary",
                **since,
            )

    def _status(self) -> status.Status:
        parts = self.parts
        return status.Status(
            written_at=self._clock.now(),
            started_at=self._started_at,
            last_new_tick_at=parts.intake.counts.last_new_tick_at if parts else None,
            pid=os.getpid(),
            version=__version__,
            state=self.state,
            interval_seconds=max((f.interval for f in parts.fetchers), default=0.0) if parts else 0.0,
            tasks=self._tasks.states(),
            sources={f.source.name: _source(f) for f in parts.fetchers} if parts else {},
            ticks=_ticks(parts),
            alerts=status.AlertCounts(
                firing=parts.intake.firing if parts else 0,
                written=parts.alerts.written if parts else 0,
                waiting=parts.alerts.waiting if parts else 0,
            ),
            views=status.ViewStatus(
                refreshed_at=parts.upkeep.refreshed_at if parts else None,
                refresh_seconds=parts.upkeep.refresh_seconds if parts else None,
            ),
        )


def _source(fetcher: Fetcher) -> status.SourceStatus:
    health, budget = fetcher.health, fetcher.source.budget
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
        calls_per_minute=budget.per_minute,
    )


def _ticks(parts: Parts | None) -> status.TickCounts:
    if parts is None:
        return status.TickCounts(stored=0, duplicates=0, late=0, refused=0)
    counts = parts.intake.counts
    return status.TickCounts(
        stored=counts.stored, duplicates=counts.duplicates, late=counts.late, refused=counts.refused
    )
