"""``/metrics``: the daemon's status file, the database and this process for Prometheus, as they are at each scrape.

One line a metric. What cannot be known, as the database is away or the daemon has not said it yet, has no sample.
``docs/monitoring/`` has alerts and a dashboard that are made of these names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TypeAlias, TypeVar, get_args

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import InfoMetricFamily as Info
from prometheus_client.registry import Collector
from starlette.responses import Response

from app.api import measured
from app.api.context import Here
from app.api.status import DatabaseStatus, LatestTick, OutboxStatus, of_database
from app.status import ChannelStatus, Reading, SourceState, SourceStatus, Status

# A moment becomes seconds since 1970; for None there is no sample. A Counter's name gets its _total by itself.
Value = datetime | float | None

T = TypeVar("T")
Table: TypeAlias = tuple[tuple[type[Gauge | Counter], str, str, Callable[[T], Value]], ...]

_DAEMON: Table[Status] = (
    (Gauge, "start_time_seconds", "When the daemon started", lambda s: s.started_at),
    (Gauge, "status_written_timestamp_seconds", "When the daemon wrote its status file", lambda s: s.written_at),
    (Gauge, "last_new_tick_timestamp_seconds", "When the newest new tick arrived", lambda s: s.last_new_tick_at),
    (Gauge, "interval_seconds", "Expected time from call to call", lambda s: s.interval_seconds),
    (Counter, "ticks_stored", "Ticks stored", lambda s: s.ticks.stored),
    (Counter, "ticks_duplicate", "Ticks that were stored already", lambda s: s.ticks.duplicates),
    (Counter, "ticks_late", "Ticks older than their symbol's newest; stored too", lambda s: s.ticks.late),
    (Counter, "ticks_refused", "Ticks that the database would not take", lambda s: s.ticks.refused),
    (Counter, "ticks_held", "Ticks held back, as nobody confirmed their price", lambda s: s.ticks.held),
    (Counter, "set_aside", "Parts of replies that broke their schema", lambda s: s.set_aside),
    (Gauge, "rules", "Rules in effect", lambda s: s.alerts.rules),
    (
        Gauge,
        "rules_file_refused",
        "1 while RULES_FILE cannot be used as it is",
        lambda s: s.alerts.rules_trouble is not None,
    ),
    (Gauge, "alerts_firing", "Rules that fire now, counted over all symbols", lambda s: s.alerts.firing),
    (Gauge, "alerts_unknown", "Rules that cannot be told now, counted over all symbols", lambda s: s.alerts.unknown),
    (Counter, "alerts_written", "Lines written to alerts.txt", lambda s: s.alerts.written),
    (Gauge, "alerts_waiting", "Alerts that are not in alerts.txt yet", lambda s: s.alerts.waiting),
    (Gauge, "view_refresh_timestamp_seconds", "When daily_ohlcv was last refreshed", lambda s: s.views.refreshed_at),
    (Gauge, "view_refresh_duration_seconds", "How long that took", lambda s: s.views.refresh_seconds),
    (Gauge, "leading", "1 while it leads, 0 while it stands by", lambda s: s.lease.epoch is not None),
    (Gauge, "spool_batches", "Batches that wait for the database", lambda s: s.spool.batches),
    (Gauge, "spool_bytes", "What they take on the disk", lambda s: s.spool.bytes),
    (Gauge, "spool_oldest_timestamp_seconds", "Since when the oldest of them waits", lambda s: s.spool.oldest_at),
    (Counter, "spool_damaged", "Spooled batches found damaged and put aside", lambda s: s.spool.damaged),
    (Gauge, "polling_stopped", "1 while no batch can be accepted", lambda s: s.spool.polling_stopped is not None),
)

_SOURCE: Table[SourceStatus] = (
    (Counter, "calls", "Calls made", lambda s: s.calls),
    (Counter, "failures", "Calls that failed", lambda s: s.failures),
    (Gauge, "consecutive_failures", "Calls that failed since the last good reply", lambda s: s.consecutive_failures),
    (Counter, "overruns", "Turns skipped because the one before took too long", lambda s: s.overruns),
    (Counter, "values_lost", "Published values that could not be used", lambda s: s.values_lost),
    (Gauge, "symbols", "Symbols it is asked for", lambda s: s.symbols),
    (Gauge, "last_reply_timestamp_seconds", "When its last good reply came", lambda s: s.last_reply_at),
    (Gauge, "calls_this_month", "Credits counted against the month's limit", lambda s: s.calls_this_month),
    (Gauge, "calls_per_month_limit", "Credits allowed in a month, 0 = any number", lambda s: s.calls_per_month),
    (Gauge, "calls_per_minute_limit", "Calls allowed in a minute, 0 = any number", lambda s: s.calls_per_minute),
    (Gauge, "learned_per_minute_limit", "Calls a minute for a while after a 429", lambda s: s.learned_per_minute),
    (Gauge, "credits_left", "Credits left of the month", lambda s: s.credits_left),
    (Gauge, "credits_for_backfill", "Those of them that backfill may have", lambda s: s.credits_for_backfill),
    (Gauge, "credits_end_timestamp_seconds", "When they end, if before the month does", lambda s: s.credits_end_at),
)

_CHANNEL: Table[ChannelStatus] = (
    (Gauge, "queued", "Alerts that wait for it", lambda c: c.queued),
    (Counter, "delivered", "Alerts that it has taken", lambda c: c.delivered),
    (Gauge, "dead", "Alerts that were given up, after a day of trying", lambda c: c.dead),
    (Gauge, "failing", "1 while it takes nothing", lambda c: c.trouble is not None),
)

_DATABASE: Table[DatabaseStatus] = (
    (Gauge, "size_bytes", "What the database takes on its server's disk", lambda d: d.size_bytes),
    (
        Gauge,
        "last_day_bytes",
        "What the ticks of the last 24 hours take of it, about",
        lambda d: d.growth_bytes_per_day,
    ),
)

_OUTBOX: Table[OutboxStatus] = (
    (Gauge, "waiting", "Alerts that wait for the channel, also for one that is no longer set", lambda o: o.waiting),
    (Gauge, "oldest_timestamp_seconds", "Since when the first of them waits", lambda o: o.oldest_at),
    (Gauge, "dead", "Alerts that were given up and can be replayed", lambda o: o.dead),
)

_SYMBOL: Table[LatestTick] = (
    (Gauge, "lag_seconds", "How old the newest stored tick of the watched symbol is", lambda t: t.lag_seconds),
)


def scrape(here: Here) -> Response:
    """Everything that is counted, in Prometheus's text format."""
    found = Scrape(here.daemon(), of_database(here.database))
    return Response(generate_latest(found), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class Scrape(Collector):
    """One reading of everything. Of a daemon that is gone, what it last wrote; of a database that is away, nothing."""

    def __init__(self, reading: Reading, database: DatabaseStatus) -> None:
        self._reading, self._database = reading, database

    def collect(self) -> Iterator[Metric]:
        running, fresh = self._reading.running, not self._reading.reasons
        yield Gauge(_name("daemon_running"), "1 while the daemon runs and writes its status file", value=running)
        yield Gauge(_name("data_fresh"), "1 while the daemon runs and new ticks arrive", value=fresh)
        if self._reading.status is not None:
            yield from _of_daemon(self._reading.status)
        yield Gauge(_name("database_up"), "1 while the database answers the API", value=self._database.answers)
        if self._database.answers:
            yield from _of_database(self._database)
        yield from measured.REGISTRY.collect()


def _of_daemon(status: Status) -> Iterator[Metric]:
    yield Info(_name("build"), "The version of the daemon", value={"version": status.version})
    for kind, name, meaning, value in _DAEMON:
        metric = kind(_name(name), meaning, labels=())
        _add(metric, [], value(status))
        yield metric
    tasks = Gauge(_name("task_running"), "1 while the task runs", labels=["task"])
    for task, state in status.tasks.items():
        _add(tasks, [task], state == "running")
    yield tasks
    gaps = Gauge(_name("gaps"), "Holes in the history", labels=["state"])
    for state in ("open", "filled", "unrecoverable"):
        _add(gaps, [state], getattr(status.gaps, state))
    yield gaps
    states = Gauge(_name("source_state"), "1 for the state that the source is in", labels=["source", "state"])
    for source, its in status.sources.items():
        for state in get_args(SourceState):
            _add(states, [source, state], its.state == state)
    yield states
    yield from _each("source", _SOURCE, status.sources)
    yield from _each("channel", _CHANNEL, status.channels)


def _of_database(database: DatabaseStatus) -> Iterator[Metric]:
    for kind, name, meaning, value in _DATABASE:
        metric = kind(_name(f"database_{name}"), meaning, labels=())
        _add(metric, [], value(database))
        yield metric
    yield from _each("symbol", _SYMBOL, database.latest)
    yield from _each("channel", _OUTBOX, database.outbox, prefix="outbox")


def _each(label: str, table: Table[T], of: Mapping[str, T], prefix: str | None = None) -> Iterator[Metric]:
    """The metrics of a table, each with a sample for every one of these, named by the label."""
    for kind, name, meaning, value in table:
        metric = kind(_name(f"{prefix or label}_{name}"), meaning, labels=[label])
        for key, one in of.items():
            _add(metric, [key], value(one))
        yield metric


def _name(name: str) -> str:
    return f"cryptomonitor_{name}"


def _add(metric: Gauge | Counter, labels: list[str], value: Value) -> None:
    if value is not None:
        metric.add_metric(labels, value.timestamp() if isinstance(value, datetime) else value)
