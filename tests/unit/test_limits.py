"""Calls are spent against limits that hold, and that last for the month."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import DatabaseUnavailable, RateLimited
from app.limits import CallBudget
from tests.clock import FakeClock

NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)


class Book:
    """A ledger that can be away."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, date]] = Counter()
        self.away = False

    def reserve(self, source: str, month: date, calls: int) -> int:
        if self.away:
            raise DatabaseUnavailable("away")
        self.counted[source, month] += calls
        return self.counted[source, month]


def budget(
    per_minute: int = 0, per_month: int = 0, clock: FakeClock | None = None, book: Book | None = None
) -> CallBudget:
    return CallBudget("coingecko", per_minute, per_month, clock or FakeClock(), book or Book())


def calls_until_refused(spent: CallBudget) -> int:
    for made in range(10_000):
        try:
            spent.take()
        except RateLimited:
            return made
    raise AssertionError("nothing refuses")


def test_without_limits_nothing_is_refused_or_counted() -> None:
    book = Book()
    free = budget(book=book)
    for _ in range(1000):
        free.take()
    assert (free.pace(), free.spent_this_month, book.counted) == (0.0, None, Counter())


def test_a_minutes_calls_are_free_again_one_by_one() -> None:
    clock = FakeClock()
    five = budget(per_minute=5, clock=clock)
    for _ in range(5):
        five.take()
        clock.advance(1)
    with pytest.raises(RateLimited, match="5 calls a minute") as caught:
        five.take()
    assert caught.value.retry_after is not None
    clock.advance(caught.value.retry_after)
    five.take()
    with pytest.raises(RateLimited):
        five.take()
    clock.advance(1)
    five.take()


@given(st.lists(st.floats(min_value=0, max_value=30), min_size=20, max_size=80), st.integers(1, 8))
def test_no_minute_ever_has_more_calls_than_allowed(pauses: list[float], per_minute: int) -> None:
    clock = FakeClock()
    limited = budget(per_minute=per_minute, clock=clock)
    made = []
    for pause in pauses:
        clock.advance(pause)
        try:
            limited.take()
        except RateLimited as error:
            assert error.retry_after is not None
            assert error.retry_after > 0
        else:
            made.append(clock.monotonic())
    assert made
    assert all(sum(start <= call < start + 60 for call in made) <= per_minute for start in made)


def test_a_months_calls_are_spent_to_the_last_and_no_further() -> None:
    book = Book()
    month = budget(per_month=25, book=book)
    assert calls_until_refused(month) == 25
    assert month.spent_this_month == 25
    assert book.counted["coingecko", NOVEMBER] == 25


def test_a_spent_month_says_when_the_next_begins() -> None:
    month = budget(per_month=1)
    month.take()
    with pytest.raises(RateLimited, match=r"8\.6 days") as caught:
        month.take()
    assert caught.value.retry_after == (datetime(2026, 12, 1, tzinfo=UTC) - FakeClock().now()).total_seconds()


@pytest.mark.parametrize("month", [11, 12])
def test_the_next_month_begins_anew(month: int) -> None:
    clock, book = FakeClock(datetime(2026, month, 30, 23, 59, tzinfo=UTC)), Book()
    monthly = budget(per_month=12, clock=clock, book=book)
    assert calls_until_refused(monthly) == 12
    clock.advance(2 * 86400)
    assert calls_until_refused(monthly) == 12
    assert book.counted["coingecko", date(2026 + month // 12, month % 12 + 1, 1)] == 12


def test_two_processes_share_a_month() -> None:
    book = Book()
    one, other = budget(per_month=30, book=book), budget(per_month=30, book=book)
    made = 0
    for _ in range(30):
        for process in (one, other):
            try:
                process.take()
                made += 1
            except RateLimited:
                pass
    assert made == 30


def test_a_restart_forgets_no_call() -> None:
    book = Book()
    before = budget(per_month=30, book=book)
    for _ in range(11):
        before.take()
    after = budget(per_month=30, book=book)
    assert 30 - 11 - 10 < calls_until_refused(after) <= 30 - 11


def test_the_pace_makes_the_calls_that_are_left_last() -> None:
    clock = FakeClock(datetime(2026, 11, 21, tzinfo=UTC))
    month = budget(per_month=1000, clock=clock)
    assert month.pace() == 10 * 86400 / 1000
    for _ in range(500):
        month.take()
    assert month.pace() == 10 * 86400 / 500
    assert calls_until_refused(month) == 500
    assert month.pace() == 30 * 86400 / 1000  # take() is what says no now; who waits must not look healthy for days


def test_calls_go_on_while_the_ledger_is_away_and_are_counted_when_it_is_back() -> None:
    book = Book()
    month = budget(per_month=100, book=book)
    month.take()
    book.away = True
    for _ in range(50):
        month.take()
    assert month.spent_this_month == 51
    book.away = False
    book.counted["coingecko", NOVEMBER] += 20  # by somebody else meanwhile
    assert calls_until_refused(month) == 29
    assert book.counted["coingecko", NOVEMBER] == 100


def test_the_limit_holds_also_while_the_ledger_is_away() -> None:
    book = Book()
    book.away = True
    assert calls_until_refused(budget(per_month=25, book=book)) == 25


def test_a_month_that_begins_while_the_ledger_is_away_owes_nothing_for_the_last() -> None:
    clock, book = FakeClock(datetime(2026, 11, 30, 23, 59, tzinfo=UTC)), Book()
    month = budget(per_month=40, clock=clock, book=book)
    month.take()
    book.away = True
    for _ in range(15):
        month.take()
    clock.advance(3600)
    month.take()
    book.away = False
    assert calls_until_refused(month) == 39
    assert book.counted["coingecko", DECEMBER] == 40


def test_a_call_that_a_limit_refuses_is_not_counted() -> None:
    book = Book()
    both = budget(per_minute=1, per_month=100, book=book)
    both.take()
    with pytest.raises(RateLimited):
        both.take()
    assert both.spent_this_month == 1


def test_several_threads_spend_no_more_than_there_is() -> None:
    month, made = budget(per_month=95), []

    def spend() -> None:
        made.append(calls_until_refused(month))

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == 95
