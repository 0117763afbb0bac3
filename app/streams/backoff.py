"""How long to wait before the next try to connect."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST, LONGEST = 1.0, 60.0  # seconds
HEALTHY = 60.0  # seconds: a connection that held as long was a good one


class Backoff:
    """Doubles from a second to a minute, each time anything from nothing to that ("full jitter").

    So those who lost the same server come back spread over the whole time. ``dice``: a number of the range, uniform.
    """

    def __init__(self, dice: Callable[[float, float], float] = random.uniform) -> None:
        self._dice = dice
        self.failures = 0
        """In a row, since the last connection that held for a minute."""

    def failed(self, held: float) -> float:
        """A connection ended that held for so many seconds. The seconds to wait before the next."""
        if held >= HEALTHY:
            self.failures = 0
        ceiling = min(LONGEST, FIRST * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return self._dice(0.0, ceiling)

    def holds(self, held: float) -> None:
        """The connection of now has held for so many seconds."""
        if held >= HEALTHY:
            self.failures = 0
