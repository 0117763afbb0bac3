"""Market time: starts a day ago, runs fast until it has reached the present, then at the pace of the clock."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime

from app.clock import Clock
from app.errors import ConfigurationError

DAY = 86_400


class Timeline:
    """Market time in whole UNIX seconds, as CoinGecko stamps its observations.

    It stands at ``start`` (24 hours before this object was made) until the market opens, and the market opens with
    the first price that is asked for: however long a daemon takes to come up, it sees the first minutes. From then
    on market time depends on the monotonic clock alone.
    """

    def __init__(self, clock: Clock, speed: float) -> None:
        """``speed``: market seconds per second. Raises ConfigurationError unless it is a number above 0."""
        if not (math.isfinite(speed) and speed > 0):
            raise ConfigurationError(f"--speed {speed:g}: should be a number above 0, as 60 for a minute a second")
        self.speed = speed
        self.start = int(clock.now().timestamp()) - DAY
        self._clock = clock
        self._made = clock.monotonic()
        self._opened: float | None = None
        self._opening = threading.Lock()

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    def open(self) -> None:
        """Let market time run; from the second call on this changes nothing."""
        with self._opening:
            if self._opened is None:
                self._opened = self._clock.monotonic()

    def now(self) -> int:
        """Market time. It never runs ahead of the present and never goes back."""
        if self._opened is None:
            return self.start
        now = self._clock.monotonic()
        return int(min(self.start + self.speed * (now - self._opened), self.start + DAY + (now - self._made)))


def iso(seconds: int) -> str:
    """``2026-11-21T10:15:00Z``"""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
