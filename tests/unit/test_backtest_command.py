"""What ``backtest`` is asked, and how it says how far it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.cli.backtest import _Now, parse_span, parse_symbols
from app.errors import ConfigurationError
from app.history.backtest import Step

NOW = datetime(2026, 11, 22, 10, 15, 3, tzinfo=UTC)
MONTH = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "start", "end"),
    [
        ("1d", "now", NOW - timedelta(days=1), NOW),
        ("90m", "2026-11-20", datetime(2026, 11, 19, 22, 30, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-01", "2026-11-02T12:00+02:00", MONTH, MONTH + timedelta(hours=34)),
        ("2026-11-01T10:15:00.5Z", "9999-12-31", datetime(2026, 11, 1, 10, 15, 0, 500_000, tzinfo=UTC), NOW),
        ("999999d", "now", datetime(1970, 1, 1, tzinfo=UTC), NOW),
        ("0001-01-01", "now", datetime(1970, 1, 1, tzinfo=UTC), NOW),
    ],
)  # fmt: skip
def test_a_span_is_times_or_a_length_before_its_end(since: str, until: str, start: datetime, end: datetime) -> None:
    assert parse_span(since, until, NOW) == (start, end)


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("yesterday", "now", "--from=yesterday: should be"),
        ("3w", "now", "--from=3w: should be a length of time"),
        ("0d", "now", "--from=0d: should be"),
        ("2026-13-01", "now", "--from=2026-13-01: should be a time"),
        ("1d", "7d", "--to=7d: should be a time"),
        ("2026-11-22", "2026-11-22", "--from=2026-11-22: should be before --to, which is 2026-11-22T00:00:00Z"),
        ("2027-01-01", "2028-01-01", "--from=2027-01-01: should be before --to, which is 2026-11-22T10:15:03Z"),
    ],
)
def test_a_span_that_is_none_is_refused_by_name(since: str, until: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_span(since, until, NOW)
    assert str(refused.value).startswith(said)


def test_symbols_come_in_any_case_with_commas_or_spaces() -> None:
    assert parse_symbols("btc, ETH-eur@Kraken,BTC@coingecko", "coingecko") == ["BTC", "ETH-EUR@kraken", "BTC"]
    for text in ("BTC,!", "", ","):
        with pytest.raises(ConfigurationError, match="--symbols="):
            parse_symbols(text, "coingecko")


def test_it_says_how_far_it_is_after_each_part_of_the_time_once() -> None:
    told: list[tuple[datetime, float, int]] = []
    now = _Now(NOW, NOW + timedelta(seconds=100), 10, lambda *it: told.append(it))
    for second in (0, 5, 10, 11, 19, 45, 46, 99):
        now.look(Step(NOW + timedelta(seconds=second), 3, []))
    assert [(at - NOW, share, ticks) for at, share, ticks in told] == [
        (timedelta(seconds=10), 0.1, 9),
        (timedelta(seconds=45), 0.4, 18),
        (timedelta(seconds=99), 0.9, 24),
    ]
