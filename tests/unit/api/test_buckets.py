"""Buckets by the clocks of a zone, against walking through time minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from app.api.buckets import LENGTHS, Interval, first, runs
from app.api.zones import stretches, zone_named

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what a clock on the wall shows has no zone
ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"),
    *("America/Sao_Paulo", "America/Havana", "America/St_Johns", "Africa/Casablanca", "Pacific/Apia", "America/Nuuk"),
    *("Asia/Pyongyang", "Pacific/Chatham", "Africa/Cairo", "America/Caracas", "Europe/Volgograd", "Asia/Gaza"),
]
CHANGES = {
    name: [s.end for s in stretches(ZoneInfo(name), datetime(2010, 2, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC))]
    for name in ZONES
}


def edges(interval: Interval, name: str, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    return [
        (run.begin + number * run.length, run.begin + (number + 1) * run.length)
        for run in runs(interval, ZoneInfo(name), since, until)
        for number in range(run.count)
    ]


def walked(interval: Interval, name: str, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The same by the rule's words: a minute begins a bucket where the clock shows a multiple that is new."""
    zone, length = ZoneInfo(name), LENGTHS[interval]
    starts: list[datetime] = []
    at, newest, clock = since - timedelta(days=2), -1, None
    while at < until + timedelta(days=2):
        wall = at.astimezone(zone).replace(tzinfo=None)
        number, off = divmod(wall - EPOCH, length)
        leap = timedelta(0) if clock is None else wall - clock - MINUTE
        if not leap % length and leap:
            newest = -1  # the same hours once more, or later ones: as if nothing had happened
        if number > newest and (not off or (leap and leap % length)):
            starts.append(at)
            newest = number
        at, clock = at + MINUTE, wall
    pairs = pairwise(starts)
    return [(start, end) for start, end in pairs if end > since and start < until]


@settings(max_examples=25, deadline=None)
@given(
    interval=st.sampled_from(list(LENGTHS)),
    name=st.sampled_from(ZONES),
    near=st.integers(0, 60),
    before=st.integers(0, 1500),
    minutes=st.integers(1, 2000),
)
@example(interval="1d", name="Pacific/Apia", near=4, before=2000, minutes=3000)
@example(interval="1h", name="Australia/Lord_Howe", near=3, before=600, minutes=1200)
@example(interval="1d", name="America/St_Johns", near=2, before=600, minutes=3000)
def test_buckets_are_where_the_clock_on_the_wall_says(
    interval: Interval, name: str, near: int, before: int, minutes: int
) -> None:
    since = CHANGES[name][near % len(CHANGES[name])] - before * MINUTE
    until = since + minutes * MINUTE
    assert edges(interval, name, since, until) == walked(interval, name, since, until)


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29), 23),  # noqa: DTZ001
        ("Europe/Berlin", datetime(2026, 10, 25), 25),  # noqa: DTZ001
        ("America/Havana", datetime(2026, 11, 1), 25),  # noqa: DTZ001 - midnight twice
        ("Antarctica/Casey", datetime(2010, 3, 5), 27),  # noqa: DTZ001 - back over midnight
        ("America/Sao_Paulo", datetime(2018, 11, 4), 23),  # noqa: DTZ001 - no midnight
        ("Australia/Lord_Howe", datetime(2026, 4, 5), 24.5),  # noqa: DTZ001
    ],
)
def test_days_are_as_long_as_they_are(name: str, day: datetime, hours: float) -> None:
    noon = day.replace(hour=12, tzinfo=ZoneInfo(name)).astimezone(UTC)
    [(start, end)] = edges("1d", name, noon, noon + MINUTE)
    assert end - start == timedelta(hours=hours)
    assert start.astimezone(ZoneInfo(name)).date() == day.date()


def test_candles_of_four_hours_are_three_or_five_where_the_clock_changes_inside() -> None:
    spring, autumn = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
    [(start, end)] = edges("4h", "Europe/Berlin", spring, spring + MINUTE)
    assert end - start == timedelta(hours=3)
    [(start, end)] = edges("4h", "Europe/Berlin", autumn, autumn + MINUTE)
    assert end - start == timedelta(hours=5)


def test_an_hour_that_comes_twice_is_two_candles() -> None:
    since = datetime(2026, 10, 24, 22, tzinfo=UTC)
    found = edges("1h", "Europe/Berlin", since, since + timedelta(hours=25))
    assert len(found) == 25
    assert {end - start for start, end in found} == {timedelta(hours=1)}


def test_a_change_by_half_an_hour_makes_one_candle_of_30_and_one_of_90_minutes() -> None:
    for month, day, length in ((10, 4, 30), (4, 5, 90)):
        change = datetime(2026, month, day, tzinfo=ZoneInfo("Australia/Lord_Howe"))
        lengths = {end - start for start, end in edges("1h", "Australia/Lord_Howe", change, change + 30 * 60 * MINUTE)}
        assert lengths == {60 * MINUTE, length * MINUTE}


def test_hours_of_india_begin_at_half_past_in_utc() -> None:
    since = datetime(2026, 6, 1, tzinfo=UTC)
    starts = [start for start, _ in edges("4h", "Asia/Kolkata", since, since + timedelta(days=1))]
    assert starts[:2] == [datetime(2026, 5, 31, 22, 30, tzinfo=UTC), datetime(2026, 6, 1, 2, 30, tzinfo=UTC)]


def test_years_of_minutes_are_a_few_runs() -> None:
    found = runs("1m", ZoneInfo("Europe/Berlin"), datetime(2009, 1, 3, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    assert len(found) == 2 * 17 + 1
    assert sum(run.count for run in found) == (found[-1].end - found[0].begin) // MINUTE


def test_the_first_of_them_stop_inside_a_run() -> None:
    since = datetime(2026, 10, 20, tzinfo=UTC)
    found = runs("1d", ZoneInfo("Europe/Berlin"), since, since + timedelta(days=30))
    for count in (1, 5, 6, 7, 20):
        assert sum(run.count for run in first(found, count)) == count


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("Asia/Calcuta", "Asia/Calcutta"),
        ("right/Europe/Berlin", None),
        ("../../etc/passwd", None),
        ("Europe", None),
        ("", None),
        ("localtime", None),
        ("x" * 5000, None),
    ],
)
def test_what_is_no_zone_is_refused_with_the_nearest_name(text: str, nearest: str | None) -> None:
    with pytest.raises(ValueError, match=f"do you mean {nearest}" if nearest else "should be a time zone"):
        zone_named(text)


def test_a_plus_that_became_a_space_is_understood() -> None:
    assert zone_named("Etc/GMT 5").key == "Etc/GMT+5"
