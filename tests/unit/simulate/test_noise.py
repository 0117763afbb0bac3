from __future__ import annotations

from itertools import pairwise
from statistics import fmean

import pytest

from app.simulate import synthetic
from app.simulate.noise import Habit, Shocks, Waves, stream, uniform

HABIT = Habit(slot=1_000, chance=0.5, sizes=(0.02, 0.1), rise=(10, 20), fade=(100, 900), down=0.5)


def test_the_numbers_of_a_stream_are_spread_evenly_and_differ_between_streams() -> None:
    numbers = [uniform(stream("a"), index) for index in range(10_000)]
    assert all(0 <= number < 1 for number in numbers)
    assert fmean(numbers) == pytest.approx(0.5, abs=0.01)
    assert [sum(number < share for number in numbers) / 10_000 for share in (0.1, 0.9)] == pytest.approx(
        [0.1, 0.9], abs=0.015
    )
    assert numbers != [uniform(stream("b"), index) for index in range(10_000)]


def test_waves_stay_within_the_sum_of_their_heights_and_have_no_steps() -> None:
    waves = Waves("test", [(500, 0.3), (60, 0.1)])
    heights = [waves.at(time) for time in range(-5_000, 5_000)]
    assert max(map(abs, heights)) <= 0.4
    assert max(heights) > 0.15
    assert min(heights) < -0.15
    assert max(abs(b - a) for a, b in pairwise(heights)) < 2 * 1.5 * (0.3 / 500 + 0.1 / 60)


def test_shocks_are_rare_fast_up_slow_down_and_of_the_sizes_asked_for() -> None:
    shocks = Shocks("test", HABIT)
    moves = [shocks.at(time) for time in range(200_000)]
    quiet = sum(move == 0 for move in moves) / len(moves)
    assert 0.3 < quiet < 0.95
    assert 0.02 <= max(moves) <= 0.2  # two of them may overlap
    assert -0.2 <= min(moves) <= -0.02
    # Continuous: no second has more than the steepest rise allows, also where one slot ends and the next begins.
    assert max(abs(b - a) for a, b in pairwise(moves)) < 2 * 1.5 * 0.1 / 10


@pytest.mark.parametrize("name", ["_PRICE_SHOCKS", "_MARKET_SHOCKS", "_VOLUME_SURGES"])
def test_a_shock_of_the_market_is_over_before_its_slot_is_two_back(name: str) -> None:
    habit: Habit = getattr(synthetic, name)
    assert habit.rise[1] + habit.fade[1] <= habit.slot
