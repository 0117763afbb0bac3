from __future__ import annotations

import pytest

from app.errors import ConfigurationError
from app.simulate.timeline import DAY, Timeline, iso
from tests.clock import FakeClock


def test_market_time_starts_a_day_ago_and_stands_until_the_market_opens(clock: FakeClock) -> None:
    timeline = Timeline(clock, 60)
    clock.advance(12.5)
    assert not timeline.is_open
    assert iso(timeline.now()) == "2026-11-21T10:00:00Z"


def test_it_runs_at_speed_from_the_opening_on_in_whole_seconds(clock: FakeClock) -> None:
    timeline = Timeline(clock, 60)
    clock.advance(5)
    timeline.open()
    assert timeline.now() == timeline.start
    clock.advance(1.51)
    assert timeline.now() == timeline.start + 90
    assert isinstance(timeline.now(), int)


def test_opening_twice_changes_nothing(clock: FakeClock) -> None:
    timeline = Timeline(clock, 60)
    timeline.open()
    clock.advance(10)
    timeline.open()
    assert timeline.now() == timeline.start + 600


def test_once_it_has_reached_the_present_it_runs_at_the_pace_of_the_clock(clock: FakeClock) -> None:
    timeline = Timeline(clock, 60)
    timeline.open()
    reached = DAY / 59  # it gains 59 seconds a second on the present
    for seconds in (reached - 1, 2, 1, 998):
        clock.advance(seconds)
        behind = clock.now().timestamp() - timeline.now()
        assert (behind > 50) if seconds == reached - 1 else (0 <= behind <= 1)


def test_it_never_goes_back_and_never_runs_ahead_of_the_present(clock: FakeClock) -> None:
    timeline = Timeline(clock, 1_000)
    timeline.open()
    before = timeline.now()
    for _ in range(2_000):
        clock.advance(0.1)
        assert before <= timeline.now() <= clock.now().timestamp()
        before = timeline.now()


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(clock: FakeClock, speed: float) -> None:
    with pytest.raises(ConfigurationError, match="--speed"):
        Timeline(clock, speed)
