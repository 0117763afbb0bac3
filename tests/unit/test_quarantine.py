"""Which ticks are held back, which are not, and what lets them go."""

from __future__ import annotations

import statistics
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from app.model import Batch, Instrument, Tick
from app.quarantine import Held, Screen, Screened
from tests.conftest import Logged

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
BTC, ETH = (Instrument(base, "USD", "coingecko", base) for base in ("BTC", "ETH"))
BTC_AT_KRAKEN = Instrument("BTC", "USD", "kraken", "BTC@kraken")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def tick(seconds: float, price: str | int, symbol: str = "BTC", source: str = "coingecko", volume: int = 5) -> Tick:
    return Tick(symbol, at(seconds), Decimal(price), Decimal(volume), None, at(seconds + 1), source)


def batch(*ticks: Tick) -> Batch:
    return Batch(ticks[0].source, ticks[-1].fetched_at, ticks)


class Desk:
    """A screen that watches BTC on two markets and ETH on one, and what came through it."""

    def __init__(self) -> None:
        self.screen = Screen()
        self.screen.watch("coingecko", [BTC, ETH])
        self.screen.watch("kraken", [BTC_AT_KRAKEN])
        self.seconds = 0

    def take(self, *ticks: Tick) -> Screened:
        return self.screen.sift(batch(*ticks))

    def calm(self, symbol: str = "BTC", source: str = "coingecko", count: int = 5) -> None:
        """A price of 100 a minute; the next tick is due at second 300."""
        for minute in range(5 - count, 5):
            assert self.take(tick(60 * minute, 100, symbol, source)).held == []


@pytest.fixture
def desk() -> Desk:
    return Desk()


def prices(screened: Screened) -> list[int]:
    return [int(tick.price) for tick in screened.batch.ticks]


def test_a_price_more_than_30_percent_off_the_median_is_held(desk: Desk, logged: Logged) -> None:
    desk.calm()
    screened = desk.take(tick(300.25, "131"))
    assert screened.batch.ticks == ()
    (held,) = screened.held
    assert (held.tick, held.median, held.settled_at) == (tick(300.25, "131"), Decimal(100), None)
    assert held.why == "31.0 % above its five-minute median 100.0, and no other market confirms it"
    said = logged.read_new()
    assert "BTC: a price of 131 is held back" in said
    assert "quarantine release BTC 2026-11-22T10:05:00.250000Z" in said
    assert prices(desk.take(tick(360, 100))) == [100]


@pytest.mark.parametrize("price", ["130", "70"])
def test_one_of_exactly_30_percent_is_not(desk: Desk, price: str) -> None:
    desk.calm()
    assert prices(desk.take(tick(300, price))) == [int(price)]
    assert desk.take(tick(301, "69.9999999999")).held


def test_a_volume_decides_nothing(desk: Desk) -> None:
    desk.calm()
    assert prices(desk.take(tick(300, 100, volume=10**12))) == [100]


def test_with_less_than_three_prices_nothing_is_judged(desk: Desk) -> None:
    desk.take(tick(0, 100))
    desk.take(tick(3, 101))  # in the same ten seconds
    desk.take(tick(10, 100))
    assert prices(desk.take(tick(20, 500))) == [500]
    assert desk.take(tick(30, 900)).held


def test_what_is_older_than_five_minutes_counts_no_more(desk: Desk) -> None:
    desk.calm()
    assert desk.take(tick(420, 500)).held, "three are still known"
    assert prices(desk.take(tick(450, 500))) == [500]


def test_the_others_of_its_batch_go_on(desk: Desk) -> None:
    for minute in range(5):
        desk.take(tick(60 * minute, 100), tick(60 * minute, 10, "ETH"))
    screened = desk.take(tick(300, 1000), tick(300, 10, "ETH"))
    assert [tick.symbol for tick in screened.batch.ticks] == ["ETH"]
    assert [it.tick.symbol for it in screened.held] == ["BTC"]


# Another market


def test_another_market_that_says_about_the_same_confirms_it(desk: Desk) -> None:
    desk.calm()
    desk.take(tick(290, 182, "BTC@kraken", "kraken"))
    assert prices(desk.take(tick(300, 200))) == [200]
    assert desk.take(tick(301, 202)).held == [], "within 10 % of it"
    assert desk.take(tick(302, 160)).held


def test_one_that_is_five_minutes_old_says_nothing(desk: Desk) -> None:
    desk.calm()
    desk.take(tick(0, 200, "BTC@kraken", "kraken"))
    assert desk.take(tick(301, 200)).held


def test_two_markets_that_fall_together_confirm_each_other_at_once(desk: Desk) -> None:
    desk.calm()
    desk.calm("BTC@kraken", "kraken")
    assert desk.take(tick(300, 50)).held, "nobody else knows yet"
    assert prices(desk.take(tick(301, 51, "BTC@kraken", "kraken"))) == [51]
    assert prices(desk.take(tick(302, 50))) == [50]


