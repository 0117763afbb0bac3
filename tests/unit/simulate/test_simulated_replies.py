from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.simulate.digits import Digits, to_json
from app.simulate.recording import Recording, Row
from app.simulate.replies import RATE_LIMIT_BODY, CoinGecko, Refusal
from app.simulate.synthetic import SyntheticMarket
from app.simulate.timeline import DAY, Timeline
from tests.clock import FakeClock
from tests.conftest import SHARED

RECORDED = SHARED / "data" / "apis" / "coingecko"
ALL_FLAGS = {
    "include_market_cap": "true",
    "include_24hr_vol": "true",
    "include_24hr_change": "true",
    "include_last_updated_at": "true",
}

needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded replies are not here")


def recorded(name: str) -> Any:
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


@pytest.fixture
def timeline(clock: FakeClock) -> Timeline:
    return Timeline(clock, 60)


@pytest.fixture
def api(timeline: Timeline) -> CoinGecko:
    return CoinGecko(SyntheticMarket(2), timeline)


@pytest.fixture
def replay(timeline: Timeline) -> CoinGecko:
    """Two coins, three minutes; ZEC comes late and has no volume."""
    rows = [
        Row(datetime(2021, 4, 17, 21, minute, tzinfo=UTC), symbol, Digits(price), Digits(volume) if volume else None)
        for minute, symbol, price, volume in [
            (0, "BTC", "60781.970", "3692454343"),
            (1, "BTC", "60784.39", "3691913403"),
            (2, "ZEC", "294.55", ""),
            (3, "BTC", "1.5e3", "1"),
        ]
    ]
    return CoinGecko(Recording("rows.csv", rows, timeline.start), timeline)


def ask(api: CoinGecko, path: str, **query: str) -> Any:
    return json.loads(to_json(api.answer(path, query)))


def refused(api: CoinGecko, path: str, **query: str) -> tuple[int, Any]:
    with pytest.raises(Refusal) as refusal:
        api.answer(path, query)
    return refusal.value.status, json.loads(to_json(refusal.value.body))


