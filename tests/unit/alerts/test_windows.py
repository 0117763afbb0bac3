"""Trailing windows against brute force."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given

from app.alerts.windows import Arrival, Statistic, Window

T0 = datetime(2021, 4, 18, 3, 35, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def window(*seconds: float, length: float = 300) -> Window:
    """A window that took ticks at these seconds, each with its second as price."""
    made = Window(length)
    for second in seconds:
        made.add(at(second), Decimal(str(1000 + second)), None, None)
    return made


def test_the_window_never_contains_the_tick_it_is_compared_with() -> None:
    assert window(0, 100, 300).compute(Statistic.AVG, "price", 300, at(300)) == 1050


def test_a_tick_exactly_one_window_ago_is_in_it() -> None:
    assert window(0).compute(Statistic.COUNT, "price", 300, at(300)) == 1
    assert window(0).compute(Statistic.COUNT, "price", 300, at(300.000001)) is None


@pytest.mark.parametrize(("oldest", "known"), [(150, True), (150.000001, False), (149, True), (299, False)])
def test_a_window_that_does_not_reach_back_half_its_length_is_unknown(oldest: float, known: bool) -> None:
    assert (window(oldest).compute(Statistic.AVG, "price", 300, at(300)) is not None) is known


def test_after_a_gap_the_window_is_unknown_until_it_reaches_back_again() -> None:
    made = window(0, 60, 120, 180, 1000, 1060, 1120)
    assert made.compute(Statistic.AVG, "price", 300, at(1060)) is None
    assert made.compute(Statistic.AVG, "price", 300, at(1150)) == 2060


def test_missing_values_are_left_out_and_do_not_count_as_reaching_back() -> None:
    made = Window(300)
    for second, volume in ((0, None), (100, None), (200, "5"), (250, "7")):
        made.add(at(second), Decimal(1), None if volume is None else Decimal(volume), None)
    assert made.compute(Statistic.AVG, "volume", 300, at(300)) is None
    assert made.compute(Statistic.AVG, "volume", 300, at(350)) == 6
    assert made.compute(Statistic.COUNT, "volume", 300, at(350)) == 2
    assert made.compute(Statistic.COUNT, "price", 300, at(350)) == 3


def test_how_a_tick_stands_to_those_before() -> None:
    made = window(100)
    assert made.add(at(200), Decimal(1), None, None) is Arrival.NEW
    assert made.add(at(200), Decimal(2), None, None) is Arrival.KNOWN
    assert made.add(at(150), Decimal(3), None, None) is Arrival.LATE
    assert made.add(at(150), Decimal(4), None, None) is Arrival.KNOWN
    assert made.add(at(-5000), Decimal(5), None, None) is Arrival.LATE
    assert made.compute(Statistic.MAX, "price", 300, at(300)) == 1100  # the first of equal timestamps stands


def test_it_keeps_no_more_than_its_length() -> None:
    made = Window(300)
    for second in range(100_000):
        made.add(at(second), Decimal(1), None, None)
    assert len(made) == 301


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 900), st.decimals("0.01", "1000000", places=2)), max_size=60),
    length=st.sampled_from([30, 300]),
)
def test_every_statistic_equals_brute_force_whatever_the_order_of_arrival(
    arrivals: list[tuple[int, Decimal]], length: int
) -> None:
    made = Window(300)
    first: dict[int, Decimal] = {}
    newest = -1
    for second, price in arrivals:
        made.add(at(second), price, None, None)
        first.setdefault(second, price)
        newest = max(newest, second)
        end = newest + 1
        inside = [float(p) for s, p in sorted(first.items()) if end - length <= s < end]
        reaches = any(end - length <= s <= end - length / 2 for s in first)
        for statistic, plain in (
            (Statistic.AVG, statistics.fmean),
            (Statistic.MIN, min),
            (Statistic.MAX, max),
            (Statistic.STDDEV, statistics.pstdev),
            (Statistic.COUNT, len),
        ):
            computed = made.compute(statistic, "price", length, at(end))
            if not reaches:
                assert computed is None
            else:
                assert computed is not None
                assert math.isclose(computed, plain(inside), rel_tol=1e-9, abs_tol=1e-6)


@given(st.permutations(range(0, 300, 7)))
def test_a_statistic_does_not_depend_on_how_the_window_was_reached(order: list[int]) -> None:
    prices = {second: Decimal(f"{1000 + second / 7:.2f}") for second in order}
    made = Window(300)
    for second in order:
        made.add(at(second), prices[second], None, None)
    straight = window(length=300)
    for second in sorted(order):
        straight.add(at(second), prices[second], None, None)
    for statistic in Statistic:
        assert made.compute(statistic, "price", 300, at(300)) == straight.compute(statistic, "price", 300, at(300))
