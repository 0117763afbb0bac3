"""Every recorded CoinMarketCap reply is understood, each good price is a tick, and no error among them costs one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.errors import CryptoMonitorError, ProviderRefused, RateLimited
from app.model import Batch, Instrument
from app.sources.coinmarketcap_errors import UnknownTickers
from app.sources.coinmarketcap_ids import COINS
from tests.conftest import SHARED
from tests.provider import Answer, reply
from tests.unit.sources.coinmarketcap import asking, instrument

RECORDED = SHARED / "data" / "apis" / "coinmarketcap"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded replies are not beside the repository")

CORPORA = ["quotes_latest_by_id_2020-01-13.json", "listings_latest_2019-02-08.json"]
DATES = {"2020": "Mon, 13 Jan 2020 17:18:03 GMT", "2019": "Fri, 08 Feb 2019 12:29:28 GMT"}


def rows_of(name: str) -> list[dict[str, Any]]:
    text = (RECORDED / name).read_text(encoding="utf-8")
    data = json.loads(text, parse_float=Decimal, parse_int=Decimal)["data"]
    return list(data.values()) if isinstance(data, dict) else data


def recorded(name: str) -> Answer:
    year = re.findall(r"_(\d{4})-", name)[0]
    return reply((RECORDED / name).read_bytes(), headers={"Date": DATES[year]} if year in DATES else None)


def fetched(name: str, chunk: list[Instrument]) -> Batch:
    with asking(recorded(name)) as it:
        return it.source.fetch(chunk)


@pytest.mark.parametrize(("name", "count"), [*zip(CORPORA, [18, 3], strict=True)])
def test_each_recorded_coin_is_a_tick_digit_for_digit_with_its_own_time_and_facts(name: str, count: int) -> None:
    rows = rows_of(name)
    assert len(rows) == count
    batch = fetched(name, [instrument(row["symbol"], row["id"]) for row in rows])
    assert (batch.lost, batch.set_aside) == ((), ())
    ticks = {tick.symbol: tick for tick in batch.ticks}
    for row in rows:
        tick, quote = ticks[row["symbol"]], row["quote"]["USD"]
        found = (tick.price, tick.volume_24h, tick.market_cap)
        assert [str(value) for value in found] == [str(quote[key]) for key in ("price", "volume_24h", "market_cap")]
        assert tick.timestamp == datetime.fromisoformat(quote["last_updated"])
        facts = {key: row[key] for key in ("name", "symbol", "slug", "id", "circulating_supply", "max_supply")}
        assert facts.items() <= batch.facts[row["symbol"]].items()
        assert batch.facts[row["symbol"]]["rank"] == row["cmc_rank"]
    assert [(t.timestamp, t.symbol) for t in batch.ticks] == sorted((t.timestamp, t.symbol) for t in batch.ticks)


def test_the_recorded_v3_reply_is_a_tick() -> None:
    batch = fetched("v3_quotes_latest_xlm_idr_2026-09-01.json", [instrument("XLM", 512, "IDR")])
    (tick,) = batch.ticks
    assert (tick.symbol, str(tick.price)) == ("XLM-IDR", "3113.974238579513")
    assert tick.timestamp == datetime(2026, 9, 1, 18, 59, 5, tzinfo=UTC)
    assert batch.set_aside == ()
    assert batch.facts["XLM-IDR"] == {"symbol": "XLM", "id": 512}


def test_the_table_of_ids_agrees_with_what_was_recorded() -> None:
    found = {row["symbol"]: str(row["id"]) for name in CORPORA for row in rows_of(name)}
    assert {ticker: COINS[ticker].id for ticker in found if ticker in COINS} == {
        ticker: id_ for ticker, id_ in found.items() if ticker in COINS
    }
    assert len(found.keys() & COINS.keys()) == 16


MEANING: dict[str, type[CryptoMonitorError]] = {
    "error_400_invalid_symbol": UnknownTickers,
    "error_401_1001_invalid_key": ProviderRefused,
    "error_429_1008_minute_rate": RateLimited,
}


def recorded_error(path: Path) -> Answer:
    meta = json.loads(path.with_suffix(".meta.json").read_text(encoding="utf-8"))
    return reply(path.read_bytes(), meta["status"], meta["headers"])


def test_no_recorded_error_between_good_replies_costs_a_tick() -> None:
    errors = [path for path in sorted(RECORDED.glob("error_*.json")) if ".meta" not in path.name]
    assert [path.stem for path in errors] == list(MEANING)
    good = "quotes_latest_by_id_2020-01-13.json"
    chunk = [instrument(row["symbol"], row["id"]) for row in rows_of(good)]
    with asking(*(answer for path in errors for answer in (recorded(good), recorded_error(path)))) as it:
        for path in errors:
            assert len(it.source.fetch(chunk).ticks) == 18
            with pytest.raises(CryptoMonitorError) as caught:
                it.source.fetch(chunk)
            assert type(caught.value) is MEANING[path.stem]
            if isinstance(caught.value, RateLimited):
                assert caught.value.retry_after == 60
        assert it.provider.connections == 1
