"""The clock is an object that is passed in, so that a test can be the clock."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAP = timedelta(minutes=10)
_SETTLED = timedelta(seconds=2)


class Clock(Protocol):
    """Wall time for stamps, monotonic time for cadence: never the one for the other."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, from an arbitrary start."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event, at most so many seconds (0 or less: only look). True if it is set."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(max(0.0, seconds))


class TheirClock:
    """What another machine's clock says, told by its dated replies. For one thread at a time.

    A date that leaps ahead of both our clock and what its last one led us to expect is taken for a mistake, until the
    next one agrees with it: once something from such a future is taken for true, all that comes after it is late.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[datetime, float] | None = None

    def read(self, date: datetime | None) -> datetime | None:
        """The time there, by a reply's date; None where it has none."""
        if date is None:
            return None
        now = self._clock.monotonic()
        last, self._last = self._last, (date, now)
        if last is None or date - self._clock.now() <= _LEAP:
            return date
        passed = timedelta(seconds=now - last[1])
        return date if date - last[0] <= passed + _LEAP else last[0] + passed


class SteadyClock:
    """The time of day as it would be if nobody had set the clock since the last look. For one thread at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began, self._since = clock.now(), clock.monotonic()

    def look(self) -> tuple[datetime, timedelta]:
        """The time of day, and by how much the clock was set since the last look, zero if it was not.

        A machine that slept comes out as set, too: nothing was missed while nobody could have seen it.
        """
        now, since = self._clock.now(), self._clock.monotonic()
        steady = self._began + timedelta(seconds=since - self._since)
        leapt = now - steady
        if abs(leapt) < _SETTLED:
            return steady, timedelta(0)
        self._began, self._since = now, since
        return now, leapt


def microseconds(time: datetime) -> int:
    """Since 1970; exactly, unlike ``timestamp()``."""
    since = time - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
