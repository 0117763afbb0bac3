"""The registry: from the name of a market to its source."""

from __future__ import annotations

import pytest

from app import sources
from app.config import load
from app.errors import ConfigurationError, RateLimited
from tests.clock import FakeClock
from tests.unit.test_limits import Book


def test_each_market_is_built_once_under_its_own_name() -> None:
    built = sources.build(["coingecko", "coingecko"], load(None), FakeClock(), Book())
    assert {name: source.name for name, source in built.items()} == {"coingecko": "coingecko"}


@pytest.mark.parametrize(
    ("market", "settings"),
    [("coingecko", {}), ("coinmarketcap", {"coinmarketcap_api_key": "key"}), ("kraken", {})],
)
def test_two_sources_of_a_market_make_no_more_calls_together_than_one_may(
    market: str, settings: dict[str, str]
) -> None:
    if market == "kraken":
        pytest.importorskip("ccxt", reason="exchanges are not installed")
    clock, book = FakeClock(), Book()
    polled, filled = (sources.build_one(market, load(None, **settings), clock, book) for _ in range(2))
    limit = polled.budget.per_minute
    assert 0 < limit < 10_000
    made = 0
    with pytest.raises(RateLimited):
        for made in range(limit + 1):
            with (polled, filled)[made % 2].budget.call():
                pass
    assert made == limit


@pytest.mark.parametrize("market", ["coingecko", "coinmarketcap"])
def test_calls_to_a_stand_in_are_not_counted_as_calls_to_the_provider(market: str) -> None:
    book = Book()
    for settings in ({}, {f"{market}_base_url": "http://127.0.0.1:8900/api"}):
        limits = {f"{market}_calls_per_minute": 5, f"{market}_api_key": "a-key"}
        if market == "coingecko":
            limits["coingecko_plan"] = "demo"
        source = sources.build_one(market, load(None, **limits, **settings), FakeClock(), book)
        with source.budget.call():
            pass
    assert sorted(account.name.partition(" at ")[2] for account, _ in book.counted) == ["", "127.0.0.1:8900"]
    assert len({account.name.partition(" at ")[0] for account, _ in book.counted}) == 1


def test_every_source_is_registered_under_its_name() -> None:
    built = sources.build(sources.SOURCES, load(None), FakeClock(), Book())
    assert all(name == source.name for name, source in built.items())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"watch": "BTC@krakken"}, "WATCH: '@krakken': no such market; the nearest are kraken"),
        ({"source": "coingeko"}, "SOURCE=coingeko: no such market; the nearest are coingecko"),
        ({"fallback": "krakken"}, "FALLBACK=krakken: no such market"),
        ({"stream": "krakken"}, "STREAM=krakken: no such market"),
        ({"stream": "coingecko"}, "STREAM=coingecko: is no exchange"),
    ],
)
def test_a_market_that_nobody_serves_is_named_with_where_it_stands(settings: dict[str, str], said: str) -> None:
    pytest.importorskip("ccxt", reason="exchanges are not installed")
    with pytest.raises(ConfigurationError) as caught:
        sources.check(load(None, **settings))
    assert str(caught.value).startswith(said)


def test_composites_need_no_source() -> None:
    sources.check(load(None, watch="BTC@all"))
    assert sources.build(["all"], load(None), FakeClock(), Book()) == {}
