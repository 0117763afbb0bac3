"""``/api/v1/status``: what the daemon says of itself, and what the database says of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal

from psycopg2 import extensions as pg

from app.api.context import Here
from app.api.database import Reader
from app.db import execute
from app.errors import DatabaseRefused, DatabaseUnavailable
from app.status import (
    AlertCounts,
    ChannelStatus,
    CompositeStatus,
    DaemonState,
    GapStatus,
    LeaseStatus,
    SourceStatus,
    SpoolStatus,
    Status,
    TickCounts,
    ViewStatus,
)


@dataclass(frozen=True, slots=True)
class LatestTick:
    """The newest stored tick of a symbol, and how many seconds ago that was; null where it has none."""

    timestamp: datetime | None
    lag_seconds: float | None


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """What a channel was not told yet: alerts that wait, since when the first does, and those that were given up."""

    waiting: int
    oldest_at: datetime | None
    dead: int


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """The database now; ``reason`` says why it cannot be asked.

    ``latest``: by symbol, for every watched one. ``outbox``: by channel, also for those that are no longer set.
    """

    answers: bool
    reason: str | None = None
    version: str | None = None
    size_bytes: int | None = None
    growth_bytes_per_day: int | None = None
    """What the ticks of the last 24 hours take, with indexes and candles: an estimate, null while there is none."""
    latest: dict[str, LatestTick] = field(default_factory=dict)
    outbox: dict[str, OutboxStatus] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReply:
    """The daemon's status file as it is (null where there is none to read), a judgement of it, and the database."""

    daemon: Literal["running", "not running"]
    reasons: tuple[str, ...]
    database: DatabaseStatus

    written_at: datetime | None
    started_at: datetime | None
    last_new_tick_at: datetime | None
    pid: int | None
    version: str | None
    state: DaemonState | None
    interval_seconds: float | None
    tasks: dict[str, str] | None
    sources: dict[str, SourceStatus] | None
    ticks: TickCounts | None
    alerts: AlertCounts | None
    views: ViewStatus | None
    spool: SpoolStatus | None
    lease: LeaseStatus | None
    channels: dict[str, ChannelStatus] | None
    composites: dict[str, CompositeStatus] | None
    gaps: GapStatus | None
    set_aside: int | None


def show(here: Here) -> StatusReply:
    """How the daemon and the database are; the newest tick of every symbol."""
    reading = here.daemon()
    of_file: dict[str, Any] = {f.name: getattr(reading.status, f.name, None) for f in fields(Status)}
    return StatusReply(
        daemon="running" if reading.running else "not running",
        reasons=reading.reasons,
        database=of_database(here.database),
        **of_file,
    )


def of_database(reader: Reader) -> DatabaseStatus:
    """What the database says of itself, or why it does not answer. Never raises."""
    try:
        return reader.ask(_ask)
    except (DatabaseUnavailable, DatabaseRefused) as error:
        return DatabaseStatus(False, str(error))


def _ask(cursor: pg.cursor) -> DatabaseStatus:
    ((version, size),) = execute(cursor, "database_facts")
    ((growth,),) = execute(cursor, "database_growth")
    latest = {symbol: LatestTick(*its) for symbol, *its in execute(cursor, "latest_ticks")}
    outbox = {channel: OutboxStatus(*its) for channel, *its in execute(cursor, "outbox_counts")}
    return DatabaseStatus(True, None, version, size, growth, latest, outbox)
