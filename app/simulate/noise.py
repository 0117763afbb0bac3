"""Repeatable chance as a function of time: any moment can be looked at without having lived through those before it.

Only hashing, integers and ``+ - * /`` of floats are used: the results are the same, bit for bit, on every platform and
version of Python. (``hash()`` is salted, ``random`` has state, ``exp`` and ``sin`` differ between C libraries.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_MASK = (1 << 64) - 1


def stream(name: str) -> int:
    """The key of a stream of numbers, from its name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


@lru_cache(maxsize=1 << 15)  # neighbouring moments ask for the same few numbers again and again
def uniform(key: int, index: int) -> float:
    """The number of that index in the stream: from 0 to below 1, evenly spread (splitmix64)."""
    mixed = (key + index * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


def _smooth(share: float) -> float:
    """From 0 to 1 without a kink at either end."""
    return share * share * (3 - 2 * share)


class Waves:
    """A smooth wandering around 0: a sum of random waves of several lengths, never beyond the sum of their heights."""

    def __init__(self, name: str, waves: Sequence[tuple[int, float]]) -> None:
        """``waves``: (seconds from one random level to the next, the height those levels stay within)."""
        self._waves = [(stream(f"{name}/{seconds}"), seconds, height) for seconds, height in waves]

    def at(self, time: int) -> float:
        total = 0.0
        for key, seconds, height in self._waves:
            index, rest = divmod(time, seconds)
            before, after = uniform(key, index), uniform(key, index + 1)
            total += height * (2 * (before + (after - before) * _smooth(rest / seconds)) - 1)
        return total


@dataclass(frozen=True, slots=True)
class Habit:
    """How often shocks come and what they look like: per slot of time at most one, rising fast, fading slowly.

    ``sizes`` bound a shock at its height (0.03 = 3 %), ``rise`` and ``fade`` are bounds in seconds; rise and fade
    together fit into a slot. ``down`` is the chance that it goes down instead of up.
    """

    slot: int
    chance: float
    sizes: tuple[float, float]
    rise: tuple[float, float]
    fade: tuple[float, float]
    down: float = 0.0


class Shocks:
    """Sudden moves at random times, 0 in between."""

    def __init__(self, name: str, habit: Habit) -> None:
        self._habit = habit
        self._key = stream(name)

    def at(self, time: int) -> float:
        slot = time // self._habit.slot
        return self._shock(slot - 1, time) + self._shock(slot, time)

    def _shock(self, slot: int, time: int) -> float:
        habit, first = self._habit, slot * 6
        if uniform(self._key, first) >= habit.chance:
            return 0.0
        elapsed = time - habit.slot * (slot + uniform(self._key, first + 1))
        rise = _between(habit.rise, uniform(self._key, first + 2))
        fade = _between(habit.fade, uniform(self._key, first + 3))
        if not 0 < elapsed < rise + fade:
            return 0.0
        size = _between(habit.sizes, uniform(self._key, first + 4))
        if uniform(self._key, first + 5) < habit.down:
            size = -size
        if elapsed < rise:
            return size * _smooth(elapsed / rise)
        left = 1 - (elapsed - rise) / fade
        return size * left * left


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share
