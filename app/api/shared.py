"""What many ask for at once and one works out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

from app.api.database import Busy
from app.clock import Clock

T = TypeVar("T")

_WAIT_SECONDS = 5.0  # for another's answer, where there is none to give meanwhile


class Shared(Generic[T]):
    """A value of the current period, the seconds of the clock being cut into periods of equal length. For all threads.

    ``work`` is given the start of the period. The first to ask in a period works it out; who asks meanwhile gets the
    value of the period before, if there is one, or else waits. What is older than that is never given.
    """

    def __init__(self, clock: Clock, seconds: int, work: Callable[[datetime], T]) -> None:
        self._clock, self._seconds, self._work = clock, seconds, work
        self._working = threading.Lock()
        self._found: tuple[int, T] | None = None

    def get(self) -> T:
        """The value. Raises what ``work`` raises, and Busy where others work at it for long."""
        period, found = self._period(), self._found
        if found is not None and found[0] == period:
            return found[1]
        last = found if found is not None and found[0] == period - 1 else None
        if not self._working.acquire(timeout=_WAIT_SECONDS if last is None else 0):
            if last is not None:
                return last[1]
            raise Busy("what others wait for as well takes long")
        try:
            return self._of_now()
        finally:
            self._working.release()

    def _of_now(self) -> T:
        period = self._period()
        if self._found is None or self._found[0] != period:  # else another has done it while we waited
            self._found = period, self._work(datetime.fromtimestamp(period * self._seconds, UTC))
        return self._found[1]

    def _period(self) -> int:
        return int(self._clock.now().timestamp() // self._seconds)
