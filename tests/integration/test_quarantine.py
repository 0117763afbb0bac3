"""What is held and released, in the database: with the batch, by way of the spool, after a kill, and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import hypothesis.strategies as st
import psycopg2
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from app.alerts.states import Outcome
from app.cli.quarantine import command
from app.db import Database
from app.errors import CryptoMonitorError, DataRefused, Deposed
from app.model import Tick
from app.quarantine import Held
from app.quarantine_table import Quarantine
from app.store import Store
from tests.integration.test_candles import RECOMPUTED, rows
from tests.integration.test_intake import CALM, START, Desk
from tests.rules import rule

HIGH = rule("price > 150")
WIDTHS = (("ohlcv_1m", "minute", 1), ("ohlcv_1h", "hour", 60), ("ohlcv_1d", "day", 1440))


@pytest.fixture
def desk(tmp_path: Path, dsn: str, database: Database) -> Iterator[Desk]:
    with ExitStack() as stack:
        desk = Desk(tmp_path, dsn, stack)
        desk.intake = desk.term(HIGH)
        yield desk


def stored(desk: Desk) -> list[int]:
    return [int(price) for (price,) in desk.rows("SELECT price FROM ticker_data ORDER BY timestamp")]


def kept(desk: Desk) -> list[tuple[int, str, str | None]]:
    found = desk.rows("SELECT price, state, settled_by FROM quarantine ORDER BY timestamp")
    return [(int(price), state, by) for price, state, by in found]


def expect_exact_candles(database: Database) -> None:
    for table, unit, minutes in WIDTHS:
        found = rows(database, f"SELECT * FROM {table} ORDER BY symbol, bucket")
        assert found == rows(database, RECOMPUTED, unit=unit, minutes=minutes)


# With the batch


@pytest.mark.one_server
def test_a_held_tick_is_in_its_table_and_nowhere_else(desk: Desk) -> None:
    desk.take(*CALM, "200")
    assert stored(desk) == [100] * 10
    assert desk.rows("SELECT max(high), sum(ticks)::int FROM ohlcv_1d") == [(100, 10)]
    assert desk.lines() == []
    [row] = desk.rows("SELECT timestamp, price, volume_24h, source, origin, median, why, settled_at FROM quarantine")
    assert row[:6] == (START + timedelta(minutes=11), 200, 1, "coingecko", "live", 100)
    assert row[6:] == ("100.0 % above its five-minute median 100.0, and no other market confirms it", None)
    assert (desk.intake.counts.held, desk.intake.counts.stored) == (1, 10)


def test_three_that_agree_are_stored_rolled_up_and_held_against_the_rules(desk: Desk) -> None:
    desk.take(*CALM, "200", "201", "202", "203")
    assert stored(desk) == [*[100] * 10, 200, 201, 202, 203]
    assert kept(desk) == [(price, "released", "three ticks") for price in (200, 201, 202)]
    assert desk.lines() == ["FIRING"]
    [line] = desk.path.read_text().splitlines()
    assert "price=200 " in line, "the first of them is the one that fires"
    expect_exact_candles(desk.writer)
    assert desk.intake.counts.held == 2


@pytest.mark.one_server
def test_a_tick_that_is_repeated_is_held_once(desk: Desk) -> None:
    desk.take(*CALM)
    batch = desk.batch("200")
    for _ in range(3):
        desk.intake.accept(batch)
    assert kept(desk) == [(200, "held", None)]
    assert (desk.intake.counts.held, desk.intake.counts.duplicates) == (1, 2)


@pytest.mark.one_server
def test_who_is_deposed_holds_nothing(desk: Desk) -> None:
    desk.take(*CALM)
    desk.rows("UPDATE leader SET epoch = epoch + 1 RETURNING 1")
    with pytest.raises(Deposed):
        desk.take("200")
    assert kept(desk) == []


@pytest.mark.one_server
def test_a_held_tick_that_the_database_refuses_costs_no_other(desk: Desk) -> None:
    desk.take(*CALM)
    good, bad = desk.batch("100"), desk.batch("200")
    tick = replace(bad.ticks[0], symbol="B\0C")
    held = Held(tick, Decimal(100), "odd", tick.fetched_at)
    desk.store.save(good.ticks, Outcome(desk.lease.epoch or 0), [replace(held, tick=bad.ticks[0])])
    assert kept(desk) == [(200, "held", None)]
    assert len(stored(desk)) == 11


# By way of the spool


@pytest.mark.one_server
def test_what_is_held_while_the_database_is_away_is_held_once_when_it_is_back(desk: Desk) -> None:
    desk.take(*CALM)
    desk.away(True)
    desk.take("200", "201", "100", "300")
    desk.away(False)
    real, desk.spool.done = desk.spool.done, lambda through: None  # type: ignore[method-assign]
    entries = desk.spool.first(3)
    Store(desk.drain).save_spooled(entries)  # and killed before that is marked
    desk.spool.done = real  # type: ignore[method-assign]
    desk.backlog.step(desk.stop)
    assert kept(desk) == [(200, "held", None), (201, "held", None), (300, "held", None)]
    assert stored(desk) == [100] * 11


def test_what_is_released_while_the_database_is_away_is_stored_when_it_is_back(desk: Desk) -> None:
    desk.take(*CALM, "200")
    desk.away(True)
    desk.take("201", "202", "203")
    assert desk.lines() == ["FIRING"]
    desk.away(False)
    desk.rows("UPDATE leader SET epoch = epoch + 1 RETURNING 1")  # facts need no lease
    desk.backlog.step(desk.stop)
    assert kept(desk) == [(price, "released", "three ticks") for price in (200, 201, 202)]
    assert stored(desk) == [*[100] * 10, 200, 201, 202, 203]
    expect_exact_candles(desk.writer)


@pytest.mark.one_server
def test_a_release_that_is_stored_twice_does_not_undo_what_a_hand_did_since(desk: Desk) -> None:
    desk.take(*CALM)
    desk.away(True)
    desk.take("200", "201", "202")
    desk.away(False)
    entries = desk.spool.first(100)
    Store(desk.drain).save_spooled(entries)
    assert Quarantine(desk.drain).hold("BTC", START + timedelta(minutes=11), "wrong all the same")
    desk.backlog.step(desk.stop)
    assert kept(desk)[0] == (200, "held", None)
    assert stored(desk) == [*[100] * 10, 201, 202]
    expect_exact_candles(desk.writer)


# After a kill


@pytest.mark.one_server
def test_two_held_before_a_kill_and_one_after_it_release_all_three(desk: Desk) -> None:
    desk.take(*CALM, "200", "201")
    desk.intake = desk.term(HIGH)  # all that was in memory is gone
    desk.take("202")
    assert stored(desk) == [*[100] * 10, 200, 201, 202]
    assert desk.lines() == ["FIRING"]


@pytest.mark.one_server
def test_after_a_kill_the_median_is_known(desk: Desk) -> None:
    desk.take(*CALM)
    desk.intake = desk.term(HIGH)
    desk.take("200")
    assert kept(desk) == [(200, "held", None)]


# By hand


def test_by_hand_a_tick_goes_in_and_out_any_number_of_times_and_candles_are_exact(desk: Desk) -> None:
    desk.take(*CALM, "200", "100")
    quarantine, time = Quarantine(desk.drain), START + timedelta(minutes=11)
    columns = "symbol, timestamp, price, volume_24h, market_cap, fetched_at, source, origin, markets"
    [before] = desk.rows(f"SELECT {columns} FROM quarantine")
    for _ in range(3):
        assert quarantine.release("BTC", time)
        assert stored(desk)[10:] == [200, 100]
        assert desk.rows(f"SELECT {columns} FROM ticker_data WHERE price = 200") == [before]
        assert kept(desk) == [(200, "released", "hand")]
        expect_exact_candles(desk.writer)
        assert not quarantine.release("BTC", time), "it is not held any more"
        assert quarantine.hold("BTC", time, "no")
        assert stored(desk)[10:] == [100]
        assert kept(desk) == [(200, "held", None)]
        expect_exact_candles(desk.writer)
        assert not quarantine.hold("BTC", time, "no"), "it is not stored any more"
    assert desk.lines() == [], "no rule is held against it"


@pytest.mark.one_server
def test_what_is_held_by_hand_stays_held_while_its_provider_repeats_it(desk: Desk) -> None:
    desk.take(*CALM)
    batch = desk.batch("120")
    desk.intake.accept(batch)
    assert Quarantine(desk.drain).hold("BTC", batch.ticks[0].timestamp, "no")
    desk.intake.accept(batch)
    assert len(stored(desk)) == 10
    desk.intake = desk.term(rule("price > 110"))
    desk.intake.accept(batch)
    assert len(stored(desk)) == 10
    assert desk.lines() == []


@pytest.mark.one_server
def test_the_last_tick_of_a_bucket_takes_its_candle_with_it(desk: Desk) -> None:
    desk.take("100")
    assert Quarantine(desk.drain).hold("BTC", START + timedelta(minutes=1), "no")
    assert desk.rows("SELECT * FROM candles") == []


@pytest.mark.one_server
def test_of_two_ticks_of_one_time_the_first_stands(desk: Desk) -> None:
    desk.take(*CALM)
    bad = desk.batch("200")
    good = replace(bad, ticks=(replace(bad.ticks[0], price=Decimal(101)),))
    desk.intake.accept(bad)
    desk.intake.accept(good)
    quarantine, time = Quarantine(desk.drain), bad.ticks[0].timestamp
    with pytest.raises(DataRefused, match="another tick of BTC with that time is stored; hold that one first"):
        quarantine.release("BTC", time)
    with pytest.raises(DataRefused, match="another tick of BTC with that time is held already"):
        quarantine.hold("BTC", time, "no")
    assert kept(desk) == [(200, "held", None)]
    assert stored(desk)[10:] == [101]


def test_who_stores_meanwhile_waits_and_loses_nothing(desk: Desk, dsn: str) -> None:
    """A tick of the same bucket, stored just when another is taken out of it."""
    desk.take("100", "101")
    time = START + timedelta(minutes=1)
    with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
        cursor.execute("SELECT hold_tick('BTC', %s, 'no')", (time,))
        desk.take("102")
        assert desk.spool.waiting == 1, "it did not wait for longer than a batch may"
        other.commit()
    desk.backlog.step(desk.stop)
    assert stored(desk) == [101, 102]
    expect_exact_candles(desk.writer)


SECONDS = st.one_of(st.integers(0, 200), st.sampled_from([3599, 3600, 86399, 86400, -86400, 7200]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ticks=st.lists(st.tuples(SECONDS, st.sampled_from(["1", "2.5", "60781.97"]), st.booleans()), max_size=8),
    moves=st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=8),
)
def test_whatever_a_hand_does_candles_equal_a_full_recompute(
    database: Database, ticks: list[tuple[int, str, bool]], moves: list[tuple[int, bool]]
) -> None:
    database.run(lambda cursor: cursor.execute("TRUNCATE ticker_data, candles, quarantine"))
    times = [START + timedelta(seconds=second) for second, *_ in ticks]
    batch = [
        Tick(symbol, time, Decimal(price), Decimal(7) if has_volume else None, None, time, "coingecko")
        for time, (_, price, has_volume) in zip(times, ticks, strict=True)
        for symbol in ("BTC", "ETH")
    ]
    Store(database).save(batch, Outcome())
    quarantine = Quarantine(database)
    for place, is_in in moves:
        if place < len(times):
            _ = quarantine.release("BTC", times[place]) if is_in else quarantine.hold("BTC", times[place], "no")
    expect_exact_candles(database)
    held = rows(database, "SELECT count(*) FROM quarantine WHERE state = 'held'")
    assert held == [(2 * len(set(times)) - rows(database, "SELECT count(*) FROM ticker_data")[0][0],)]


# The command


def run(dsn: str, tmp_path: Path, *arguments: str) -> tuple[str, BaseException | None]:
    environment = {"DATABASE_URL": dsn, "DATA_DIR": str(tmp_path)}
    result = CliRunner(env=environment).invoke(command, list(arguments))
    return result.output, result.exception


@pytest.mark.one_server
def test_the_command_lists_releases_and_holds(desk: Desk, dsn: str, tmp_path: Path) -> None:
    assert run(dsn, tmp_path, "list") == ("none is held\n", None)
    desk.take(*CALM, "200")
    said, _ = run(dsn, tmp_path, "list", "--symbol", "btc")
    assert said.splitlines()[1].split()[:5] == ["BTC", "2021-04-18T12:11:00Z", "200", "coingecko", "held"]
    said, _ = run(dsn, tmp_path, "release", "btc", "2021-04-18T12:11:00Z")
    assert said.startswith("BTC 2021-04-18T12:11:00Z is released; `quarantine hold BTC 2021-04-18T12:11:00Z` takes")
    assert stored(desk)[10:] == [200]
    assert "released by hand" in run(dsn, tmp_path, "list", "--all")[0]
    said, _ = run(dsn, tmp_path, "hold", "BTC", "2021-04-18 12:11", "--why", "a slip")
    assert said.startswith("BTC 2021-04-18T12:11:00Z is held;")
    assert stored(desk) == [100] * 10
    assert "a slip" in run(dsn, tmp_path, "list")[0]


@pytest.mark.one_server
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("release", "BTC", "2021-04-18T12:11:00Z"), "no tick of BTC at 2021-04-18T12:11:00Z is held"),
        (("hold", "BTC", "2021-04-18T12:11:00Z"), "no tick of BTC at 2021-04-18T12:11:00Z is stored"),
        (("hold", "BTC", "noon"), "TIME=noon: should be a time"),
        (("hold", "B T C", "2021-04-18T12:11:00Z"), "SYMBOL=B T C: should be a symbol"),
        (("hold", "BTC", "2021-04-18T12:11:00Z", "--why", " "), "should be a text of one line"),
    ],
)
@pytest.mark.one_server
def test_the_command_says_what_it_cannot_do(dsn: str, tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    _, error = run(dsn, tmp_path, *arguments)
    assert isinstance(error, CryptoMonitorError)
    assert reason in str(error)
