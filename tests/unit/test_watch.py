"""The grammar of WATCH."""

from __future__ import annotations

import pytest

from app.errors import ConfigurationError
from app.watch import Composite, Entry, EveryPair, Top, Wanted, Without, parse_watch, written


def parsed(text: str, market: str = "coingecko", quote: str = "USD") -> list[Entry]:
    return parse_watch(text, default_market=market, default_quote=quote)


@pytest.mark.parametrize(
    ("item", "entry"),
    [
        ("BTC", Wanted("BTC", "USD", "coingecko", "BTC")),
        ("btc-eur", Wanted("BTC", "EUR", "coingecko", "BTC-EUR")),
        ("BTC@kraken", Wanted("BTC", "USD", "kraken", "BTC@kraken")),
        ("BTC-EUR@Kraken", Wanted("BTC", "EUR", "kraken", "BTC-EUR@kraken")),
        ("BTC@coingecko", Wanted("BTC", "USD", "coingecko", "BTC")),
        ("BTC-USD", Wanted("BTC", "USD", "coingecko", "BTC")),
        ("WIF=dogwifcoin", Wanted("WIF", "USD", "coingecko", "WIF", "dogwifcoin")),
        ("WIF-EUR=dogwifcoin", Wanted("WIF", "EUR", "coingecko", "WIF-EUR", "dogwifcoin")),
        ("1INCH", Wanted("1INCH", "USD", "coingecko", "1INCH")),
        ("X=a=b", Wanted("X", "USD", "coingecko", "X", "a=b")),
        ("top", Wanted("TOP", "USD", "coingecko", "TOP")),
        ("top:250", Top(250, "USD", "coingecko")),
        ("TOP:5@kraken", Top(5, "USD", "kraken")),
        ("*@kraken", EveryPair("kraken")),
        ("*@KRAKEN", EveryPair("kraken")),
    ],
)
def test_each_form_of_an_entry_is_understood(item: str, entry: Entry) -> None:
    assert parsed(item) == [entry]


def test_the_default_market_and_quote_are_those_of_the_settings() -> None:
    assert parsed("BTC,BTC-USD,BTC@coingecko,top:3", "kraken", "EUR") == [
        Wanted("BTC", "EUR", "kraken", "BTC-EUR"),
        Wanted("BTC", "USD", "kraken", "BTC"),
        Wanted("BTC", "EUR", "coingecko", "BTC-EUR@coingecko"),
        Top(3, "EUR", "kraken"),
    ]


def test_entries_keep_their_order_and_come_once() -> None:
    found = parsed(" ETH , BTC,,btc-usd, eth ,\tZEC, ")
    assert [entry.symbol for entry in found if isinstance(entry, Wanted)] == ["ETH", "BTC", "ZEC"]


@pytest.mark.parametrize(
    "item",
    ["B TC", "BTC-", "BTC@", "@kraken", "BTC-EUR-USD", "BTC@a@b", "BTC@all!", "=bitcoin", "BTC=", "BTC=a b",
     "*", "*@", "*@a b", "top:", "top:x", "top:-1", "top:100000", "top:5@", "a" * 41, "ſOL", "BTC@\u212araken",
     "BTC;DROP TABLE", "ＢＴＣ"],
)  # fmt: skip
def test_a_bad_entry_is_refused_by_name_with_what_is_allowed(item: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(f"BTC,{item},ETH")
    assert str(caught.value) == (
        f"WATCH: {item!r}: should be a symbol like BTC, BTC-EUR, BTC@kraken, or *@kraken, top:250, WIF=dogwifcoin,"
        " BTC@all"
    )


def test_the_largest_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="WATCH: 'top:0': should be at least top:1"):
        parsed("top:0")


@pytest.mark.parametrize("text", ["", "  ", ",", " , ,"])
def test_an_empty_list_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="WATCH: is empty; name at least one symbol"):
        parsed(text)


def test_one_symbol_cannot_be_two_coins() -> None:
    with pytest.raises(ConfigurationError, match="WATCH: 'WIF': stands for both dogwifcoin and wif-secondchance"):
        parsed("WIF=dogwifcoin,BTC,WIF=wif-secondchance")
    assert len(parsed("WIF=dogwifcoin,wif=dogwifcoin")) == 1
    assert len(parsed("WIF=dogwifcoin,WIF@kraken=another")) == 2


def test_at_all_is_the_composite_of_a_pair() -> None:
    assert parsed("BTC@all,btc-eur@ALL") == [Composite("BTC", "USD", "BTC@all"), Composite("BTC", "EUR", "BTC-EUR@all")]


@pytest.mark.parametrize("item", ["*@all", "top:5@all"])
def test_what_is_no_pair_has_no_composite(item: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write it as BTC@all"):
        parsed(item)


def test_a_composite_takes_no_provider_id() -> None:
    with pytest.raises(ConfigurationError, match=r"'BTC@all=bitcoin': no provider is asked for @all"):
        parsed("BTC@all=bitcoin")


def test_what_has_a_minus_is_left_out() -> None:
    assert parsed("top:250,-USDT,-btc-eur@kraken") == [
        Top(250, "USD", "coingecko"),
        Without("USDT", "coingecko"),
        Without("BTC-EUR@kraken", "kraken"),
    ]


@pytest.mark.parametrize("item", ["-top:5", "-*@kraken", "-WIF=dogwifcoin", "-"])
def test_only_a_symbol_can_be_left_out(item: str) -> None:
    with pytest.raises(ConfigurationError):
        parsed(item)


@pytest.mark.parametrize(
    "item", ["BTC", "BTC-EUR@kraken", "WIF=dogwifcoin", "*@kraken", "top:250@coingecko", "BTC@all", "-USDT"]
)
def test_an_entry_is_written_as_it_was_read(item: str) -> None:
    (entry,) = parsed(item)
    assert written(entry) == item
    assert parsed(written(entry)) == [entry]
