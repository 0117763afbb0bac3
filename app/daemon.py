"""Leading, or standing by: what is done in the one case and in the other, and the way from each to the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from app import log, sources
from app.alerts.checker import Checker
from app.alerts.states import Outcome
from app.backlog import STEP_SECONDS
from app.clock import Clock
from app.composite import Composites
from app.config import Settings
from app.errors import DatabaseRefused, DatabaseUnavailable, Deposed, Stopping
from app.history.backfiller import Backfiller
from app.intake import Intake
from app.lease import LATE_SECONDS, RENEW_SECONDS
from app.markets import Markets
from app.report import Parts, Report, Term
from app.status import DaemonState
from app.tasks import Halt, Tasks

_JOIN_SECONDS = 3.0  # of the five in which a stop has to be done
_JOIN_AT_ONCE_SECONDS = 0.5
_LOOK_SECONDS = 1.0  # how soon a standby sees that nobody leads
_SUMMARY_SECONDS = 60.0
_RULES_SECONDS = 2.0  # how soon a change of the rules is seen
_WATCH_SECONDS = 0.5  # how soon a change of the watch list is seen
_AGES_SECONDS = 0.5  # rules are held against the clock once in each of its seconds


class Daemon:
    """Leads while the lease is ours, stands by while it is another's, until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        stop: Halt,
        clock: Clock,
        tasks: Tasks,
        report: Report,
        parts: Parts,
        started: Callable[[], None],
    ) -> None:
        self._settings, self._stop, self._clock, self._tasks = settings, stop, clock, tasks
        self._report, self._parts, self._started = report, parts, started
        self._markets = Markets(settings, clock, tasks, parts.ledger, parts.watchlist)
        self._been_in = False
        self._ended = Outcome()
        """What ended between two terms because its rule was changed or taken away."""
        self._log = log.get(__name__)

    def run(self) -> None:
        """Until ``stop`` is set."""
        parts, tasks, report = self._parts, self._tasks, self._report
        parts.backlog.step(self._stop)
        tasks.every("spool", STEP_SECONDS, partial(parts.backlog.step, self._stop))
        tasks.every("alerts-file", 1.0, parts.alerts.flush)
        tasks.every("upkeep", self._settings.view_refresh_seconds, self._tend_views)
        for delivery in parts.deliveries:
            tasks.start(f"notify-{delivery.name}", delivery.run)
        tasks.every("rules", _RULES_SECONDS, self._tend_rules)
        tasks.every("watch", _WATCH_SECONDS, self._tend_watch)
        tasks.every("ages", _AGES_SECONDS, self._tend_ages)
        tasks.every("summary", _SUMMARY_SECONDS, report.summarise)
        while not self._stop.is_set():
            checker = self._stand_by()
            if checker is not None:
                self._lead(checker)
        report.state = "stopping"
        report.write_status()
        self._finish()

    def _stand_by(self) -> Checker | None:
        """Wait until the lease is ours, with everything warm that a leader needs. None: told to stop."""
        leader = None
        while not self._stop.is_set():
            try:
                if (checker := self._take_over()) is not None:
                    return checker
                if self._parts.lease.leader not in ("", leader):
                    leader = self._parts.lease.leader
                    self._log.warning(f"Standing by: {leader} leads. Nothing is polled here.", action="standing_by")
                    self._say("standing by")
            except Deposed:
                self._parts.lease.lost()  # another was quicker
            except (DatabaseUnavailable, DatabaseRefused) as error:
                if isinstance(error, DatabaseRefused) and not self._been_in:
                    raise  # it is not set up for us: somebody has to hear of it
                leader = None  # said again when it answers
                self._report.state = "waiting for the database"
                self._log.warning(f"The database does not answer ({error}); waiting for it.", action="database_away")
            self._clock.wait(self._stop, _LOOK_SECONDS)
        return None

    def _take_over(self) -> Checker | None:
        """The rules as they stand in the database, if the lease is ours now. Raises DatabaseUnavailable."""
        parts = self._parts
        # States that wait in the spool are newer than those in the database.
        if not parts.spool.is_empty:
            return None
        leads = parts.lease.take()
        self._been_in = True  # from now on a refusal is a fault that may pass
        if not leads:
            return None
        epoch = parts.lease.epoch or 0
        parts.watchlist.step()
        self._markets.prepare()
        checker = Checker(parts.rules.begin(epoch), epoch, self._settings.source, self._markets.names)
        self._ended = checker.resume(parts.store.episodes(), self._clock.now())
        late = parts.backlog.catch_up()
        if late:
            self._log.warning(
                f"{late} alerts were not in {self._settings.alerts_file} yet; now they are.",
                action="alerts_caught_up",
                alerts=late,
            )
        return checker

    def _lead(self, checker: Checker) -> None:
        """Poll, store and alert until told to stop, or until another daemon leads."""
        parts, over = self._parts, self._stop.part()
        intake = Intake(
            *(checker, parts.store, parts.spool, parts.alerts, self._clock, over, parts.lease, self._report.counts),
            composites=Composites(self._settings.composite, self._markets.interval, lambda: self._markets.failing),
            beside=parts.facts.take,
        )
        with suppress(Stopping, Deposed):  # then the next to lead finds the same
            intake.accept_outcome(self._ended)
        self._markets.begin(intake, over)
        backfiller = Backfiller(
            parts.filler,
            lambda market: sources.build_one(market, self._settings, self._clock, parts.ledger),
            self._clock,
            over,
            epoch=parts.lease.epoch or 0,
            days=self._settings.backfill_days,
            polled=lambda: self._markets.polled,
            is_drained=lambda: parts.spool.is_empty,
        )
        self._report.term = Term(intake, self._markets, backfiller)
        self._markets.start()
        self._tasks.start("backfill", backfiller.run)
        self._say("running")
        while not self._clock.wait(over, LATE_SECONDS if parts.lease.is_late else RENEW_SECONDS):
            if not parts.lease.renew():
                over.set()
        if not self._stop.is_set():
            parts.lease.lost()
            self._log.warning("Another daemon leads since; this one stands by.", action="deposed")
            # Their last calls may take until the deadline. A stop does not wait for that.
            while self._tasks.join(_JOIN_AT_ONCE_SECONDS, *self._markets.tasks, "backfill") and not self._stop.is_set():
                pass
            self._report.term = None

    def _tend_rules(self) -> None:
        self._parts.rules.step(self._report.term.intake if self._report.term else None)

    def _tend_watch(self) -> None:
        # What was said while the database is away is heard after that.
        with suppress(DatabaseUnavailable, DatabaseRefused, Deposed):
            self._parts.watchlist.step()
            if self._report.term is not None:
                self._markets.follow()

    def _tend_ages(self) -> None:
        term = self._report.term
        if term is None:
            return
        with suppress(Stopping, Deposed):  # then the term is over, which others see to
            term.intake.look_at_clock(self._markets.down)

    def _tend_views(self) -> None:
        if self._parts.lease.epoch is not None:
            self._parts.upkeep.step(self._report.stored)
            self._parts.facts.step()

    def _say(self, state: DaemonState) -> None:
        self._report.state = state
        self._started()
        self._started = lambda: None

    def _finish(self) -> None:
        """Let the tasks end, and leave daily_ohlcv up to date where the database answers."""
        parts = self._parts
        left_behind = self._tasks.join(_JOIN_SECONDS)
        for name in left_behind:
            self._log.warning(f"{name} did not end in time and is left behind.", action="stop", task=name)
        if not parts.spool.is_empty and "spool" not in left_behind:
            parts.backlog.step(self._stop)  # the last reply may have been too late for the database
        if not parts.spool.is_empty:
            self._log.warning(
                f"{parts.spool.waiting} batches wait in the spool; the next start stores them.", action="spool_left"
            )
            return  # nobody answers: the lease grows old by itself
        if parts.lease.is_late:
            return
        if parts.lease.epoch is not None and "upkeep" not in left_behind:
            try:
                parts.upkeep.refresh()
            except (DatabaseUnavailable, DatabaseRefused) as error:
                self._log.warning(f"daily_ohlcv is not up to date: {error}.", action="view_left")
        parts.lease.leave()
