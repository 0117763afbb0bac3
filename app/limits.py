"""Calls spent against a provider's limits: per minute in memory, per month in a ledger that survives restarts."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, date, datetime
from typing import Protocol

from app.clock import Clock
from app.errors import DatabaseUnavailable, RateLimited

_DAYS = 30  # of a month, roughly
MINUTE = 62.0
"""Seconds: the provider counts when a call arrives, and the first of a minute may be under way longer than the last."""


class Ledger(Protocol):
    """Where the calls of a month are counted, for every process that shares the provider's key."""

    def reserve(self, source: str, month: date, calls: int) -> int:
        """Add so many calls to the month's count and return the count with them. Raises DatabaseUnavailable."""
        ...


class CallBudget:
    """Says before each call whether it may be made; knows the pace at which the month's calls last.

    While the ledger is away calls go on, on what was last known, and are counted when it is back: prices and alerts
    must not wait for the database. (Only a crash within such a time leaves calls uncounted.) Safe for several threads.
    """

    def __init__(self, source: str, per_minute: int, per_month: int, clock: Clock, ledger: Ledger) -> None:
        self._source, self._clock, self._ledger = source, clock, ledger
        self.per_minute, self.per_month = per_minute, per_month
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._month: date | None = None
        self._reserved = 0  # calls of this month that were reserved, by us and by others
        self._in_hand = 0  # how many of them are ours and not made yet
        self._owed = 0  # how many of them the ledger has not heard of
        self.calls = 0
        """Calls made since the start."""

    def take(self) -> None:
        """Spend one call. Raises RateLimited, with the seconds until one is free, when a limit is reached."""
        with self._lock:
            self._look_at_minute()
            self._take_from_month()
            self.calls += 1
            if self.per_minute:
                self._recent.append(self._clock.monotonic())

    def pace(self) -> float:
        """Seconds from call to call at which the calls left last until the month ends; 0 without a limit.

        When none are left, as in a month that was spent evenly: ``take`` is what says no then.
        """
        if not self.per_month:
            return 0.0
        with self._lock:
            self._turn_month()
            left = self.per_month - self._reserved + self._in_hand
            if left <= 0:
                return _DAYS * 86400 / self.per_month
            return self._seconds_left_in_month() / left

    @property
    def spent_this_month(self) -> int | None:
        """Calls counted in this month by all who share the limit, None where no limit asks for a count."""
        # Without the lock: who reports must not wait for who calls.
        return None if self._month is None else self._reserved - self._in_hand

    def _look_at_minute(self) -> None:
        now = self._clock.monotonic()
        while self._recent and self._recent[0] <= now - MINUTE:
            self._recent.popleft()
        if self.per_minute and len(self._recent) >= self.per_minute:
            raise RateLimited(
                f"{self._source}: our own limit of {self.per_minute} calls a minute is reached",
                retry_after=self._recent[0] + MINUTE - now,
            )

    def _take_from_month(self) -> None:
        if not self.per_month:
            return
        month = self._turn_month()
        if not self._in_hand:
            self._reserve(month, min(1, self.per_month - self._reserved))
        if not self._in_hand:
            raise RateLimited(
                f"{self._source}: this month's {self.per_month} calls are spent; the next month starts in"
                f" {self._seconds_left_in_month() / 86400:.1f} days",
                retry_after=self._seconds_left_in_month(),
            )
        self._in_hand -= 1

    def _turn_month(self) -> date:
        month = self._clock.now().date().replace(day=1)
        if month != self._month:
            self._month, self._reserved, self._in_hand, self._owed = month, 0, 0, 0
            # Other processes, or this one before a restart, may have spent some of it already.
            self._count(month, 0)
        return month

    def _reserve(self, month: date, calls: int) -> None:
        if calls > 0:
            self._count(month, calls)
            # Another process may have taken the last ones in between.
            self._in_hand = max(0, calls - max(0, self._reserved - self.per_month))

    def _count(self, month: date, calls: int) -> None:
        self._owed += calls
        try:
            self._reserved = self._ledger.reserve(self._source, month, self._owed)
            self._owed = 0
        except DatabaseUnavailable:
            self._reserved += calls

    def _seconds_left_in_month(self) -> float:
        now = self._clock.now()
        year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
        return (datetime(year, month, 1, tzinfo=UTC) - now).total_seconds()