def test_a_stand_in_is_not_confirmed_by_its_own_market(desk: Desk) -> None:
    desk.calm()
    desk.calm("BTC@kraken", "kraken", count=1)
    desk.take(tick(300, 50, "BTC@kraken", "kraken"))
    assert desk.take(tick(301, 50, "BTC", "kraken")).held
    assert desk.take(tick(302, 50, "BTC", "coingecko")).held == []


def test_another_pair_confirms_nothing(desk: Desk) -> None:
    desk.screen.watch("kraken", [Instrument("BTC", "EUR", "kraken", "BTC-EUR@kraken")])
    desk.calm()
    desk.take(tick(299, 200, "BTC-EUR@kraken", "kraken"))
    assert desk.take(tick(300, 200)).held


# Three that agree


def test_the_third_that_agrees_releases_all_three_in_order_of_time(desk: Desk, logged: Logged) -> None:
    desk.calm()
    assert desk.take(tick(300, 200)).held
    assert desk.take(tick(310, 219)).held
    screened = desk.take(tick(320, 198), tick(320, 10, "ETH"))
    assert [(t.symbol, int(t.price)) for t in screened.batch.ticks] == [
        *(("BTC", 200), ("BTC", 219), ("BTC", 198)),
        ("ETH", 10),
    ]
    assert [(int(it.tick.price), it.settled_at) for it in screened.held] == [
        *((198, at(321)), (219, at(321)), (200, at(321))),
    ]
    assert "three ticks agree" in logged.read_new()


def test_the_median_begins_anew_with_them(desk: Desk) -> None:
    desk.calm()
    for second in (300, 310, 320):
        desk.take(tick(second, 200))
    assert prices(desk.take(tick(330, 210))) == [210]
    assert desk.take(tick(340, 100)).held[0].median == 200


def test_one_that_does_not_agree_begins_a_new_row(desk: Desk) -> None:
    desk.calm()
    for second, price in ((300, 200), (310, 300), (320, 310)):
        assert prices(desk.take(tick(second, price))) == []
    assert prices(desk.take(tick(330, 305))) == [300, 310, 305]


def test_an_accepted_tick_in_between_breaks_the_row(desk: Desk) -> None:
    desk.calm()
    for second, price in ((300, 200), (310, 200), (320, 100), (330, 200), (340, 200)):
        assert prices(desk.take(tick(second, price))) == [price] * (price == 100)
    assert prices(desk.take(tick(350, 200))) == [200, 200, 200]


def test_the_same_tick_again_and_again_agrees_with_nobody(desk: Desk, logged: Logged) -> None:
    desk.calm()
    assert desk.take(tick(300, 200)).held
    logged.read_new()
    for _ in range(5):
        screened = desk.take(tick(300, 200))
        assert (screened.held, screened.batch.ticks, screened.repeated) == ([], (), 1)
    assert logged.read_new() == "", "it was said once"


def test_an_old_tick_that_is_repeated_in_between_breaks_no_row(desk: Desk) -> None:
    """Two caches of a provider, of which one is behind."""
    desk.calm()
    for second in (300, 310):
        desk.take(tick(second, 200))
        assert prices(desk.take(tick(240, 100))) == [100]
    assert prices(desk.take(tick(320, 200))) == [200, 200, 200]


def test_late_ticks_are_held_against_the_same_median_and_release_nothing(desk: Desk) -> None:
    desk.calm()
    for second in (201, 202, 203, 204):
        assert desk.take(tick(second, 200)).held
    assert prices(desk.take(tick(205, 101))) == [101]


def test_a_better_tick_of_the_same_time_is_let_through(desk: Desk) -> None:
    desk.calm()
    desk.take(tick(300, 200))
    assert prices(desk.take(tick(300, 100))) == [100]


def test_many_ticks_of_a_symbol_in_one_batch_are_looked_at_one_after_another(desk: Desk) -> None:
    desk.calm()
    screened = desk.take(*(tick(300 + second, price) for second, price in enumerate([100, 200, 201, 202, 203])))
    assert prices(screened) == [100, 200, 201, 202, 203]
    assert len(screened.held) == 5, "two held, and then three released"


def test_an_empty_batch_stays_as_it_is(desk: Desk) -> None:
    nothing = Batch("coingecko", START, ())
    assert desk.screen.sift(nothing).batch is nothing


