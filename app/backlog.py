"""What waits, and is worked off: batches of the spool for the database, alerts of the database for alerts.txt."""

from __future__ import annotations

import threading

from app import log
from app.alerts.file import AlertsFile
from app.errors import CannotWrite, DatabaseRefused, DatabaseUnavailable
from app.intake import Counts
from app.spool import Spool
from app.store import Store

_TICKS = 2000  # stored in one transaction
STEP_SECONDS = 1.0


class Backlog:
    """Moves what waits on, in order, as soon as where it belongs answers again. Safe to use from several threads."""

    def __init__(self, store: Store, spool: Spool, alerts: AlertsFile) -> None:
        self._store, self._spool, self._alerts = store, spool, alerts
        self._lock = threading.Lock()
        self._batches = 0
        self._away = self._failed = False
        self.counts = Counts()

    def step(self, stop: threading.Event) -> None:
        """Store what waits in the spool, then write the alerts that were too many to wait in memory.

        When told to stop it ends after one transaction, be it the first.
        """
        with self._lock:
            try:
                self._drain(stop)
                if self._alerts.behind and self._spool.is_empty and self._alerts.trouble is None:
                    self._catch_up()
            except (DatabaseUnavailable, DatabaseRefused) as error:
                self._away = self._failed = True
                log.get(__name__).warning(
                    f"The database does not answer ({error}). Batches that wait for it in the spool:"
                    f" {self._spool.waiting}; alerts.txt goes on, and so does polling, until the spool is full.",
                    action="database_away",
                )
            except CannotWrite as error:
                log.get(__name__).error(f"The spool cannot be read: {error}.", action="spool_failed")

    def catch_up(self) -> int:
        """Write the alerts that are in the database and not in alerts.txt yet; how many they were.

        Raises DatabaseUnavailable. Only when the spool is empty are all in the database that were before.
        """
        with self._lock:
            return self._catch_up()

    def _catch_up(self) -> int:
        try:
            return self._alerts.catch_up(self._store.alerts_since(self._alerts.since, self._alerts.ago))
        except CannotWrite:
            return 0  # a journal that cannot be read: the file has said so, and stays behind

    def _drain(self, stop: threading.Event) -> None:
        while not self._spool.is_empty:
            # While it is away one is enough to find that out.
            entries = self._spool.first(1 if self._failed else _TICKS)
            if entries:  # none: all of them were damaged, and have been put aside
                saved = self._store.save_spooled(entries)
                self._spool.done(entries[-1].seq)
                self._failed = False
                self.counts.add(sum(len(entry.ticks) for entry in entries), saved)
                self._batches += len(entries)
            if stop.is_set():
                break
        if self._spool.is_empty and self._batches:
            said = "The database is back" if self._away else "The database was slow"
            log.get(__name__).info(
                f"{said}; batches that waited in the spool and are stored now: {self._batches}.",
                action="database_back",
            )
            self._batches, self._away = 0, False
