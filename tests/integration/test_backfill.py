"""Holes are filled from a provider's history: what is stored, what becomes of each, what goes on when calls fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

import pytest

from app.alerts.states import Outcome
from app.bars import bar_ticks
from app.db import Database
from app.errors import Deposed, OutOfReach, ProviderRefused, ProviderUnavailable, RateLimited
from app.history.backfill import Backfill, Progress
from app.history.backfiller import Backfiller, GapCounts, Polled
from app.history.filling import Filling
from app.history.gaps import Feed, Finder, Hole
from app.model import Batch, Instrument, Page, Tick
from app.sources.base import Source
from app.store import Store
from app.watch import Entry
from tests.clock import FakeClock
from tests.conftest import Logged

pytestmark = pytest.mark.one_server

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=s) for s in (1, 60, 3600, 86400))
STEP = 5 * MINUTE
NOW = FakeClock().now()
NOON = NOW - 8 * HOUR  # of no day in particular

BTC, ETH, XBT = (
    Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin"),
    Instrument("ETH", "USD", "coingecko", "ETH", "ethereum"),
    Instrument("BTC", "USD", "kraken", "BTC@kraken", "XBTUSD"),
)


@dataclass
class Shop(Source):
    """A provider that keeps every five minutes of a day, and every hour of thirty; and refuses what it is told to."""

    name: ClassVar[str] = "coingecko"
    asked: list[tuple[str, datetime, datetime]] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)
    sick: set[str] = field(default_factory=set)
    silent: tuple[datetime, datetime] = (NOW, NOW)
    known_until: datetime = NOW
    before_answer: Callable[[], None] = lambda: None
    learned: int = 0

    def learn_plan(self) -> None:
        self.learned += 1

    def history(self, instrument: Instrument, begin: datetime, end: datetime) -> Page:
        self.asked.append((instrument.symbol, begin, end))
        self.before_answer()
        if self.refusals:
            raise self.refusals.pop(0)
        if instrument.symbol in self.sick:
            raise ProviderUnavailable("its server is ill")
        if end <= NOW - 30 * DAY:
            raise OutOfReach("it keeps 30 days")
        fine = NOW - DAY
        step, reach = (STEP, fine) if end > fine else (HOUR, NOW - 30 * DAY)
        begin, end = max(begin, reach), min(end, self.known_until)
        times = [at for at in grid(step, begin, end) if not self.silent[0] <= at < self.silent[1]]
        return Page(tuple(point(instrument.symbol, at) for at in times), begin, max(begin, end), step)

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        raise NotImplementedError

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        return [tuple(instruments)]

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        raise NotImplementedError

    def ping(self) -> str:
        return "here"


class Kraken(Shop):
    name: ClassVar[str] = "kraken"


def grid(step: timedelta, begin: datetime, end: datetime) -> list[datetime]:
    first = datetime.fromtimestamp(-(-begin.timestamp() // step.total_seconds()) * step.total_seconds(), UTC)
    return [first + step * number for number in range(max(0, -int(-(end - first) // step)))]


def point(symbol: str, at: datetime, origin: str = "backfill") -> Tick:
    minute = Decimal(int(at.timestamp()) // 60 % 100_000)
    return Tick(symbol, at, 100 + minute, 1000 + minute, None, NOW, "coingecko", origin)


def epoch(database: Database) -> int:
    return int(database.run(lambda cursor: (cursor.execute("SELECT epoch FROM leader"), cursor.fetchone()[0])[1]))


def live(database: Database, symbol: str, times: Iterable[datetime]) -> None:
    Store(database).save([point(symbol, at, "live") for at in times], Outcome(epoch=epoch(database)))


def rows(database: Database, sql: str) -> list[tuple[object, ...]]:
    return list(database.run(lambda cursor: (cursor.execute(sql), cursor.fetchall())[1]))


def candles(database: Database, symbol: str) -> list[tuple[object, ...]]:
    """All that is rolled up, but how many ticks it was."""
    return rows(
        database,
        f"SELECT width, bucket, open, high, low, close, volume FROM candles WHERE symbol = '{symbol}' ORDER BY 1, 2",
    )


def fill(
    database: Database,
    sources: Mapping[str, Source],
    instruments: Sequence[Instrument] = (BTC,),
    since: datetime = NOW - 60 * DAY,
    until: datetime = NOW,
    clock: FakeClock | None = None,
) -> tuple[Progress, Backfill]:
    clock = clock or FakeClock()
    backfill = Backfill(Filling(database, clock), sources.__getitem__, clock, threading.Event())
    told: list[float] = []
    progress = backfill.fill(instruments, since, until, lambda now: told.append(now.share))
    assert told == sorted(told)
    return progress, backfill


def hole(database: Database, begin: datetime, end: datetime, symbol: str = "BTC") -> None:
    assert Filling(database, FakeClock()).record([Hole(symbol, begin, end, "nothing there")])


def gaps(database: Database, symbol: str = "BTC") -> list[tuple[str, datetime, datetime, int]]:
    found = Filling(database, FakeClock()).gaps([symbol], NOW - 9999 * DAY, NOW + DAY)
    return [(gap.state, gap.begins_at, gap.ends_at, gap.ticks) for gap in found]


def test_an_outage_of_eight_hours_ends_with_the_candles_of_a_run_without_one(database: Database) -> None:
    begin, end = NOW - 12 * HOUR, NOW
    for symbol in ("BTC", "ETH"):
        live(database, symbol, grid(STEP, begin, end) if symbol == "ETH" else grid(STEP, begin, NOW - 10 * HOUR))
    live(database, "BTC", grid(STEP, NOW - 2 * HOUR, end))
    for holes in Finder(database).find(Feed("coingecko", ["BTC", "ETH"], 300.0), begin - DAY, end):
        Filling(database, FakeClock()).record(holes)
    shop = Shop()
    progress, _ = fill(database, {"coingecko": shop}, (BTC, ETH))
    assert len(shop.asked) == 1
    assert (progress.ticks, progress.calls, progress.share) == (96, 1, 1.0)
    assert gaps(database) == [("filled", NOW - 10 * HOUR - STEP, NOW - 2 * HOUR, 96)]
    assert candles(database, "BTC") == candles(database, "ETH")
    assert rows(database, "SELECT origin, count(*) FROM ticker_data WHERE symbol = 'BTC' GROUP BY 1 ORDER BY 1") == [
        ("backfill", 96),
        ("live", 48),
    ]


def test_filled_once_nothing_is_asked_again(database: Database) -> None:
    hole(database, NOON, NOON + HOUR)
    shop = Shop()
    fill(database, {"coingecko": shop})
    before = rows(database, "SELECT * FROM candles ORDER BY 1, 2, 3")
    assert fill(database, {"coingecko": shop})[0] == Progress()
    assert len(shop.asked) == 1
    assert rows(database, "SELECT * FROM candles ORDER BY 1, 2, 3") == before


def test_live_ticks_stand_and_their_minutes_are_left_alone(database: Database) -> None:
    edge, late = NOON + 20 * SECOND, NOON + 30 * MINUTE + 10 * SECOND
    live(database, "BTC", [edge, late, NOON + HOUR])
    before = rows(database, "SELECT * FROM ohlcv_1m ORDER BY bucket")
    hole(database, edge, NOON + HOUR)

    class EveryTenSeconds(Shop):
        def history(self, instrument: Instrument, begin: datetime, end: datetime) -> Page:
            times = grid(10 * SECOND, begin - HOUR, end + HOUR)
            return Page(tuple(point("BTC", at) for at in times), begin - HOUR, end + HOUR, 10 * SECOND)

    fill(database, {"coingecko": EveryTenSeconds()})
    kept = rows(database, "SELECT min(timestamp), max(timestamp), count(*) FROM ticker_data WHERE origin = 'backfill'")
    assert kept == [(NOON + MINUTE, NOON + HOUR - 10 * SECOND, 58 * 6)]
    buckets = {row[1] for row in before}
    after = rows(database, "SELECT * FROM ohlcv_1m ORDER BY bucket")
    assert [row for row in after if row[1] in buckets] == before


def test_what_is_older_than_a_day_is_split_off_with_its_own_resolution(database: Database) -> None:
    hole(database, NOW - 3 * DAY, NOW - HOUR)
    shop = Shop()
    fill(database, {"coingecko": shop})
    assert [asked[1:] for asked in shop.asked] == [(NOW - 3 * DAY, NOW - HOUR), (NOW - 3 * DAY, NOW - DAY)]
    assert gaps(database) == [
        ("filled", NOW - DAY, NOW - HOUR, 23 * 12),
        ("filled", NOW - 3 * DAY, NOW - DAY, 48),
    ]
    resolutions = rows(database, "SELECT resolution, source, attempts FROM gaps ORDER BY begins_at DESC")
    assert resolutions == [(STEP, "coingecko", 1), (HOUR, "coingecko", 1)]


def test_the_newest_is_filled_first_and_what_is_near_it_with_the_same_call(database: Database) -> None:
    for begin, symbol in (
        (10 * DAY, "BTC"),
        (5 * HOUR, "BTC"),
        (3 * HOUR, "BTC"),
        (9 * HOUR, "ETH"),
        (40 * DAY, "ETH"),
    ):
        hole(database, NOW - begin, NOW - begin + HOUR, symbol)
    shop = Shop()
    fill(database, {"coingecko": shop}, (BTC, ETH))
    assert shop.asked == [
        ("BTC", NOW - 5 * HOUR, NOW - 2 * HOUR),
        ("ETH", NOW - 9 * HOUR, NOW - 8 * HOUR),
        ("BTC", NOW - 10 * DAY, NOW - 10 * DAY + HOUR),
        ("ETH", NOW - 40 * DAY, NOW - 40 * DAY + HOUR),
    ]
    assert [state for state, *_ in gaps(database)] == ["filled"] * 3
    assert rows(database, "SELECT count(*) FROM ticker_data WHERE symbol = 'BTC'") == [(12 + 12 + 1,)]
    assert [state for state, *_ in gaps(database, "ETH")] == ["filled", "unrecoverable"]
    assert rows(database, "SELECT why FROM gaps WHERE state = 'unrecoverable'") == [("it keeps 30 days",)]


def test_where_the_provider_has_nothing_either_it_is_given_up(database: Database) -> None:
    hole(database, NOON, NOON + HOUR)
    fill(database, {"coingecko": Shop(silent=(NOON, NOON + HOUR))})
    assert gaps(database) == [("unrecoverable", NOON, NOON + HOUR, 0)]
    assert rows(database, "SELECT why FROM gaps") == [("coingecko has no point there either",)]


def test_what_the_provider_does_not_know_yet_is_found_again_later(database: Database) -> None:
    hole(database, NOW - 2 * HOUR, NOW)
    fill(database, {"coingecko": Shop(known_until=NOW - HOUR)})
    assert gaps(database) == [("filled", NOW - 2 * HOUR, NOW - HOUR, 12)]
    hole(database, NOW - 9 * DAY, NOW - 5 * DAY, "ETH")
    fill(database, {"coingecko": Shop(known_until=NOW - 7 * DAY)}, (ETH,))
    assert [state for state, *_ in gaps(database, "ETH")] == ["unrecoverable", "filled"]


def test_of_a_larger_hole_only_what_was_asked_for_is_filled(database: Database) -> None:
    hole(database, NOW - 20 * HOUR, NOW)
    fill(database, {"coingecko": Shop()}, since=NOW - 5 * HOUR, until=NOW - 4 * HOUR)
    assert gaps(database) == [
        ("open", NOW - 4 * HOUR, NOW, 0),
        ("filled", NOW - 5 * HOUR, NOW - 4 * HOUR, 12),
        ("open", NOW - 20 * HOUR, NOW - 5 * HOUR, 0),
    ]


def test_a_limit_is_waited_for_as_long_as_the_provider_says(database: Database) -> None:
    hole(database, NOON, NOON + HOUR)
    clock = FakeClock()
    shop = Shop(refusals=[RateLimited("too many", 53.0), RateLimited("too many")])
    fill(database, {"coingecko": shop}, clock=clock)
    assert len(shop.asked) == 3
    assert clock.waits[0] == 53.0
    assert 5.0 <= clock.waits[1] <= 10.0
    assert gaps(database) == [("filled", NOON, NOON + HOUR, 12)]


def test_a_stop_ends_the_waiting_and_leaves_the_rest_open(database: Database) -> None:
    hole(database, NOON, NOON + HOUR)
    clock, stop, waits = FakeClock(), threading.Event(), []
    shop = Shop(refusals=[RateLimited("too many", 600.0)], before_answer=stop.set)

    def told(progress: Progress) -> None:
        waits.append(progress.waits)

    Backfill(Filling(database, clock), {"coingecko": shop}.__getitem__, clock, stop).fill([BTC], NOW - DAY, NOW, told)
    assert (len(shop.asked), waits, clock.waits) == (1, [0.0], [])
    assert gaps(database) == [("open", NOON, NOON + HOUR, 0)]


def test_it_says_how_long_it_waits(database: Database) -> None:
    hole(database, NOON, NOON + HOUR)
    clock, waits = FakeClock(), []
    backfill = Backfill(
        Filling(database, clock),
        {"coingecko": Shop(refusals=[RateLimited("too many", 53.0)])}.__getitem__,
        clock,
        threading.Event(),
    )
    backfill.fill([BTC], NOW - DAY, NOW, lambda progress: waits.append(progress.waits))
    assert waits == [0.0, 53.0, 0.0]


def test_one_market_that_waits_holds_up_no_other(database: Database) -> None:
    hole(database, NOON, NOON + 2 * HOUR)
    hole(database, NOON, NOON + HOUR, XBT.symbol)
    order: list[str] = []
    gecko = Shop(refusals=[RateLimited("too many", 60.0)], before_answer=lambda: order.append("coingecko"))
    kraken = Kraken(before_answer=lambda: order.append("kraken"))
    fill(database, {"coingecko": gecko, "kraken": kraken}, (BTC, XBT))
    assert order == ["coingecko", "kraken", "coingecko"]


@pytest.mark.parametrize("error", [RateLimited("the month is spent", 9e5), ProviderRefused("the key is wrong")])
def test_what_nobody_can_wait_for_leaves_its_market_alone(database: Database, error: Exception) -> None:
    hole(database, NOON, NOON + 2 * HOUR)
    hole(database, NOON, NOON + HOUR, XBT.symbol)
    gecko, kraken = Shop(refusals=[error]), Kraken()
    _, backfill = fill(database, {"coingecko": gecko, "kraken": kraken}, (BTC, XBT))
    assert (len(gecko.asked), len(kraken.asked)) == (1, 1)
    assert backfill.troubles == {"coingecko": error}
    assert [state for state, *_ in gaps(database)] == ["open"]
    assert [state for state, *_ in gaps(database, XBT.symbol)] == ["filled"]


def test_a_symbol_that_cannot_be_asked_for_holds_up_no_other(database: Database) -> None:
    hole(database, NOON, NOON + 2 * HOUR)
    hole(database, NOON, NOON + HOUR, "ETH")
    shop = Shop(sick={"BTC"})
    _, backfill = fill(database, {"coingecko": shop}, (BTC, ETH))
    assert [symbol for symbol, *_ in shop.asked] == ["BTC", "BTC", "ETH"]
    assert list(backfill.troubles) == ["BTC"]
    assert rows(database, "SELECT symbol, state, attempts, why FROM gaps ORDER BY 1") == [
        ("BTC", "open", 2, "its server is ill"),
        ("ETH", "filled", 1, "with the history of coingecko"),
    ]


@pytest.mark.parametrize("seconds", [None, 0.0, 30.0])
def test_a_market_that_refuses_each_call_is_left_for_this_time(database: Database, seconds: float | None) -> None:
    hole(database, NOON, NOON + 2 * HOUR)
    hole(database, NOON, NOON + HOUR, XBT.symbol)
    gecko, clock = Shop(refusals=[RateLimited("too many", seconds) for _ in range(2000)]), FakeClock()
    _, backfill = fill(database, {"coingecko": gecko, "kraken": Kraken()}, (BTC, XBT), clock=clock)
    assert len(gecko.asked) == 8
    assert sum(clock.waits) < 1000
    assert list(backfill.troubles) == ["coingecko"]
    assert gaps(database) == [("open", NOON, NOON + 2 * HOUR, 0)]
    assert [state for state, *_ in gaps(database, XBT.symbol)] == ["filled"]


def test_its_time_is_bounded_and_what_a_provider_asked_for_is_kept_to_the_next_time(database: Database) -> None:
    hole(database, NOON, NOON + HOUR)
    shop, clock = Shop(refusals=[RateLimited("too many", 800.0)]), FakeClock()
    backfill = Backfill(Filling(database, clock), {"coingecko": shop}.__getitem__, clock, threading.Event())
    cuts = [backfill.fill([BTC], NOW - DAY, NOW, lambda _: None, 600.0).is_cut for _ in range(2)]
    assert cuts == [True, False]
    assert (clock.waits, len(shop.asked)) == ([600.0, 200.0], 2)
    assert gaps(database) == [("filled", NOON, NOON + HOUR, 12)]


def others(count: int) -> list[Instrument]:
    return [Instrument(f"S{n}", "USD", "coingecko", f"S{n}", f"s{n}") for n in range(count)]


@pytest.mark.parametrize("sick", [3, 12])
def test_sick_symbols_hold_up_the_others_of_their_market_only_for_a_while(database: Database, sick: int) -> None:
    watched = others(sick + 3)
    for number, instrument in enumerate(watched):  # those of the sick are the newest
        hole(database, NOON - number * MINUTE, NOON + HOUR - number * MINUTE, instrument.symbol)
    shop = Shop(sick={instrument.symbol for instrument in watched[:sick]})
    for _ in range(1 + sick // 4):
        fill(database, {"coingecko": shop}, watched)
    healthy = [[state for state, *_ in gaps(database, instrument.symbol)] for instrument in watched[sick:]]
    assert healthy == [["filled"]] * 3


def test_what_a_provider_tells_nothing_of_though_it_answers_is_given_up_after_twenty_times(database: Database) -> None:
    hole(database, NOON, NOON + HOUR)
    shop = Shop(sick={"BTC"})
    for _ in range(12):
        fill(database, {"coingecko": shop}, (BTC, ETH))
    assert rows(database, "SELECT state, attempts FROM gaps") == [("open", 24)], "it may be that it answers nobody"
    for number in range(2):
        hole(database, NOON + number * HOUR, NOON + (number + 1) * HOUR, "ETH")
        fill(database, {"coingecko": shop}, (BTC, ETH))
    assert rows(database, "SELECT state, attempts, why FROM gaps WHERE symbol = 'BTC'") == [
        ("unrecoverable", 25, "coingecko was asked 25 times in vain: its server is ill")
    ]
    assert len([symbol for symbol, *_ in shop.asked if symbol == "BTC"]) == 25


def test_what_nobody_will_fill_any_more_is_settled(database: Database) -> None:
    watch(database, BTC)
    hole(database, NOW - 31 * DAY, NOW - 30 * DAY)
    hole(database, NOW - 30 * DAY, NOW - 29 * DAY)
    hole(database, NOON, NOON + HOUR, "ETH")
    filling = Filling(database, FakeClock())
    filling.let_go(30 * DAY)
    assert set(rows(database, "SELECT state FROM gaps")) == {("open",)}, "somebody may just have asked for it"
    rows(database, "UPDATE gaps SET found_at = '2020-01-01' RETURNING 1")
    filling.let_go(30 * DAY)
    assert rows(database, "SELECT symbol, state, why, settled_at IS NULL FROM gaps ORDER BY 1, begins_at") == [
        ("BTC", "unrecoverable", "it is older than the 30 days of BACKFILL_DAYS", False),
        ("BTC", "open", "nothing there", True),
        ("ETH", "unrecoverable", "its symbol is not watched any more", False),
    ]


def test_two_who_fill_the_same_hole_store_it_once(database: Database, dsn: str) -> None:
    hole(database, NOON, NOON + HOUR)

    def meanwhile() -> None:
        with closing(Database(dsn, threading.Event(), "other")) as other:
            fill(other, {"coingecko": Shop()})

    fill(database, {"coingecko": Shop(before_answer=meanwhile)})
    assert gaps(database) == [("filled", NOON, NOON + HOUR, 12)]
    assert rows(database, "SELECT sum(ticks) FROM candles WHERE width = '1d'") == [(12,)]


def test_under_an_epoch_that_is_over_nothing_is_stored(database: Database) -> None:
    hole(database, NOON, NOON + HOUR)
    clock = FakeClock()
    filling = Filling(database, clock, epoch(database) + 1)
    with pytest.raises(Deposed):
        Backfill(filling, {"coingecko": Shop()}.__getitem__, clock, threading.Event()).fill(
            [BTC], NOW - DAY, NOW, lambda _: None
        )
    assert rows(database, "SELECT count(*) FROM ticker_data") == [(0,)]
    assert gaps(database) == [("open", NOON, NOON + HOUR, 0)]


def test_bars_give_our_candles_their_own_open_high_low_and_close(database: Database) -> None:
    hole(database, NOON, NOON + 3 * MINUTE, XBT.symbol)
    bars = [("100", "120", "90", "110"), ("110", "111", "80", "85"), ("85", "85", "85", "85")]

    class Bars(Kraken):
        def history(self, instrument: Instrument, begin: datetime, end: datetime) -> Page:
            ticks = [
                tick
                for number, bar in enumerate(bars)
                for tick in bar_ticks(
                    XBT.symbol, NOON + number * MINUTE, MINUTE, *map(Decimal, bar), fetched_at=NOW, source="kraken"
                )
            ]
            return Page(tuple(ticks), begin, end, MINUTE)

    fill(database, {"kraken": Bars()}, (XBT,))
    found = rows(database, "SELECT open::text, high::text, low::text, close::text FROM ohlcv_1m ORDER BY bucket")
    assert found == bars
    assert rows(database, "SELECT open, high, low, close FROM ohlcv_1d") == [(100, 120, 80, 85)]


# The daemon's own.


class Daemon:
    """What it needs of a daemon: markets that answer or do not, and a spool."""

    def __init__(self, database: Database, clock: FakeClock, shop: Shop) -> None:
        self.polled = {"coingecko": Polled(answers=True, interval=300.0)}
        self.drained = True
        self.stop = threading.Event()
        self.backfiller = Backfiller(
            database,
            lambda _: shop,
            clock,
            self.stop,
            epoch=epoch(database),
            days=30,
            polled=lambda: self.polled,
            is_drained=lambda: self.drained,
        )

    def run(self, *moments: Callable[[], None]) -> None:
        """One look after the other, each after something has happened; then the end."""
        script = list(moments)
        wait = self.backfiller._clock.wait

        def next_look(event: threading.Event, seconds: float) -> bool:
            if script:
                script.pop(0)()
            else:
                self.stop.set()
            return wait(event, seconds)

        self.backfiller._clock.wait = next_look  # type: ignore[method-assign]
        self.backfiller.run()


def nothing() -> None:
    pass


def watch(database: Database, *instruments: Instrument) -> None:
    Store(database).save_instruments("coingecko", instruments, epoch(database))


def test_the_daemon_fills_at_its_start_and_after_an_outage_and_else_leaves_the_provider_alone(
    database: Database, logged: Logged
) -> None:
    watch(database, BTC)
    live(database, "BTC", [*grid(STEP, NOW - 3 * DAY, NOW - 2 * DAY), *grid(STEP, NOW - DAY, NOW)])
    shop, clock = Shop(), FakeClock()
    daemon = Daemon(database, clock, shop)
    calls: list[int] = []

    def count() -> None:
        calls.append(len(shop.asked))

    def fail() -> None:
        count()
        daemon.polled = {"coingecko": Polled(answers=False, interval=300.0)}

    def recover() -> None:
        clock.advance(2 * HOUR.total_seconds())
        shop.known_until = clock.now()
        live(database, "BTC", [clock.now()])
        daemon.polled = {"coingecko": Polled(answers=True, interval=300.0)}

    daemon.run(nothing, *[count] * 20, fail, *[nothing] * 20, recover, *[nothing] * 9, count)
    assert set(calls[:-1]) == {1}
    assert calls[-1] == 2
    assert daemon.backfiller.counts == GapCounts(filled=2)
    assert (
        daemon.backfiller.stored == rows(database, "SELECT count(*)::int FROM ticker_data WHERE origin <> 'live'")[0][0]
    )
    text = logged.getvalue()
    assert text.count("Holes found in the history: 1; filling them.") == 2
    assert "Backfill is done for now: 24 ticks with 1 calls; holes that stay open: 0." in text


def test_an_outage_of_days_is_found_whole(database: Database) -> None:
    watch(database, BTC)
    live(database, "BTC", grid(STEP, NOW - DAY, NOW))
    shop, clock = Shop(), FakeClock()
    daemon = Daemon(database, clock, shop)

    def fail() -> None:
        daemon.polled = {"coingecko": Polled(answers=False, interval=300.0)}

    def hour() -> None:
        clock.advance(HOUR.total_seconds())
        daemon.backfiller._steady.look()  # no sleep of the machine

    def recover() -> None:
        live(database, "BTC", [clock.now()])
        daemon.polled = {"coingecko": Polled(answers=True, interval=300.0)}

    daemon.run(*[nothing] * 9, fail, *[hour] * 72, recover, *[nothing] * 9)
    spans = [(begin, end) for _, begin, end, _ in gaps(database)]
    begin, end = min(spans)[0], max(spans)[1]
    assert begin == NOW - STEP
    assert sum((b - a for a, b in spans), timedelta(0)) == end - begin > 3 * DAY


def test_the_daemon_fills_for_ten_minutes_and_then_looks_for_what_is_newer(database: Database) -> None:
    watch(database, BTC)
    live(database, "BTC", [*grid(STEP, NOW - 3 * DAY, NOW - 2 * DAY), *grid(STEP, NOW - 20 * HOUR, NOW - HOUR)])
    clock = FakeClock()
    shop = Shop(refusals=[RateLimited("too many", 700.0)])
    daemon = Daemon(database, clock, shop)

    def slow() -> None:
        if len(shop.asked) == 1:  # an outage meanwhile
            live(database, "BTC", [NOW])

    shop.before_answer, shop.known_until = slow, NOW + HOUR
    daemon.run(*[nothing] * 30)
    assert [end for _, _, end in shop.asked[:3]] == [NOW - 20 * HOUR, NOW, NOW - 20 * HOUR]


def test_the_daemon_lets_go_of_what_it_will_not_fill(database: Database) -> None:
    watch(database, BTC)
    hole(database, NOW - 40 * DAY, NOW - 31 * DAY)
    rows(database, "UPDATE gaps SET found_at = '2020-01-01' RETURNING 1")
    daemon = Daemon(database, FakeClock(), Shop())
    daemon.run(*[nothing] * 9)
    assert daemon.backfiller.counts == GapCounts(unrecoverable=1)


def test_what_the_provider_says_of_the_plan_is_known_before_it_is_asked(database: Database) -> None:
    watch(database, BTC)
    live(database, "BTC", [*grid(STEP, NOW - 3 * DAY, NOW - 2 * DAY), *grid(STEP, NOW - DAY, NOW)])
    shop, known = Shop(), []
    shop.before_answer = lambda: known.append(shop.learned)
    Daemon(database, FakeClock(), shop).run(*[nothing] * 9)
    assert known == [1]


def test_the_daemon_looks_for_no_holes_while_ticks_wait_in_the_spool(database: Database) -> None:
    watch(database, BTC)
    live(database, "BTC", [*grid(STEP, NOW - 3 * DAY, NOW - 2 * DAY), *grid(STEP, NOW - DAY, NOW)])
    shop = Shop()
    daemon = Daemon(database, FakeClock(), shop)
    daemon.drained = False
    looked: list[int] = []

    def drain() -> None:
        looked.append(len(shop.asked))
        daemon.drained = True

    daemon.run(*[nothing] * 30, drain, nothing)
    assert looked == [0]
    assert len(shop.asked) == 1


def test_the_daemon_looks_again_when_the_spool_is_drained(database: Database) -> None:
    """The database was away, the provider was not, and neither of the two is a hole until it turns out to be one."""
    watch(database, BTC)
    live(database, "BTC", grid(STEP, NOW - DAY, NOW))
    shop, clock = Shop(), FakeClock()
    daemon = Daemon(database, clock, shop)

    def fill_spool() -> None:
        daemon.drained = False

    def drain() -> None:
        clock.advance(40 * MINUTE.total_seconds())
        daemon.backfiller._steady.look()  # no sleep of the machine
        shop.known_until = clock.now()
        live(database, "BTC", [clock.now()])
        daemon.drained = True

    daemon.run(*[nothing] * 10, fill_spool, nothing, drain, *[nothing] * 10)
    assert len(shop.asked) == 1
    assert [state for state, *_ in gaps(database)] == ["filled"]


def test_a_daemon_with_no_days_to_look_back_does_nothing(database: Database) -> None:
    daemon = Daemon(database, FakeClock(), Shop())
    daemon.backfiller._reach = timedelta(0)
    daemon.run()
    assert not daemon.stop.is_set()


def test_the_daemon_goes_on_when_the_database_is_back(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    watch(database, BTC)
    live(database, "BTC", [*grid(STEP, NOW - 3 * DAY, NOW - 2 * DAY), *grid(STEP, NOW - DAY, NOW)])
    shop = Shop()
    dsn, away = database._dsn, database._dsn.replace("test_", "gone_")
    daemon = Daemon(database, FakeClock(), shop)

    def leave() -> None:
        database.close()
        database._dsn = away

    def come_back() -> None:
        assert shop.asked == []
        database._dsn = dsn

    daemon.run(leave, *[nothing] * 10, come_back, *[nothing] * 10)
    assert len(shop.asked) == 1
    assert daemon.backfiller.counts == GapCounts(filled=1)


def test_history_that_was_filled_in_is_no_news_to_rules(database: Database) -> None:
    """What a daemon warms its windows with is live, whatever else is stored."""
    live(database, "BTC", [NOON - 2 * STEP, NOON - STEP, NOON + HOUR])
    hole(database, NOON - STEP, NOON + HOUR)
    fill(database, {"coingecko": Shop()})
    assert rows(database, "SELECT count(*) FROM ticker_data WHERE origin = 'backfill'") == [(12,)]
    recent = list(Store(database).recent_ticks(["BTC"], 86400))
    assert [row[1] for row in recent] == [NOON - 2 * STEP, NOON - STEP, NOON + HOUR]
    assert rows(database, "SELECT count(*) FROM alerts") == [(0,)]
