"""The process of ``run``: takes its lock, gets files and database ready, and lets the daemon lead or stand by."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial

from app import channels, log, sources
from app.alerts.file import AlertsFile
from app.backlog import Backlog
from app.beside import Beside
from app.calls import CallLedger
from app.channels.base import Channel
from app.child import ApiChild
from app.clock import Clock
from app.config import Settings
from app.daemon import Daemon
from app.db import APP, Database
from app.embedded import EmbeddedPostgres
from app.instance import instance_lock
from app.lease import Lease, holder_of
from app.migrations import migrate
from app.report import Parts, Report
from app.rulebook import Rulebook
from app.rules import Rules
from app.rules_store import RuleStore
from app.set_aside import SetAsideFile
from app.spool import Spool
from app.store import Store
from app.tasks import Halt, Tasks
from app.views import Upkeep
from app.watch import parse_watch
from app.watchlist import Watchlist, WatchStore


def run(
    settings: Settings,
    stop: Halt,
    clock: Clock,
    *,
    reread: threading.Event,
    with_api: bool = True,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Run until ``stop`` is set; ``reread`` is set to have the rules file read again.

    ``started`` is called when it has begun to lead, or to stand by.

    Raises the foreseen error that kept it from starting, or the error of the task that died.
    """
    tasks = Tasks(stop, clock)
    sources.check(settings)
    with tasks.watched(), ExitStack() as stack:
        book = Rulebook(settings.rules_file, list(channels.kinds(settings)), settings.source, reread)
        book.open()
        stack.enter_context(instance_lock(settings.data_dir))
        stack.callback(stop.set)
        # The port first: that it is taken should not show after a minute of other work.
        api = ApiChild(settings, clock) if with_api else None
        report = Report(settings.data_dir, clock, tasks)
        tasks.every("status", 1.0, report.write_status)
        if api is not None:
            # It serves from now on, if only to say what the daemon is waiting for.
            tasks.start("api", partial(api.run, stop))
        # Now that it can be asked what is going on: addresses are judged by a process that may be slow.
        connected = channels.connect(settings, clock, stop=stop)
        report.parts = _prepare(settings, stop, clock, stack, tasks, report, book, connected)
        # What is there by now stays. To look through it for garbage takes 50 ms, which a batch would have to wait.
        gc.collect()
        gc.freeze()
        Daemon(settings, stop, clock, tasks, report, report.parts, started).run()


def _prepare(
    settings: Settings,
    stop: Halt,
    clock: Clock,
    stack: ExitStack,
    tasks: Tasks,
    report: Report,
    book: Rulebook,
    connected: Mapping[str, Channel],
) -> Parts:
    """What has to stand before anybody leads: alerts.txt, spool, database, schema."""
    alerts = AlertsFile(settings.alerts_file, settings.data_dir / "alerts.sqlite", clock)
    alerts.open()
    stack.callback(alerts.close)
    spool = Spool(settings.data_dir / "spool.sqlite", settings.spool_max_mb * 1_000_000, clock)
    spool.open()
    stack.callback(spool.close)
    dsn = settings.database_url.get_secret_value()
    if not dsn:
        postgres = stack.enter_context(EmbeddedPostgres(settings.data_dir, give_up=stop.is_set))
        tasks.every("postgres", 1.0, postgres.revive)
        dsn = postgres.dsn

    report.state = "waiting for the database"
    with closing(Database(dsn, stop, "cryptomonitor migrate")) as owner:
        for migration in migrate(owner):
            log.get(__name__).info(f"The schema is now at version {migration.version}.", action="migrated")
    # A connection each: none has to wait for what another is doing.
    writer, drain, keeper, lease, caller, notifier, ruler, watcher, filler = (
        stack.enter_context(closing(Database(dsn, stop, f"cryptomonitor {purpose}", role=APP)))
        for purpose in ("writer", "spool", "upkeep", "lease", "calls", "channels", "rules", "watch", "backfill")
    )
    ledger = CallLedger(caller, settings.data_dir / "calls.sqlite", clock)
    stack.callback(ledger.close)
    deliveries = channels.build(connected, notifier, clock, stop)
    names = list(connected)
    entries = parse_watch(settings.watch, default_market=settings.source, default_quote=settings.quote)
    return Parts(
        alerts=alerts,
        spool=spool,
        store=Store(writer, names),
        backlog=Backlog(Store(drain, names), spool, alerts),
        upkeep=Upkeep(keeper, clock),
        lease=Lease(lease, holder_of(settings.data_dir), clock),
        ledger=ledger,
        rules=Rules(book, RuleStore(ruler), Store(ruler)),
        watchlist=Watchlist(entries, settings.source, settings.quote, WatchStore(watcher)),
        facts=Beside(keeper, SetAsideFile(settings.data_dir, _keys(settings)), clock),
        deliveries=deliveries,
        filler=filler,
    )


def _keys(settings: Settings) -> list[str]:
    keys = settings.coingecko_api_key, settings.coinmarketcap_api_key
    return [key.get_secret_value() for key in keys]
