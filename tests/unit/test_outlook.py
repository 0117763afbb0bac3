"""Whether a month's credits last is judged by how fast they go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.outlook import Outlook
from tests.clock import FakeClock

BEGIN = datetime(2026, 11, 21, tzinfo=UTC)  # ten days are left
HOUR = 3600.0


def test_nothing_is_predicted_before_an_hour_is_known() -> None:
    fast = Outlook(clock := FakeClock(BEGIN), "fast")
    fast.look(100, 0, 900)
    clock.advance(HOUR - 1)
    fast.look(199, 0, 801)
    assert fast.ends_at is None
    clock.advance(1)
    fast.look(200, 0, 800)
    assert fast.ends_at == clock.now() + timedelta(hours=8)


def test_the_end_is_predicted_by_the_last_day() -> None:
    fast = Outlook(clock := FakeClock(BEGIN), "fast")
    for hour in range(50):
        fast.look(100 * hour, 0, 9000)
        clock.advance(HOUR)
    assert fast.ends_at is not None
    for hour in range(50):
        fast.look(5000 + hour, 0, 4000)  # an hour costs one by now
        clock.advance(HOUR)
    assert fast.ends_at is None


def test_a_sustained_pace_ends_early_only_by_what_others_spend() -> None:
    sustain = Outlook(clock := FakeClock(BEGIN), "sustain")
    for hour in range(3):
        sustain.look(100 * hour, 0, 1000 - 100 * hour)
        clock.advance(HOUR)
    assert sustain.ends_at is None
    sustain.look(300, 300, 400)
    assert sustain.ends_at == clock.now() + timedelta(hours=4)
    assert "others spend them" in sustain.sentence(1000, sustain.ends_at)


def test_what_lasts_or_is_gone_or_stands_still_has_no_end_ahead() -> None:
    for spent, left in ((100, 100 * 240 - 100), (100, 0), (0, 10)):
        fast = Outlook(clock := FakeClock(BEGIN), "fast")
        fast.look(0, 0, left)
        clock.advance(HOUR)
        fast.look(spent, 0, left)
        assert fast.ends_at is None


def test_a_new_month_knows_nothing_of_the_last() -> None:
    fast = Outlook(clock := FakeClock(BEGIN), "fast")
    fast.look(0, 0, 1000)
    clock.advance(HOUR)
    fast.look(100, 0, 900)
    assert fast.sentence(1000, fast.ends_at or BEGIN).startswith(
        "at this pace the month's 1000 credits end on 2026-11-21"
    )
    fast.begin()
    assert fast.ends_at is None
    fast.look(100, 0, 900)
    assert fast.ends_at is None
