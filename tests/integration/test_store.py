"""What goes into the database with a batch, together or not at all, and comes back at the start."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.alerts.checker import Episode, Outcome
from app.db import Database
from app.errors import DatabaseUnavailable
from app.model import Alert, Instrument, State, Tick
from app.store import CallLedger, Store
from tests.conftest import Logged

NOON = datetime(2021, 4, 18, 12, tzinfo=UTC)
TICK = Tick("BTC", NOON, Decimal("60781.97"), Decimal(5), Decimal(7), NOON, "coingecko")
ALERT = Alert("3f2a9c0d11e4", State.FIRING, NOON, "BTC", "price-2pct-5m", (("price", "1.0"), ("avg(price,5m)", "2")))
EPISODE = Episode(State.FIRING, ALERT.id, NOON, NOON, 1)
KEY = (ALERT.rule, ALERT.symbol)


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql)
        return list(cursor.fetchall())

    return database.run(fetch)


def test_a_batch_is_stored_with_what_it_caused(database: Database) -> None:
    store = Store(database)
    assert store.save([TICK], Outcome([ALERT], {KEY: EPISODE})) == 1
    assert list(store.alerts_since(None)) == [ALERT]
    assert store.episodes() == {KEY: EPISODE}
    assert store.save([], Outcome([replace(ALERT, state=State.RESOLVED)], {KEY: None})) == 0
    assert store.episodes() == {}
    assert [alert.state for alert in store.alerts_since(None)] == [State.FIRING, State.RESOLVED]


def test_saving_the_same_again_changes_nothing(database: Database) -> None:
    store = Store(database)
    outcome = Outcome([ALERT], {KEY: EPISODE})
    assert [store.save([TICK], outcome), store.save([TICK], outcome)] == [1, 0]
    assert list(store.alerts_since(None)) == [ALERT]
    assert rows(database, "SELECT ticks FROM ohlcv_1d") == [(1,)]


def test_a_tick_the_database_will_not_take_costs_no_other(database: Database, logged: Logged) -> None:
    poison = replace(TICK, symbol="ETH", price=Decimal(-1))
    third = replace(TICK, symbol="ZEC")
    store = Store(database)
    assert store.save([TICK, poison, third], Outcome([ALERT])) == 2
    assert store.refused == 1
    assert list(store.alerts_since(None)) == [ALERT]
    assert rows(database, "SELECT symbol FROM ticker_data ORDER BY 1") == [("BTC",), ("ZEC",)]
    assert "will not take this tick of ETH" in logged.read_new()


def test_a_batch_with_a_refused_tick_is_still_one_transaction(database: Database) -> None:
    """A tick that is stored without the alert it caused would never alert again."""
    bad = replace(ALERT, symbol="\ud800")  # no text that a database can hold
    with pytest.raises(UnicodeEncodeError):
        Store(database).save([TICK, replace(TICK, symbol="ETH", price=Decimal(-1))], Outcome([bad]))
    assert rows(database, "SELECT count(*) FROM ticker_data") == [(0,)]


def test_the_ledger_waits_for_no_database(tmp_path: Path) -> None:
    away = Database(f"host={tmp_path} user=nobody dbname=nothing", threading.Event())
    with pytest.raises(DatabaseUnavailable):
        CallLedger(away).reserve("coingecko", date(2026, 11, 1), 1)


def test_partitions_are_made_on_demand_for_old_ticks(database: Database) -> None:
    old = [replace(TICK, timestamp=datetime(*month, 1, tzinfo=UTC)) for month in ((2009, 2), (2021, 4), (2021, 12))]
    assert Store(database).save(old, Outcome()) == 3
    made = rows(database, "SELECT relname FROM pg_class WHERE relname ~ '^ticker_data_\\d+_\\d+$' ORDER BY 1")
    assert made == [("ticker_data_2009_02",), ("ticker_data_2021_04",), ("ticker_data_2021_12",)]


def test_recent_ticks_reach_back_from_each_symbol_s_newest_live_one(database: Database) -> None:
    def at(symbol: str, seconds: float, origin: str = "live") -> Tick:
        return replace(TICK, symbol=symbol, timestamp=NOON + timedelta(seconds=seconds), origin=origin)

    store = Store(database)
    store.save([at("BTC", 0), at("BTC", 1), at("BTC", 300), at("BTC", 500, "backfill"), at("ETH", -86400)], Outcome())
    recent = [
        (symbol, (time - NOON).total_seconds()) for symbol, time, *_ in store.recent_ticks(["BTC", "ETH", "X"], 299)
    ]
    assert recent == [("BTC", 1), ("BTC", 300), ("ETH", -86400)]
    assert store.recent_ticks(["ETH"], 1)[0][2:] == (TICK.price, TICK.volume_24h, TICK.market_cap)


def test_what_is_taken_off_the_watch_list_stays_in_the_table(database: Database) -> None:
    btc = Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin", "Bitcoin")
    eth = Instrument("ETH", "EUR", "coingecko", "ETH-EUR", "ethereum")
    elsewhere = Instrument("BTC", "USD", "kraken", "BTC@kraken")
    store = Store(database)
    store.save_instruments("coingecko", [btc, eth])
    store.save_instruments("kraken", [elsewhere])
    store.save_instruments("coingecko", [replace(btc, name=None)])
    assert rows(
        database, "SELECT symbol, base, quote, market, provider_id, name, watched FROM instruments ORDER BY 1"
    ) == [
        ("BTC", "BTC", "USD", "coingecko", "bitcoin", "Bitcoin", True),
        ("BTC@kraken", "BTC", "USD", "kraken", None, None, True),
        ("ETH-EUR", "ETH", "EUR", "coingecko", "ethereum", None, False),
    ]


def test_calls_are_counted_by_source_and_month(database: Database) -> None:
    ledger = CallLedger(database)
    november, december = date(2026, 11, 1), date(2026, 12, 1)
    counts = [ledger.reserve("coingecko", november, 10), ledger.reserve("coingecko", november, 5)]
    assert [*counts, ledger.reserve("other", november, 1), ledger.reserve("coingecko", december, 0)] == [10, 15, 1, 0]


def test_the_hot_queries_use_their_indexes(database: Database) -> None:
    store = Store(database)
    store.save([replace(TICK, timestamp=NOON + timedelta(seconds=s)) for s in range(5000)], Outcome())
    rows(database, "ANALYZE ticker_data; ANALYZE candles; SELECT 1")
    plan = "\n".join(
        row[0]
        for row in rows(
            database,
            "EXPLAIN SELECT * FROM ticker_data WHERE symbol = 'BTC' ORDER BY timestamp DESC LIMIT 1",
        )
    )
    assert "Index Scan Backward" in plan
    assert "Seq Scan" not in plan
    hot = "SELECT * FROM ohlcv_1m WHERE symbol = 'BTC' AND bucket > now()"
    # Few rows are read without an index, whatever there is.
    candles = rows(database, f"SET LOCAL enable_seqscan = off; EXPLAIN {hot}")
    assert any("Index Cond: ((width = '1m'::text) AND (symbol = 'BTC'::text)" in line for (line,) in candles)
