"""How CoinMarketCap's replies become ticks and facts, in each form they have had; what breaks the schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decode import parse
from app.errors import ProviderUnavailable
from app.http import Reply
from app.model import Batch, Instrument, Lost, SetAside
from app.sources.coinmarketcap_replies import read_quotes
from tests.unit.sources.coinmarketcap import JUST_NOW, NOW, coin, document, instrument, quote

BTC, ETH, ZEC = instrument("BTC", 1), instrument("ETH", 1027), instrument("ZEC", 1437)
BTC_EUR = instrument("BTC", 1, "EUR")


def read(body: str | bytes, chunk: Sequence[Instrument] = (BTC,), date: datetime | None = None) -> Batch:
    return read_quotes(Reply(parse(body.encode() if isinstance(body, str) else body), date, NOW), chunk)


def read_data(data: object, chunk: Sequence[Instrument] = (BTC,)) -> Batch:
    return read(document(data), chunk)


def lost_of(batch: Batch) -> list[tuple[str, str]]:
    return [(lost.symbol, lost.field) for lost in batch.lost if lost.field in ("price", "timestamp")]


BY_KEY = {"EUR": quote(3), "USD": quote(2)}


@pytest.mark.parametrize(
    "data",
    [
        [coin(1, quote(2), quote(3, "EUR"))],
        {"1": {"id": 1, "quote": BY_KEY}},
        {"BTC": {"id": 1, "quote": BY_KEY}},
        {"BTC": [{"id": 1, "quote": BY_KEY}, {"id": 31469, "quote": {"USD": quote(99)}}]},
        [{"id": 1, "quote": BY_KEY}],
    ],
    ids=["v3", "v2 by id", "v1 by ticker", "v2 by ticker", "listings"],
)
def test_each_form_of_a_reply_gives_the_same_ticks(data: object) -> None:
    batch = read_data(data, (BTC, BTC_EUR))
    assert {tick.symbol: tick.price for tick in batch.ticks} == {"BTC": 2, "BTC-EUR": 3}
    assert batch.set_aside == ()


def test_a_value_keeps_every_digit_and_each_time_is_utc() -> None:
    text = (
        '{"data":[{"id":1,"quote":[{"symbol":"USD","price":5.6366e-11,"volume_24h":1.0,"market_cap":60997,'
        '"last_updated":"2026-11-22T09:59:05.123Z"}]}]}'
    )
    (tick,) = read(text).ticks
    assert (str(tick.price), str(tick.volume_24h), str(tick.market_cap)) == ("5.6366E-11", "1.0", "60997")
    assert tick.timestamp == datetime(2026, 11, 22, 9, 59, 5, 123000, tzinfo=UTC)
    assert tick.timestamp.tzinfo is UTC
    assert (tick.symbol, tick.source, tick.origin, tick.fetched_at) == ("BTC", "coinmarketcap", "live", NOW)


def test_the_ticks_stand_in_the_order_of_time_and_then_of_symbol() -> None:
    early = quote(last_updated="2026-11-22T09:50:00Z")
    batch = read_data([coin(1), coin(1027, early), coin(1437, early)], (BTC, ZEC, ETH))
    assert [tick.symbol for tick in batch.ticks] == ["ETH", "ZEC", "BTC"]


def test_the_time_is_that_of_the_quote_else_of_the_coin_else_of_the_fetch() -> None:
    of_coin = "2026-11-22T09:00:00Z"
    without = quote(last_updated=None)
    (tick,) = read_data([coin(1, last_updated=of_coin)]).ticks
    assert tick.timestamp == datetime.fromisoformat(JUST_NOW)
    (tick,) = read_data([coin(1, without, last_updated=of_coin)]).ticks
    assert tick.timestamp == datetime.fromisoformat(of_coin)
    (tick,) = read_data([coin(1, without)]).ticks
    assert tick.timestamp == NOW


def test_an_unreadable_time_loses_that_coin_only() -> None:
    batch = read_data([coin(1, quote(last_updated="yesterday")), coin(1027)], (BTC, ETH))
    assert [tick.symbol for tick in batch.ticks] == ["ETH"]
    assert lost_of(batch) == [("BTC", "timestamp")]


@pytest.mark.parametrize(("ahead", "taken"), [(60, True), (61, False)])
def test_a_time_ahead_is_measured_on_the_providers_clock(ahead: int, taken: bool) -> None:
    date = NOW - timedelta(days=400)
    at = (date + timedelta(seconds=ahead)).isoformat().replace("+00:00", "Z")
    assert bool(read(document([coin(1, quote(last_updated=at))]), date=date).ticks) is taken


@pytest.mark.parametrize("field", ["volume_24h", "market_cap"])
@pytest.mark.parametrize("value", [0, None, "7", -1, 1e308])
def test_a_volume_or_cap_that_cannot_be_used_loses_itself_only(field: str, value: object) -> None:
    batch = read_data([coin(1, quote(5, **{"volume_24h": 6, "market_cap": 7, field: value}))])
    (tick,) = batch.ticks
    assert {"volume_24h": tick.volume_24h, "market_cap": tick.market_cap} == {
        "volume_24h": 6,
        "market_cap": 7,
        field: None,
    }
    assert [(lost.symbol, lost.field) for lost in batch.lost] == [("BTC", field)]
    # A string is no number any more, which nobody has announced; null, zero and too much are what providers write.
    assert [part.place for part in batch.set_aside] == ([f"data[0].quote[0].{field}"] if value == "7" else [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "the coin is missing"),
        ([coin(2)], "the coin is missing"),
        ([coin(1), coin(1)], "the coin is there twice"),
        ([coin(1, quote(1, "EUR"))], "the coin's quote is missing"),
        ([coin(1, quote(1), quote(2))], "the coin's quote is there twice"),
        ([coin(1, quote(0))], "it is zero"),
        ([coin(1, quote(None))], "it is null, not a number"),
        ([{"id": 1}], "the coin's quote is missing"),
        ([{"id": 1, "quote": {"USD": 5}}], "the coin's quote is no object"),
    ],
)
def test_without_a_price_there_is_no_tick_and_it_says_why(data: object, reason: str) -> None:
    batch = read_data(data)
    assert (batch.ticks, batch.lost) == ((), (Lost("BTC", "price", reason),))


@pytest.mark.parametrize("body", ["[]", "null", "{}", '{"data":null}', '{"data":"BTC"}', '{"data":1}'])
def test_a_reply_without_data_is_no_reply(body: str) -> None:
    with pytest.raises(ProviderUnavailable):
        read(body)


# Facts.


def test_what_it_says_beside_prices_are_the_facts_of_each_symbol() -> None:
    named = {"name": "Bitcoin", "symbol": "BTC", "slug": "bitcoin", "cmc_rank": 1, "tags": ["mineable"]}
    supplies = {"circulating_supply": 19_950_000, "total_supply": 19_950_000.5, "max_supply": None}
    batch = read_data([coin(1, quote(2), quote(3, "EUR"), **named, **supplies)], (BTC, BTC_EUR))
    assert batch.facts["BTC"] == {"name": "Bitcoin", "symbol": "BTC", "slug": "bitcoin", "id": 1, "rank": 1, **supplies}
    assert batch.facts["BTC-EUR"] == batch.facts["BTC"]


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\ud800", 5, None, ["x"]])
@pytest.mark.parametrize("supply", ["5", -1, 1e40, True])
def test_a_fact_that_is_none_is_left_out(name: object, supply: object) -> None:
    batch = read_data([coin(1, name=name, total_supply=supply, cmc_rank=7)])
    assert batch.facts["BTC"] == {"id": 1, "rank": 7}


# The schema.


def test_what_breaks_the_schema_is_set_aside_with_place_and_text_and_the_other_coins_are_ticks() -> None:
    text = '{"data":[{"id":1,"quote":[{"symbol":"USD","price":"67,000.10"}]},{"id":1027,"quote":[%s]}]}'
    batch = read(text % json.dumps(quote(2)), (BTC, ETH))
    assert [tick.symbol for tick in batch.ticks] == ["ETH"]
    assert batch.set_aside == (
        SetAside("coinmarketcap", "data[0].quote[0].price", "must be number or null", '"67,000.10"'),
    )


@pytest.mark.parametrize(
    ("row", "place", "text"),
    [
        ("BTC", "data[0]", '"BTC"'),
        ({"quote": []}, "data[0]", '{"quote":[]}'),
        ({"id": "1", "quote": []}, "data[0].id", '"1"'),
        ({"id": 1, "quote": "USD"}, "data[0].quote", '"USD"'),
        ({"id": 1, "quote": [{"price": 1.50}]}, "data[0].quote[0]", '{"price":1.5}'),
        ({"id": 1, "quote": {"USD": {}}}, "data[0].quote.USD", "{}"),
        ({"id": 1, "quote": [], "max_supply": {"of": [1, None, True]}}, "data[0].max_supply", '{"of":[1,null,true]}'),
        ({"id": 1, "quote": [], "name": 5}, "data[0].name", "5"),
    ],
)
def test_each_change_of_form_is_found_where_it_is(row: object, place: str, text: str) -> None:
    (part,) = read_data([row]).set_aside
    assert (part.place, part.text) == (place, text)


def test_more_than_it_reads_is_welcome() -> None:
    assert read_data([coin(1, quote(1, new={"a": 1}), more=[{}], tags=[{"slug": "x"}])]).set_aside == ()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_COIN = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just(1) | _JSON,
        "name": _JSON,
        "last_updated": _JSON,
        "cmc_rank": _JSON,
        "quote": st.dictionaries(st.just("USD"), _JSON) | st.lists(st.dictionaries(st.just("price"), _JSON)) | _JSON,
    },
)


@given(row=_COIN | _JSON)
def test_whatever_stands_for_a_coin_costs_no_other_coin_its_tick(row: Any) -> None:
    batch = read_data([row, coin(1027, quote(2))], (BTC, ETH))
    assert "ETH" in [tick.symbol for tick in batch.ticks] or (isinstance(row, dict) and row.get("id") == 1027)
