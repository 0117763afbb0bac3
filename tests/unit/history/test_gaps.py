"""What is usual for a symbol, and what of a hole is not known yet, beside brute force."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.history.gaps import Feed, Hole, surplus, usual_spacing, without

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


@given(st.text("01", min_size=1, max_size=60))
def test_the_usual_spacing_is_the_median_from_minute_to_minute(minutes: str) -> None:
    places = [place for place, bit in enumerate(minutes) if bit == "1"]
    spacings = [later - earlier for earlier, later in pairwise(places)]
    usual = usual_spacing(minutes, len(places))
    if len(places) <= 4:
        assert usual == timedelta(0)
    else:
        # Half of each: the shorter one is as usual as the other.
        assert usual in {median(spacings) * MINUTE, sorted(spacings)[(len(spacings) - 1) // 2] * MINUTE}


@pytest.mark.parametrize(("ticks", "seconds"), [(1440, 60), (2880, 30), (86400, 1), (28800, 3)])
def test_of_minutes_with_many_ticks_it_is_their_mean(ticks: int, seconds: int) -> None:
    assert usual_spacing("1" * 1440, ticks) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("mean", "days"), [(1 / 3, 1), (1, 1), (3, 1), (10, 1), (30, 1), (30, 30), (3, 30)])
def test_what_comes_at_random_is_hardly_ever_longer_than_chance_makes_it(mean: float, days: int) -> None:
    chance = random.Random(7)
    longer, of_days = 0, 60
    for _ in range(of_days // days):
        bits, at_minute, ticks = ["0"] * 1440 * days, chance.expovariate(1 / mean), 0
        while at_minute < 1440 * days:
            bits[int(at_minute)], ticks = "1", ticks + 1
            at_minute += chance.expovariate(1 / mean)
        minutes = "".join(bits)
        most = max(4 * usual_spacing(minutes, ticks) + surplus(minutes), 2 * MINUTE)
        assert most < timedelta(minutes=25 * mean + 5)
        longer += sum(1 for zeros in minutes.strip("0").split("1") if len(zeros) * MINUTE > most)
    assert longer <= 1


@pytest.mark.parametrize("minutes", ["1" * 1440, "1000" * 300, "100010000" * 100, "1" * 700 + "0" * 40 + "1" * 700])
def test_what_comes_regularly_has_no_surplus(minutes: str) -> None:
    assert surplus(minutes) == timedelta(0)


@given(
    st.tuples(st.integers(0, 60), st.integers(1, 60)),
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)), max_size=5),
)
def test_what_is_known_of_a_hole_is_taken_out_and_no_more(hole: tuple[int, int], spans: list[tuple[int, int]]) -> None:
    begin, end = hole[0], sum(hole)
    known = sorted({start: start + length for start, length in spans}.items())
    parts = without(Hole("BTC", at(begin), at(end), "why"), [(at(a), at(b)) for a, b in known])
    left = {minute for minute in range(begin, end) if not any(a <= minute < b for a, b in known)}
    found = [(int((part.begin - NOON) / MINUTE), int((part.end - NOON) / MINUTE)) for part in parts]
    covered = {minute for first, last in found for minute in range(first, last)}
    assert covered <= left
    # What is not taken up is too short to be worth a call.
    rest = sorted(left - covered)
    runs = [minute for minute in rest if minute - 1 in rest and minute - 2 in rest]
    assert runs == []
    assert all(part.symbol == "BTC" and part.why == "why" for part in parts)


def test_nothing_is_a_hole_before_three_rounds_and_what_the_markets_history_can_tell() -> None:
    assert Feed("kraken", (), 1.0).least == 2 * MINUTE
    assert Feed("kraken", (), 60.0).least == 3 * MINUTE
    assert Feed("coingecko", (), 60.0).least == 10 * MINUTE
    assert Feed("coinmarketcap", (), 300.0).least == 15 * MINUTE
