"""The arithmetic of a month's credits and of what a 429 teaches."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pacing import Learned, Lesson, month_of, reserve, seconds_left, sustained

CREDITS = st.integers(0, 100_000)


@pytest.mark.parametrize(
    ("now", "month", "seconds"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), date(2026, 11, 1), 1),
        (datetime(2026, 12, 1, tzinfo=UTC), date(2026, 12, 1), 31 * 86400),
        (datetime(2028, 2, 1, tzinfo=UTC), date(2028, 2, 1), 29 * 86400),
        (datetime(2026, 12, 1, 1, tzinfo=timezone(timedelta(hours=2))), date(2026, 11, 1), 3600),
    ],
)
def test_months_are_those_of_utc(now: datetime, month: date, seconds: float) -> None:
    assert (month_of(now), seconds_left(now)) == (month, seconds)


@given(CREDITS, CREDITS)
def test_backfill_never_has_more_than_its_share_of_what_it_and_polling_have(left: int, backfilled: int) -> None:
    free = reserve(left, backfilled)
    assert 0 <= free <= left
    assert free == 0 or backfilled + free <= (left + backfilled) / 20
    # Whatever it spends, it gets no more by that.
    assert reserve(left - free, backfilled + free) == 0


def test_the_reserve_ends_with_the_credits() -> None:
    assert [reserve(left, 0) for left in (10_000, 1000, 100, 19, 0)] == [500, 50, 5, 0, 0]


@given(st.integers(1, 100_000), st.integers(0, 100), st.floats(1, 3e6), st.integers(1, 5))
def test_all_who_poll_together_never_go_faster_than_the_credits_last(
    left: int, backfilled: int, seconds: float, pollers: int
) -> None:
    pace = sustained(left, backfilled, seconds, pollers)
    assert pace <= seconds
    assert pace == seconds or seconds / pace * pollers <= left + 1e-6


def test_a_429_halves_the_calls_a_minute_and_a_tenth_comes_back_every_ten_minutes() -> None:
    lesson = Lesson()
    assert lesson.allowed(30, 0) == 30
    assert lesson.learn(30, 100) == 15
    assert [lesson.allowed(30, 100 + 600 * n - 1) for n in range(1, 7)] == [15, 18, 21, 24, 27, 30]
    assert lesson.allowed(30, 100 + 3000) == 30


def test_the_429s_of_one_minute_halve_them_once() -> None:
    lesson = Lesson()
    assert [lesson.learn(30, at) for at in (0, 1, 59)] == [15, 15, 15]
    assert lesson.learn(30, 120) == 7
    assert lesson.allowed(30, 120 + 599) == 7


def test_one_call_a_minute_is_left_however_often_it_is_said() -> None:
    lesson = Lesson()
    assert [lesson.learn(5, 100 * n) for n in range(5)] == [2, 1, 1, 1, 1]
    assert lesson.allowed(5, 400 + 600) == 2


def test_the_newest_lesson_stands_whoever_had_it() -> None:
    lesson = Lesson()
    lesson.hear(Learned(8, 30.0), 1000)
    assert lesson.allowed(30, 1000) == 8
    lesson.hear(Learned(20, 300.0), 1000)  # older
    assert lesson.allowed(30, 1000) == 8
    lesson.hear(Learned(20, 5.0), 1000)
    assert lesson.allowed(30, 1000) == 20
    lesson.hear(None, 1000)
    assert lesson.allowed(30, 1000) == 20
