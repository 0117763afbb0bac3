"""Calls are spent against limits that hold, and that last for the month."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import RateLimited
from app.limits import MINUTE, CallBudget
from tests.clock import FakeClock

NOVEMBER = date(2026, 11, 1)


class Book:
    """A ledger in memory, for all who share it."""

    def __init__(self, recent: list[float] | None = None) -> None:
        self.counted: Counter[tuple[str, date]] = Counter()
        self.ages = recent or []
        self.kept: list[int] = []
        self.touched = 0

    def recent(self, source: str) -> list[float]:
        self.touched += 1
        return self.ages

    def spent(self, source: str, month: date) -> int:
        self.touched += 1
        return self.counted[source, month]

    def spend(self, source: str, month: date | None, keep: int) -> int:
        self.touched += 1
        self.kept.append(keep)
        if month is None:
            return 0
        self.counted[source, month] += 1
        return self.counted[source, month]


def budget(
    per_minute: int = 0, per_month: int = 0, clock: FakeClock | None = None, book: Book | None = None
) -> CallBudget:
    return CallBudget("coingecko", per_minute, per_month, clock or FakeClock(), book or Book())


def spend(from_: CallBudget) -> None:
    with from_.call():
        pass


def calls_until_refused(spent: CallBudget) -> int:
    for made in range(10_000):
        try:
            spend(spent)
        except RateLimited:
            return made
    raise AssertionError("nothing refuses")


def test_without_limits_nothing_is_refused_counted_or_even_touched() -> None:
    book = Book()
    free = budget(book=book)
    for _ in range(1000):
        spend(free)
    assert (free.pace(), free.spent_this_month, book.touched) == (0.0, None, 0)
    assert free.calls == 1000


def test_a_minutes_calls_are_free_again_one_by_one() -> None:
    clock = FakeClock()
    five = budget(per_minute=5, clock=clock)
    for _ in range(5):
        spend(five)
        clock.advance(1)
    with pytest.raises(RateLimited, match="5 calls a minute") as caught:
        spend(five)
    assert caught.value.retry_after is not None
    clock.advance(caught.value.retry_after)
    spend(five)
    with pytest.raises(RateLimited):
        spend(five)
    clock.advance(1)
    spend(five)


def test_a_call_counts_until_a_minute_after_its_end_as_nobody_knows_when_it_arrived() -> None:
    clock = FakeClock()
    one = budget(per_minute=1, clock=clock)
    with one.call():
        clock.advance(9)
        with pytest.raises(RateLimited) as caught:
            spend(one)
        assert caught.value.retry_after is not None
        assert caught.value.retry_after > 60
    clock.advance(60)
    with pytest.raises(RateLimited):
        spend(one)
    clock.advance(1)
    spend(one)


def test_a_call_that_fails_is_spent_all_the_same() -> None:
    one = budget(per_minute=1)
    with pytest.raises(ZeroDivisionError), one.call():
        raise ZeroDivisionError
    with pytest.raises(RateLimited):
        spend(one)
    assert one.calls == 1


@given(
    st.lists(st.tuples(st.floats(0, 30), st.floats(0, 10), st.floats(0, 1)), min_size=20, max_size=80),
    st.integers(1, 8),
)
def test_no_minute_ever_has_more_calls_than_allowed_however_late_one_arrives(
    calls: list[tuple[float, float, float]], per_minute: int
) -> None:
    clock = FakeClock()
    limited = budget(per_minute=per_minute, clock=clock)
    arrived = []
    for pause, lasts, share in calls:
        clock.advance(pause)
        try:
            with limited.call():
                arrived.append(clock.monotonic() + lasts * share)
                clock.advance(lasts)
        except RateLimited as error:
            assert error.retry_after is not None
            assert error.retry_after > 0
    assert arrived
    assert all(sum(start <= call < start + 60 for call in arrived) <= per_minute for start in arrived)


def test_who_asks_at_the_pace_of_a_minutes_calls_is_never_refused() -> None:
    """app.sources.base plans with MINUTE; a call that takes a second longer than another does not upset it."""
    clock = FakeClock()
    limited = budget(per_minute=6, clock=clock)
    for number in range(100):
        with limited.call():
            clock.advance(lasts := 0.9 * (number % 2))
        clock.advance(MINUTE / 6 - lasts)
    assert limited.calls == 100


def test_what_was_called_before_a_restart_fills_the_minute_too() -> None:
    clock = FakeClock()
    limited = budget(per_minute=3, clock=clock, book=Book(recent=[300.0, 40.0, 10.0]))
    spend(limited)
    with pytest.raises(RateLimited) as caught:
        spend(limited)
    assert caught.value.retry_after == pytest.approx(21)


def test_the_ledger_is_told_how_many_calls_still_matter() -> None:
    clock, book = FakeClock(), Book()
    limited = budget(per_minute=9, clock=clock, book=book)
    for pause in (0, 10, 10, 50, 120):
        clock.advance(pause)
        spend(limited)
    assert book.kept == [1, 2, 3, 3, 1]


def test_a_months_calls_are_spent_to_the_last_and_no_further() -> None:
    book = Book()
    month = budget(per_month=25, book=book)
    assert calls_until_refused(month) == 25
    assert month.spent_this_month == 25
    assert book.counted["coingecko", NOVEMBER] == 25


def test_a_spent_month_says_when_the_next_begins() -> None:
    month = budget(per_month=1)
    spend(month)
    with pytest.raises(RateLimited, match=r"8\.6 days") as caught:
        spend(month)
    assert caught.value.retry_after == (datetime(2026, 12, 1, tzinfo=UTC) - FakeClock().now()).total_seconds()


@pytest.mark.parametrize("month", [11, 12])
def test_the_next_month_begins_anew(month: int) -> None:
    clock, book = FakeClock(datetime(2026, month, 30, 23, 59, tzinfo=UTC)), Book()
    monthly = budget(per_month=12, clock=clock, book=book)
    assert calls_until_refused(monthly) == 12
    clock.advance(2 * 86400)
    assert calls_until_refused(monthly) == 12
    assert book.counted["coingecko", date(2026 + month // 12, month % 12 + 1, 1)] == 12


def test_a_clock_that_is_set_a_month_ahead_and_back_makes_no_call_forgotten() -> None:
    clock = FakeClock()
    monthly = budget(per_month=20, clock=clock)
    for _ in range(15):
        spend(monthly)
    clock.jump(30 * 86400)
    spend(monthly)
    clock.jump(-30 * 86400)
    assert calls_until_refused(monthly) == 5


def test_two_processes_share_a_month() -> None:
    book = Book()
    one, other = budget(per_month=30, book=book), budget(per_month=30, book=book)
    made = 0
    for _ in range(40):
        for process in (one, other):
            try:
                spend(process)
                made += 1
            except RateLimited:
                pass
    assert made == 30


def test_a_restart_forgets_no_call() -> None:
    book = Book()
    before = budget(per_month=30, book=book)
    for _ in range(11):
        spend(before)
    assert calls_until_refused(budget(per_month=30, book=book)) == 19


def test_the_pace_makes_the_calls_that_are_left_last() -> None:
    clock = FakeClock(datetime(2026, 11, 21, tzinfo=UTC))
    month = budget(per_month=1000, clock=clock)
    assert month.pace() == 10 * 86400 / 1000
    for _ in range(500):
        spend(month)
    assert month.pace() == 10 * 86400 / 500
    assert calls_until_refused(month) == 500
    assert month.pace() == 30 * 86400 / 1000  # call() is what says no now; who waits must not look healthy for days


def test_a_call_that_a_limit_refuses_is_not_counted() -> None:
    both = budget(per_minute=1, per_month=100)
    spend(both)
    with pytest.raises(RateLimited):
        spend(both)
    assert (both.spent_this_month, both.calls) == (1, 1)


def test_several_threads_spend_no_more_than_there_is() -> None:
    month, made = budget(per_month=95), []
    threads = [threading.Thread(target=lambda: made.append(calls_until_refused(month))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == 95
