"""Which coins a watch list means."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from app.errors import ConfigurationError, ProviderRefused, ProviderUnavailable, RateLimited
from app.model import Instrument
from app.sources.coingecko_coins import CoinGeckoCoins
from app.sources.coingecko_ids import COINS, VS_CURRENCIES
from app.watch import parse_watch
from tests.conftest import SHARED, Logged
from tests.provider import reply, serving
from tests.unit.sources.conftest import Asking

RECORDED = SHARED / "data" / "apis" / "coingecko"
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded replies are not beside the repository")

LIST = [
    {"id": "waffle", "symbol": "waf", "name": "Waffle"},
    *({"id": f"foo-{number}", "symbol": "FoO", "name": f"Foo {number}"} for number in range(20)),
    {"id": "bar", "symbol": "bar", "name": "B\ud800r\x00"},
    {"id": "b\x00r", "symbol": "baz", "name": "Baz"},
    {"id": "empty", "symbol": "", "name": "Empty"},
    {"id": "ß", "symbol": "ß", "name": "ß"},
    {"id": 5, "symbol": "num", "name": "Num"},
    {"symbol": "noid"},
    None,
    ["list"],
]


class Api:
    """Answers from a table, and counts."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(self, path: str, query: object) -> object:
        assert isinstance(query, dict)
        self.asked.append((path, query))
        answer = self.answers[path.rpartition("/")[2]]
        if callable(answer):
            return answer(query)
        return answer


def resolve(watch: str, api: Api | None = None, *, market: str = "coingecko", quote: str = "USD") -> list[Instrument]:
    entries = parse_watch(watch, default_market=market, default_quote=quote)
    return CoinGeckoCoins(market, api or Api()).resolve(entries)


def ids(instruments: Sequence[Instrument]) -> dict[str, str | None]:
    return {instrument.symbol: instrument.provider_id for instrument in instruments}


def test_the_large_ones_are_known_without_a_call() -> None:
    api = Api()
    found = resolve("BTC, ETH, ZEC, BTC-EUR, btc-eth", api)
    assert ids(found) == {
        "BTC": "bitcoin",
        "ETH": "ethereum",
        "ZEC": "zcash",
        "BTC-EUR": "bitcoin",
        "BTC-ETH": "bitcoin",
    }
    assert found[3] == Instrument("BTC", "EUR", "coingecko", "BTC-EUR", "bitcoin", "Bitcoin")
    assert api.asked == []


def test_an_explicit_id_is_taken_as_it_is_without_a_call() -> None:
    assert ids(resolve("WIF=dogwifcoin, BTC=my-own-bitcoin, ZEC-EUR=Zcash")) == {
        "WIF": "dogwifcoin",
        "BTC": "my-own-bitcoin",
        "ZEC-EUR": "Zcash",
    }


def test_others_are_looked_up_with_one_call_for_all() -> None:
    api = Api(list=LIST)
    coins = CoinGeckoCoins("coingecko", api)
    for watch in ("WAF,BAR", "WAF-EUR"):
        found = coins.resolve(parse_watch(watch, default_market="coingecko", default_quote="USD"))
    assert ids(found) == {"WAF-EUR": "waffle"}
    assert api.asked == [("/coins/list", {})]


def test_a_name_that_no_database_would_take_is_left_out() -> None:
    (bar,) = resolve("BAR", Api(list=LIST))
    assert (bar.provider_id, bar.name) == ("bar", None)


@pytest.mark.parametrize("ticker", ["NONE", "BAZ", "SS", "NUM", "NOID"])
def test_an_unknown_ticker_is_named_with_what_to_write(ticker: str) -> None:
    with pytest.raises(ConfigurationError, match=f"WATCH: '{ticker}': CoinGecko knows no coin .* {ticker}=<id>"):
        resolve(ticker, Api(list=LIST))


def test_a_shared_ticker_is_explained_with_its_candidates() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve("BTC,FOO-EUR", Api(list=LIST))
    first, *candidates, last = str(caught.value).splitlines()
    assert first.startswith("WATCH: 'FOO-EUR': 20 coins at CoinGecko have the ticker FOO.")
    assert candidates == [f"  FOO-EUR=foo-{number}  (Foo {number})" for number in range(8)]
    assert last.startswith("  and 12 more")


def test_what_the_candidates_propose_can_be_watched() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve("FOO-EUR@coingecko", Api(list=LIST), market="kraken")
    proposed = str(caught.value).splitlines()[1].split()[0]
    assert ids(resolve(proposed, market="kraken")) == {"FOO-EUR@coingecko": "foo-0"}


def test_one_symbol_cannot_be_two_coins() -> None:
    with pytest.raises(ConfigurationError, match="'BTC': stands for both bitcoin and wrapped-bitcoin"):
        resolve("BTC,BTC=wrapped-bitcoin")
    assert ids(resolve("BTC,BTC=bitcoin")) == {"BTC": "bitcoin"}


