"""How fast a month's credits go, and whether they last."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from app.clock import Clock
from app.pacing import Pace, seconds_left

_SAMPLE_SECONDS = 3600.0  # between two looks; sooner than one nothing is predicted
_SAMPLES = 25
_SURE = 1.02  # so many times what the month has has to be going, before its end is predicted


class Outlook:
    """Goes by at least the last hour and at most the last day. For one thread at a time."""

    def __init__(self, clock: Clock, mode: Pace) -> None:
        self._clock, self._mode = clock, mode
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self.ends_at: datetime | None = None
        """When the credits will be gone, if they go on like this; None while they last, or nobody knows yet."""

    def begin(self) -> None:
        """Begin anew: the next count has nothing to do with the last."""
        self._samples.clear()
        self.ends_at = None

    def look(self, ours: int, others: int, left: int) -> None:
        """So many credits are spent by us and by others, not for backfill, and so many are left.

        A sustained pace adapts to what the others spend, until they alone spend it all.
        """
        going = others + ours if self._mode == "fast" else others
        now, today = self._clock.monotonic(), self._clock.now()
        if not self._samples or now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append((now, going))
        then, had = self._samples[0]
        rate = (going - had) / (now - then) if now - then >= _SAMPLE_SECONDS else 0.0
        ends = left > 0 and rate * seconds_left(today) > left * _SURE
        self.ends_at = today + timedelta(seconds=left / rate) if ends else None

    def sentence(self, per_month: int, ends_at: datetime) -> str:
        """That so many credits a month end then, and what helps."""
        advice = (
            "PACE=sustain makes them last"
            if self._mode == "fast"
            else "others spend them faster than they last, with the same key"
        )
        return f"at this pace the month's {per_month} credits end on {ends_at:%Y-%m-%d at %H:%M} UTC; {advice}."
