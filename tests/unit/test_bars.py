from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.bars import bar_ticks

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def ticks(
    open: str, high: str, low: str, close: str, length: timedelta = timedelta(minutes=1)
) -> list[tuple[str, str]]:
    """Times after noon, and prices."""
    prices = map(Decimal, (open, high, low, close))
    found = bar_ticks("BTC@kraken", NOON, length, *prices, fetched_at=NOON + timedelta(days=1), source="kraken")
    assert {(t.symbol, t.source, t.origin, t.volume_24h, t.market_cap) for t in found} == {
        ("BTC@kraken", "kraken", "backfill", None, None)
    }
    return [(str(tick.timestamp - NOON), str(tick.price)) for tick in found]


@pytest.mark.parametrize(
    ("bar", "middle"),
    [
        (("10", "13", "9", "12"), ("9", "13")),  # it rises: first down, then up
        (("12", "13", "9", "10"), ("13", "9")),
        (("10", "13", "9", "10"), ("13", "9")),
    ],
)
def test_a_bar_is_four_ticks_within_it(bar: tuple[str, str, str, str], middle: tuple[str, str]) -> None:
    assert ticks(*bar) == [
        ("0:00:00", bar[0]),
        ("0:00:20", middle[0]),
        ("0:00:40", middle[1]),
        ("0:00:59.999000", bar[3]),
    ]


def test_a_bar_in_which_nothing_moved_is_one_tick_with_its_own_digits() -> None:
    assert ticks("10.50", "10.50", "10.5", "10.500") == [("0:00:00", "10.50")]


@pytest.mark.parametrize("minutes", [1, 5, 60, 240, 1440])
def test_bars_that_follow_each_other_share_no_time(minutes: int) -> None:
    length = timedelta(minutes=minutes)
    found = bar_ticks("BTC", NOON, length, *map(Decimal, (1, 3, 1, 2)), fetched_at=NOON, source="kraken")
    times = [tick.timestamp for tick in found]
    assert times == sorted(set(times))
    assert NOON <= times[0] <= times[-1] < NOON + length
