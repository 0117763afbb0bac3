"""What comes from an exchange goes into the database as it was published."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.alerts.states import Outcome
from app.db import Database
from app.store import Saved, Store
from tests.exchanges.asking import asking, resolved
from tests.exchanges.kraken import dead, id_of, kraken, pair, ticker

RECORDED = Path(__file__).parents[2].parent / "shared/data/apis/kraken/ticker_all_assetVersion1_2026-06-24.json"

pytestmark = pytest.mark.one_server


def stored(database: Database) -> dict[str, tuple[Decimal, Decimal]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute("SELECT symbol, price, volume_24h FROM ticker_data WHERE source = 'kraken' AND origin = 'live'")
        return list(cursor.fetchall())

    return {symbol: (price, volume) for symbol, price, volume in database.run(fetch)}


def test_a_market_is_stored_with_one_call_without_its_dead_pairs(database: Database) -> None:
    entries = [pair("BTC", "USD"), pair("BTC", "EUR"), pair("FLR", "USD")]
    tickers = dict(zip(map(id_of, entries), [ticker("60934.90000"), ticker("0.000000012300"), dead()], strict=True))
    store = Store(database)
    with kraken({id_of(entry): entry for entry in entries}, tickers) as site, asking("kraken", site) as source:
        found = resolved(source, "*@kraken")
        store.save_instruments("kraken", found)
        assert store.save(source.fetch(found).ticks, Outcome()) == Saved(stored=2)
    volume = Decimal("2495.15962868") * Decimal("62008.46345")
    rows = stored(database)
    assert rows == {"BTC@kraken": (Decimal("60934.90000"), volume), "BTC-EUR@kraken": (Decimal("1.23e-8"), volume)}
    assert str(rows["BTC@kraken"][0]) == "60934.90000"


@pytest.mark.skipif(not RECORDED.is_file(), reason="../shared/data, the recorded replies, is not here")
def test_of_all_recorded_pairs_of_kraken_exactly_the_live_ones_are_stored(database: Database) -> None:
    said = json.loads(RECORDED.read_text())["result"]
    entries = {name: pair(*name.partition(":")[0].split("/")) for name in said}
    ids = {name: id_of(entry) + name.removeprefix(name.partition(":")[0]) for name, entry in entries.items()}
    pairs = {ids[name]: entry for name, entry in entries.items()}
    tickers = {ids[name]: ticker for name, ticker in said.items()}
    with kraken(pairs, tickers) as site, asking("kraken", site) as source:
        found = resolved(source, "*@kraken")
        calls = len(site.asked)
        ticks = source.fetch(found).ticks
        assert len(site.asked) - calls == 1
    live = {ids[name] for name, ticker in said.items() if Decimal(ticker["c"][0]) and ":" not in name}
    assert Store(database).save(ticks, Outcome()) == Saved(stored=len(live))
    symbols = {one.provider_id: one.symbol for one in found}
    prices = {symbol: price for symbol, (price, _) in stored(database).items()}
    assert prices == {symbols[id_]: Decimal(tickers[id_]["c"][0]) for id_ in live}
