"""How long to wait before the next try to connect."""

from __future__ import annotations

import random

from app.streams.backoff import Backoff


def longest(_low: float, high: float) -> float:
    return high


def test_the_longest_wait_doubles_from_a_second_to_a_minute() -> None:
    backoff = Backoff(longest)
    assert [backoff.failed(0) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_wait_is_anything_up_to_the_longest() -> None:
    backoff = Backoff(random.Random(1).uniform)
    waits = [backoff.failed(0) for _ in range(2000)][10:]
    assert max(waits) <= 60
    assert min(waits) < 1
    assert 27 < sum(waits) / len(waits) < 33


def test_a_connection_that_held_for_a_minute_begins_anew() -> None:
    backoff = Backoff(longest)
    for _ in range(5):
        backoff.failed(59.9)
    assert backoff.failures == 5
    assert backoff.failed(60) == 1
    assert backoff.failures == 1


def test_it_counts_as_well_as_soon_as_it_has_held_for_a_minute() -> None:
    backoff = Backoff(longest)
    backoff.failed(0)
    backoff.holds(59)
    assert backoff.failures == 1
    backoff.holds(60)
    assert backoff.failures == 0


def test_a_million_failures_overflow_nothing() -> None:
    backoff = Backoff(longest)
    backoff.failures = 10**6
    assert backoff.failed(0) == 60
