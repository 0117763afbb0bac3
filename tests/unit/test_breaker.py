"""The circuit breaker: when it opens, how long it waits, and what closes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.breaker import FAILURES, Breaker, jittered


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed()
    return breaker


def test_it_stays_closed_and_makes_nobody_wait_until_the_fifth_failure_in_a_row() -> None:
    breaker = Breaker()
    assert [breaker.failed() for _ in range(4)] == [0.0] * 4
    assert breaker.is_closed
    assert breaker.failed() > 0
    assert not breaker.is_closed


def test_failures_that_are_not_in_a_row_never_open_it() -> None:
    breaker = Breaker()
    for _ in range(100):
        for _ in range(FAILURES - 1):
            assert breaker.failed() == 0.0
        breaker.worked()
    assert breaker.is_closed


def test_the_pauses_grow_and_have_a_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.breaker.jittered", lambda seconds: seconds)
    breaker = opened()
    assert [breaker.failed() for _ in range(6)] == [2, 4, 8, 16, 30, 30]
    for _ in range(5000):
        breaker.failed()
    assert breaker.failed() == 30


def test_one_success_closes_it_and_the_next_time_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.breaker.jittered", lambda seconds: seconds)
    breaker = opened()
    breaker.failed()
    breaker.worked()
    assert breaker.is_closed
    assert [breaker.failed() for _ in range(6)] == [0, 0, 0, 0, 1, 2]


@given(st.lists(st.booleans(), max_size=60))
def test_it_is_open_exactly_after_five_failures_without_a_success(answers: list[bool]) -> None:
    breaker, in_a_row = Breaker(), 0
    for answered in answers:
        pause = breaker.worked() if answered else breaker.failed()
        in_a_row = 0 if answered else in_a_row + 1
        assert breaker.is_closed == (in_a_row < FAILURES)
        if pause is not None:
            longest = min(30.0, 2.0 ** (in_a_row - FAILURES))
            assert (longest / 2 <= pause <= longest) if in_a_row >= FAILURES else pause == 0


def test_waiting_is_spread_so_that_many_do_not_come_back_at_once() -> None:
    found = [jittered(10) for _ in range(1000)]
    assert all(5 <= seconds <= 10 for seconds in found)
    assert max(found) - min(found) > 4
