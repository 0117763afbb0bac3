"""How a month's credits are made to last, and what a 429 teaches: arithmetic alone, on numbers that are passed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

Pace = Literal["sustain", "fast"]
"""``sustain``: what is left of a month is spread over it. ``fast``: it is spent as fast as the minute allows."""

_BACKFILL_SHARE = 0.05  # of the credits that are left
_DAYS = 30  # of a month, roughly
_RECOVERY_SECONDS = 600.0  # without a 429, until a tenth of the plan's limit is tried again
_ONE_LESSON_SECONDS = 60.0  # 429s that come within it are one: they answer calls of the same minute
_SAME_SECONDS = 2.0  # two clocks' words for one moment


def month_of(now: datetime) -> date:
    """The first day of the month, UTC."""
    return now.astimezone(UTC).date().replace(day=1)


def seconds_left(now: datetime) -> float:
    """Until the month ends."""
    month = month_of(now)
    year, number = (month.year + 1, 1) if month.month == 12 else (month.year, month.month + 1)
    return (datetime(year, number, 1, tzinfo=UTC) - now).total_seconds()


def reserve(left: int, backfilled: int) -> int:
    """The credits that backfill may still spend: with what it had, a share of what is left and what it had.

    Of less that is left it is less, and nothing in the end: so the month's last credits are spent all the same, and
    whatever backfill does, polling has the others.
    """
    return max(0, int(_BACKFILL_SHARE * (left + backfilled)) - backfilled)


def sustained(left: int, backfilled: int, seconds: float, pollers: int) -> float:
    """Seconds from credit to credit at which the credits left, less the reserve, last for so many seconds.

    ``pollers`` spend them evenly, each at this pace.
    """
    return min(seconds, pollers * seconds / max(1, left - reserve(left, backfilled)))


def spread(per_month: int) -> float:
    """Seconds from credit to credit in a month that is spent evenly from its beginning."""
    return _DAYS * 86400 / per_month


@dataclass(frozen=True, slots=True)
class Learned:
    """What the latest 429 taught: how many calls a minute there should be from then on, and how long ago that was."""

    per_minute: int
    age: float


class Lesson:
    """What 429s have taught us, or others of the same account, about the calls a minute. ``now`` only grows."""

    def __init__(self) -> None:
        self._learned: tuple[int, float] | None = None  # calls a minute, and when; one value, for who reads beside

    def allowed(self, of_plan: int, now: float) -> int:
        """Calls a minute: the plan's, or what was learned and has been regained since."""
        if (learned := self._learned) is None:
            return of_plan
        per_minute, at = learned
        regained = int((now - at) // _RECOVERY_SECONDS) * max(1, of_plan // 10)
        return min(of_plan, per_minute + regained)

    def hear(self, learned: Learned | None, now: float) -> None:
        """What somebody knows; it may be older than what we know."""
        if learned is not None and (self._learned is None or now - learned.age > self._learned[1] + _SAME_SECONDS):
            self._learned = learned.per_minute, now - learned.age

    def learn(self, of_plan: int, now: float) -> int:
        """A 429 came: calls a minute from now on, half as many as so far. Several of one minute halve them once."""
        per_minute = self.allowed(of_plan, now)
        if self._learned is None or now - self._learned[1] >= _ONE_LESSON_SECONDS:
            per_minute = max(1, per_minute // 2)
        self._learned = per_minute, now
        return per_minute
