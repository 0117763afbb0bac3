"""The calls of the last minute, ours and those of others who share a limit, and whether one more may be made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.clock import Clock

_WINDOW = 61.0  # seconds from the end of a call, when it has arrived, to the one that takes its place
_PEAK_SECONDS = 3600.0  # for which the calls that a round of ours took are remembered


@dataclass(frozen=True, slots=True)
class Recent:
    """A call of the last minutes: seconds since it may have reached the provider, rather too few."""

    age: float
    backfill: bool = False


@dataclass(slots=True, eq=False)
class Slot:
    """One call of the last minutes: when it had ended at the latest, None while it is under way."""

    backfill: bool
    ended: float | None = None

    def holds(self, now: float) -> bool:
        return self.ended is None or self.ended > now - _WINDOW


@dataclass(frozen=True, slots=True)
class Full:
    """Why no call may be made now, and for how many seconds at least."""

    why: str
    seconds: float


class Minute:
    """For one thread at a time."""

    def __init__(self, clock: Clock, before: Iterable[Recent] = ()) -> None:
        self._clock = clock
        self._ours, self._others = self._slots(before), self._slots(())
        self._peak, self._peak_at = 0, clock.monotonic()

    def add(self, slot: Slot) -> None:
        """A call is made now; whoever makes it says when it has ended."""
        now = self._clock.monotonic()
        self._ours = [*(made for made in self._ours if made.holds(now)), slot]
        polls = sum(not made.backfill for made in self._ours)
        if polls >= self._peak or now - self._peak_at > _PEAK_SECONDS:
            self._peak, self._peak_at = polls, now

    def know(self, others: Iterable[Recent]) -> None:
        """The calls of the others are these."""
        self._others = self._slots(others)

    def full(self, limit: int, *, backfill: bool) -> Full | None:
        """Whether so many calls a minute, 0 = any number, leave no room for one now; for backfill, beside polling."""
        if not limit:
            return None
        now = self._clock.monotonic()
        self._ours = [slot for slot in self._ours if slot.holds(now)]
        self._others = [slot for slot in self._others if slot.holds(now)]
        recent = [*self._ours, *self._others]
        if len(recent) >= limit:
            return Full(f"our own limit of {limit} calls a minute is reached", _free_in(recent, now))
        if backfill:
            # What a round of ours takes at once, and what the others take.
            kept = max(1, self._peak) + sum(not slot.backfill for slot in self._others)
            recent = [slot for slot in recent if slot.backfill]
            if len(recent) >= limit - kept:
                return Full(f"{kept} of {limit} calls a minute are kept for polling", _free_in(recent, now))
        return None

    def _slots(self, calls: Iterable[Recent]) -> list[Slot]:
        now = self._clock.monotonic()
        return [Slot(call.backfill, now - call.age) for call in calls]


def _free_in(recent: Sequence[Slot], now: float) -> float:
    first = min((now if slot.ended is None else slot.ended for slot in recent), default=now)
    return first + _WINDOW - now
