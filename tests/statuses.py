"""Status files for the tests: a daemon that is well, and whatever a test changes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.status import (
    AlertCounts,
    ChannelStatus,
    CompositeStatus,
    GapStatus,
    LeaseStatus,
    SourceStatus,
    SpoolStatus,
    Status,
    TickCounts,
    ViewStatus,
)

NOW = datetime(2026, 11, 22, 10, 15, 3, 123000, tzinfo=UTC)

SOURCE = SourceStatus(
    state="ok",
    reason=None,
    symbols=3,
    calls=120,
    failures=2,
    consecutive_failures=0,
    overruns=1,
    values_lost=4,
    last_reply_at=NOW - timedelta(seconds=5),
    next_call_at=NOW + timedelta(seconds=55),
    calls_this_month=1234,
    calls_per_month=10_000,
    calls_per_minute=30,
    learned_per_minute=15,
    pace="sustain",
    credits_left=8766,
    credits_for_backfill=438,
    credits_end_at=NOW + timedelta(days=3),
)


def a_status(now: datetime = NOW, **changes: Any) -> Status:
    """What a daemon writes at this moment that has run for an hour and got a new tick five seconds ago."""
    status = Status(
        written_at=now,
        started_at=now - timedelta(hours=1),
        last_new_tick_at=now - timedelta(seconds=5),
        pid=4711,
        version="0.1.0",
        state="running",
        interval_seconds=60.0,
        tasks={"fetch-coingecko": "running", "upkeep": "ended"},
        sources={"coingecko": SOURCE},
        ticks=TickCounts(stored=300, duplicates=40, late=2, refused=1, held=3),
        alerts=AlertCounts(rules=2, rules_trouble=None, firing=1, unknown=0, written=7, waiting=0),
        views=ViewStatus(refreshed_at=now - timedelta(seconds=30), refresh_seconds=0.25),
        spool=SpoolStatus(batches=0, bytes=0, oldest_at=None, damaged=0, polling_stopped=None),
        lease=LeaseStatus(epoch=3, leader="host:/data (1a2b3c4d)"),
        channels={
            "ops": ChannelStatus(
                queued=2, delivered=5, dead=1, trouble="HTTP 500", last_delivered_at=now - timedelta(seconds=9)
            )
        },
        composites={"BTC@all": CompositeStatus(markets=("coingecko", "kraken"), stale=("binance",), off=())},
        gaps=GapStatus(open=1, filled=12, unrecoverable=2, doing="Filling BTC."),
        set_aside=4,
    )
    return replace(status, **changes)
