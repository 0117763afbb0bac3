"""For tests of the spool: numbered batches, copies as a kill leaves them, what a raw look at its files finds."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from app.alerts.states import Episode, Outcome
from app.clock import SystemClock
from app.model import Alert, State, Tick
from app.spool import Entry, Spool

FIRST = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
PLENTY = 1_000_000_000

Batch = tuple[tuple[Tick, ...], Outcome]


def batch(number: int, symbols: int = 3) -> Batch:
    """The batch of this number: its ticks and what they caused, unlike any other's."""
    ticks = _ticks(number, symbols)
    time = FIRST + timedelta(seconds=number)
    alert = Alert(f"{number:012x}", State.FIRING, time, "C0", "price-2pct-5m", (("price", str(ticks[0].price)),))
    episode = Episode(State.FIRING, alert.id, since=time, as_of=time, last_line_at=time, lines=1)
    return ticks, Outcome(alerts=[alert], episodes={(alert.rule, "C0"): episode}, new=symbols)


@cache
def _ticks(number: int, symbols: int) -> tuple[Tick, ...]:
    dice = random.Random(number)
    time = FIRST + timedelta(seconds=number)
    return tuple(_tick(f"C{i}", time, dice) for i in range(symbols))


def _tick(symbol: str, time: datetime, dice: random.Random) -> Tick:
    price, volume, cap = (Decimal(dice.randrange(10**20)).scaleb(-10) for _ in range(3))
    return Tick(symbol, time, price, volume, cap, time, "coingecko")


def number_of(entry: Entry) -> int:
    """Which batch it is. Fails unless it is that one to the last digit."""
    found = int(entry.outcome.alerts[0].id, 16)
    assert (entry.ticks, entry.outcome) == batch(found, len(entry.ticks))
    return found


def opened(path: Path, limit: int = PLENTY) -> Spool:
    """A spool in use."""
    spool = Spool(path, limit, SystemClock())
    spool.open()
    return spool


def filled(path: Path, count: int, symbols: int = 3, first: int = 1) -> Spool:
    """A spool in use, with so many batches: the number of each is its own."""
    spool = opened(path)
    for number in range(first, first + count):
        assert spool.append(*batch(number, symbols)) == number
    return spool


def drained(spool: Spool, ticks_at_most: int = 100) -> list[int]:
    """The numbers of all that waits, taken out as the daemon does it."""
    numbers = []
    while not spool.is_empty:
        entries = spool.first(ticks_at_most)
        numbers += [number_of(entry) for entry in entries]
        if entries:
            spool.done(entries[-1].seq)
    assert spool.first(1) == []
    return numbers


def killed(path: Path, folder: Path) -> Path:
    """The spool's files as they are at this moment, which is what kill -9 leaves, in another folder."""
    shutil.copytree(path.parent, folder)
    return folder / path.name


def restarted(path: Path) -> tuple[list[int], list[dict[str, Any]], int]:
    """What comes out of a spool after a start, what was logged, and how many it reports as lost."""
    with capture_logs() as logs:
        spool = opened(path)
        try:
            numbers = drained(spool)
        finally:
            spool.close()
    return numbers, logs, spool.quarantined


def reported(logs: list[dict[str, Any]]) -> set[int]:
    """The numbers that were said to be lost."""
    ranges = [part for entry in logs for part in entry.get("lost", "").split(", ") if part]
    ends = [tuple(map(int, part.split(" to "))) for part in ranges]
    return {number for end in ends for number in range(end[0], end[-1] + 1)}
