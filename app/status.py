"""What only the daemon knows, in ``DATA_DIR/status.json``: it writes, health checks and the API read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from app import freshness
from app.errors import CannotWrite
from app.freshness import FILE
from app.pacing import Pace

DaemonState = Literal["starting", "waiting for the database", "standing by", "running", "stopping"]
SourceState = Literal["ok", "failing", "limited", "paused", "starting", "idle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """One source. Counts are since the start of the daemon; a limit of 0 is no limit."""

    state: SourceState
    reason: str | None
    """Why the state is not ok, a sentence."""
    symbols: int
    calls: int
    failures: int
    consecutive_failures: int
    overruns: int
    values_lost: int
    last_reply_at: datetime | None
    next_call_at: datetime | None
    calls_this_month: int | None
    """Credits spent by all who share the limit (most calls cost one); None where no limit asks for a count."""
    calls_per_month: int
    calls_per_minute: int
    """By plan or settings; ``learned_per_minute`` are fewer, for a while after a 429, None otherwise."""
    learned_per_minute: int | None
    pace: Pace
    credits_left: int | None
    credits_for_backfill: int | None
    """Those of them that backfill may have; None, as of all that are left, without a limit."""
    credits_end_at: datetime | None
    """When they will be gone, where they do not last until the month ends; None while they do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TickCounts:
    """What became of the ticks that came in since the start of the daemon. Late ones are stored too, and held ones that
    three which agree released.
    """

    stored: int
    duplicates: int
    late: int
    refused: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCounts:
    """Rules that fire now, lines written to alerts.txt since the start of the daemon, and lines that wait for that.

    ``unknown``: rules that cannot be told now, counted over all symbols, as those that fire. ``rules``: how many are in
    effect. ``rules_trouble``: why RULES_FILE as it is now is not among them, a sentence.
    """

    rules: int
    rules_trouble: str | None
    firing: int
    unknown: int
    written: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewStatus:
    """When the latest refresh of daily_ohlcv began and how long it took; None before the first one."""

    refreshed_at: datetime | None
    refresh_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GapStatus:
    """Holes in the history by their state, as of the last look; ``doing``: what is being filled, a sentence."""

    open: int
    filled: int
    unrecoverable: int
    doing: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeStatus:
    """The markets that a composite is made of now, and those left out: as stale, or as more than 10 % off."""

    markets: tuple[str, ...]
    stale: tuple[str, ...]
    off: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStatus:
    """Batches that wait for the database, the oldest since when; rows found damaged since the start.

    ``polling_stopped``: why neither database nor spool take anything, null while one of them does.
    """

    batches: int
    bytes: int
    oldest_at: datetime | None
    damaged: int
    polling_stopped: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseStatus:
    """The epoch under which this daemon leads, null while it stands by; who leads, as far as it knows."""

    epoch: int | None
    leader: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStatus:
    """One channel. ``queued`` and ``dead`` (given up after a day) count for all daemons, ``delivered`` since the start.

    ``trouble``: why it takes nothing now, a sentence.
    """

    queued: int
    delivered: int
    dead: int
    trouble: str | None
    last_delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The daemon at one moment. Times are aware; ``interval_seconds`` is the expected time from call to call."""

    written_at: datetime
    started_at: datetime
    last_new_tick_at: datetime | None
    """When the newest tick that was new to us arrived here, whatever its own timestamp."""
    pid: int
    version: str
    state: DaemonState
    interval_seconds: float
    tasks: Mapping[str, str]
    sources: Mapping[str, SourceStatus]
    ticks: TickCounts
    alerts: AlertCounts
    views: ViewStatus
    spool: SpoolStatus
    lease: LeaseStatus
    channels: Mapping[str, ChannelStatus]
    composites: Mapping[str, CompositeStatus]
    gaps: GapStatus
    set_aside: int
    """Parts of replies that broke their provider's schema, since the start; set_aside.jsonl has them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader of the file learns. ``reasons`` says in sentences why the data is not fresh; none: it is."""

    status: Status | None
    running: bool
    reasons: tuple[str, ...]


def write(data_dir: Path, status: Status) -> None:
    """Replace the file atomically: a reader finds the old one or the new one. Raises CannotWrite.

    Not flushed to the disk: after a power cut its content would mean nothing.
    """
    path, new = data_dir / FILE, data_dir / f"{FILE}.new"
    try:
        new.write_text(json.dumps(status, default=_plain), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise CannotWrite(f"{path}: cannot be written ({error.strerror}), so health checks will fail") from error


def read(data_dir: Path, now: datetime) -> Reading:
    """Read the file and judge by it whether the daemon runs and its data is fresh at this moment. Never raises."""
    raw, running, reasons = freshness.look(data_dir, now)
    if raw is None:
        return Reading(None, False, reasons)
    try:
        return Reading(_from_json(raw), running, reasons)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Reading(None, False, (freshness.NOT_OURS,))


def _plain(value: object) -> str | dict[str, object]:
    # Not asdict(), which copies everything deeply: once a second, with fifty sources, that is felt.
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{value!r} cannot stand in {FILE}")


_T = TypeVar("_T")

_PARTS: Mapping[str, type] = {
    "ticks": TickCounts,
    "alerts": AlertCounts,
    "views": ViewStatus,
    "spool": SpoolStatus,
    "lease": LeaseStatus,
    "gaps": GapStatus,
}


def _from_json(raw: dict[str, Any]) -> Status:
    sources = {name: _make(SourceStatus, source) for name, source in raw["sources"].items()}
    channels = {name: _make(ChannelStatus, channel) for name, channel in raw["channels"].items()}
    composites = {
        symbol: CompositeStatus(**{kind: tuple(made[kind]) for kind in ("markets", "stale", "off")})
        for symbol, made in raw["composites"].items()
    }
    parts: dict[str, Any] = {key: _make(shape, raw[key]) for key, shape in _PARTS.items()}
    return _make(Status, {**raw, "sources": sources, "channels": channels, "composites": composites, **parts})


def _make(shape: type[_T], raw: dict[str, Any]) -> _T:
    """The dataclass of these values: a key more is of a newer version and left out, a key less is a KeyError."""
    values = {}
    for field in fields(shape):  # type: ignore[arg-type]
        value = raw[field.name]
        is_time = field.name.endswith("_at") and value is not None
        values[field.name] = datetime.fromisoformat(value) if is_time else value
    return shape(**values)
