"""Documents: an asset in a currency on a market, with what is known of it and its last ticks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.alerts.states import Outcome
from app.api.edge import Edge
from app.db import Database
from app.model import Instrument, Tick
from app.store import Store
from tests.api import an_api
from tests.asgi import request
from tests.clock import FakeClock

pytestmark = pytest.mark.one_server

NOW = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WATCHED = [
    Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin", "Bitcoin"),
    Instrument("BTC", "EUR", "coingecko", "BTC-EUR", "bitcoin", "Bitcoin"),
    Instrument("ETH", "USD", "coingecko", "ETH", "ethereum", "Ethereum"),
]


@pytest.fixture
def api(dsn: str, tmp_path: Path) -> Edge:
    return an_api(tmp_path, dsn, FakeClock(NOW))


@pytest.fixture
def store(database: Database) -> Store:
    its = Store(database)
    its.save_instruments("coingecko", WATCHED)
    its.save_instruments("kraken", [Instrument("BTC", "USD", "kraken", "BTC@kraken", "XBTUSD")])
    return its


def save(store: Store, symbol: str, *minutes: float, price: str = "1.50", cap: str | None = None) -> None:
    times = [NOW - minute * MINUTE for minute in minutes]
    store.save(
        [Tick(symbol, at, Decimal(price), Decimal(7), Decimal(cap) if cap else None, at, "coingecko") for at in times],
        Outcome(),
    )


def get(api: Edge, path: str) -> Any:
    reply = request(api, f"/api/v1/data{path}")
    assert reply.status == 200, reply.body
    return json.loads(reply.body, parse_float=Decimal)


def test_every_watched_asset_has_a_document_of_the_last_hour(api: Edge, store: Store, database: Database) -> None:
    save(store, "BTC", 61, 60, 0.5, 0, price="0.000000000056366", cap="12")
    save(store, "ETH", 90)
    database.run(
        lambda c: c.execute(
            """UPDATE instruments SET metadata = '{"rank": 1, "supply": 21000000.0}' WHERE symbol = 'BTC';
            UPDATE instruments SET watched = false WHERE symbol = 'BTC-EUR'"""
        )
    )
    found = get(api, "")
    assert found["next"] is None
    assert [document["symbol"] for document in found["documents"]] == ["BTC", "BTC@kraken", "ETH"]
    price = Decimal("0.000000000056366")
    assert found["documents"][0] == {
        "symbol": "BTC",
        "base": "BTC",
        "currency": "USD",
        "market": "coingecko",
        "watched": True,
        "metadata": {"name": "Bitcoin", "provider_id": "bitcoin", "rank": 1, "supply": Decimal("21000000.0")},
        "data": [
            {"timestamp": "2026-11-22T11:00:30Z", "price": price, "volume_24h": 7, "market_cap": 12},
            {"timestamp": "2026-11-22T12:00:00Z", "price": price, "volume_24h": 7, "market_cap": 12},
        ],
    }
    assert found["documents"][2]["data"] == []


def test_one_asset_has_a_document_for_each_currency_and_market(api: Edge, store: Store, database: Database) -> None:
    save(store, "BTC-EUR", 1)
    database.run(lambda c: c.execute("UPDATE instruments SET watched = false WHERE symbol = 'BTC-EUR'"))
    assert [(d["symbol"], d["watched"]) for d in get(api, "/btc")["documents"]] == [
        ("BTC", True),
        ("BTC-EUR", False),
        ("BTC@kraken", True),
    ]
    (euro,) = get(api, "/BTC?currency=eur")["documents"]
    assert (euro["symbol"], len(euro["data"])) == ("BTC-EUR", 1)


def test_what_there_is_not_is_a_404_that_names_what_there_is(api: Edge, store: Store) -> None:
    assert request(api, "/api/v1/data/DOGE").status == 404
    reply = request(api, "/api/v1/data/BTC?currency=GBP")
    assert (reply.status, reply.json["currencies"]) == (404, ["EUR", "USD"])
    assert "EUR, USD" in reply.json["detail"]
    assert get(api, "?currency=GBP") == {"documents": [], "next": None}


@pytest.mark.parametrize("text", ["2026-11-22T11:00:00Z", '"2026-11-22 11:00"', "'2026-11-22T12:00:00+01:00'"])
def test_times_are_understood_as_people_paste_them(api: Edge, store: Store, text: str) -> None:
    save(store, "BTC", 61, 60.5, 59)
    found = get(api, f"/BTC?currency=USD&time_start={quote(text)}")["documents"][0]["data"]
    assert [point["timestamp"] for point in found] == ["2026-11-22T11:00:00Z", "2026-11-22T11:01:30Z"]
    (point,) = get(api, f"/BTC?currency=USD&time_stop={quote(text)}")["documents"][0]["data"]
    assert point["timestamp"] == "2026-11-22T10:59:30Z"


def test_pages_hold_each_tick_once_and_each_document_at_least_once(api: Edge, store: Store) -> None:
    for symbol, count in (("BTC", 5), ("BTC@kraken", 3), ("ETH", 4)):
        save(store, symbol, *(n + 1 for n in range(count)))
    for limit in (1, 2, 3, 5, 12):
        ticks: dict[str, list[str]] = {}
        following = ""
        while following is not None:
            found = get(api, f"?limit={limit}{following and f'&cursor={following}'}")
            assert sum(len(document["data"]) for document in found["documents"]) <= limit
            for document in found["documents"]:
                ticks.setdefault(document["symbol"], []).extend(p["timestamp"] for p in document["data"])
            following = found["next"]
        assert {symbol: len(set(its)) for symbol, its in ticks.items()} == {
            **{"BTC": 5, "BTC-EUR": 0, "BTC@kraken": 3, "ETH": 4}
        }
        assert all(its == sorted(set(its)) for its in ticks.values())


def test_a_page_goes_on_behind_the_longest_symbol(api: Edge, store: Store) -> None:
    base, market = "A" * 40, "m" * 40
    symbol = f"{base}-{base}@{market}"
    store.save_instruments(market, [Instrument(base, base, market, symbol, "id")])
    save(store, symbol, *(n + 1.000_001 for n in range(2)))
    first = get(api, "?limit=1")
    assert len(first["next"]) > 200
    (point,) = get(api, f"?limit=1&cursor={first['next']}")["documents"][0]["data"]
    assert point["timestamp"] > first["documents"][0]["data"][0]["timestamp"]


def test_what_was_long_ago_may_be_kept(api: Edge, store: Store) -> None:
    def control(query: str) -> str:
        return request(api, f"/api/v1/data?{query}").headers["cache-control"]

    assert control("time_stop=2026-11-20") == "private, max-age=3600"
    assert control("time_stop=2026-11-21") == control("") == "private, no-cache"


ASKED = {
    "?time_start=2026-11-22&time_stop=2026-11-21": 422,
    "?time_stop=0001-01-01": 422,
    "?time_stop=0001-01-01T00:30": 200,
    "?time_stop=9999-12-31T23:59:59Z": 200,
    "?time_start=yesterday": 422,
    "?cursor=AAAA": 422,
    "?limit=10001": 422,
    "?currency=%27%3B--": 422,
    "/%27%20OR%201=1": 422,
}


def test_edges_of_what_can_be_asked(api: Edge, store: Store) -> None:
    assert {query: request(api, f"/api/v1/data{query}").status for query in ASKED} == ASKED