@pytest.mark.parametrize("watch", ["BTC-USDT", "WIF-USDT=dogwifcoin", "BTC-ZEC"])
def test_a_quote_without_prices_is_refused_with_those_that_have_some(watch: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"WATCH: '{watch.partition('=')[0]}': .* possible are AED, ARS, .* ZAR"
    ):
        resolve(watch)


@pytest.mark.parametrize("watch", ["BTC", "top:10"])
def test_an_impossible_default_quote_is_traced_to_its_setting(watch: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no prices in USDT .*QUOTE"):
        resolve(watch, quote="USDT")


def test_every_pair_of_an_aggregator_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigurationError, match=r"'\*@coingecko': .*top:250"):
        resolve("*@coingecko")


# The largest.


def coin(ticker: str, id_: str | None = None) -> dict[str, object]:
    return {"id": id_ or f"the-{ticker}", "symbol": ticker, "name": ticker.title(), "current_price": None}


def pages(rows: list[object]) -> Api:
    def page(query: dict[str, str]) -> object:
        size = int(query["per_page"])
        return rows[(int(query["page"]) - 1) * size :][:size]

    return Api(markets=page)


def test_the_largest_are_asked_for_by_cap_in_the_quote() -> None:
    api = pages([coin("btc"), coin("eth"), coin("zec")])
    found = resolve("top:2", api, quote="EUR")
    assert ids(found) == {"BTC-EUR": "the-btc", "ETH-EUR": "the-eth"}
    assert found[0].name == "Btc"
    assert api.asked == [
        ("/coins/markets", {"vs_currency": "eur", "order": "market_cap_desc", "per_page": "2", "page": "1"})
    ]


def test_more_than_a_page_takes_several_and_a_coin_on_two_is_taken_once() -> None:
    rows: list[object] = [coin(f"c{number}") for number in range(700)]
    rows[250] = rows[249]
    api = pages(rows)
    found = resolve("top:600", api)
    assert len({instrument.provider_id for instrument in found}) == 600
    assert [query["page"] for _, query in api.asked] == ["1", "2", "3"]
    assert {query["per_page"] for _, query in api.asked} == {"250"}


def test_a_list_that_ends_early_is_taken_as_it_is() -> None:
    api = pages([coin(f"c{number}") for number in range(300)])
    assert len(resolve("top:5000", api)) == 300
    assert len(api.asked) == 2


def test_pages_that_came_in_are_not_asked_for_again_after_a_limit() -> None:
    rows: list[object] = [coin(f"c{number}") for number in range(1000)]
    api, calls = pages(rows), []
    answer = api.answers["markets"]

    def limited(query: dict[str, str]) -> object:
        calls.append(query["page"])
        if len(calls) == 3:
            raise RateLimited("enough")
        return answer(query)  # type: ignore[operator]

    api.answers["markets"] = limited
    coins = CoinGeckoCoins("coingecko", api)
    entries = parse_watch("top:1000", default_market="coingecko", default_quote="USD")
    with pytest.raises(RateLimited):
        coins.resolve(entries)
    assert len(coins.resolve(entries)) == 1000
    assert calls == ["1", "2", "3", "3", "4"]
    coins.resolve(entries)  # another time, the ranks may be others
    assert calls[5:] == ["1", "2", "3", "4"]


def test_the_larger_of_two_with_one_ticker_has_the_symbol(logged: Logged) -> None:
    rows = [coin("weth"), coin("BSC-USD"), coin("weth", "bridged-weth"), coin("ünï"), None, coin("zec")]
    assert ids(resolve("top:6", pages(rows))) == {"WETH": "the-weth", "ZEC": "the-zec"}
    said = logged.getvalue()
    assert "2 of the 6 largest coins are left out" in said
    assert "bridged-weth: WETH is the-weth" in said
    assert "the-BSC-USD: BSC-USD cannot be a symbol" in said


def test_what_is_named_stands_before_what_is_large() -> None:
    rows = [coin("btc", "bitcoin"), coin("weth"), coin("zec", "zcash")]
    found = ids(resolve("top:3, WETH=mine, XBT=bitcoin, ZEC", pages(rows)))
    assert found == {"WETH": "mine", "XBT": "bitcoin", "ZEC": "zcash"}


def test_the_largest_of_another_market_than_the_default_say_so() -> None:
    assert ids(resolve("top:1@coingecko", pages([coin("btc")]), market="kraken")) == {"BTC@coingecko": "the-btc"}


@pytest.mark.parametrize("answer", [{}, None, "x", [], [None], [{"id": 1}]])
def test_a_list_that_is_none_is_no_reply(answer: object) -> None:
    with pytest.raises(ProviderUnavailable):
        resolve("top:3", Api(markets=answer))