def kinds(value: Any) -> Any:
    """The form of a reply: keys in their order, ints and floats alike a number, one element for a list."""
    if isinstance(value, dict):
        return [(key, kinds(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [kinds(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


@needs_recordings
def test_ping_and_simple_price_have_the_recorded_form(api: CoinGecko) -> None:
    assert ask(api, "/ping") == recorded("oas_example_ping.json")
    reply = ask(api, "/simple/price", ids="bitcoin", vs_currencies="usd", **ALL_FLAGS)
    assert kinds(reply) == kinds(recorded("oas_example_simple_price_allflags.json"))
    assert isinstance(reply["bitcoin"]["last_updated_at"], int)
    assert ask(api, "/simple/price", ids="nobody", vs_currencies="usd") == recorded("simple_price_unknown_id.json")


@needs_recordings
def test_coins_list_market_chart_and_markets_have_the_recorded_form(api: CoinGecko) -> None:
    assert kinds(ask(api, "/coins/list")) == kinds(recorded("coins_list_2025-08-03.json"))
    chart = ask(api, "/coins/bitcoin/market_chart", vs_currency="usd", days="1")
    assert kinds(chart) == kinds(recorded("market_chart_btc_usd_1d_2021-05-15.json"))
    theirs = recorded("coins_markets_usd_250_2025-05-09.json")
    allowed = {key: {kinds(row[key]) for row in theirs if not isinstance(row[key], dict)} for key in theirs[0]}
    for row in ask(api, "/coins/markets", vs_currency="usd"):
        assert list(row) == list(theirs[0])
        for key, value in row.items():
            # The specification has all of them nullable but these.
            nullable = key not in ("id", "symbol", "name", "image", "last_updated", "current_price", "market_cap_rank")
            assert kinds(value) in allowed[key] or (nullable and value is None), key
        datetime.strptime(row["last_updated"], "%Y-%m-%dT%H:%M:%S.%f%z")


@needs_recordings
@pytest.mark.parametrize(
    ("body", "path", "query"),
    [
        ("error_422_missing_ids", "/simple/price", {"vs_currencies": "usd"}),
        ("error_422_missing_vs_currency", "/coins/markets", {}),
        ("error_400_invalid_vs_currency", "/coins/markets", {"vs_currency": "usdt"}),
        ("error_400_invalid_vs_currency", "/coins/bitcoin/market_chart", {"vs_currency": "usdt", "days": "1"}),
        ("error_404_coin_not_found", "/coins/nobody/market_chart", {"vs_currency": "usd", "days": "1"}),
        ("error_401_10012_time_range", "/coins/bitcoin/market_chart", {"vs_currency": "usd", "days": "max"}),
        ("error_401_10012_time_range", "/coins/bitcoin/market_chart", {"vs_currency": "usd", "days": "366"}),
    ],
)
def test_errors_are_the_recorded_ones(api: CoinGecko, body: str, path: str, query: dict[str, str]) -> None:
    status, reply = refused(api, path, **query)
    assert status == int(body.split("_")[1])
    theirs = recorded(f"{body}.json")
    if "10012" in body:  # the one that holds the time of the answer
        datetime.fromisoformat(reply["error"]["status"].pop("timestamp"))
        theirs["error"]["status"].pop("timestamp")
    assert reply == theirs


@needs_recordings
def test_the_rate_limit_is_the_recorded_one_to_the_byte() -> None:
    assert to_json(RATE_LIMIT_BODY) == (RECORDED / "error_429_rate_limit.json").read_text(encoding="utf-8")


def test_missing_parameters_are_named(api: CoinGecko) -> None:
    assert refused(api, "/simple/price", ids="bitcoin") == (422, {"error": "Missing parameter vs_currencies"})
    assert refused(api, "/simple/price", ids="", vs_currencies="usd") == (422, {"error": "Missing parameter ids"})
    assert refused(api, "/coins/zcash/market_chart", days="1") == (422, {"error": "Missing parameter vs_currency"})
    assert refused(api, "/coins/zcash/market_chart", vs_currency="usd") == (422, {"error": "Missing parameter days"})
    assert refused(api, "/nowhere")[0] == 404


def test_a_parameter_that_makes_no_sense_is_refused(api: CoinGecko) -> None:
    assert refused(api, "/simple/price", ids="bitcoin", vs_currencies="usd", precision="19")[0] == 400
    assert refused(api, "/coins/markets", vs_currency="usd", page="0") == (400, {"error": "invalid page"})
    assert refused(api, "/coins/zcash/market_chart", vs_currency="usd", days="x") == (400, {"error": "invalid days"})


def test_coins_come_in_the_order_of_their_ids_once_each_and_unknown_ones_are_left_out(api: CoinGecko) -> None:
    reply = ask(api, "/simple/price", ids="zcash,nobody,bitcoin,zcash,avalanche-2", vs_currencies="usd")
    assert list(reply) == ["avalanche-2", "bitcoin", "zcash"]


def test_a_space_after_a_comma_loses_what_follows_as_with_coingecko(api: CoinGecko) -> None:
    assert list(ask(api, "/simple/price", ids="bitcoin, ethereum", vs_currencies="usd")) == ["bitcoin"]
    assert list(ask(api, "/simple/price", ids="bitcoin", vs_currencies="eur, usd")["bitcoin"]) == ["eur"]


def test_an_unsupported_currency_in_simple_price_leaves_the_coin_empty(api: CoinGecko, replay: CoinGecko) -> None:
    assert ask(api, "/simple/price", ids="bitcoin", vs_currencies="usdt") == {"bitcoin": {}}
    assert list(ask(api, "/simple/price", ids="bitcoin", vs_currencies="BTC,eur,usd")["bitcoin"]) == [
        "btc",
        "eur",
        "usd",
    ]
    assert ask(replay, "/simple/price", ids="bitcoin", vs_currencies="eur") == {"bitcoin": {}}


def test_only_what_was_asked_for_is_answered(api: CoinGecko) -> None:
    def fields(**query: str) -> list[str]:
        return list(ask(api, "/simple/price", ids="bitcoin", vs_currencies="usd,eur", **query)["bitcoin"])

    assert fields() == ["usd", "eur"]
    assert fields(include_market_cap="false", include_24hr_vol="true") == ["usd", "usd_24h_vol", "eur", "eur_24h_vol"]
    assert fields(include_last_updated_at="true") == ["usd", "eur", "last_updated_at"]


def test_precision_rounds_the_price(api: CoinGecko) -> None:
    exact = ask(api, "/simple/price", ids="chainlink", vs_currencies="usd", precision="full")["chainlink"]["usd"]
    assert ask(api, "/simple/price", ids="chainlink", vs_currencies="usd")["chainlink"]["usd"] == exact
    rounded = ask(api, "/simple/price", ids="chainlink", vs_currencies="usd", precision="1")["chainlink"]["usd"]
    assert rounded == pytest.approx(exact, abs=0.05)
    assert rounded == round(rounded, 1)


def test_the_market_opens_with_the_first_price_and_not_before(
    api: CoinGecko, timeline: Timeline, clock: FakeClock
) -> None:
    ask(api, "/ping")
    ask(api, "/coins/list")
    refused(api, "/simple/price", ids="bitcoin")
    clock.advance(20)
    assert not timeline.is_open
    stamps = []
    for _ in range(3):
        reply = ask(api, "/simple/price", ids="bitcoin", vs_currencies="usd", include_last_updated_at="true")
        stamps.append(reply["bitcoin"]["last_updated_at"] - timeline.start)
        clock.advance(1)
    assert stamps == [0, 60, 120]


def test_a_recording_is_passed_through_digit_for_digit(replay: CoinGecko, timeline: Timeline, clock: FakeClock) -> None:
    def text() -> str:
        query = {"ids": "bitcoin,zcash", "vs_currencies": "usd", **ALL_FLAGS, "include_24hr_change": "false"}
        return to_json(replay.answer("/simple/price", query))

    start = timeline.start
    assert text() == (
        '{"bitcoin":{"usd":60781.970,"usd_market_cap":null,"usd_24h_vol":3692454343,'
        f'"last_updated_at":{start}}},"zcash":{{}}}}'
    )
    clock.advance(3)
    assert text() == (
        f'{{"bitcoin":{{"usd":1.5e3,"usd_market_cap":null,"usd_24h_vol":1,"last_updated_at":{start + 180}}},'
        f'"zcash":{{"usd":294.55,"usd_market_cap":null,"usd_24h_vol":null,"last_updated_at":{start + 120}}}}}'
    )


def test_what_a_recording_does_not_know_is_null(replay: CoinGecko, clock: FakeClock) -> None:
    ask(replay, "/coins/markets", vs_currency="usd")
    clock.advance(1)
    [row] = ask(replay, "/coins/markets", vs_currency="usd")  # ZEC has not been observed yet
    assert (row["id"], row["current_price"], row["low_24h"], row["high_24h"]) == (
        "bitcoin",
        60784.39,
        60781.97,
        60784.39,
    )
    assert row["market_cap"] is row["market_cap_rank"] is row["price_change_24h"] is row["circulating_supply"] is None
    change = ask(replay, "/simple/price", ids="bitcoin", vs_currencies="usd", include_24hr_change="true")
    assert change["bitcoin"]["usd_24h_change"] is None


def test_the_end_of_a_recording_is_logged_once_and_its_last_row_stands(
    replay: CoinGecko, timeline: Timeline, clock: FakeClock
) -> None:
    query = {"ids": "bitcoin", "vs_currencies": "usd", "include_last_updated_at": "true"}
    with capture_logs() as logs:
        for seconds, over in ((0, False), (3, False), (1, True), (1, True), (1_000, True)):
            clock.advance(seconds)
            reply = ask(replay, "/simple/price", **query)
            assert bool(logs) == over
    assert reply == {"bitcoin": {"usd": 1500.0, "last_updated_at": timeline.start + 180}}
    assert [entry["action"] for entry in logs] == ["end"]


def test_the_day_change_compares_with_the_price_a_day_before(api: CoinGecko, timeline: Timeline) -> None:
    query = {"ids": "ethereum", "vs_currencies": "eur", "include_24hr_change": "true"}
    reply = ask(api, "/simple/price", **query)["ethereum"]
    before = float(SyntheticMarket(2).at("ethereum", "eur", timeline.start - DAY).price)
    assert reply["eur_24h_change"] == pytest.approx((reply["eur"] / before - 1) * 100)


@pytest.mark.parametrize(
    ("query", "step", "count"),
    [
        ({"days": "1"}, 300, 288),
        ({"days": "2"}, 3_600, 48),
        ({"days": "90"}, 3_600, 2_160),
        ({"days": "91"}, DAY, 91),
        ({"days": "365"}, DAY, 365),
        ({"days": "30", "interval": "daily"}, DAY, 30),
    ],
)
def test_a_chart_has_the_granularity_of_coingecko_and_ends_now(
    api: CoinGecko, timeline: Timeline, clock: FakeClock, query: dict[str, str], step: int, count: int
) -> None:
    ask(api, "/coins/markets", vs_currency="usd")
    clock.advance(1.2)  # off every grid
    chart = ask(api, "/coins/zcash/market_chart", vs_currency="usd", **query)
    times = [time // 1000 for time, _ in chart["prices"]]
    assert times[-1] == timeline.now()
    assert len(times) == count + 1
    assert all(time % step == 0 for time in times[:-1])
    assert times == sorted(set(times))
    for name in ("market_caps", "total_volumes"):
        assert [time // 1000 for time, _ in chart[name]] == times
    price = float(SyntheticMarket(2).at("zcash", "usd", times[0]).price)
    assert chart["prices"][0][1] == price


def test_a_chart_of_a_recording_has_each_of_its_observations_once_and_invents_none(
    replay: CoinGecko, timeline: Timeline, clock: FakeClock
) -> None:
    ask(replay, "/coins/markets", vs_currency="usd")
    clock.advance(60)  # an hour later: the recording ended long ago
    chart = ask(replay, "/coins/bitcoin/market_chart", vs_currency="usd", days="1")
    assert chart["prices"] == [[timeline.start * 1000, 60781.97], [(timeline.start + 180) * 1000, 1500.0]]
    assert chart["market_caps"] == [[timeline.start * 1000, None], [(timeline.start + 180) * 1000, None]]


def test_markets_are_ranked_by_market_cap_filtered_ordered_and_paged(api: CoinGecko) -> None:
    everything = ask(api, "/coins/markets", vs_currency="usd")
    caps = [row["market_cap"] for row in everything]
    assert caps == sorted(caps, reverse=True)
    assert [row["market_cap_rank"] for row in everything] == list(range(1, len(everything) + 1))

    def ids(**query: str) -> list[str]:
        return [row["id"] for row in ask(api, "/coins/markets", vs_currency="usd", **query)]

    order = [row["id"] for row in everything]
    assert ids(per_page="3", page="2") == order[3:6]
    assert ids(per_page="250", page="2") == []
    assert ids(per_page="9999") == order
    assert ids(order="market_cap_asc") == order[::-1]
    assert ids(order="id_asc", per_page="2") == ["aave", "avalanche-2"]
    assert ids(order="id_desc", per_page="1") == ["zcash"]
    volumes = sorted(everything, key=lambda row: row["total_volume"])
    assert ids(order="volume_asc") == [row["id"] for row in volumes]
    [zcash] = ask(api, "/coins/markets", vs_currency="usd", ids="zcash,nobody")
    assert zcash["market_cap_rank"] == order.index("zcash") + 1
    assert zcash["low_24h"] <= zcash["current_price"] <= zcash["high_24h"]


def test_a_range_has_five_minutes_of_the_last_day_hours_of_ninety_and_days_of_more(
    api: CoinGecko, timeline: Timeline
) -> None:
    now = timeline.now()

    def spacing(start: int, end: int) -> tuple[int, int, int]:
        query = {"vs_currency": "usd", "from": str(start), "to": str(end)}
        chart = ask(api, "/coins/bitcoin/market_chart/range", **query)
        times = [time // 1000 for time, _ in chart["prices"]]
        assert [len(chart[key]) for key in ("market_caps", "total_volumes")] == [len(times)] * 2
        return min(times), max(times), times[1] - times[0]

    hour, five = now - now % 3600, now - now % 300
    assert spacing(five - 3600, five) == (five - 3600, five, 300)
    assert spacing(hour - 3 * DAY, hour - 2 * DAY) == (hour - 3 * DAY, hour - 2 * DAY, 3600)
    assert spacing(hour - DAY - 3600, hour) == (hour - DAY - 3600, hour, 3600)
    assert spacing(now - 92 * DAY, now - DAY)[2] == DAY
    assert spacing(five - 900, now + DAY)[1] == now  # the last one is now, off the grid


def test_a_range_agrees_with_the_prices_of_the_moment(api: CoinGecko, timeline: Timeline) -> None:
    latest = ask(api, "/simple/price", ids="bitcoin", vs_currencies="usd", include_last_updated_at="true")["bitcoin"]
    now = latest["last_updated_at"]
    chart = ask(api, "/coins/bitcoin/market_chart/range", vs_currency="usd", **{"from": str(now - 600), "to": str(now)})
    assert chart["prices"][-1] == [now * 1000, latest["usd"]]


def test_a_range_takes_dates_and_refuses_what_makes_no_sense(api: CoinGecko, timeline: Timeline) -> None:
    path, today = "/coins/bitcoin/market_chart/range", datetime.fromtimestamp(timeline.now(), UTC).date()
    chart = ask(api, path, vs_currency="usd", **{"from": str(today), "to": f"{today}T00:10Z"})
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()
    assert chart["prices"][0][0] == midnight * 1000
    assert refused(api, path, vs_currency="usd", to="1") == (422, {"error": "Missing parameter from"})
    assert refused(api, path, vs_currency="usd", **{"from": "x", "to": "1"}) == (400, {"error": "invalid from"})
    assert refused(api, "/coins/nobody/market_chart/range")[0] == 404
    old = {"from": str(timeline.now() - 366 * DAY), "to": str(timeline.now())}
    status, body = refused(api, path, vs_currency="usd", **old)
    assert (status, body["error"]["status"]["error_code"]) == (401, 10012)


def test_a_range_of_a_recording_has_what_was_recorded(replay: CoinGecko, timeline: Timeline) -> None:
    start = timeline.start
    chart = ask(
        replay, "/coins/bitcoin/market_chart/range", vs_currency="usd", **{"from": str(start - 600), "to": str(start)}
    )
    assert chart["prices"] == [[start * 1000, 60781.97]]
    assert chart["market_caps"] == [[start * 1000, None]]
