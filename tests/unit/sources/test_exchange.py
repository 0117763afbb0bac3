"""Exchanges through ccxt: pairs, tickers, errors, limits; against sites on loopback that answer as recorded."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.errors import ConfigurationError, ProviderRefused, ProviderUnavailable, RateLimited
from app.sources.exchange import Exchange, refusal
from app.sources.exchange_ticker import read
from app.watch import parse_watch
from tests.clock import FakeClock
from tests.exchanges.asking import asking, resolved
from tests.exchanges.binance import RESTRICTED, binance
from tests.exchanges.binance import dead as binance_dead
from tests.exchanges.binance import symbol as binance_symbol
from tests.exchanges.binance import ticker as binance_ticker
from tests.exchanges.coinbase import coinbase, product
from tests.exchanges.coinbase import ticker as coinbase_ticker
from tests.exchanges.kraken import dead, id_of, kraken, pair, ticker
from tests.exchanges.site import Said, Site

PAIRS = [("BTC", "USD"), ("BTC", "EUR"), ("ETH", "USD"), ("DOGE", "USD"), ("FLR", "USD")]
NOW = 1_795_341_600_000  # of the clock of the tests, in milliseconds


def pairs_of(*names: tuple[str, str], **more: Any) -> dict[str, Any]:
    entries = [pair(base, quote, **more) for base, quote in names]
    return {id_of(entry): entry for entry in entries}


@pytest.fixture
def site() -> Iterator[Site]:
    """Kraken with a few pairs, of which one is dead."""
    pairs = pairs_of(*PAIRS)
    tickers = dict.fromkeys(pairs, ticker("60934.90000")) | {"FLRZUSD": dead()}
    with kraken(pairs, tickers) as running:
        yield running


@pytest.fixture
def source(site: Site) -> Iterator[Exchange]:
    with asking("kraken", site) as made:
        yield made


# Which pairs there are.


def test_symbols_mean_pairs_and_the_quote_is_usd_unless_said(source: Exchange) -> None:
    found = resolved(source, "BTC@kraken,BTC-EUR@kraken")
    assert [(one.symbol, one.base, one.quote, one.provider_id) for one in found] == [
        ("BTC@kraken", "BTC", "USD", "XXBTZUSD"),
        ("BTC-EUR@kraken", "BTC", "EUR", "XXBTZEUR"),
    ]
    assert source.name == "kraken"
    assert [source.pair(one) for one in found] == ["BTC/USD", "BTC/EUR"]


def test_an_exchanges_own_name_of_an_asset_means_the_common_one_and_is_not_watched_twice(source: Exchange) -> None:
    assert [one.symbol for one in resolved(source, "XBT@kraken,BTC@kraken,XDG@kraken")] == ["BTC@kraken", "DOGE@kraken"]


def test_the_default_market_is_left_out_of_its_symbols(site: Site) -> None:
    with asking("kraken", site, source="kraken") as source:
        assert {one.symbol for one in resolved(source, "*@kraken")} == {"BTC", "BTC-EUR", "ETH", "DOGE", "FLR"}


def test_every_pair_leaves_out_what_is_no_pair_of_its_own() -> None:
    pairs = pairs_of(("BTC", "USD"), ("BTC", "USD1"))
    pairs |= {"XXBTZUSD.d": pair("BTC", "USD"), "XXBTZUSD:BTNL": pair("BTC", "USD")}
    pairs |= pairs_of(("ETH", "USD"), status="cancel_only") | pairs_of(("SOL", "USD"), status="delisted")
    with kraken(pairs, dict.fromkeys(pairs, ticker("1.5"))) as site, asking("kraken", site) as source:
        found = resolved(source, "*@kraken")
        assert [(one.symbol, one.provider_id) for one in found] == [
            ("BTC-USD1@kraken", "XXBTUSD1"),
            ("BTC@kraken", "XXBTZUSD"),
        ]


def test_of_two_pairs_that_ccxt_gives_one_name_the_prices_are_not_mixed() -> None:
    pairs = pairs_of(("BTC", "USD")) | {"XBTUSDX": pair("BTC", "USD")}
    tickers = {"XXBTZUSD": ticker("60934.9"), "XBTUSDX": ticker("3.5")}
    with kraken(pairs, tickers) as site, asking("kraken", site) as source:
        (tick,) = source.fetch(resolved(source, "*@kraken")).ticks
    assert str(tick.price) == "60934.9"


def test_what_is_named_comes_first_and_what_is_left_out_is_left_out(source: Exchange) -> None:
    entries = parse_watch("*@kraken,ETH@kraken", default_market="coingecko", default_quote="USD")
    assert [one.symbol for one in source.resolve(entries)] == [
        "ETH@kraken", "BTC-EUR@kraken", "BTC@kraken", "DOGE@kraken", "FLR@kraken",
    ]  # fmt: skip


def test_an_explicit_id_is_the_exchanges_own(source: Exchange) -> None:
    (found,) = resolved(source, "BITCOIN@kraken=XXBTZUSD")
    assert (found.symbol, found.provider_id, source.pair(found)) == ("BITCOIN@kraken", "XXBTZUSD", "BTC/USD")
    assert source.fetch([found]).ticks[0].symbol == "BITCOIN@kraken"


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        (
            "BTC-JPY@kraken",
            "'BTC-JPY@kraken': kraken has no active pair BTC/JPY; it trades BTC in USD, EUR: write BTC@",
        ),
        ("BTCC@kraken", "'BTCC@kraken': kraken has no active pair BTCC/USD; the nearest are BTC"),
        ("A@kraken=XXBTZUSDT", "no active pair with the id XXBTZUSDT; the nearest are XXBTZUSD"),
        ("top:250@kraken", r"top:250@kraken': an exchange ranks nothing by market cap; \*@kraken"),
    ],
)
def test_what_means_no_pair_is_refused_with_what_is_near(source: Exchange, watch: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        resolved(source, watch)


def test_usd_is_not_taken_for_usdt() -> None:
    symbols = [binance_symbol("BTC", quote) for quote in ("USDC", "USDT", "EUR", "BRL", "TRY")]
    with binance(symbols, []) as site, asking("binance", site) as source:
        with pytest.raises(ConfigurationError, match=r"in USDT, USDC, EUR, BRL and 1 more: write BTC-USDT@binance$"):
            resolved(source, "BTC@binance")
        assert [one.symbol for one in resolved(source, "BTC-USDT@binance")] == ["BTC-USDT@binance"]


def test_pairs_are_asked_for_once_a_day_and_kept_while_they_cannot_be(site: Site) -> None:
    clock = FakeClock()
    with asking("kraken", site, clock) as source:
        found = resolved(source, "BTC@kraken")
        resolved(source, "ETH@kraken")
        assert site.paths().count("/0/public/AssetPairs") == 1
        clock.advance(86_401)
        site.instead += [Said(b"", 503)]
        assert len(source.fetch(found).ticks) == 1
        clock.advance(601)
        source.fetch(found)
        assert site.paths().count("/0/public/AssetPairs") == 2


# Tickers.


def test_a_tick_has_every_published_digit_and_the_time_of_the_reply_where_there_is_none(site: Site) -> None:
    exact = ticker("60934.900000000000000012345", volume="2495.15962868", mean="62008.46345")
    clock = FakeClock()
    with kraken(pairs_of(("BTC", "USD")), {"XXBTZUSD": exact}) as site, asking("kraken", site, clock) as source:
        batch = source.fetch(resolved(source, "BTC@kraken"))
    (tick,) = batch.ticks
    assert str(tick.price) == "60934.900000000000000012345"
    assert tick.volume_24h == Decimal("2495.15962868") * Decimal("62008.46345")
    assert (tick.timestamp, tick.fetched_at, tick.market_cap, tick.source) == (clock.now(), clock.now(), None, "kraken")


def test_json_numbers_keep_their_digits_too() -> None:
    body = b'{"price": 0.123456789012345678901, "volume": 10, "time": "2026-11-22T09:59:59.123456Z"}'
    with coinbase([product("BTC", "USD")], {"BTC-USD": Said(body)}) as site, asking("coinbase", site) as source:
        (tick,) = source.fetch(resolved(source, "BTC@coinbase")).ticks
    assert str(tick.price) == "0.123456789012345678901"
    assert tick.volume_24h == Decimal("1.23456789012345678901")


def test_a_few_pairs_are_asked_for_by_name_and_many_with_all() -> None:
    names = [(f"A{number}", "USD") for number in range(25)]
    pairs = pairs_of(*names)
    with kraken(pairs, dict.fromkeys(pairs, ticker("1.5"))) as site, asking("kraken", site) as source:
        found = resolved(source, "*@kraken")
        assert [len(source.fetch(found[:count]).ticks) for count in (2, 20, 21)] == [2, 20, 21]
        assert [query.get("pair", "").count(",") for _, query in site.asked[-3:]] == [1, 19, 0]
        assert site.asked[-1] == ("/0/public/Ticker", {})


def test_a_pair_that_is_gone_costs_one_call_and_no_other_pair() -> None:
    pairs = pairs_of(("BTC", "USD"), ("ETH", "USD"))
    tickers = dict.fromkeys(pairs, ticker("1.5"))
    with kraken(pairs, tickers) as site, asking("kraken", site) as source:
        found = resolved(source, "BTC@kraken,ETH@kraken")
        del tickers["XETHZUSD"]
        for calls in (2, 1):
            before = len(site.asked)
            batch = source.fetch(found)
            assert [tick.symbol for tick in batch.ticks] == ["BTC@kraken"]
            assert [(one.symbol, one.field, one.reason) for one in batch.lost] == [
                ("ETH@kraken", "price", "the pair is missing")
            ]
            assert len(site.asked) - before == calls


def test_a_dead_pair_is_lost_where_it_was_named_and_silent_where_it_is_one_of_all(site: Site) -> None:
    with asking("kraken", site) as source:
        batch = source.fetch(resolved(source, "*@kraken"))
        assert (len(batch.ticks), batch.lost) == (4, ())
        batch = source.fetch(resolved(source, "FLR@kraken"))
        assert [(one.symbol, one.reason) for one in batch.lost] == [("FLR@kraken", "nobody has traded it for a day")]


def test_binance_one_call_and_dead_symbols_are_those_without_a_trade_or_of_long_ago() -> None:
    old = NOW - 30 * 86_400_000
    symbols = [binance_symbol(base, "USDT") for base in ("BTC", "ETH", "LUNA", "WTC", "OLD")]
    symbols += [binance_symbol("BCC", "USDT", status="BREAK")]
    tickers = [
        binance_ticker("BTCUSDT", "118449.03000000", NOW - 250),
        binance_ticker("ETHUSDT", "3100.00000000", NOW + 3_600_000),
        binance_dead("LUNAUSDT", old),
        binance_dead("WTCUSDT", old, last="0.31000000"),
        binance_ticker("OLDUSDT", "1.00000000", old),
        binance_ticker("BCCUSDT", "1.00000000", NOW),
    ]
    with binance(symbols, tickers) as site, asking("binance", site) as source:
        found = resolved(source, "*@binance")
        assert len(found) == 5
        batch = source.fetch(found)
    assert [(tick.symbol, str(tick.price), str(tick.volume_24h)) for tick in batch.ticks] == [
        ("BTC-USDT@binance", "118449.03000000", "1744744445.80640740")
    ]
    assert batch.ticks[0].timestamp == datetime.fromtimestamp((NOW - 250) / 1000, UTC)
    assert [(one.symbol, one.field, one.reason) for one in batch.lost] == [
        ("ETH-USDT@binance", "timestamp", "it lies in the future")
    ]
    assert [path for path, _ in site.asked] == ["/api/v3/exchangeInfo", "/api/v3/ticker/24hr"]
    assert site.asked[0][1] == {"showPermissionSets": "false"}


def test_coinbase_is_coinbase_exchange_a_call_for_each_product_with_the_time_of_its_last_trade() -> None:
    products = [product("BTC", "USD"), product("ETH", "USD"), product("XRP", "USD", status="delisted")]
    tickers = {
        "BTC-USD": coinbase_ticker("60001.00", "2026-11-22T09:59:58.123456Z", "2.5"),
        "ETH-USD": coinbase_ticker("3000.10", "2026-11-22T09:59:59Z", "10.00000000"),
    }
    with coinbase(products, tickers) as site, asking("coinbase", site) as source:
        found = resolved(source, "*@coinbase")
        assert [one.symbol for one in found] == ["BTC@coinbase", "ETH@coinbase"]
        chunks = source.chunks(found)
        ticks = [source.fetch(chunk).ticks[0] for chunk in chunks]
    assert [len(chunk) for chunk in chunks] == [1, 1]
    assert [(tick.symbol, tick.source, str(tick.price), str(tick.volume_24h)) for tick in ticks] == [
        ("BTC@coinbase", "coinbase", "60001.00", "150002.500"),
        ("ETH@coinbase", "coinbase", "3000.10", "30001.0000000000"),
    ]
    assert ticks[0].timestamp == datetime(2026, 11, 22, 9, 59, 58, 123456, UTC)


# What goes wrong.


@pytest.mark.parametrize(
    ("said", "error", "text"),
    [
        (Said({"error": ["EGeneral:Too many requests"]}), RateLimited, "kraken: .*Too many requests"),
        (Said({"error": ["EAPI:Rate limit exceeded"]}), RateLimited, "Rate limit exceeded"),
        (Said({"error": ["EService:Unavailable"]}), ProviderUnavailable, "EService:Unavailable"),
        (Said({"error": ["EGeneral:Permission denied"]}), ProviderRefused, "Permission denied"),
        (Said(b"<html>520</html>", 520), ProviderUnavailable, "HTTP 520"),
        (Said(b"<html>403</html>", 403), ProviderRefused, "does not serve this address"),
        (Said(b"", 429, {"Retry-After": "7"}), RateLimited, "wait 7 s"),
        (Said(b"maintenance"), ProviderUnavailable, "HTTP 200, but the body is no JSON"),
        (Said(b"[" * 100_000), ProviderUnavailable, "HTTP 200, but the body is"),
        (Said([1, 2]), ProviderUnavailable, "kraken: its reply has no price of any pair"),
        (Said({"error": 5}), ProviderUnavailable, "not of the kind that ccxt expects"),
    ],
)
def test_what_an_exchange_says_instead_becomes_an_error_of_ours(
    site: Site, source: Exchange, said: Said, error: type[Exception], text: str
) -> None:
    found = resolved(source, "BTC@kraken")
    site.instead += [said]
    with pytest.raises(error, match=text) as caught:
        source.fetch(found)
    assert type(caught.value) is error
    assert len(source.fetch(found).ticks) == 1


@pytest.mark.parametrize(
    ("said", "error", "after"),
    [
        (Said({"code": -1003, "msg": "Way too much"}, 418, {"Retry-After": "120"}), RateLimited, 120),
        (Said({"code": -1003, "msg": "Too much request weight"}, 429, {"Retry-After": "9"}), RateLimited, 9),
        (Said({"code": -1003, "msg": "Too many requests"}, 400), RateLimited, None),
        (RESTRICTED, ProviderRefused, None),
        (Said({"code": -1000, "msg": "An unknown error"}, 500), ProviderUnavailable, None),
    ],
)
def test_binance_says_it_by_status_and_code(said: Said, error: type[Exception], after: float | None) -> None:
    with binance([binance_symbol("BTC", "USDT")], []) as site, asking("binance", site) as source:
        found = resolved(source, "*@binance")
        site.instead += [said]
        with pytest.raises(error) as caught:
            source.fetch(found)
    assert type(caught.value) is error
    assert getattr(caught.value, "retry_after", None) == after


def test_a_429_is_seen_by_the_budget_also_where_it_comes_with_200(site: Site, source: Exchange) -> None:
    found = resolved(source, "BTC@kraken")
    seen: list[str] = []
    whole = source.budget.call

    def call(*args: Any, **more: Any) -> Any:
        @contextmanager
        def watched() -> Iterator[None]:
            with whole(*args, **more):
                try:
                    yield
                except RateLimited as error:
                    seen.append(str(error))
                    raise

        return watched()

    source.budget.call = call  # type: ignore[method-assign]
    site.instead += [Said({"error": ["EGeneral:Too many requests"]})]
    with pytest.raises(RateLimited):
        source.fetch(found)
    assert len(seen) == 1


def test_an_address_that_knows_no_list_of_pairs_is_one_that_does_not_answer() -> None:
    with coinbase([], {}) as site, asking("coinbase", site) as source:
        site.instead += [Said({"message": "NotFound"}, 404)]
        with pytest.raises(ProviderUnavailable, match="NotFound"):
            resolved(source, "BTC@coinbase")


def test_no_connection_is_an_error_of_ours(source: Exchange) -> None:
    source.ccxt.urls["api"]["public"] = "http://127.0.0.1:1"
    with pytest.raises(ProviderUnavailable, match=r"kraken: no complete reply from 127\.0\.0\.1"):
        source.ping()


def test_ping_asks_for_the_time_and_says_where(site: Site, source: Exchange) -> None:
    assert source.ping() == f"kraken answers at {site.root}"
    assert site.paths() == ["/0/public/Time"]


def test_calls_go_the_way_of_all_our_calls(site: Site, source: Exchange) -> None:
    source.ping()
    assert site.headers[0]["User-Agent"].startswith("CryptoMonitor/")
    assert source.ccxt.session is None or not source.ccxt.session.cookies


# Limits, and who is who.


@pytest.mark.parametrize("absurd", ["1e999999", "1e-999999", "9" * 5000, "-1e999999", "NaN", "1e99999999999999999999"])
@pytest.mark.parametrize("field", ["last", "baseVolume", "vwap", "quoteVolume"])
def test_an_absurd_number_costs_itself_at_most(field: str, absurd: str) -> None:
    ticker = {"last": "2", "baseVolume": "3", "vwap": "15", "timestamp": None, "info": {}, field: absurd}
    tick, lost = read("BTC@kraken", ticker, FakeClock().now(), "kraken")
    if field == "last":
        assert (tick, [value.field for value in lost]) == (None, ["price"])
    else:
        assert tick is not None
        assert [value.field for value in lost] == ([] if field == "vwap" else ["volume_24h"])
        assert tick.volume_24h == (6 if field == "vwap" else None)


@pytest.mark.parametrize(("market", "per_minute"), [("kraken", 60), ("coinbase", 600), ("binance", 60)])
def test_limits_hold_for_the_exchanges_own_hosts_only(site: Site, market: str, per_minute: int) -> None:
    with asking(market, None) as source:
        assert source.budget.per_minute == source.limits.calls_per_minute == per_minute
    with asking(market, site) as source:
        assert source.budget.per_minute == 0


def test_calls_to_an_exchanges_own_host_keep_its_distance(site: Site) -> None:
    clock = FakeClock()
    with asking("kraken", None, clock) as source:
        source.ccxt.urls["api"]["public"] = site.root
        source.ping()
        source.ping()
    assert clock.waits == [1.0]


def test_any_exchange_that_ccxt_knows_has_a_source_with_its_own_limits() -> None:
    with asking("bitstamp", None) as source:
        assert (source.name, source.ccxt.id, source.budget.per_minute) == ("bitstamp", "bitstamp", 600)
    with asking("okx", None) as source:
        assert source.ccxt.options["fetchMarkets"]["types"] == ["spot"]
        assert source.budget.per_minute == 546


def test_a_base_url_takes_the_place_of_the_host_and_may_have_the_path_already() -> None:
    for base in ("https://data-api.binance.vision", "https://data-api.binance.vision/api/v3"):
        with asking("binance", Site(lambda *_: None, base)) as source:
            assert source.ccxt.urls["api"]["public"] == "https://data-api.binance.vision/api/v3"


def test_an_unknown_exchange_is_refused_with_the_nearest_names() -> None:
    assert refusal("kraken") is None
    assert refusal("coinbase") is None
    assert "the nearest are kraken" in str(refusal("krakken"))
    with (
        pytest.raises(ConfigurationError, match="'@krakken': no such market; the nearest are kraken"),
        asking("krakken", None),
    ):
        pass


def test_without_ccxt_an_exchange_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert str(refusal("kraken")).endswith("needs ccxt: pip install --no-deps -r requirements-exchanges.txt")
