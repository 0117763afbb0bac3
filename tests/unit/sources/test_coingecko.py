"""CoinGecko: what is asked, how replies become ticks, what refusals mean, and how often it may be asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import load
from app.decode import parse
from app.errors import ConfigurationError, ProviderRefused, ProviderUnavailable, RateLimited
from app.http import Reply
from app.model import Batch, Instrument, Lost, symbol_of
from app.sources import coingecko
from app.sources.base import Limits
from app.sources.coingecko import read_prices
from app.sources.coingecko_ids import COINS
from tests.clock import FakeClock
from tests.provider import Answer, reply, serving
from tests.unit.sources.conftest import Asking
from tests.unit.test_limits import Book

NOW = FakeClock().now()
SECONDS = int(NOW.timestamp())


def instrument(base: str, provider_id: str, quote: str = "USD") -> Instrument:
    return Instrument(base, quote, "coingecko", symbol_of(base, quote, "coingecko", "coingecko"), provider_id)


BTC, ETH, ZEC = instrument("BTC", "bitcoin"), instrument("ETH", "ethereum"), instrument("ZEC", "zcash")
BTC_EUR = instrument("BTC", "bitcoin", "EUR")


def read(body: str, chunk: Sequence[Instrument] = (BTC,), date: datetime | None = None) -> Batch:
    return read_prices(Reply(parse(body.encode()), date, NOW), chunk)


# What is asked.


def test_one_call_asks_for_all_coins_in_all_their_quotes(asking: Asking) -> None:
    body = {"bitcoin": {"usd": 1, "eur": 2}, "ethereum": {"usd": 3, "eur": 4}}
    with serving(reply(body)) as provider:
        batch = asking(provider).fetch((BTC, ETH, BTC_EUR))
        (asked,) = provider.asked
    assert asked.path == "/simple/price"
    assert asked.query == {
        "ids": "bitcoin,ethereum",
        "vs_currencies": "usd,eur",
        "include_market_cap": "true",
        "include_24hr_vol": "true",
        "include_last_updated_at": "true",
        "precision": "full",
    }
    assert "%20" not in asked.target
    assert {tick.symbol: tick.price for tick in batch.ticks} == {"BTC": 1, "ETH": 3, "BTC-EUR": 2}


def test_the_chunks_of_a_long_list_are_short_addresses_that_leave_nothing_out(asking: Asking) -> None:
    watched = [instrument(base, coin.id, quote) for quote in ("USD", "EUR") for base, coin in COINS.items()]
    watched += [instrument(f"X{number}", f"some-coin-{number:050}") for number in range(200)]
    with serving(reply({})) as provider:
        source = asking(provider)
        chunks = source.chunks(watched)
        for chunk in chunks:
            source.fetch(chunk)
        assert all(len(provider.root + asked.target) <= 4000 for asked in provider.asked)
    assert sorted(i.symbol for chunk in chunks for i in chunk) == sorted(i.symbol for i in watched)
    assert 4 <= len(chunks) <= 5
    btc = [number for number, chunk in enumerate(chunks) for i in chunk if i.provider_id == "bitcoin"]
    assert btc == [0, 0]


def test_the_default_list_is_one_chunk_and_an_empty_one_none(asking: Asking) -> None:
    source = asking("http://127.0.0.1:1")
    assert source.chunks([BTC, ETH, ZEC]) == [(BTC, ETH, ZEC)]
    assert source.chunks([]) == []


def test_an_id_that_is_longer_than_an_address_should_be_is_asked_for_alone(asking: Asking) -> None:
    long = instrument("LONG", "x" * 5000)
    assert asking("http://127.0.0.1:1").chunks([BTC, long, ETH]) == [(BTC,), (long,), (ETH,)]


@pytest.mark.parametrize(
    ("plan", "header"), [("demo", "x-cg-demo-api-key"), ("pro", "x-cg-pro-api-key"), ("keyless", None)]
)
def test_the_key_goes_in_the_header_of_its_plan(asking: Asking, plan: str, header: str | None) -> None:
    key = "CG-canary" if header else ""
    with serving(reply({"gecko_says": "(V3) To the Moon!"})) as provider:
        asking(provider, coingecko_plan=plan, coingecko_api_key=key).ping()
        asked = provider.asked[0]
    assert {name: value for name, value in asked.headers.items() if "api-key" in name} == (
        {header: key} if header else {}
    )
    assert "canary" not in asked.target


@pytest.mark.parametrize("key", ["CG-ключ", "CG-\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        coingecko.build(load(None, coingecko_plan="demo", coingecko_api_key=key), FakeClock(), Book())
    assert key not in str(caught.value)


def test_ping_says_where_it_answers(asking: Asking) -> None:
    with serving(reply({"gecko_says": "(V3) To the Moon!"})) as provider:
        assert asking(f"{provider.root}/").ping() == f"coingecko answers at {provider.root}"
        assert provider.asked[0].path == "/ping"


@pytest.mark.parametrize("body", [{}, [], {"gecko_says": 1}, "hello"])
def test_ping_is_not_content_with_just_any_answer(asking: Asking, body: object) -> None:
    with serving(reply(body)) as provider, pytest.raises(ProviderUnavailable, match="no CoinGecko"):
        asking(provider).ping()


# How a reply becomes ticks.


def test_a_value_keeps_every_digit_and_each_time_is_utc() -> None:
    body = (
        f'{{"bitcoin":{{"usd":5.6366e-11,"usd_24h_vol":1.0,"usd_market_cap":60997,"last_updated_at":{SECONDS - 9}}}}}'
    )
    (tick,) = read(body).ticks
    assert (str(tick.price), str(tick.volume_24h), str(tick.market_cap)) == ("5.6366E-11", "1.0", "60997")
    assert (tick.timestamp, tick.fetched_at) == (NOW - timedelta(seconds=9), NOW)
    assert tick.timestamp.tzinfo is UTC
    assert (tick.symbol, tick.source, tick.origin) == ("BTC", "coingecko", "live")


def test_the_ticks_of_a_batch_stand_in_the_order_of_time_and_then_of_symbol() -> None:
    times = {"bitcoin": SECONDS, "ethereum": SECONDS - 5, "zcash": SECONDS - 5}
    body = json.dumps({id_: {"usd": 1, "last_updated_at": time} for id_, time in times.items()})
    assert [tick.symbol for tick in read(body, (BTC, ZEC, ETH)).ticks] == ["ETH", "ZEC", "BTC"]


@pytest.mark.parametrize("time", ["", ',"last_updated_at":null'])
def test_without_a_time_it_is_that_of_the_fetch(time: str) -> None:
    (tick,) = read(f'{{"bitcoin":{{"usd":1{time}}}}}').ticks
    assert tick.timestamp == NOW


@pytest.mark.parametrize("time", ['"1795340000"', "true", "-1", "0", "[]", "1e300", "NaN", str(SECONDS * 1000)])
def test_an_unreadable_time_loses_that_coin_only(time: str) -> None:
    batch = read(f'{{"bitcoin":{{"usd":1,"last_updated_at":{time}}},"ethereum":{{"usd":2}}}}', (BTC, BTC_EUR, ETH))
    assert [tick.symbol for tick in batch.ticks] == ["ETH"]
    assert ("BTC", "timestamp") in {(lost.symbol, lost.field) for lost in batch.lost}


@pytest.mark.parametrize(("ahead", "taken"), [(60, True), (61, False)])
def test_a_time_ahead_is_measured_on_the_providers_clock(ahead: int, taken: bool) -> None:
    date = NOW - timedelta(days=400)
    body = f'{{"bitcoin":{{"usd":1,"last_updated_at":{int(date.timestamp()) + ahead}}}}}'
    assert bool(read(body, date=date).ticks) is taken


@pytest.mark.parametrize("field", ["volume_24h", "market_cap"])
@pytest.mark.parametrize("value", ["0", "null", '"7"', "-1", "NaN", "1e308", None])
def test_a_volume_or_cap_that_cannot_be_used_loses_itself_only(field: str, value: str | None) -> None:
    values = {"usd": "5", "usd_24h_vol": "6", "usd_market_cap": "7"}
    key = {"volume_24h": "usd_24h_vol", "market_cap": "usd_market_cap"}[field]
    values[key] = value or ""
    inner = ",".join(f'"{name}":{text}' for name, text in values.items() if text)
    batch = read(f'{{"bitcoin":{{{inner}}}}}')
    (tick,) = batch.ticks
    assert {"volume_24h": tick.volume_24h, "market_cap": tick.market_cap} == {
        "volume_24h": 6,
        "market_cap": 7,
        field: None,
    }
    assert [(lost.symbol, lost.field) for lost in batch.lost] == [("BTC", field)]


@pytest.mark.parametrize(
    ("body", "lost"),
    [
        ("{}", Lost("BTC", "price", "the coin is missing")),
        ('{"bitcoin":{}}', Lost("BTC", "price", "it is missing")),
        ('{"bitcoin":null}', Lost("BTC", "price", "the coin is no object")),
        ('{"bitcoin":[1]}', Lost("BTC", "price", "the coin is no object")),
        ('{"bitcoin":{"usd":1},"bitcoin":{"usd":2}}', Lost("BTC", "price", "the coin is there twice")),
        ('{"bitcoin":{"usd":1,"usd":2}}', Lost("BTC", "price", "it is there twice")),
        ('{"bitcoin":{"usd":0}}', Lost("BTC", "price", "it is zero")),
        ('{"bitcoin":{"eur":1}}', Lost("BTC", "price", "it is missing")),
    ],
)
def test_without_a_price_there_is_no_tick_and_it_says_why(body: str, lost: Lost) -> None:
    assert (read(body).ticks, read(body).lost) == ((), (lost,))


@pytest.mark.parametrize("body", ["[]", "null", "1", '"bitcoin"', "NaN", "true"])
def test_a_reply_that_is_no_object_is_no_reply(body: str) -> None:
    with pytest.raises(ProviderUnavailable):
        read(body)


RAW = """
    null true false "" "123" "1,2" [] [[]] {} {"usd":1} NaN Infinity -Infinity 0 -0.0 -1 1e308 -1e999 1e999 1e-37
    1e99999999999999999999 1e-30 123456789012345678901234567890.123456789 1.0
