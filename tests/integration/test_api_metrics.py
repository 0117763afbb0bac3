"""Metrics in both styles: by type and symbol, and in one list by id; latest values and ranks."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import pstdev
from typing import Any

import pytest

from app.alerts.states import Outcome
from app.db import Database
from app.model import Instrument, Tick
from app.store import Store
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock

pytestmark = pytest.mark.one_server

NOW = datetime(2026, 11, 22, 10, 17, 30, tzinfo=UTC)
PRICES = "/api/v1/metric_types/price/metrics"
VOLUMES = "/api/v1/metric_types/volume/metrics"

Get = Callable[[str], Reply]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def get(tmp_path: Path, dsn: str, clock: FakeClock) -> Get:
    api = an_api(tmp_path, dsn, clock)
    return lambda path: request(api, path)


def watch(database: Database, *symbols: str, market: str = "coingecko") -> None:
    """These alone of a market, from now on."""
    Store(database).save_instruments(
        market, [Instrument(symbol.partition("@")[0], "USD", market, symbol) for symbol in symbols]
    )


def save(database: Database, symbol: str, *prices: str, volume: str | None = "5", before: datetime = NOW) -> None:
    """A tick a minute, the last of them a minute before."""
    times = [before - timedelta(minutes=len(prices) - i) for i in range(len(prices))]
    its = None if volume is None else Decimal(volume)
    ticks = [
        Tick(symbol, at, Decimal(price), its, None, at, "coingecko") for at, price in zip(times, prices, strict=True)
    ]
    Store(database).save(ticks, Outcome())


def run(database: Database, sql: str) -> None:
    database.run(lambda cursor: cursor.execute(sql))


def test_there_are_two_types_each_with_its_meaning_and_unit(get: Get) -> None:
    types = get("/api/v1/metric_types").json["metric_types"]
    assert [its["type"] for its in types] == ["price", "volume"]
    assert all(its["meaning"] and its["unit"] == "the quote currency" for its in types)
    assert [get(f"/api/v1/metric_types/{its['type']}").json for its in types] == types
    assert get("/api/v1/metric_types/colour").status == 404


def test_every_watched_symbol_has_its_latest_value_and_time(get: Get, database: Database) -> None:
    watch(database, "ETH", "NEW", "BTC")
    save(database, "BTC", "1", "67187.3400", volume="1000")
    save(database, "BTC", "2", volume=None, before=NOW - timedelta(minutes=7))  # late
    save(database, "ETH", "3", volume="8", before=NOW - timedelta(days=40))
    assert get(PRICES).json == {
        "metrics": [
            {"id": 1, "symbol": "BTC", "value": 67187.34, "timestamp": "2026-11-22T10:16:30Z"},
            {"id": 3, "symbol": "ETH", "value": 3, "timestamp": "2026-10-13T10:16:30Z"},
            {"id": 5, "symbol": "NEW", "value": None, "timestamp": None},
        ],
        "next": None,
    }
    assert b"67187.3400" in get(PRICES).body
    assert [(m["id"], m["value"]) for m in get(VOLUMES).json["metrics"]] == [(2, 1000), (4, 8), (6, None)]


def test_a_volume_that_the_last_ticks_do_not_have_is_that_of_the_week_before(get: Get, database: Database) -> None:
    watch(database, "BTC", "ETH")
    save(database, "BTC", "1", volume="7", before=NOW - timedelta(days=6))
    save(database, "ETH", "1", volume="7", before=NOW - timedelta(days=9))
    for symbol in ("BTC", "ETH"):
        save(database, symbol, "1", volume=None)
    found = [(m["value"], m["timestamp"]) for m in get(VOLUMES).json["metrics"]]
    assert found == [(7, "2026-11-16T10:16:30Z"), (None, None)]


def test_latest_values_are_at_most_a_second_old(get: Get, database: Database, clock: FakeClock) -> None:
    watch(database, "BTC")
    save(database, "BTC", "1", before=NOW - timedelta(minutes=5))
    assert get(PRICES).json["metrics"][0]["value"] == 1
    save(database, "BTC", "2")
    clock.advance(1)
    assert get(PRICES).json["metrics"][0]["value"] == 2


def test_one_metric_says_all_that_is_known_of_it(get: Get, database: Database) -> None:
    watch(database, "BTC", "ETH")
    save(database, "BTC", "1", "3")
    assert get(f"{PRICES}/btc@coingecko").json == {
        "id": 1, "type": "price", "symbol": "BTC", "base": "BTC", "quote": "USD", "market": "coingecko",
        "watched": True, "value": 3, "timestamp": "2026-11-22T10:16:30Z", "source": "coingecko",
        "rank": 1, "total": 1, "stddev": 1,
    }  # fmt: skip
    its = get(f"{PRICES}/ETH").json
    assert (its["value"], its["timestamp"], its["source"], its["rank"], its["stddev"]) == (None,) * 5
    assert get(f"{PRICES}/XRP").status == get(f"{PRICES}/no%20symbol").status == 404


def test_ranks_are_by_standard_deviation_of_the_last_24_hours_and_ties_share_one(get: Get, database: Database) -> None:
    watch(database, "A", "B", "C", "D", "NONE", "OLD")
    of = {"A": ["1", "9", "1"], "B": ["100000", "100000.000000002"], "C": ["5", "5.000000002"], "D": ["7"]}
    for symbol, prices in of.items():
        save(database, symbol, *prices)
    save(database, "OLD", "1", "99", before=NOW - timedelta(hours=24, seconds=31))
    ranks = {symbol: get(f"{PRICES}/{symbol}/rank").json for symbol in [*of, "NONE", "OLD"]}
    assert [its["rank"] for its in ranks.values()] == [1, 2, 2, 4, None, None]
    assert {its["total"] for its in ranks.values()} == {4}
    assert ranks["A"]["value"] == pytest.approx(pstdev([1, 9, 1]), rel=1e-15)
    assert ranks["B"]["value"] == pytest.approx(1e-9, rel=1e-15)
    volatility = [get(f"{PRICES}/{symbol}/rank?by=volatility").json["rank"] for symbol in of]
    assert volatility == [1, 3, 2, 4]
    assert get(f"{VOLUMES}/A/rank").json == {"rank": 1, "total": 4, "by": "stddev", "value": 0}
    assert get(f"{PRICES}/XRP/rank").status == 404
    assert get(f"{PRICES}/A/rank?by=name").status == 422


def test_a_late_tick_is_in_the_rank_of_the_next_minute(get: Get, database: Database, clock: FakeClock) -> None:
    watch(database, "A", "B")
    save(database, "A", "1", "2")
    save(database, "B", "1", "3")
    assert get(f"{PRICES}/A/rank").json["rank"] == 2
    save(database, "A", "99", before=NOW - timedelta(hours=5))
    clock.advance(29)
    assert get(f"{PRICES}/A/rank").json["rank"] == 2
    clock.advance(1)
    assert get(f"{PRICES}/A/rank").json["rank"] == 1


def test_the_tick_of_the_current_minute_is_not_ranked_yet(get: Get, database: Database, clock: FakeClock) -> None:
    watch(database, "A")
    save(database, "A", "1", before=NOW + timedelta(seconds=60))
    assert get(f"{PRICES}/A/rank").json["total"] == 0
    clock.advance(30)
    assert get(f"{PRICES}/A/rank").json["total"] == 1


def test_ids_never_change(get: Get, database: Database) -> None:
    watch(database, "BTC", "ETH")
    watch(database, "ADA", "ETH")
    watch(database, "BTC@kraken", market="kraken")
    watch(database, "ADA", "ETH", "BTC")
    run(database, "DELETE FROM instruments WHERE symbol = 'ETH'")
    watch(database, "ADA", "ETH", "BTC")
    ids = {(m["symbol"], m["metric"]): m["id"] for m in get("/api/v1/metrics").json["metrics"]}
    symbols = ["BTC", "ETH", "ADA", "BTC@kraken"]
    metrics = [(symbol, of_type) for symbol in symbols for of_type in ("price", "volume")]
    assert ids == {metric: number for number, metric in enumerate(metrics, 1)}


def test_the_list_of_all_has_names_and_ranks_and_goes_page_by_page(get: Get, database: Database) -> None:
    watch(database, "BTC", "ETH")
    watch(database, "BTC@kraken", market="kraken")
    save(database, "BTC", "1", "3")
    save(database, "BTC@kraken", "1", "5")
    found: list[Any] = []
    reply = get("/api/v1/metrics?limit=4").json
    found += reply["metrics"]
    reply = get(f"/api/v1/metrics?limit=4&cursor={reply['next']}").json
    found += reply["metrics"]
    assert reply["next"] is None
    assert [m["id"] for m in found] == [1, 2, 3, 4, 5, 6]
    assert found[0] == {
        "id": 1, "market": "coingecko", "base": "BTC", "quote": "USD", "pair": "BTC-USD", "symbol": "BTC",
        "metric": "price", "watched": True, "rank": 2, "stddev": 1,
    }  # fmt: skip
    assert [get(f"/api/v1/metrics/{m['id']}").json for m in found] == found


def test_the_list_of_all_can_be_asked_for_some(get: Get, database: Database) -> None:
    watch(database, "BTC", "ETH")
    watch(database, "BTC@kraken", market="kraken")

    def ids(query: str) -> list[int]:
        return [m["id"] for m in get(f"/api/v1/metrics?{query}").json["metrics"]]

    assert ids("market=kraken") == [5, 6]
    assert ids("metric=volume&base=btc") == [2, 6]
    assert ids("quote=EUR") == []
    assert get("/api/v1/metrics?metric=colour").status == get("/api/v1/metrics?cursor=AAAA").status == 422


def test_what_is_watched_no_more_is_in_no_list_but_there_for_who_names_it(get: Get, database: Database) -> None:
    watch(database, "BTC")
    save(database, "BTC", "1", "3")
    watch(database, "ETH")
    assert [m["symbol"] for m in get(PRICES).json["metrics"]] == ["ETH"]
    its = get("/api/v1/metrics/1").json
    assert (its["symbol"], its["watched"], its["rank"], its["stddev"]) == ("BTC", False, None, None)
    assert get(f"{PRICES}/BTC").json["value"] == 3
    assert get(f"{PRICES}/BTC/rank").json["rank"] is None
    assert [r["value"] for r in get("/api/v1/metrics/1/records").json["records"]] == [1, 3]


def test_records_and_prices_are_the_history_under_other_names(get: Get, database: Database) -> None:
    watch(database, "BTC")
    save(database, "BTC", "1.50", "3", volume="7")
    assert get("/api/v1/metrics/1/records").json == {
        "records": [
            {"timestamp": "2026-11-22T10:15:30Z", "value": 1.5},
            {"timestamp": "2026-11-22T10:16:30Z", "value": 3},
        ],
        "next": None,
        "downsampled": None,
    }
    page = get("/api/v1/metrics/1/prices?limit=1").json
    assert page["prices"] == [{"timestamp": "2026-11-22T10:15:30Z", "price": 1.5}]
    rest = json.loads(get(f"/api/v1/metrics/1/prices?cursor={page['next']}").body)
    assert rest["prices"] == [{"timestamp": "2026-11-22T10:16:30Z", "price": 3}]
    assert [r["value"] for r in get("/api/v1/metrics/2/records").json["records"]] == [7, 7]
    reply = get("/api/v1/metrics/2/prices")
    assert (reply.status, "/api/v1/metrics/2/records" in reply.json["detail"]) == (404, True)
    assert get("/api/v1/metrics/99/records").status == 404
    assert get("/api/v1/metrics/0").status == get("/api/v1/metrics/9223372036854775808").status == 422