def test_a_market_where_everything_is_wrong_is_told_in_few_lines(logged: Logged) -> None:
    screen, symbols = Screen(), [f"C{i:03}" for i in range(100)]
    for second in (0, 10, 20, 30):
        screen.sift(batch(*(tick(second, 100, symbol) for symbol in symbols)))
    assert len(screen.sift(batch(*(tick(40, 1, symbol) for symbol in symbols))).held) == 100
    said = logged.read_new()
    assert len(said.splitlines()) == 6
    assert "95 more symbols" in said


# After a restart


def test_a_restart_goes_on_with_the_median_and_with_the_row(desk: Desk) -> None:
    desk.calm()
    held = [*desk.take(tick(300, 200)).held, *desk.take(tick(310, 200)).held]
    after = Screen()
    assert after.unknown(["BTC", "ETH"]) == ["BTC", "ETH"]
    after.warm([("BTC", at(60 * minute), Decimal(100), "coingecko") for minute in range(5)], held)
    after.watch("coingecko", [BTC])
    assert after.unknown(["BTC", "ETH"]) == ["ETH"]
    assert after.sift(batch(tick(310, 200))).repeated == 1
    assert prices(after.sift(batch(tick(320, 200)))) == [200, 200, 200]


def test_after_a_restart_a_row_that_was_broken_stays_so(desk: Desk) -> None:
    desk.calm()
    held = [*desk.take(tick(241, 200)).held, *desk.take(tick(242, 200)).held]
    after = Screen()
    after.warm([("BTC", at(second), Decimal(100), "coingecko") for second in (0, 60, 120, 180, 250)], held)
    assert prices(after.sift(batch(tick(320, 200)))) == []


def test_one_held_by_hand_is_not_taken_in_again_and_agrees_with_nobody(desk: Desk) -> None:
    by_hand = [Held(tick(second, price), None, "by hand", at(400)) for second, price in ((250, 101), (300, 200))]
    after = Screen()
    after.warm([("BTC", at(60 * minute), Decimal(100), "coingecko") for minute in range(5)], by_hand)
    assert after.sift(batch(tick(250, 101))).repeated == 1
    for second in (310, 320):
        assert prices(after.sift(batch(tick(second, 200)))) == []


# The same as looking at all of it, always

TICKS = st.lists(
    st.tuples(st.integers(0, 700), st.sampled_from([100, 101, 129, 131, 69, 200, 205, 50])), min_size=1, max_size=40
)


def judged_plainly(ticks: Sequence[tuple[int, int]]) -> list[bool]:
    """Which of them are held, of one symbol without other markets, released ones aside: for as long as none is."""
    accepted: dict[int, tuple[int, int]] = {}
    newest, verdicts = -1, []
    for second, price in ticks:
        slot = max(second, newest) // 10
        known = [p for s, (_, p) in accepted.items() if slot - 30 <= s < slot]
        held = len(known) >= 3 and abs(price - statistics.median(known)) > 0.3 * statistics.median(known)
        verdicts.append(held)
        if not held:
            newest = max(newest, second)
            if accepted.get(second // 10, (-1, 0))[0] < second:
                accepted[second // 10] = (second, price)
    return verdicts


@given(TICKS)
@settings(max_examples=150, deadline=None)
def test_it_judges_as_one_who_looks_at_all_that_was_accepted(ticks: list[tuple[int, int]]) -> None:
    screen, found = Screen(), []
    for second, price in ticks:
        screened = screen.sift(batch(tick(second, price)))
        if screened.repeated or any(it.settled_at for it in screened.held):
            break
        found.append(bool(screened.held))
    assert found == judged_plainly(ticks)[: len(found)]


@given(TICKS)
@settings(max_examples=60, deadline=None)
def test_no_tick_is_lost_and_none_is_doubled(ticks: list[tuple[int, int]]) -> None:
    """What comes in goes on, is held, or repeats what is held; what is released had been held, or comes just now."""
    screen, held = Screen(), list[Tick]()
    for second, price in ticks:
        screened = screen.sift(batch(one := tick(second, price)))
        out = list(screened.batch.ticks)
        released = [it.tick for it in screened.held if it.settled_at]
        held += [it.tick for it in screened.held if not it.settled_at]
        for tick_released in released:
            assert out.count(tick_released) == 1
            if tick_released != one:
                held.remove(tick_released)
        assert out in ([], [one]) or sorted(out, key=lambda t: t.timestamp) == sorted(
            released, key=lambda t: t.timestamp
        )
        assert bool(out) or one in held or screened.repeated == 1


def test_its_memory_is_that_of_its_symbols_however_long_it_runs() -> None:
    screen, symbols = Screen(), [f"C{i}" for i in range(2000)]

    def run(begin: int) -> int:
        for second in range(begin, begin + 400, 40):
            screen.sift(batch(*(tick(second, 100, symbol) for symbol in symbols)))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    first = run(0)
    assert run(400) - first < 200_000
    tracemalloc.stop()
    assert first < 2000 * 1500
