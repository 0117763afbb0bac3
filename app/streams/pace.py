"""How often something comes that comes as it likes, and from when on its silence means something."""

from __future__ import annotations

ENOUGH = 10  # updates, until the pace counts as known
TIMES = 10.0  # the usual time between two: as long a silence is none of chance
_WEIGHT = 1 / 32  # of the newest time in the mean, once there are many
_FADES = 0.98  # what is left of the longest time, with each update


class Pace:
    """The usual time between updates: a mean in which the old fades, and the longest of late.

    The longest is needed as trades come in bursts: after fifty in a second, ten times their mean is nothing.
    Times are seconds of a monotonic clock. Always of the same size, however many updates there were.
    """

    __slots__ = ("_count", "_last", "_longest", "_mean")

    def __init__(self) -> None:
        self._count, self._mean, self._longest = 0, 0.0, 0.0
        self._last: float | None = None

    def note(self, now: float) -> None:
        """One has come."""
        if self._last is not None:
            self._learn(now - self._last)
        self._last = now

    def restart(self) -> None:
        """We were not listening: the time until the next one says nothing."""
        self._last = None

    def was_silent(self, seconds: float) -> None:
        """A silence that was cut off by us; should it have been usual, the next is waited for longer."""
        self._learn(seconds)
        self._last = None

    def patience(self, least: float) -> float | None:
        """How many seconds of silence are nothing unusual, ``least`` or more. None: too early to say."""
        if self._count < ENOUGH:
            return None
        return max(least, TIMES * self._mean, 2 * self._longest)

    def _learn(self, gap: float) -> None:
        self._count += 1
        self._mean += (gap - self._mean) * max(1 / self._count, _WEIGHT)
        self._longest = max(gap, self._longest * _FADES)
