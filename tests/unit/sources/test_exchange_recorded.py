"""What exchanges really said (../shared/data/apis), through fakes that say it again; and a start without ccxt."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.clock import FakeClock
from tests.exchanges.asking import asking, resolved
from tests.exchanges.binance import binance
from tests.exchanges.binance import symbol as binance_symbol
from tests.exchanges.coinbase import coinbase, product
from tests.exchanges.kraken import id_of, kraken, pair

REPOSITORY = Path(__file__).parents[3]
RECORDED = REPOSITORY.parent / "shared" / "data" / "apis"
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="../shared/data/apis, the recorded replies, is not here")


def body(name: str) -> Any:
    return json.loads((RECORDED / name).read_text())


def as_kraken_says(names: list[str]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """By the newer name of a pair its id and its entry of AssetPairs, which was not recorded on that day."""
    found = {}
    for name in names:
        assets, _, mark = name.partition(":")
        entry = pair(*assets.split("/"))
        found[name] = (f"{id_of(entry)}:{mark}" if mark else id_of(entry), entry)
    return found


@recorded
def test_every_pair_of_kraken_is_one_call_that_brings_exactly_the_live_ones() -> None:
    said = body("kraken/ticker_all_assetVersion1_2026-06-24.json")["result"]
    names = as_kraken_says(list(said))
    with (
        kraken(dict(names.values()), {names[name][0]: ticker for name, ticker in said.items()}) as site,
        asking("kraken", site) as source,
    ):
        found = resolved(source, "*@kraken")
        before = len(site.asked)
        batch = source.fetch(found)
        assert site.asked[before:] == [("/0/public/Ticker", {})]
    assert len(said) == 1530
    live = {names[name][0]: ticker for name, ticker in said.items() if Decimal(ticker["c"][0]) and ":" not in name}
    ids = {one.symbol: one.provider_id or "" for one in found}
    ticks = {ids[tick.symbol]: tick for tick in batch.ticks}
    assert len(batch.ticks) == len(live) == 1397
    assert batch.lost == ()
    assert {id_: f"{tick.price:f}" for id_, tick in ticks.items()} == {id_: said["c"][0] for id_, said in live.items()}
    volumes = {id_: Decimal(said["v"][1]) * Decimal(said["p"][1]) for id_, said in live.items()}
    assert {id_: tick.volume_24h for id_, tick in ticks.items()} == volumes


@recorded
def test_the_pairs_of_kraken_in_2021_have_no_dark_pools_and_the_common_names() -> None:
    # The status came later; it is what says now whether a pair is traded.
    listed = body("kraken/asset_pairs_all_2021-04-17.json")["result"]
    pairs = {id_: {**entry, "status": "online"} for id_, entry in listed.items()}
    with kraken(pairs, {}) as site, asking("kraken", site) as source:
        found = {one.symbol: one.provider_id for one in resolved(source, "*@kraken")}
    assert len(found) == 304 - 11
    assert found["BTC@kraken"] == "XXBTZUSD"
    assert found["DOGE-EUR@kraken"] == "XDGEUR"
    assert found["ETH-BTC@kraken"] == "XETHXXBT"
    assert (found["REP@kraken"], found["REPV1@kraken"]) == ("REPV2USD", "XREPZUSD")


@recorded
def test_a_minute_by_minute_recording_of_kraken_becomes_history() -> None:
    rows = body("kraken/ohlc_xbtusdt_1m_2025-11-10.json")["result"]["XBTUSDT"]
    now = datetime.fromtimestamp(rows[-1][0] + 30, UTC)
    pairs = body("kraken/asset_pairs_2025.json")["result"]
    with kraken(pairs, {}, {1: rows}) as site, asking("kraken", site, FakeClock(now)) as source:
        (instrument,) = resolved(source, "BTC-USDT@kraken")
        page = source.history(instrument, now - timedelta(days=1), now)
    assert page.end - page.begin == timedelta(minutes=719)
    traded = [row for row in rows[2:-1] if row[7]]
    assert {tick.timestamp.replace(second=0, microsecond=0).timestamp() for tick in page.ticks} == {
        row[0] for row in traded
    }
    assert max(tick.price for tick in page.ticks) == max(Decimal(row[2]) for row in traded)
    assert min(tick.price for tick in page.ticks) == min(Decimal(row[3]) for row in traded)


@recorded
def test_every_product_of_coinbase_and_its_ticker() -> None:
    products = [*body("coinbase/products_2021-04-17.json"), product("BTC", "USDT")]
    said = body("coinbase/ticker_btc_usdt_2024-03-13.json")
    with (
        coinbase(products, {"BTC-USDT": said}) as site,
        asking("coinbase", site, FakeClock(datetime.fromisoformat(said["time"]) + timedelta(seconds=1))) as source,
    ):
        found = resolved(source, "*@coinbase")
        assert len(found) == sum(product["status"] == "online" for product in products)
        (tick,) = source.fetch(resolved(source, "BTC-USDT@coinbase")).ticks
    assert (str(tick.price), tick.timestamp) == (said["price"], datetime.fromisoformat(said["time"]))
    assert tick.volume_24h == Decimal(said["volume"]) * Decimal(said["price"])


@recorded
def test_half_the_symbols_of_binance_are_dead() -> None:
    said = body("binance/ticker_24hr_all_2024-01.json")
    latest = max(entry["closeTime"] for entry in said)
    now = datetime.fromtimestamp(latest / 1000, UTC)
    # The list of symbols was not recorded with it.
    symbols = [binance_symbol(f"A{number}", "USDT", symbol=entry["symbol"]) for number, entry in enumerate(said)]
    with binance(symbols, said) as site, asking("binance", site, FakeClock(now)) as source:
        found = resolved(source, "*@binance")
        batch = source.fetch(found)
    ids = {one.symbol: one.provider_id for one in found}
    traded = [entry for entry in said if entry["count"]]
    # The day of some that have trades ended long ago: they were taken off.
    live = {entry["symbol"]: entry["lastPrice"] for entry in traded if entry["closeTime"] > latest - 86_400_000}
    assert (len(said), len(traded), len(live)) == (2429, 2429 - 1235, 1155)
    assert {ids[tick.symbol]: f"{tick.price:f}" for tick in batch.ticks} == live
    assert batch.lost == ()


@recorded
def test_the_recorded_list_of_binance_is_read() -> None:
    symbols = body("binance/exchange_info_trimmed.json")["symbols"]
    with binance(symbols, []) as site, asking("binance", site) as source:
        found = resolved(source, "*@binance")
    assert {one.provider_id for one in found} == {
        entry["symbol"] for entry in symbols if entry["status"] == "TRADING" and entry["isSpotTradingAllowed"]
    }


def test_a_start_without_exchanges_imports_nothing_of_them() -> None:
    program = (
        "import sys; import app.main; from app import sources; from app.config import load;"
        "settings = load(None); sources.check(settings);"
        "heavy = {'ccxt', 'aiohttp', 'cryptography'} & set(sys.modules); sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
