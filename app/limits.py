"""Calls spent against a provider's limits, a minute and a month: each is written down before it is made."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from app.clock import Clock
from app.errors import RateLimited

_DAYS = 30  # of a month, roughly
_WINDOW = 61.0  # seconds from the end of a call, when it has arrived, to the one that takes its place
MINUTE = 62.0
"""Seconds to plan for a minute's calls: as many fit into them, also where some take a little longer than others."""


class Ledger(Protocol):
    """Where calls are written down, so that neither a restart nor a database that is away makes any forgotten."""

    def recent(self, source: str) -> Sequence[float]:
        """Seconds since each of our latest calls, also of those before a restart, oldest first; rather too few.

        Raises CannotWrite where nothing can be written down at all.
        """
        ...

    def spent(self, source: str, month: date) -> int:
        """The calls of the month so far, by all who share the provider's key, as far as that is known."""
        ...

    def spend(self, source: str, month: date | None, keep: int) -> int:
        """Write down one more call, then ``spent``; without a month, 0. Of the latest so many are to be kept."""
        ...


@dataclass(slots=True, eq=False)
class _Slot:
    """One call in the last minute: when it had ended at the latest, None while it is under way."""

    ended: float | None = None


class CallBudget:
    """Says before each call whether it may be made; knows the pace at which the month's calls last.

    Without a limit the ledger is not touched. Safe for several threads.
    """

    def __init__(self, source: str, per_minute: int, per_month: int, clock: Clock, ledger: Ledger) -> None:
        self._source, self._clock, self._ledger = source, clock, ledger
        self.per_minute, self.per_month = per_minute, per_month
        self._lock = threading.Lock()
        self._month: date | None = None
        self._spent = 0
        self.calls = 0
        """Calls made since the start."""
        now = clock.monotonic()
        self._recent = [_Slot(now - age) for age in ledger.recent(source)] if per_minute or per_month else []

    @contextmanager
    def call(self) -> Iterator[None]:
        """Spend one call, which is made inside. Raises RateLimited, with the seconds until one is free, at a limit."""
        slot = self._take()
        try:
            yield
        finally:
            slot.ended = self._clock.monotonic()

    def pace(self) -> float:
        """Seconds from call to call at which the calls left last until the month ends; 0 without a limit.

        When none are left, as in a month that was spent evenly: ``call`` is what says no then.
        """
        if not self.per_month:
            return 0.0
        with self._lock:
            self._turn_month()
            left = self.per_month - self._spent
            if left <= 0:
                return _DAYS * 86400 / self.per_month
            return self._seconds_left_in_month() / left

    @property
    def spent_this_month(self) -> int | None:
        """Calls counted in this month by all who share the limit, None where no limit asks for a count."""
        # Without the lock: who reports must not wait for who calls.
        return None if self._month is None else self._spent

    def _take(self) -> _Slot:
        with self._lock:
            slot = _Slot()
            if self.per_minute or self.per_month:
                self._look_at_minute()
                month = self._look_at_month()
                self._recent.append(slot)
                self._spent = self._ledger.spend(self._source, month, len(self._recent))
                if month is not None and self._spent > self.per_month:  # another process took the last one just now
                    slot.ended = self._clock.monotonic()
                    raise self._month_is_spent()
            self.calls += 1
            return slot

    def _look_at_minute(self) -> None:
        now = self._clock.monotonic()
        self._recent = [slot for slot in self._recent if slot.ended is None or slot.ended > now - _WINDOW]
        if self.per_minute and len(self._recent) >= self.per_minute:
            first = min(now if slot.ended is None else slot.ended for slot in self._recent)
            raise RateLimited(
                f"{self._source}: our own limit of {self.per_minute} calls a minute is reached",
                retry_after=first + _WINDOW - now,
            )

    def _look_at_month(self) -> date | None:
        if not self.per_month:
            return None
        month = self._turn_month()
        if self._spent >= self.per_month:
            raise self._month_is_spent()
        return month

    def _turn_month(self) -> date:
        month = self._clock.now().date().replace(day=1)
        if month != self._month:
            # Other processes, or this one before a restart, may have spent some of it already.
            self._spent = self._ledger.spent(self._source, month)
            self._month = month
        return month

    def _month_is_spent(self) -> RateLimited:
        seconds = self._seconds_left_in_month()
        return RateLimited(
            f"{self._source}: this month's {self.per_month} calls are spent; the next month starts in"
            f" {seconds / 86400:.1f} days",
            retry_after=seconds,
        )

    def _seconds_left_in_month(self) -> float:
        now = self._clock.now()
        year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
        return (datetime(year, month, 1, tzinfo=UTC) - now).total_seconds()
