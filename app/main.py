"""The daemon: takes its lock, gets files and database ready, starts the tasks, watches them, stops cleanly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial

from app import log, sources
from app.alerts.checker import Checker
from app.alerts.file import AlertsFile
from app.alerts.rules import DEFAULT_RULES
from app.child import ApiChild
from app.clock import Clock
from app.config import Settings
from app.db import Database
from app.embedded import EmbeddedPostgres
from app.errors import Stopping
from app.fetcher import Fetcher
from app.instance import instance_lock
from app.intake import Intake
from app.migrations import migrate
from app.report import Parts, Report
from app.store import CallLedger, Store
from app.tasks import Tasks
from app.views import Upkeep
from app.watch import Entry, parse_watch

_JOIN_SECONDS = 3.0  # of the five in which a stop has to be done
_SUMMARY_SECONDS = 60.0


def run(
    settings: Settings,
    stop: threading.Event,
    clock: Clock,
    *,
    with_api: bool = True,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Run until ``stop`` is set. ``started`` is called when all tasks have been started.

    Raises the foreseen error that kept it from starting, or the error of the task that died.
    """
    tasks = Tasks(stop, clock)
    sources.check(settings)
    with tasks.watched(), ExitStack() as stack:
        stack.enter_context(instance_lock(settings.data_dir))
        stack.callback(stop.set)
        # The port first: that it is taken should not show after a minute of other work.
        api = ApiChild(settings, clock) if with_api else None
        report = Report(settings.data_dir, clock, tasks)
        tasks.every("status", 1.0, report.write_status)
        if api is not None:
            # It serves from now on, if only to say what the daemon is waiting for.
            tasks.start("api", partial(api.run, stop))
        parts = report.parts = _prepare(settings, stop, clock, stack, tasks, report)
        for fetcher in parts.fetchers:
            tasks.start(f"fetch-{fetcher.source.name}", fetcher.run)
        tasks.every("upkeep", settings.view_refresh_seconds, lambda: parts.upkeep.step(parts.intake.counts.stored))
        tasks.every("alerts-file", 1.0, parts.intake.tend_alerts)
        tasks.every("summary", _SUMMARY_SECONDS, report.summarise)
        report.state = "running"
        started()
        stop.wait()
        report.state = "stopping"
        report.write_status()
        _finish(tasks, parts)


def _prepare(
    settings: Settings, stop: threading.Event, clock: Clock, stack: ExitStack, tasks: Tasks, report: Report
) -> Parts:
    """Everything that has to stand before the first call: alerts.txt, database, schema, windows, states."""
    alerts = AlertsFile(settings.alerts_file, settings.data_dir / "alerts.sqlite", clock)
    alerts.open()
    stack.callback(alerts.close)
    dsn = settings.database_url.get_secret_value()
    if not dsn:
        postgres = stack.enter_context(EmbeddedPostgres(settings.data_dir, give_up=stop.is_set))
        tasks.every("postgres", 1.0, postgres.revive)
        dsn = postgres.dsn

    report.state = "waiting for the database"
    writer, keeper, caller = (
        stack.enter_context(closing(Database(dsn, stop, f"cryptomonitor {purpose}")))
        for purpose in ("writer", "upkeep", "calls")
    )
    for migration in migrate(writer):
        log.get(__name__).info(f"The schema is now at version {migration.version}.", action="migrated")
    entries = parse_watch(settings.watch, default_market=settings.source, default_quote=settings.quote)
    store = Store(writer)
    checker = Checker(DEFAULT_RULES)
    checker.warm((), store.episodes())
    intake = Intake(checker, store, alerts, clock)
    _catch_up(intake, settings)
    fetchers = _fetchers(settings, entries, intake, clock, stop, CallLedger(caller))
    return Parts(intake, alerts, Upkeep(keeper, clock), fetchers)


def _finish(tasks: Tasks, parts: Parts) -> None:
    """Let the tasks end, and leave daily_ohlcv up to date where the database answers."""
    left_behind = tasks.join(_JOIN_SECONDS)
    for name in left_behind:
        log.get(__name__).warning(f"{name} did not end in time and is left behind.", action="stop", task=name)
    if parts.intake.is_open and "upkeep" not in left_behind:
        try:
            parts.upkeep.refresh()
        except Stopping as error:
            log.get(__name__).warning(f"daily_ohlcv is not up to date: {error}.", action="stop")


def _catch_up(intake: Intake, settings: Settings) -> None:
    late = intake.catch_up()
    if late:
        log.get(__name__).warning(
            f"{late} alerts of the last run were not in {settings.alerts_file} yet; now they are.",
            action="alerts_caught_up",
            alerts=late,
        )


def _fetchers(
    settings: Settings,
    entries: list[Entry],
    intake: Intake,
    clock: Clock,
    stop: threading.Event,
    ledger: CallLedger,
) -> list[Fetcher]:
    """One for each market on the watch list. Raises ConfigurationError for a market that no source serves."""
    markets = list(dict.fromkeys(entry.market for entry in entries))
    built = sources.build(markets, settings, clock, ledger)
    return [
        Fetcher(
            built[market],
            [entry for entry in entries if entry.market == market],
            intake,
            clock,
            stop,
            settings.tick_seconds,
        )
        for market in markets
    ]
