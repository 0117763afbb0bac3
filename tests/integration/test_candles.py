"""Candles are kept incrementally, and equal what one computes from all ticks at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import psycopg2
from hypothesis import HealthCheck, given, settings

from app.alerts.states import Outcome
from app.clock import SystemClock
from app.db import Database
from app.model import Tick
from app.store import Store
from app.views import Upkeep
from tests.clock import FakeClock

DAY = datetime(2021, 4, 18, tzinfo=UTC)

# Written apart from the product's own SQL, and as plainly as possible.
RECOMPUTED = """
    SELECT symbol, date_trunc(%(unit)s, "timestamp", 'UTC') AS bucket,
           (array_agg(price ORDER BY "timestamp"))[1] AS open, max(price) AS high, min(price) AS low,
           (array_agg(price ORDER BY "timestamp" DESC))[1] AS close,
           (array_agg(volume_24h ORDER BY "timestamp" DESC) FILTER (WHERE volume_24h IS NOT NULL))[1] AS volume,
           count(*) AS ticks,
           round(count(DISTINCT date_trunc('minute', "timestamp"))::numeric / %(minutes)s, 4) AS coverage
    FROM ticker_data GROUP BY 1, 2 ORDER BY 1, 2
"""


def rows(database: Database, sql: str, **values: object) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql, values)
        return list(cursor.fetchall())

    return database.run(fetch)


def tick(symbol: str, at: datetime, price: str, volume: str | None = "1000") -> Tick:
    return Tick(symbol, at, Decimal(price), None if volume is None else Decimal(volume), None, at, "coingecko")


def store(database: Database, *batches: Sequence[Tick]) -> int:
    writer = Store(database)
    return sum(writer.save(batch, Outcome()).stored for batch in batches)


# Few symbols, prices and times, on purpose: so they meet in the same buckets, as the same ticks, and at the edges.
TICKS = st.builds(
    lambda symbol, second, price, volume: tick(symbol, DAY + timedelta(seconds=second), price, volume),
    st.sampled_from(["BTC", "ETH"]),
    st.one_of(st.integers(0, 200), st.sampled_from([-1, 3599, 3600, 86399, 86400, 86399.999999, -86400, 40 * 86400])),
    st.sampled_from(["1", "1.00", "2.5", "60781.97", "0.000000000056366", "99999999999999999999.123456789"]),
    st.one_of(st.none(), st.sampled_from(["0", "3692454343", "0.1"])),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(TICKS, max_size=6), max_size=8))
def test_incremental_candles_equal_a_full_recompute(database: Database, batches: list[list[Tick]]) -> None:
    database.run(lambda cursor: cursor.execute("TRUNCATE ticker_data, candles"))
    store(database, *batches)
    for table, unit, minutes in (("ohlcv_1m", "minute", 1), ("ohlcv_1h", "hour", 60), ("ohlcv_1d", "day", 1440)):
        kept = rows(database, f"SELECT * FROM {table} ORDER BY symbol, bucket")
        assert kept == rows(database, RECOMPUTED, unit=unit, minutes=minutes)


def test_daily_ohlcv_equals_the_daily_candles_after_a_refresh(database: Database) -> None:
    minutes = [tick("BTC", DAY + timedelta(minutes=i), str(100 + i)) for i in range(1500)]
    store(database, minutes)
    assert rows(database, "SELECT * FROM daily_ohlcv") == []
    Upkeep(database, SystemClock()).refresh()
    daily = rows(database, "SELECT * FROM daily_ohlcv ORDER BY symbol, day")
    recomputed = rows(database, RECOMPUTED, unit="day", minutes=1440)
    assert daily == [(symbol, bucket.date(), *rest) for symbol, bucket, *rest in recomputed]
    assert [row[1:6] for row in daily] == [
        (DAY.date(), Decimal(100), Decimal(1539), Decimal(100), Decimal(1539)),
        ((DAY + timedelta(days=1)).date(), Decimal(1540), Decimal(1599), Decimal(1540), Decimal(1599)),
    ]


def test_volume_is_the_last_gauge_of_the_day_and_never_a_sum(database: Database) -> None:
    store(
        database,
        [tick("BTC", DAY + timedelta(hours=2), "2", "700"), tick("BTC", DAY + timedelta(hours=3), "3", None)],
        [tick("BTC", DAY + timedelta(hours=1), "1", "900")],  # late
    )
    assert rows(database, "SELECT volume, close, open FROM ohlcv_1d") == [(Decimal(700), Decimal(3), Decimal(1))]


def test_coverage_counts_only_minutes_that_have_elapsed(database: Database) -> None:
    now = rows(database, "SELECT date_trunc('hour', now())")[0][0]
    store(database, [tick("BTC", now, "1")])
    # In one statement, so that both are of one minute; and as the server rounds.
    elapsed = "greatest(1, floor(extract(epoch FROM now() - bucket) / 60))"
    [(coverage, share)] = rows(database, f"SELECT coverage, round(1 / {elapsed}, 4) FROM ohlcv_1h")
    assert coverage == share


def test_the_same_tick_again_makes_no_row_and_the_first_stands(database: Database) -> None:
    assert store(database, [tick("BTC", DAY, "1")], [tick("BTC", DAY, "2")], [tick("BTC", DAY, "1")]) == 1
    assert rows(database, "SELECT price FROM ticker_data") == [(Decimal(1),)]
    assert rows(database, "SELECT high, ticks FROM ohlcv_1m") == [(Decimal(1), 1)]


def test_every_published_digit_comes_back(database: Database) -> None:
    published = ["1.0", "60997", "0.000000000056366", "0.1000", "12345678901234567890.12345678901234567890"]
    store(database, [tick("BTC", DAY + timedelta(seconds=i), price) for i, price in enumerate(published)])
    stored = rows(database, 'SELECT price::text FROM ticker_data ORDER BY "timestamp"')
    assert [price for (price,) in stored] == published


def test_a_refresh_does_not_block_readers(dsn: str, database: Database) -> None:
    store(database, [tick("BTC", DAY, "1")])
    reader = psycopg2.connect(dsn)
    try:
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM daily_ohlcv")  # its lock is held until the transaction ends
            Upkeep(database, SystemClock()).refresh()
            cursor.execute("SELECT count(*) FROM daily_ohlcv")
            assert cursor.fetchone() == (1,)
    finally:
        reader.close()


def test_a_view_that_a_broken_restore_left_unpopulated_is_filled_again(database: Database) -> None:
    store(database, [tick("BTC", DAY, "1")])
    database.run(lambda cursor: cursor.execute("REFRESH MATERIALIZED VIEW daily_ohlcv WITH NO DATA"))
    Upkeep(database, SystemClock()).refresh()
    assert rows(database, "SELECT symbol FROM daily_ohlcv") == [("BTC",)]


def test_a_refresh_is_left_out_when_nothing_came_in_and_the_newest_day_is_over(database: Database) -> None:
    upkeep = Upkeep(database, FakeClock(DAY + timedelta(days=3)))
    store(database, [tick("BTC", DAY, "1")])
    assert [upkeep.step(1), upkeep.step(1), upkeep.step(2), upkeep.step(2)] == [True, False, True, False]


def test_today_is_refreshed_while_it_lasts_and_once_after_it_is_over(database: Database) -> None:
    clock = FakeClock(DAY + timedelta(hours=23))
    upkeep = Upkeep(database, clock)
    store(database, [tick("BTC", DAY, "1")])
    assert [upkeep.step(1), upkeep.step(1)] == [True, True]
    clock.advance(2 * 3600)
    assert [upkeep.step(1), upkeep.step(1)] == [True, False]
