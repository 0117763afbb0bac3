"""When to stop asking one who does not answer, and how to find out that he is back: a circuit breaker.

Closed: all calls are made. Open, after FAILURES in a row: none, for a pause. Half-open, after the pause: one. Its
success closes the breaker, its failure opens it for a longer pause.
"""

from __future__ import annotations

import random

FAILURES = 5
"""In a row, until it opens."""

_PAUSE_FIRST, _PAUSE_LONGEST = 1.0, 30.0  # seconds; who is back is noticed within the longest


class Breaker:
    """The state of one provider. Time is the caller's: it waits the pauses out, and asks once after each."""

    def __init__(self) -> None:
        self._failures = 0

    @property
    def is_closed(self) -> bool:
        """Whether all calls are made. Else only one is, after the pause, to see how it goes."""
        return self._failures < FAILURES

    def failed(self) -> float:
        """A round, or the one call, brought nothing. The seconds for which no call is to be made now."""
        self._failures += 1
        if self.is_closed:
            return 0.0
        return jittered(min(_PAUSE_LONGEST, _PAUSE_FIRST * 2.0 ** min(self._failures - FAILURES, 30)))

    def worked(self) -> None:
        """A call was answered."""
        self._failures = 0


def jittered(seconds: float) -> float:
    """Half to all of it, so that many who wait do not come back at once."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  not a secret
