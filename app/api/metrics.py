"""``/metrics``: the daemon's status file for Prometheus, read at each scrape. One line a metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import get_args

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import InfoMetricFamily as Info
from prometheus_client.registry import Collector
from starlette.responses import Response

from app.api.context import Here
from app.status import ChannelStatus, Reading, SourceState, SourceStatus, Status

# A moment becomes seconds since 1970; for None there is no sample. A Counter's name gets its _total by itself.
Value = datetime | float | None

_DAEMON: tuple[tuple[type[Gauge | Counter], str, str, Callable[[Status], Value]], ...] = (
    (Gauge, "start_time_seconds", "When the daemon started", lambda s: s.started_at),
    (Gauge, "status_written_timestamp_seconds", "When the daemon wrote its status file", lambda s: s.written_at),
    (Gauge, "last_new_tick_timestamp_seconds", "When the newest new tick arrived", lambda s: s.last_new_tick_at),
    (Gauge, "interval_seconds", "Expected time from call to call", lambda s: s.interval_seconds),
    (Counter, "ticks_stored", "Ticks stored", lambda s: s.ticks.stored),
    (Counter, "ticks_duplicate", "Ticks that were stored already", lambda s: s.ticks.duplicates),
    (Counter, "ticks_late", "Ticks older than their symbol's newest; stored too", lambda s: s.ticks.late),
    (Counter, "ticks_refused", "Ticks that the database would not take", lambda s: s.ticks.refused),
    (Counter, "ticks_held", "Ticks held back, as nobody confirmed their price", lambda s: s.ticks.held),
    (Gauge, "alerts_firing", "Rules that fire now, counted over all symbols", lambda s: s.alerts.firing),
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

_SOURCE: tuple[tuple[type[Gauge | Counter], str, str, Callable[[SourceStatus], Value]], ...] = (
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

_CHANNEL: tuple[tuple[type[Gauge | Counter], str, str, Callable[[ChannelStatus], Value]], ...] = (
    (Gauge, "queued", "Alerts that wait for it", lambda c: c.queued),
    (Counter, "delivered", "Alerts that it has taken", lambda c: c.delivered),
    (Gauge, "dead", "Alerts that were given up, after a day of trying", lambda c: c.dead),
    (Gauge, "failing", "1 while it takes nothing", lambda c: c.trouble is not None),
)


def scrape(here: Here) -> Response:
    """Everything that is counted, in Prometheus's text format."""
    return Response(generate_latest(StatusCollector(here.daemon())), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class StatusCollector(Collector):
    """One reading of the status file as metrics. Of a daemon that is gone, what it last wrote."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        running, fresh = self._reading.running, not self._reading.reasons
        yield Gauge(_name("daemon_running"), "1 while the daemon runs and writes its status file", value=running)
        yield Gauge(_name("data_fresh"), "1 while the daemon runs and new ticks arrive", value=fresh)
        if self._reading.status is not None:
            yield from _of_daemon(self._reading.status)
            yield from _of_sources(self._reading.status)
            yield from _of_channels(self._reading.status)


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


def _of_sources(status: Status) -> Iterator[Metric]:
    states = Gauge(_name("source_state"), "1 for the state that the source is in", labels=["source", "state"])
    for source, its in status.sources.items():
        for state in get_args(SourceState):
            _add(states, [source, state], its.state == state)
    yield states
    for kind, name, meaning, value in _SOURCE:
        metric = kind(_name(f"source_{name}"), meaning, labels=["source"])
        for source, its in status.sources.items():
            _add(metric, [source], value(its))
        yield metric


def _of_channels(status: Status) -> Iterator[Metric]:
    for kind, name, meaning, value in _CHANNEL:
        metric = kind(_name(f"channel_{name}"), meaning, labels=["channel"])
        for channel, its in status.channels.items():
            _add(metric, [channel], value(its))
        yield metric


def _name(name: str) -> str:
    return f"cryptomonitor_{name}"


def _add(metric: Gauge | Counter, labels: list[str], value: Value) -> None:
    if value is not None:
        metric.add_metric(labels, value.timestamp() if isinstance(value, datetime) else value)
