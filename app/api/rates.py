"""How often each client may ask: a bucket of tokens for each, refilled steadily."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from app.clock import Clock

_MOST_CLIENTS = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rates:
    """So many requests a second for each client, and twice as many at once after a pause. For one thread.

    Of 10,000 clients; of more, the one that has not asked for longest is forgotten, which gives it a full bucket.
    """

    def __init__(self, a_second: float, clock: Clock) -> None:
        self._a_second, self._most, self._clock = a_second, 2 * a_second, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, client: str) -> float:
        """Count a request, if it may be answered: 0. Else how many seconds it is too early."""
        if not self._a_second:
            return 0
        now = self._clock.monotonic()
        bucket = self._buckets.pop(client, None) or _Bucket(self._most, now)
        bucket.left, bucket.at = min(self._most, bucket.left + (now - bucket.at) * self._a_second), now
        self._buckets[client] = bucket
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return (1 - bucket.left) / self._a_second
        bucket.left -= 1
        return 0
