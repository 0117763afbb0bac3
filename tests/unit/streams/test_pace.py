"""The usual time between updates, and the silence that is unusual."""

from __future__ import annotations

from app.streams.pace import ENOUGH, Pace


def paced(*gaps: float) -> Pace:
    pace, now = Pace(), 100.0
    pace.note(now)
    for gap in gaps:
        now += gap
        pace.note(now)
    return pace


def test_nothing_is_said_of_what_came_a_few_times() -> None:
    assert paced(*[1.0] * (ENOUGH - 1)).patience(30) is None
    assert paced(*[1.0] * ENOUGH).patience(30) == 30


def test_ten_times_the_usual_time_is_waited_for() -> None:
    assert paced(*[7.0] * 50).patience(30) == 70


def test_the_usual_time_follows_what_is_usual_now() -> None:
    slow_then_fast = paced(*[60.0] * 50, *[0.5] * 600)
    assert slow_then_fast.patience(1) == 5.0 or 5 <= (slow_then_fast.patience(1) or 0) < 5.01
    fast_then_slow = paced(*[0.5] * 600, *[60.0] * 200)
    assert 590 < (fast_then_slow.patience(1) or 0) <= 600


def test_bursts_do_not_make_the_pause_between_them_unusual() -> None:
    minute = [0.02] * 50 + [50.0]
    assert (paced(*minute * 10).patience(15) or 0) > 50


def test_the_time_without_a_connection_is_no_gap() -> None:
    pace, now = Pace(), 0.0
    for _ in range(20):
        pace.note(now := now + 1)
    pace.restart()
    for _ in range(20):
        pace.note(now := now + 1000 if _ == 0 else now + 1)
    assert pace.patience(1) == 10


def test_a_silence_that_was_cut_off_is_borne_for_longer_the_next_time() -> None:
    pace = paced(*[1.0] * 20)
    assert pace.patience(15) == 15
    pace.was_silent(16)
    assert pace.patience(15) == 32
