"""Holes are found in what is stored, by each symbol's own pace, and written down once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg2
import pytest

from app.alerts.states import Outcome
from app.db import Database
from app.history.filling import Filling
from app.history.gaps import Feed, Finder, Hole
from app.model import Tick
from app.store import Store
from tests.clock import FakeClock
from tests.pace import in_time

pytestmark = pytest.mark.one_server

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=s) for s in (1, 60, 3600, 86400))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def tick(symbol: str, at: datetime, origin: str = "live") -> Tick:
    return Tick(symbol, at, Decimal(100), Decimal(5), None, at, "coingecko", origin)


def store(database: Database, symbol: str, times: Iterable[datetime]) -> None:
    Store(database).save([tick(symbol, at) for at in times], Outcome(epoch=epoch(database)))


def epoch(database: Database) -> int:
    return int(database.run(lambda cursor: (cursor.execute("SELECT epoch FROM leader"), cursor.fetchone()[0])[1]))


def every(step: timedelta, begin: datetime, end: datetime) -> list[datetime]:
    return [begin + step * number for number in range(int((end - begin) / step))]


def found(database: Database, feed: Feed, since: datetime, until: datetime) -> list[tuple[str, datetime, datetime]]:
    holes = [hole for some in Finder(database).find(feed, since, until) for hole in some]
    return sorted((hole.symbol, hole.begin, hole.end) for hole in holes)


def missing(database: Database, feed: Feed, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    return sorted((h.begin, h.end) for some in Finder(database).missing(feed, since, until) for h in some)


def test_a_hole_lies_between_the_two_ticks_that_are_too_far_apart(database: Database) -> None:
    step, last, first = 15 * SECOND, NOON + 20 * SECOND, NOON + 8 * HOUR + 7 * SECOND
    store(database, "BTC", [*every(step, NOON - HOUR, last), last, first, *every(step, first + step, first + HOUR)])
    store(database, "ETH", every(step, NOON - HOUR, first + HOUR))
    feed = Feed("coingecko", ["BTC", "ETH", "ZEC"], 1.0)
    assert found(database, feed, NOON - 3 * DAY, first + HOUR) == [("BTC", last, first)]


def test_nothing_is_missing_before_the_first_tick_but_what_was_asked_for(database: Database) -> None:
    store(database, "BTC", every(MINUTE, NOON, NOON + HOUR))
    feed, end = Feed("coingecko", ["BTC"], 60.0), NOON + HOUR
    assert found(database, feed, NOON - 3 * DAY, end) == []
    assert missing(database, feed, NOON - 3 * DAY, end) == [(NOON - 3 * DAY, NOON)]
    assert missing(database, feed, NOON, end) == []
    assert missing(database, Feed("coingecko", ["ETH"], 60.0), NOON, end) == [(NOON, end)]


def test_what_began_before_the_window_is_a_hole_from_there_on(database: Database) -> None:
    store(database, "BTC", [*every(MINUTE, NOON - 9 * DAY, NOON - 9 * DAY + HOUR), *every(MINUTE, NOON, NOON + HOUR)])
    window = NOON.replace(hour=0) - 3 * DAY
    assert found(database, Feed("coingecko", ["BTC"], 60.0), window, NOON + HOUR) == [("BTC", window, NOON)]


def test_after_the_last_tick_nothing_is_missing_but_what_was_asked_for(database: Database) -> None:
    store(database, "BTC", every(MINUTE, NOON, NOON + HOUR))
    feed, last, now = Feed("kraken", ["BTC"], 1.0), NOON + HOUR - MINUTE, NOON + 3 * HOUR
    assert found(database, feed, NOON - DAY, now) == []
    assert missing(database, feed, NOON, now) == [(last, now)]
    assert missing(database, feed, NOON, last + 100 * SECOND) == []
    store(database, "BTC", [now - HOUR])
    assert found(database, feed, NOON - DAY, now) == [("BTC", last, now - HOUR)]


def test_a_hole_is_longer_than_is_usual(database: Database) -> None:
    cases = [
        ("kraken", 1.0, SECOND, 119 * SECOND, False),
        ("kraken", 1.0, SECOND, 121 * SECOND, True),
        ("coingecko", 1.0, SECOND, 121 * SECOND, False),
        ("coingecko", 60.0, MINUTE, 599 * SECOND, False),
        ("coingecko", 60.0, MINUTE, 601 * SECOND, True),
        ("coingecko", 268.0, 268 * SECOND, 803 * SECOND, False),  # of 10,000 calls a month
        ("coingecko", 268.0, 268 * SECOND, 1200 * SECOND, True),
        ("kraken", 1.0, 10 * MINUTE, 40 * MINUTE, False),  # traded so seldom
        ("kraken", 1.0, 10 * MINUTE, 41 * MINUTE, True),
    ]
    for number, (market, interval, spacing, pause, is_hole) in enumerate(cases):
        symbol = f"S{number}"
        before = every(spacing, NOON, NOON + 20 * spacing + 5 * MINUTE)
        after = every(spacing, before[-1] + pause, before[-1] + pause + 20 * spacing)
        store(database, symbol, [*before, *after])
        holes = found(database, Feed(market, [symbol], interval), NOON - DAY, after[-1] + SECOND)
        assert holes == ([(symbol, before[-1], after[0])] if is_hole else []), (market, spacing, pause)


def test_what_began_before_the_window_is_followed_back(database: Database) -> None:
    """The daemon looks through a day an hour; an outage may be longer."""
    last, first = NOON - 9 * DAY, NOON - HOUR
    store(database, "BTC", [*every(MINUTE, last - HOUR, last + SECOND), *every(MINUTE, first, NOON)])
    store(database, "ETH", every(MINUTE, first, NOON))
    feed = Feed("coingecko", ["BTC", "ETH"], 60.0)

    def since(oldest: datetime) -> list[tuple[str, datetime, datetime]]:
        holes = [hole for some in Finder(database).find(feed, NOON - DAY, NOON, oldest) for hole in some]
        return [(hole.symbol, hole.begin, hole.end) for hole in holes]

    assert since(NOON - 30 * DAY) == [("BTC", last - MINUTE, first)]
    midnight = (NOON - 5 * DAY).replace(hour=0)
    assert since(NOON - 5 * DAY) == [("BTC", midnight, first)]


def at_random(mean: timedelta, begin: datetime, end: datetime, seed: int) -> list[datetime]:
    chance, times, now = random.Random(seed), [], begin
    while (now := now + mean * chance.expovariate(1)) < end:
        times.append(now.replace(microsecond=0))
    return sorted(set(times))


def test_silences_of_what_is_traded_at_random_are_no_holes_and_an_outage_is(database: Database) -> None:
    begin, out, back = NOON - 3 * DAY, NOON - 6 * HOUR, NOON - 2 * HOUR
    means = {"RARE": 30 * MINUTE, "SOME": 10 * MINUTE, "MORE": 3 * MINUTE}
    for number, (symbol, mean) in enumerate(means.items()):
        store(database, symbol, at_random(mean, begin, out, number))
    store(database, "BTC", every(MINUTE, begin, out))
    feed, finder = Feed("kraken", ["BTC", *means], 1.0), Finder(database)

    def holes() -> dict[str, tuple[datetime, datetime]]:
        return {h.symbol: (h.begin, h.end) for some in finder.find(feed, begin, NOON) for h in some}

    assert holes() == {}
    store(database, "BTC", every(MINUTE, back, NOON))
    assert holes() == {"BTC": (out - MINUTE, back)}
    # It is filled before the others have a tick again.
    Filling(database, FakeClock()).record([Hole("BTC", out - MINUTE, back, "")])
    store(database, "BTC", every(MINUTE, out, back))
    for number, (symbol, mean) in enumerate(means.items()):
        store(database, symbol, at_random(mean, back, NOON, 9 + number))
    found = holes()
    assert set(found) == set(means)
    assert all(begin <= out and end >= back for begin, end in found.values())


def test_a_hole_is_written_down_once_whoever_finds_it_and_whatever_became_of_it(database: Database, dsn: str) -> None:
    hole = Hole("BTC", NOON, NOON + 8 * HOUR, "nothing there")
    filling = Filling(database, FakeClock())
    assert filling.record([hole]) == 1
    assert filling.record([hole]) == 0
    assert filling.record([Hole("BTC", NOON - HOUR, NOON + 9 * HOUR, "more"), Hole("ETH", NOON, NOON + HOUR, "")]) == 3
    spans = [(gap.symbol, gap.begins_at, gap.ends_at) for gap in filling.gaps(["BTC", "ETH"], NOON - DAY, NOON + DAY)]
    assert spans == [
        ("BTC", NOON + 8 * HOUR, NOON + 9 * HOUR),
        ("BTC", NOON, NOON + 8 * HOUR),
        ("ETH", NOON, NOON + HOUR),
        ("BTC", NOON - HOUR, NOON),
    ]


def test_two_who_find_the_same_at_once_write_it_down_once(dsn: str) -> None:
    holes = [Hole(f"S{number}", NOON, NOON + HOUR, "") for number in range(50)]
    begun = threading.Barrier(4)
    counts = []

    def find() -> None:
        with closing(Database(dsn, threading.Event(), "test")) as database:
            database.query("count_gaps")
            begun.wait()
            counts.append(Filling(database, FakeClock()).record(holes))

    threads = [threading.Thread(target=find) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 0, 0, 50]


def test_a_month_of_ticks_a_second_is_looked_through_at_once(database: Database, dsn: str) -> None:
    """Candles alone, as they are after 3 symbols of 30 days with a tick a second: 2.6 million ticks each."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO candles SELECT w, s, b, 1, b, 1, 1, 1, b + l - interval '1 second', 1, b, n, m
            FROM unnest(ARRAY['BTC', 'ETH', 'ZEC']) AS s, LATERAL (
                SELECT '1d', b, interval '1 day', 86400, repeat('1', 1440)::bit varying
                FROM generate_series(%(since)s, %(since)s + interval '29 days', '1 day') AS b
                UNION ALL
                SELECT '1m', b, interval '1 minute', 60, '1'
                FROM generate_series(%(since)s, %(since)s + interval '29 days 23 hours 59 minutes', '1 minute') AS b
            ) AS t (w, b, l, n, m)
            """,
            {"since": NOON.replace(hour=0) - 30 * DAY},
        )
        cursor.execute(
            "UPDATE candles SET minutes = overlay(minutes PLACING repeat('0', 480)::bit varying FROM 601)"
            " WHERE width = '1d' AND symbol = 'ETH' AND bucket = %s",
            (NOON.replace(hour=0) - 10 * DAY,),
        )
    began = time.monotonic()
    holes = found(database, Feed("coingecko", ["BTC", "ETH", "ZEC"], 1.0), NOON - 30 * DAY, NOON.replace(hour=0))
    took = time.monotonic() - began
    ten = NOON.replace(hour=10) - 10 * DAY
    assert holes == [("ETH", ten - SECOND, ten + 8 * HOUR)]
    assert in_time(took, 2)