"""
ODD = st.sampled_from(RAW.split()) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
).map(json.dumps)
PLACES = ("coin", "usd", "usd_24h_vol", "usd_market_cap", "last_updated_at")


@given(st.dictionaries(st.sampled_from(PLACES), ODD), st.booleans(), ODD)
def test_no_value_at_any_place_costs_a_neighbour(odd: dict[str, str], twice: bool, extra: str) -> None:
    good = {"usd": "1.50", "usd_24h_vol": "2.50", "usd_market_cap": "3.50", "last_updated_at": str(SECONDS)}
    coin = f'"ethereum":{odd.get("coin") or _object({**good, **odd})}'
    coins = [
        f'"bitcoin":{_object(good)}',
        coin,
        *([coin] if twice else []),
        f'"zcash":{_object(good)}',
        f'"other":{extra}',
    ]
    batch = read("{" + ",".join(coins) + "}", (BTC, ETH, ZEC))
    neighbours = [tick for tick in batch.ticks if tick.symbol != "ETH"]
    assert [tick.symbol for tick in neighbours] == ["BTC", "ZEC"]
    for tick in neighbours:
        assert (str(tick.price), str(tick.volume_24h), str(tick.market_cap)) == ("1.50", "2.50", "3.50")
        assert tick.timestamp == NOW
    assert {lost.symbol for lost in batch.lost} <= {"ETH"}
    for tick in batch.ticks:
        for value in (tick.price, tick.volume_24h or Decimal(1), tick.market_cap or Decimal(1)):
            assert Decimal("1e-36") <= value <= Decimal("1e36")
    assert len(batch.ticks) == 3 or batch.lost


def _object(values: dict[str, str]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in values.items()) + "}"


# What refusals mean.


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    "shape",
    [
        '{"status":{"error_code":%d,"error_message":"No."}}',
        '{"error":{"status":{"timestamp":"2024-04-20T22:00:05.123+00:00","error_code":%d,"error_message":"No."}}}',
        '{"timestamp":"2024-04-20T22:00:05.123+00:00","error_code":%d,"status":{"error_message":"No."}}',
    ],
)
@pytest.mark.parametrize(
    ("code", "change"),
    [
        (10002, "check COINGECKO_API_KEY"),
        (10005, "check COINGECKO_PLAN"),
        (10010, "set COINGECKO_PLAN=pro"),
        (10011, "set COINGECKO_PLAN=demo"),
    ],
)
def test_a_refusal_says_what_to_change(asking: Asking, status: int, shape: str, code: int, change: str) -> None:
    with serving(reply((shape % code).encode(), status)) as provider, pytest.raises(ProviderRefused, match=change):
        asking(provider).fetch([BTC])


def test_a_refusal_without_a_code_depends_on_the_plan(asking: Asking) -> None:
    with serving(reply(b"<html>Access denied</html>", 403)) as provider:
        with pytest.raises(ProviderRefused, match="set COINGECKO_PLAN=demo and the key"):
            asking(provider).fetch([BTC])
        with pytest.raises(ProviderRefused, match="check COINGECKO_API_KEY and COINGECKO_PLAN"):
            asking(provider, coingecko_plan="pro", coingecko_api_key="CG-x").fetch([BTC])


@pytest.mark.parametrize(
    "body",
    [
        b'{"error_code":1e999999999}',
        b'{"error_code":[10002]}',
        b'{"error":{"error":{"error":10002}}}',
        b'{"error":"10002"}',
        b"[10002]",
        b"10002",
        b"\xff",
        b'{"error":' * 9_000,
    ],
)
def test_a_400_with_nothing_known_in_it_is_not_a_refusal(asking: Asking, body: bytes) -> None:
    with serving(reply(body, 400)) as provider, pytest.raises(ProviderUnavailable, match="HTTP 400"):
        asking(provider).fetch([BTC])


# How often it may be asked.


@pytest.mark.parametrize(
    ("settings", "root", "limits"),
    [
        ({}, "https://api.coingecko.com/api/v3", Limits(60, 5, 0)),
        ({"coingecko_plan": "demo"}, "https://api.coingecko.com/api/v3", Limits(60, 30, 10_000)),
        ({"coingecko_plan": "pro"}, "https://pro-api.coingecko.com/api/v3", Limits(20, 250, 100_000)),
        ({"coingecko_base_url": "http://127.0.0.1:8900/api/v3"}, "http://127.0.0.1:8900/api/v3", Limits()),
        ({"coingecko_plan": "pro", "coingecko_base_url": "http://mirror/"}, "http://mirror", Limits()),
        # The provider's own host by another spelling is still the provider's own host.
        (
            {"coingecko_base_url": "https://API.coingecko.com/api/v3/"},
            "https://API.coingecko.com/api/v3",
            Limits(60, 5, 0),
        ),
        (
            {"coingecko_plan": "demo", "coingecko_calls_per_minute": 100, "coingecko_calls_per_month": 0},
            "https://api.coingecko.com/api/v3",
            Limits(60, 100, 0),
        ),
        ({"coingecko_base_url": "http://m", "coingecko_calls_per_minute": 7}, "http://m", Limits(0, 7, 0)),
    ],
)
def test_the_plan_gives_root_and_limits_and_settings_override_them(
    settings: dict[str, object], root: str, limits: Limits
) -> None:
    key = "CG-x" if "coingecko_plan" in settings else ""
    source = coingecko.build(load(None, coingecko_api_key=key, **settings), FakeClock(), Book())
    assert source._http.root == root
    assert source.limits == limits
    assert (source.budget.per_minute, source.budget.per_month) == (limits.calls_per_minute, limits.calls_per_month)


def test_no_call_is_made_that_the_limits_do_not_allow(asking: Asking) -> None:
    with serving(reply({"gecko_says": ""})) as provider:
        source = asking(provider, coingecko_calls_per_minute=2)
        source.ping()
        source.ping()
        for call in (source.ping, lambda: source.fetch([BTC])):
            with pytest.raises(RateLimited):
                call()
        assert len(provider.asked) == 2


@pytest.mark.parametrize(("answer", "left"), [(reply(b"", 500), 50), (reply(b"", 302), 50), (reply(b"{"), 49)])
def test_of_failed_calls_those_are_charged_that_are_answered_with_200(
    asking: Asking, answer: Answer, left: int
) -> None:
    with serving(answer) as provider:
        source = asking(provider, coingecko_calls_per_month=50)
        with pytest.raises(ProviderUnavailable):
            source.fetch([BTC])
    source.budget.look()
    assert source.budget.left_this_month == left
