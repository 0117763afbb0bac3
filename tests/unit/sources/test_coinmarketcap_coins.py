"""Which of CoinMarketCap's coins the entries of a watch list mean."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog

from app.errors import ConfigurationError, ProviderUnavailable, RateLimited
from app.model import Instrument
from app.sources.coinmarketcap_ids import COINS, QUOTES
from app.watch import parse_watch
from tests.provider import Answer, Asked, reply
from tests.unit.sources.coinmarketcap import Asking, asking, body, failure

MAP = [
    {"id": 99002, "rank": None, "name": "New Knit", "symbol": "knit", "is_active": 1},
    {"id": 99001, "rank": 4000, "name": "Old Knit", "symbol": "KNIT", "is_active": 1},
    {"id": 28752, "rank": 120, "name": "dogwifhat", "symbol": "KNIT", "is_active": 1},
    {"id": 99003, "rank": 1, "name": "Gone Knit", "symbol": "KNIT", "is_active": 0},
    {"id": 5647, "rank": 300, "name": "Kadena", "symbol": "KDA", "is_active": 1},
    {"id": 2087, "rank": 80, "name": "KuCoin Token", "symbol": "KCS", "is_active": 1},
]


def resolve(it: Asking, watch: str, quote: str = "USD") -> list[Instrument]:
    return it.source.resolve(parse_watch(watch, default_market="coinmarketcap", default_quote=quote))


class Map:
    """Answers /v1/cryptocurrency/map as the original does: a ticker that nobody has fails the call."""

    def __init__(self, names_them: bool = True) -> None:
        self.names_them, self.symbols = names_them, []

    def __call__(self, connection: socket.socket, closing: threading.Event) -> None:
        self.answer()(connection, closing)

    def answer(self) -> Answer:
        asked = self.last().query["symbol"].split(",")
        self.symbols.append(asked)
        unknown = [ticker for ticker in asked if ticker not in ("KNIT", "KDA", "KCS")]
        if unknown:
            text = f'Invalid values for "symbol": "{",".join(unknown)}"'
            return failure(400, 400, text if self.names_them else 'Invalid value for "symbol"')
        return reply(body([row for row in MAP if row["symbol"].upper() in asked], credits=0))

    def last(self) -> Asked:
        return self.it.provider.asked[-1]


def test_large_coins_are_known_without_a_call_and_ids_are_taken_as_they_are_written() -> None:
    with asking(failure(500, 500)) as it:
        found = resolve(it, "BTC,eth-eur,ZEC,KNIT=0028752,XYZ=1437")
        assert it.provider.asked == []
    assert [(i.symbol, i.base, i.quote, i.provider_id, i.name) for i in found] == [
        ("BTC", "BTC", "USD", "1", "Bitcoin"),
        ("ETH-EUR", "ETH", "EUR", "1027", "Ethereum"),
        ("ZEC", "ZEC", "USD", "1437", "Zcash"),
        ("KNIT", "KNIT", "USD", "28752", "dogwifhat"),
        ("XYZ", "XYZ", "USD", "1437", "Zcash"),
    ]


@pytest.mark.parametrize("id_", ["dogwifcoin", "0", "-1", "1.5", "²", "12345678901"])
def test_an_id_that_is_no_number_is_refused(id_: str) -> None:
    with asking(failure(500, 500)) as it, pytest.raises(ConfigurationError, match=r"WIF=.*are numbers"):
        resolve(it, f"WIF={id_}")


def test_other_tickers_are_asked_for_with_one_call_that_costs_no_credit_and_once() -> None:
    table = Map()
    with asking(table, coinmarketcap_credits_per_month=100) as it:
        table.it = it
        for _ in range(2):
            found = resolve(it, "KDA,BTC,KCS,KDA-EUR")
        assert [(i.symbol, i.provider_id) for i in found] == [
            ("KDA", "5647"),
            ("BTC", "1"),
            ("KCS", "2087"),
            ("KDA-EUR", "5647"),
        ]
        assert it.provider.asked[0].path == "/v1/cryptocurrency/map"
    assert table.symbols == [["KDA", "KCS"]]
    assert it.notes.spent == [0]


def test_a_ticker_of_several_coins_is_refused_with_their_ids_best_known_first() -> None:
    table = Map()
    with asking(table) as it, pytest.raises(ConfigurationError) as caught:
        table.it = it
        resolve(it, "BTC,KNIT")
    assert str(caught.value).splitlines() == [
        "WATCH: 'KNIT': 3 coins at CoinMarketCap have the ticker KNIT. Anybody may give a coin any ticker, so write"
        " which one you mean:",
        "  KNIT=28752  (dogwifhat, rank 120)",
        "  KNIT=99001  (Old Knit, rank 4000)",
        "  KNIT=99002  (New Knit)",
    ]


@pytest.mark.parametrize(("names_them", "calls"), [(True, 2), (False, 7)])
def test_a_ticker_that_nobody_has_is_named_and_does_not_hide_the_others(names_them: bool, calls: int) -> None:
    table = Map(names_them)
    with asking(table) as it:
        table.it = it
        with pytest.raises(ConfigurationError, match=r"'NOPE'.*no coin with the ticker NOPE.*NOPE=<id>"):
            resolve(it, "KDA,NOPE,KCS,NADA")
        assert [i.provider_id for i in resolve(it, "KDA,KCS")] == ["5647", "2087"]
    assert len(table.symbols) == calls


def test_long_lists_are_asked_for_in_pieces_and_a_limit_loses_none() -> None:
    tickers = [f"T{n}" for n in range(120)]
    rows = [{"id": n + 1, "name": t, "symbol": t} for n, t in enumerate(tickers)]
    pieces = [reply(body(rows[start : start + 50])) for start in (0, 50, 100)]
    with asking(pieces[0], failure(429, 1008), *pieces[1:]) as it:
        with pytest.raises(RateLimited):
            resolve(it, ",".join(tickers))
        assert [i.provider_id for i in resolve(it, ",".join(tickers))] == [str(n + 1) for n in range(120)]
        sizes = [len(parse_qs(urlsplit(each.target).query)["symbol"][0].split(",")) for each in it.provider.asked]
    assert sizes == [50, 50, 50, 20]


def test_top_are_the_largest_by_rank_beside_those_that_are_named() -> None:
    rows: list[Any] = [
        {"id": 1, "rank": 1, "name": "Bitcoin", "symbol": "BTC"},
        {"id": 1027, "rank": 2, "name": "Ethereum", "symbol": "ETH"},
        {"id": 7, "rank": 3, "name": "Other Ether", "symbol": "eth"},
        {"id": 8, "rank": 4, "name": "No symbol", "symbol": "BSC-USD"},
        {"id": 9, "rank": 5, "name": None, "symbol": "NEW"},
        "nonsense",
        {"id": "10", "symbol": "X"},
        {"id": 11, "symbol": "Ünï"},
    ]
    with asking(reply(body(rows))) as it, structlog.testing.capture_logs() as logs:
        found = resolve(it, "ZEC,top:8")
        assert it.asked == [{"sort": "cmc_rank", "start": "1", "limit": "8", "aux": "is_active"}]
    assert [(i.symbol, i.provider_id) for i in found] == [("ZEC", "1437"), ("BTC", "1"), ("ETH", "1027"), ("NEW", "9")]
    (left_out,) = [entry["coins"] for entry in logs if entry.get("action") == "coins_left_out"]
    assert left_out == ["7: ETH is 1027", "8: BSC-USD cannot be a symbol"]


def test_thousands_of_the_largest_come_in_pages_of_which_none_is_asked_for_twice() -> None:
    pages = [[{"id": n + 1, "symbol": f"T{n}"} for n in range(start, start + 5000)] for start in (0, 5000)]
    with asking(reply(body(pages[0])), failure(429, 1008), reply(body(pages[1]))) as it:
        with pytest.raises(RateLimited):
            resolve(it, "top:7000")
        found = resolve(it, "top:7000")
        assert [asked["start"] for asked in it.asked] == ["1", "5001", "5001"]
    assert [i.provider_id for i in found] == [str(n + 1) for n in range(7000)]


@pytest.mark.parametrize("data", [None, {}, [], "x"])
def test_a_map_without_coins_is_no_map(data: object) -> None:
    with asking(reply(json.dumps({"data": data}).encode())) as it, pytest.raises(ProviderUnavailable):
        resolve(it, "top:5")


def test_what_cannot_be_had_is_refused_by_name() -> None:
    with asking(failure(500, 500)) as it:
        with pytest.raises(ConfigurationError, match=r"'BTC-XYZ'.*no prices in XYZ.*EUR"):
            resolve(it, "BTC-XYZ")
        with pytest.raises(ConfigurationError, match=r"top:5.*no prices in XYZ"):
            resolve(it, "top:5", quote="XYZ")
        with pytest.raises(ConfigurationError, match="an aggregator has no list of pairs"):
            resolve(it, "*@coinmarketcap")
        with pytest.raises(ConfigurationError, match="stands for both 1 and 5"):
            resolve(it, "BTC,BTC=5")


def test_the_table_is_in_order() -> None:
    ids = [coin.id for coin in COINS.values()]
    assert len(set(ids)) == len(ids) == 57
    assert [int(id_) for id_ in ids] == sorted(int(id_) for id_ in ids)
    assert all(coin.name for coin in COINS.values())
    assert {"USD", "EUR", "BTC", "XAU"} <= QUOTES
    assert len(QUOTES - COINS.keys()) == 97


def test_all_that_is_listed_comes_in_pages_of_which_only_the_last_is_not_full() -> None:
    rows: list[Any] = [{"id": n + 1, "symbol": f"t{n}", "name": f"Coin {n}", "is_active": 1} for n in range(5003)]
    rows[7] = "nonsense"
    rows[8] = {"id": 9, "symbol": "Ünï", "name": None}
    rows[9] |= {"is_active": 0}
    with asking(reply(body(rows[:5000])), reply(body(rows[5000:]))) as it:
        listed = it.source.coins.listed()
        assert [asked["start"] for asked in it.asked] == ["1", "5001"]
        assert {asked["listing_status"] for asked in it.asked} == {"active"}
    assert len(listed) == 5001
    assert listed[0] == ("1", "T0", "Coin 0")
    assert listed[7] == ("9", "ÜNÏ", "")