def test_a_coin_list_that_is_none_is_no_reply() -> None:
    with pytest.raises(ProviderUnavailable):
        resolve("WAF", Api(list={"error": "no"}))


def test_all_that_is_listed_is_told_whatever_it_lacks_and_answers_for_tickers_from_then_on() -> None:
    api = Api(list=LIST)
    coins = CoinGeckoCoins("coingecko", api)
    listed = coins.listed()
    assert len(listed) == 25
    assert listed[0] == ("waffle", "WAF", "Waffle")
    assert ("empty", "", "Empty") in listed
    assert ("ß", "SS", "ß") in listed
    entries = parse_watch("WAF", default_market="coingecko", default_quote="USD")
    assert ids(coins.resolve(entries)) == {"WAF": "waffle"}
    assert len(api.asked) == 1
    coins.forget()
    api.answers["list"] = [{"id": "waffle-2", "symbol": "waf", "name": "Waffle"}]
    assert ids(coins.resolve(entries)) == {"WAF": "waffle-2"}


def test_who_was_listed_once_may_not_be_part_of_the_plan() -> None:
    def refused(query: dict[str, str]) -> object:
        assert query == {"status": "inactive"}
        raise ProviderRefused("not with this plan")

    assert CoinGeckoCoins("coingecko", Api(list=refused)).listed_once() == []
    assert CoinGeckoCoins("coingecko", Api(list=LIST[:1])).listed_once() == [("waffle", "WAF", "Waffle")]


# Against what was recorded.


@recorded
def test_our_table_is_the_recorded_250_without_the_smaller_namesakes() -> None:
    rows = json.loads((RECORDED / "coins_markets_usd_250_2025-05-09.json").read_text(encoding="utf-8"))
    largest: dict[str, tuple[str, str]] = {}
    for row in rows:
        largest.setdefault(row["symbol"].upper(), (row["id"], row["name"]))
    del largest["BSC-USD"]
    assert largest == {ticker: (coin.id, coin.name) for ticker, coin in COINS.items()}
    assert list(COINS)[:3] == ["BTC", "ETH", "USDT"]
    assert COINS["ZEC"].id == "zcash"


@recorded
def test_our_quotes_are_the_recorded_ones() -> None:
    codes = json.loads((RECORDED / "oas_example_supported_vs_currencies.json").read_text(encoding="utf-8"))
    assert {code.upper() for code in codes} == VS_CURRENCIES
    assert len(VS_CURRENCIES) == 63


@recorded
@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("coins_markets_usd_250_2025-05-09.json", "bitcoin", 238),
        ("coins_markets_usd_57_2022-01-06.json", "bitcoin", 57),
        ("coins_markets_btc_eth_in_eth_2021-05-15.json", "bitcoin", 2),
        ("coins_markets_btc_usd_2021-05-15.json", "bitcoin", 1),
        ("oas_example_coins_markets_allflags.json", "bitcoin", 1),
    ],
)
def test_every_recorded_page_of_the_largest_is_understood(asking: Asking, name: str, first: str, count: int) -> None:
    with serving(reply((RECORDED / name).read_bytes())) as provider:
        found = asking(provider).resolve(parse_watch("top:250", default_market="coingecko", default_quote="USD"))
    assert (found[0].provider_id, len(found)) == (first, count)


@recorded
def test_every_ticker_of_the_recorded_list_means_one_coin_or_is_explained(asking: Asking) -> None:
    body = (RECORDED / "coins_list_2025-08-03.json").read_bytes()
    by_ticker: dict[str, list[str]] = {}
    for row in json.loads(body):
        by_ticker.setdefault(row["symbol"].upper(), []).append(row["id"])
    resolved = explained = 0
    with serving(reply(body)) as provider:
        source = asking(provider)
        for ticker, meant in by_ticker.items():
            try:
                entries = parse_watch(ticker, default_market="coingecko", default_quote="USD")
            except ConfigurationError:
                continue  # it cannot be a symbol
            if ticker in COINS or len(entries) != 1 or getattr(entries[0], "base", None) != ticker:
                continue
            try:
                (found,) = source.resolve(entries)
            except ConfigurationError as error:
                assert len(meant) > 1
                assert f"{ticker}={meant[0]}  (" in str(error)
                explained += 1
            else:
                assert [found.provider_id] == meant
                resolved += 1
        assert len(provider.asked) == 1
    assert resolved > 10_000
    assert explained > 1_000


@recorded
def test_the_example_of_the_list_is_understood(asking: Asking) -> None:
    with serving(reply((RECORDED / "oas_example_coins_list_include_platform.json").read_bytes())) as provider:
        source = asking(provider)
        found = source.resolve(parse_watch("TRUMP=x, ONDO", default_market="coingecko", default_quote="USD"))
    assert ids(found) == {"TRUMP": "x", "ONDO": "ondo-finance"}
