"""States: what fires, what resolves, what is said and what is not."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from app.alerts.arrays import times_of
from app.alerts.checker import Checker, PastTick
from app.alerts.rules import RuleSet
from app.alerts.states import Outcome
from app.clock import microseconds
from app.model import Alert, Batch, State, Tick
from tests.rules import rule, shipped

T0 = datetime(2021, 4, 18, 3, 0, tzinfo=UTC)
HIGH = "price > 100"
SHIPPED = shipped()


def tick(second: float, price: str = "50", symbol: str = "BTC", volume: str | None = None) -> Tick:
    time = T0 + timedelta(seconds=second)
    return Tick(symbol, time, Decimal(price), None if volume is None else Decimal(volume), None, time, "coingecko")


def feed(checker: Checker, *ticks: Tick) -> list[Alert]:
    """One batch a tick; all the alerts."""
    return [alert for t in ticks for alert in checker.check(Batch("coingecko", t.fetched_at, (t,))).alerts]


def said(alerts: Sequence[Alert]) -> list[tuple[float, str, str]]:
    """(second, state, what the id ends with after the episode's)"""
    return [((a.timestamp - T0).total_seconds(), a.state.value, a.id[12:]) for a in alerts]


def calm(minutes: int, price: str = "100", volume: str | None = "1000", symbol: str = "BTC") -> list[Tick]:
    return [tick(60 * m, price, symbol, volume) for m in range(minutes)]


def test_the_line_of_the_contract() -> None:
    checker = Checker(SHIPPED)
    feed(
        checker, *[tick(60 * m, p) for m, p in enumerate(["65670.10", "65670.11", "65670.12", "65670.14", "65670.12"])]
    )
    [alert] = feed(checker, tick(303.123, "67187.34"))
    assert alert.line == (
        f"2021-04-18T03:05:03.123Z FIRING BTC price-2pct-5m price=67187.34 avg(price,5m)=65670.122 id={alert.id}"
    )
    assert len(alert.id) == 12
    assert set(alert.id) <= set("0123456789abcdef")


def test_one_line_on_firing_one_on_resolving_none_between() -> None:
    checker = Checker(SHIPPED)
    alerts = feed(
        checker, *calm(10), *[tick(600 + s, "103") for s in range(60)], *[tick(1000 + 60 * m, "103") for m in range(5)]
    )
    assert [(a.state, a.rule) for a in alerts] == [(State.FIRING, "price-2pct-5m"), (State.RESOLVED, "price-2pct-5m")]
    assert alerts[0].id == alerts[1].id


def test_exactly_two_percent_is_not_more_than_two_percent() -> None:
    for mean, now in (("100", "102"), ("50", "51"), ("1.0", "1.02"), ("0.005", "0.0051"), ("100", "98"), ("50", "49")):
        assert feed(Checker(SHIPPED), *calm(10, mean), tick(600, now, volume="1020")) == []


def test_a_mean_between_two_of_eight_digits_is_rounded_to_the_even_one() -> None:
    checker = Checker(SHIPPED)
    feed(checker, *[tick(60 * m, p) for m, p in enumerate(["53076.14", "53076.15", "53076.15", "53076.15"])])
    [alert] = feed(checker, tick(240, "60000"))
    assert dict(alert.terms)["avg(price,5m)"] == "53076.148"  # 53076.1475 in full


def test_zeros_that_rounding_leaves_are_not_written() -> None:
    checker = Checker(SHIPPED)
    feed(checker, *[tick(60 * m, p) for m, p in enumerate(["65670.11", "65670.12", "65670.12", "65670.129"])])
    [alert] = feed(checker, tick(240, "70000"))
    assert dict(alert.terms)["avg(price,5m)"] == "65670.12"  # 65670.11975 in full


def test_it_takes_more_than_two_percent_up_or_down() -> None:
    assert feed(Checker(SHIPPED), *calm(10), tick(600, "101.9999", volume="980.0001")) == []
    assert len(feed(Checker(SHIPPED), *calm(10), tick(600, "102.0001", volume="979.9999"))) == 2


def test_a_symbol_has_its_own_windows_and_states() -> None:
    checker = Checker(SHIPPED)
    feed(checker, *calm(10), *calm(10, "7", symbol="ETH"))
    assert [a.symbol for a in feed(checker, tick(600, "7", "ETH"), tick(600, "103", "BTC"))] == ["BTC"]
    assert checker.firing == 1


def test_rules_that_cannot_be_told_are_counted() -> None:
    few, at_once = Checker(SHIPPED), Checker(SHIPPED)
    assert few.unknown == 0
    feed(few, tick(0, volume="1"), tick(0, symbol="ETH", volume="1"))
    assert few.unknown == 4
    feed(few, *calm(10), *calm(10, symbol="ETH", volume=None))
    assert few.unknown == 1
    at_once.check(Batch("x", T0, tuple(tick(0, symbol=f"C{n}") for n in range(20))))
    assert at_once.unknown == 40


def test_without_volume_the_volume_rule_stays_as_it_is_and_the_price_rule_works() -> None:
    checker = Checker(SHIPPED)
    feed(checker, *calm(10))
    assert [a.rule for a in feed(checker, tick(600, "103", volume="2000"))] == ["price-2pct-5m", "volume-2pct-5m"]
    assert [(a.rule, a.state) for a in feed(checker, tick(630, "100", volume=None))] == [
        ("price-2pct-5m", State.RESOLVED)
    ]
    assert checker.firing == 1


def test_the_same_timestamp_again_is_no_observation() -> None:
    checker = Checker(SHIPPED)
    feed(checker, *calm(10))
    outcome = checker.check(Batch("coingecko", T0, (tick(540, "999"),)))
    assert (outcome.alerts, outcome.known, outcome.new) == ([], 1, 0)


def test_a_late_tick_is_never_evaluated_but_counts_from_its_arrival_on() -> None:
    late, without = Checker(SHIPPED), Checker(SHIPPED)
    for checker in (late, without):
        feed(checker, *calm(10))
    assert late.check(Batch("coingecko", T0, (tick(530, "200"),))) == Outcome(late=1)
    # With the late 200 the mean is 116.7: 100 is off it now, and would not be without.
    assert [a.state for a in feed(late, tick(600, "100"))] == [State.FIRING]
    assert feed(without, tick(600, "100")) == []


def test_it_can_be_asked_how_many_fire_while_it_checks() -> None:
    checker = Checker(rule(HIGH))
    done = threading.Event()
    wrong: list[BaseException] = []

    def ask() -> None:
        try:
            while not done.is_set():
                assert checker.firing >= 0
        except RuntimeError as error:
            wrong.append(error)

    asking = threading.Thread(target=ask)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        asking.start()
        for second in range(20):
            feed(checker, *[tick(second, "101" if second % 2 else "1", f"C{n}") for n in range(200)])
    finally:
        sys.setswitchinterval(switch)
        done.set()
        asking.join()
    assert wrong == []


def test_a_rule_that_has_to_hold_waits_in_tick_time() -> None:
    checker = Checker(rule(HIGH, hold="30s"))
    alerts = feed(checker, tick(0, "101"), tick(29, "101"), tick(30, "101"), tick(31, "101"), tick(32, "1"))
    assert said(alerts) == [(30, "FIRING", ""), (32, "RESOLVED", "")]


def test_a_pending_rule_that_stops_being_true_says_nothing() -> None:
    checker = Checker(rule(HIGH, hold="30s"))
    outcome = checker.check(Batch("coingecko", T0, (tick(0, "101"), tick(29, "1"), tick(31, "101"), tick(60, "101"))))
    assert outcome.alerts == []
    [episode] = outcome.episodes.values()
    assert episode is not None
    assert (episode.state, episode.since) == (State.PENDING, T0 + timedelta(seconds=31))


def test_a_repeating_rule_numbers_its_lines_and_resolves_under_the_plain_id() -> None:
    checker = Checker(rule(HIGH, repeat="60s"))
    alerts = feed(checker, *[tick(s, "101") for s in (0, 30, 60, 119, 120)], tick(121, "1"))
    assert said(alerts) == [(0, "FIRING", ""), (60, "FIRING", ".2"), (120, "FIRING", ".3"), (121, "RESOLVED", "")]
    assert len({alert.id[:12] for alert in alerts}) == 1


def test_a_repeat_of_zero_says_every_tick() -> None:
    checker = Checker(rule(HIGH, repeat="0s"))
    assert len(feed(checker, tick(0, "101"), tick(1, "101"), tick(2, "101"))) == 3


def test_two_episodes_have_two_ids() -> None:
    checker = Checker(rule(HIGH))
    alerts = feed(checker, tick(0, "101"), tick(1, "1"), tick(2, "101"))
    assert alerts[0].id == alerts[1].id != alerts[2].id


def test_published_values_are_written_digit_for_digit_and_without_an_exponent() -> None:
    def written(price: str) -> str:
        checker = Checker(rule("price > 0"))
        [alert] = feed(checker, tick(0, price))
        return alert.terms[0][1]

    published = ["1.0", "60997", "5.6366E-11", "1.20E+3", "0.00045452", "12345678901234567890.123456789"]
    assert [written(p) for p in published] == [
        "1.0", "60997", "0.000000000056366", "1200", "0.00045452", "12345678901234567890.123456789",
    ]  # fmt: skip


def test_computed_values_have_eight_significant_digits_and_no_exponent() -> None:
    checker = Checker(SHIPPED)
    volumes = ["3692454343", "3691913403", "3691913404", "3691913408"]
    feed(checker, *[tick(60 * m, "0.000000000056366", volume=v) for m, v in enumerate(volumes)])
    price, volume = feed(checker, tick(240, "0.0000000001", volume="1"))
    assert dict(price.terms)["avg(price,5m)"] == "0.000000000056366"
    assert dict(volume.terms)["avg(volume,5m)"] == "3692048600"


OPTIONS: list[dict[str, str]] = [
    {},
    {"hold": "30s"},
    {"repeat": "0s"},
    {"hold": "30s", "repeat": "45s"},
    {"keep_firing_for": "60s", "repeat": "45s"},
    {"clear": "price < 99"},
    {"clear": "price < 99", "keep_firing_for": "30s", "hold": "30s"},
]

TICKS = st.lists(
    st.tuples(st.integers(0, 900), st.sampled_from(["100", "101", "103", "97"]), st.sampled_from(["BTC", "ETH"])),
    max_size=80,
)


@settings(deadline=None)
@given(ticks=TICKS, cut=st.integers(0, 80), options=st.sampled_from(OPTIONS))
def test_a_restart_at_any_tick_gives_the_same_lines_as_no_restart(
    ticks: list[tuple[int, str, str]], cut: int, options: dict[str, str]
) -> None:
    both = RuleSet((*SHIPPED.rules, *rule(HIGH, **options).rules, *rule("crosses(price, 101)", "level").rules))
    stream = [tick(*t[:2], symbol=t[2]) for t in ticks]
    stream = [replace(t, fetched_at=T0 + timedelta(hours=1, seconds=n)) for n, t in enumerate(stream)]
    straight = feed(Checker(both), *stream)

    before = Checker(both)
    lines = feed(before, *stream[:cut])
    after = Checker(both)
    assert after.resume(before.episodes(), T0) == Outcome()
    after.warm(stored(stream[:cut]))
    assert lines + feed(after, *stream[cut:]) == straight


@settings(deadline=None)
@given(ticks=TICKS, cuts=st.lists(st.integers(0, 80), max_size=3), options=st.sampled_from(OPTIONS))
def test_many_at_once_and_one_by_one_give_the_same_lines(
    ticks: list[tuple[int, str, str]], cuts: list[int], options: dict[str, str]
) -> None:
    both = RuleSet((*SHIPPED.rules, *rule(HIGH, **options).rules, *rule("crosses(price, 101)", "level").rules))
    stream = [tick(*t[:2], symbol=t[2]) for t in ticks]
    one, many = Checker(both), Checker(both)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    for begin, end in pairwise(edges):
        part = tuple(stream[begin:end])
        at_once = Outcome()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.alerts.checker._FEW", 0)
            at_once = many.check(Batch("coingecko", T0, part))
        alerts = feed(one, *part)
        assert sorted(map(str, at_once.alerts)) == sorted(map(str, alerts))
        assert many.episodes() == one.episodes()


def stored(ticks: Sequence[Tick]) -> list[PastTick]:
    """What the database gives back: the first of equal timestamps, in order of time."""
    first: dict[tuple[str, datetime], Tick] = {}
    for t in ticks:
        first.setdefault((t.symbol, t.timestamp), t)
    return [
        (t.symbol, t.timestamp, t.price, t.volume_24h, t.market_cap, t.fetched_at, t.source)
        for _, t in sorted(first.items())
    ]


@given(stamps=st.lists(st.integers(0, 2_900_000_000_000_000), min_size=1))
def test_the_times_of_a_batch_are_exact_to_the_microsecond(stamps: list[int]) -> None:
    begin = datetime(2009, 1, 3, tzinfo=UTC)
    ticks = [replace(tick(0, "1"), timestamp=begin + timedelta(microseconds=stamp)) for stamp in stamps]
    assert times_of(ticks).tolist() == [microseconds(tick.timestamp) for tick in ticks]


def test_no_rule_is_held_against_what_still_comes_of_a_symbol_that_is_watched_no_more() -> None:
    for symbols in (["BTC"], [f"S{n}" for n in range(40)]):
        checker = Checker(rule("price > 105"), market="x")
        checker.watch_only("x", symbols, T0)
        batch = Batch("x", T0, tuple(replace(tick(0, "110"), symbol=symbol) for symbol in symbols))
        assert len(checker.check(batch).alerts) == len(symbols)
        assert len(checker.watch_only("x", symbols[1:], T0).alerts) == 1
        later = replace(batch, ticks=tuple(replace(t, timestamp=T0 + timedelta(seconds=1)) for t in batch.ticks))
        for _ in range(2):
            assert checker.check(later).alerts == []
            assert checker.unknown == 0
            checker.let_go()
        again = checker.watch_only("x", symbols, T0)
        assert again.alerts == []
        batch = replace(batch, ticks=tuple(replace(t, timestamp=T0 + timedelta(seconds=2)) for t in batch.ticks))
        assert [alert.symbol for alert in checker.check(batch).alerts] == symbols[:1]


def test_other_rules_go_on_with_the_rows_of_symbols_that_came_and_went() -> None:
    before = Checker(SHIPPED, market="x")
    for symbols in (["A", "B", "C"], ["B"], ["B", "D"]):
        before.watch_only("x", symbols, T0)
        for n in range(10 if len(symbols) < 3 else 5):
            t = tick(60 * n + (300 if len(symbols) < 3 else 0))
            before.check(Batch("x", t.timestamp, tuple(replace(t, symbol=s) for s in symbols)))
        before.let_go()
    before.watch_only("x", ["D"], T0)
    before.let_go()
    after = Checker(SHIPPED, market="x", before=before)
    assert after.is_warm
    after.take_over(before, T0)
    t = tick(60 * 15, "110")
    fired = after.check(Batch("x", t.timestamp, (replace(t, symbol="B"), replace(t, symbol="D")))).alerts
    assert [alert.symbol for alert in fired] == ["D"]
    assert after.cold(["B", "D"]) == before.cold(["B", "D"])
