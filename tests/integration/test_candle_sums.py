"""What the ticks of a candle add up to, however they came: the standard deviations of all who are ranked rest on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, localcontext
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from app.alerts.states import Outcome
from app.api.board import sums_of_day
from app.db import Database
from app.model import Tick
from app.moments import Sums
from app.store import Store

MINUTE = datetime(2026, 11, 22, 10, 17, tzinfo=UTC)

# Plainly, from the ticks themselves.
RECOMPUTED = """
    SELECT symbol, date_trunc(%(unit)s, "timestamp", 'UTC'), sum(price), sum(price * price), count(volume_24h),
        coalesce(sum(volume_24h), 0), coalesce(sum(volume_24h * volume_24h), 0)
    FROM ticker_data GROUP BY 1, 2 ORDER BY 1, 2
"""
KEPT = """
    SELECT symbol, bucket, price_sum, price_squares, volumes, volume_sum, volume_squares
    FROM candles WHERE width = %(width)s ORDER BY 1, 2
"""

# At both edges of the day before MINUTE, of its first and of its last whole hour, and anywhere.
SECONDS = st.one_of(
    st.sampled_from([0, -1e-6, -60, -86400, -86400.000001, -86400 + 43 * 60, -17 * 60, -17 * 60 - 1e-6, 59.5]),
    st.integers(-87000, 100),
)
TICKS = st.builds(
    lambda symbol, seconds, price, volume: tick(symbol, MINUTE + timedelta(seconds=seconds), price, volume),
    st.sampled_from(["BTC", "ETH"]),
    SECONDS,
    st.sampled_from(["100000", "100000.000000001", "100000.000000002", "1e-30", "99999999999999999999.123456789"]),
    st.one_of(st.none(), st.sampled_from(["0", "3692454343", "0.1"])),
)


def tick(symbol: str, at: datetime, price: str, volume: str | None = None) -> Tick:
    return Tick(symbol, at, Decimal(price), None if volume is None else Decimal(volume), None, at, "coingecko")


def rows(database: Database, sql: str, **values: object) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []

    return database.run(fetch)


def watch(database: Database, *symbols: str) -> None:
    for symbol in symbols:
        rows(
            database,
            "INSERT INTO instruments (symbol, base, quote, market) VALUES (%(symbol)s, %(symbol)s, 'USD', 'coingecko')"
            " ON CONFLICT DO NOTHING",
            symbol=symbol,
        )


def save(database: Database, *batches: Sequence[Tick]) -> None:
    store = Store(database)
    for batch in batches:
        store.save(batch, Outcome())


def assert_they_are_those_of_the_ticks(database: Database) -> None:
    for width, unit in (("1m", "minute"), ("1h", "hour"), ("1d", "day")):
        assert rows(database, KEPT, width=width) == rows(database, RECOMPUTED, unit=unit)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(TICKS, max_size=6), max_size=6))
def test_they_are_those_of_all_ticks_at_once_and_so_is_the_deviation_of_a_day(
    database: Database, batches: list[list[Tick]]
) -> None:
    rows(database, "TRUNCATE ticker_data, candles")
    watch(database, "BTC", "ETH")
    save(database, *batches)
    assert_they_are_those_of_the_ticks(database)
    sums = database.run(lambda cursor: sums_of_day(cursor, MINUTE))
    stored = rows(database, 'SELECT symbol, "timestamp", price, volume_24h FROM ticker_data')
    for symbol in ("BTC", "ETH"):
        its = [row for row in stored if row[0] == symbol and MINUTE - timedelta(days=1) <= row[1] < MINUTE]
        prices, volumes = [price for *_, price, _ in its], [volume for *_, volume in its if volume is not None]
        assert sums["price"].get(symbol) == of(prices)
        assert sums["volume"].get(symbol) == of(volumes)


def of(values: Sequence[Decimal]) -> Sums | None:
    if not values:
        return None
    with localcontext(Context(prec=200, traps=[Inexact])):
        return Sums(len(values), sum(values, Decimal(0)), sum((value * value for value in values), Decimal(0)))


def test_the_day_ends_with_the_minute_also_where_that_begins_an_hour(database: Database) -> None:
    hour = MINUTE.replace(minute=0)
    watch(database, "BTC")
    edges = [hour - timedelta(days=1, microseconds=1), hour - timedelta(days=1), hour - timedelta(seconds=1), hour]
    save(database, [tick("BTC", at, str(10**i)) for i, at in enumerate(edges)])
    sums = database.run(lambda cursor: sums_of_day(cursor, hour))
    assert sums["price"] == {"BTC": Sums(2, Decimal(110), Decimal(10100))}


def test_a_tick_that_is_held_takes_its_part_along(database: Database) -> None:
    ticks = [tick("BTC", MINUTE - timedelta(seconds=40 * i), str(100 + i), "5") for i in range(200)]
    save(database, ticks)
    rows(database, "SELECT hold_tick('BTC', %(at)s, 'a test')", at=ticks[7].timestamp)
    assert_they_are_those_of_the_ticks(database)


def test_what_is_not_known_of_a_minute_is_not_known_of_its_hour_and_stays_so(database: Database) -> None:
    later = MINUTE + timedelta(minutes=1)
    save(database, [tick("BTC", MINUTE, "1"), tick("BTC", later, "2")])
    rows(database, "UPDATE candles SET price_sum = NULL, price_squares = NULL WHERE bucket <= %(at)s", at=MINUTE)
    save(database, [tick("BTC", MINUTE + timedelta(seconds=1), "3")])
    rows(database, "SELECT recompute_candles('BTC', %(at)s, %(at)s + interval '1 s')", at=later)
    known = rows(database, "SELECT width, price_sum FROM candles ORDER BY bucket, width")
    assert known == [("1d", None), ("1h", None), ("1m", None), ("1m", Decimal(2))]
    watch(database, "BTC")
    assert database.run(lambda cursor: sums_of_day(cursor, later + timedelta(minutes=1)))["price"] == {}
