"""CoinGecko's history: what is asked, by how long ago it was, and what its replies tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.errors import OutOfReach, ProviderRefused, ProviderUnavailable, RateLimited
from app.model import Instrument, Page
from app.sources.coingecko_history import FREE_REACH, History
from tests.clock import FakeClock
from tests.conftest import SHARED
from tests.provider import Answer, reply, serving
from tests.unit.sources.conftest import Asking

RECORDED = SHARED / "data" / "apis" / "coingecko"
needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded replies are not here")

MINUTE, HOUR, DAY = (timedelta(seconds=s) for s in (60, 3600, 86400))
NOW = FakeClock().now()
BITCOIN = Instrument("BTC", "EUR", "coingecko", "BTC-EUR", "bitcoin")


def milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def chart(*points: tuple[datetime, object, object, object]) -> dict[str, list[list[object]]]:
    return {
        key: [[milliseconds(point[0]), point[place]] for point in points]
        for place, key in enumerate(("prices", "market_caps", "total_volumes"), start=1)
    }


def series(step: timedelta, begin: datetime, end: datetime) -> dict[str, list[list[object]]]:
    return chart(*((begin + step * n, 100 + n, 5, 7) for n in range(int((end - begin) / step))))


def ask(asking: Asking, begin: datetime, end: datetime, *answers: Answer | object) -> tuple[Page, str]:
    """What comes of a call, and its address."""
    with serving(*(each if callable(each) else reply(each) for each in answers)) as provider:
        page = asking(provider).history(BITCOIN, begin, end)
    (asked,) = provider.asked
    return page, asked.target


def test_the_last_day_is_asked_for_as_days_1_in_the_quote_of_the_symbol_with_all_digits(asking: Asking) -> None:
    body = series(5 * MINUTE, NOW - DAY, NOW)
    page, address = ask(asking, NOW - 8 * HOUR, NOW - 2 * HOUR, body)
    assert address == "/coins/bitcoin/market_chart?vs_currency=eur&precision=full&days=1"
    assert (page.begin, page.end, page.resolution) == (NOW - 8 * HOUR, NOW - 2 * HOUR, 5 * MINUTE)
    assert [tick.timestamp for tick in page.ticks] == [NOW - 8 * HOUR + 5 * MINUTE * n for n in range(72)]
    first = page.ticks[0]
    assert (first.symbol, first.price, first.volume_24h, first.market_cap) == ("BTC-EUR", 292, 7, 5)
    assert (first.source, first.origin, first.fetched_at) == ("coingecko", "backfill", NOW)


def test_of_a_longer_time_the_last_day_comes_first(asking: Asking) -> None:
    page, _ = ask(asking, NOW - 9 * DAY, NOW, series(5 * MINUTE, NOW - DAY, NOW))
    assert (page.begin, page.end) == (NOW - DAY, NOW)


def test_what_is_older_than_a_day_is_asked_for_as_a_range_of_at_most_90_days(asking: Asking) -> None:
    end = NOW - DAY
    page, address = ask(asking, NOW - 200 * DAY, end, series(HOUR, end - 90 * DAY, end))
    begin = end - 90 * DAY
    span = f"from={int(begin.timestamp())}&to={int(end.timestamp())}"
    assert address == f"/coins/bitcoin/market_chart/range?vs_currency=eur&precision=full&{span}"
    assert (page.begin, page.end, page.resolution, len(page.ticks)) == (begin, end, HOUR, 90 * 24)


def test_points_are_sorted_and_those_at_the_same_time_are_one(asking: Asking) -> None:
    ahead = NOW - 2 * MINUTE
    body = chart(
        (NOW - 12 * MINUTE, 1, 1, 1),
        (NOW - 7 * MINUTE, 2, 1, 1),
        (ahead, 3, 1, 1),
        (ahead - timedelta(milliseconds=955), 4, 1, 1),
        (NOW - 7 * MINUTE, 5, 1, 1),
    )
    page, _ = ask(asking, NOW - HOUR, NOW, body)
    assert [int(tick.price) for tick in page.ticks] == [1, 2, 4, 3]


def test_a_value_that_cannot_be_used_costs_itself(asking: Asking) -> None:
    times = [NOW - 30 * MINUTE + 5 * MINUTE * n for n in range(5)]
    body = chart(
        (times[0], None, 1, 1), (times[1], 0, 1, 1), (times[2], 3, None, 0), (times[3], "4", 1, 1), (times[4], 5, 6, 7)
    )
    body["prices"] += [[milliseconds(NOW + 10 * MINUTE), 1], [1, 1], [None, 1], ["x", 1], [1.5, 1], [7], 8]  # type: ignore[list-item]
    page, _ = ask(asking, NOW - HOUR, NOW + HOUR, body)
    values = [(tick.timestamp, tick.price, tick.volume_24h, tick.market_cap) for tick in page.ticks]
    assert values == [(times[2], 3, None, None), (times[4], 5, 7, 6)]


def test_what_it_does_not_know_yet_is_not_in_the_page(asking: Asking) -> None:
    page, _ = ask(asking, NOW - 3 * HOUR, NOW, series(5 * MINUTE, NOW - DAY, NOW - HOUR))
    assert (page.begin, page.end) == (NOW - 3 * HOUR, NOW - HOUR)
    page, _ = ask(asking, NOW - 3 * HOUR, NOW, chart())
    assert (page.end, page.ticks, page.resolution) == (NOW, (), 5 * MINUTE)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("error_401_10012_time_range", OutOfReach),
        ("error_404_coin_not_found", OutOfReach),
        ("error_400_invalid_vs_currency", OutOfReach),
        ("error_429_rate_limit", RateLimited),
    ],
)
@needs_recordings
def test_recorded_refusals(asking: Asking, name: str, error: type[Exception]) -> None:
    status = int(name.split("_")[1])
    with pytest.raises(error, match=f"HTTP {status}"):
        ask(asking, NOW - 400 * DAY, NOW - 399 * DAY, reply(Path(RECORDED, f"{name}.json").read_bytes(), status))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply({"status": {"error_code": 10002}}, 401), ProviderRefused),
        (reply({"error_code": 10010, "status": {"error_message": "use pro-api.coingecko.com"}}, 400), ProviderRefused),
        (reply({"error_code": 10011, "status": {"error_message": "use api.coingecko.com"}}, 400), ProviderRefused),
        (reply({"error": "Missing parameter vs_currency"}, 422), ProviderUnavailable),
        (reply(b"<html>no such page</html>", 404), ProviderUnavailable),
        (reply(b"<html>bad request</html>", 400), ProviderUnavailable),
        (reply({}, 502), ProviderUnavailable),
        (reply([]), ProviderUnavailable),
        (reply({"prices": None}), ProviderUnavailable),
    ],
)
def test_what_may_be_better_another_time_is_no_end(asking: Asking, answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(asking, NOW - HOUR, NOW, answer)


def test_a_free_plan_is_not_asked_for_more_than_a_year() -> None:
    asked: list[str] = []

    def never(path: str, query: object) -> object:
        asked.append(path)
        raise ProviderUnavailable("here")

    history = History("coingecko", FakeClock(), FREE_REACH)
    with pytest.raises(OutOfReach, match="coingecko shows 365 days to those without a paid plan"):
        history.page(never, BITCOIN, NOW - 400 * DAY, NOW - 366 * DAY)  # type: ignore[arg-type]
    assert asked == []
    with pytest.raises(ProviderUnavailable):
        History("coingecko", FakeClock(), None).page(never, BITCOIN, NOW - 400 * DAY, NOW - 366 * DAY)  # type: ignore[arg-type]
    assert asked == ["/coins/bitcoin/market_chart/range"]


def test_a_call_of_history_is_one_of_backfill(asking: Asking) -> None:
    with serving(reply(chart())) as provider:
        source = asking(provider, coingecko_calls_per_minute=2)
        source.history(BITCOIN, NOW - HOUR, NOW)
        assert source.budget.calls == 1
        with pytest.raises(RateLimited):  # polling has the other
            for _ in range(3):
                source.history(BITCOIN, NOW - HOUR, NOW)


@needs_recordings
@pytest.mark.parametrize(("days", "step", "points"), [("1d", 5 * MINUTE, 288), ("90d_daily", DAY, 91)])
def test_recorded_charts_are_understood(asking: Asking, days: str, step: timedelta, points: int) -> None:
    body = Path(RECORDED, f"market_chart_btc_usd_{days}_2021-05-15.json").read_bytes()
    begin, end = datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 5, 16, tzinfo=UTC)
    with serving(reply(body)) as provider:
        source = asking(provider)
        page = source.history(BITCOIN, begin, end)
    times = [tick.timestamp for tick in page.ticks]
    assert (page.resolution, len(times)) == (step, points)
    assert times == sorted(set(times))
    assert page.ticks[-1].price == Decimal("49078.83040364477")
    assert all(tick.volume_24h and tick.market_cap for tick in page.ticks)
