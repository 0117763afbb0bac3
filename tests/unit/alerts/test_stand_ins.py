"""What stands in for a symbol's own source has windows apart: the switch alone makes no move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.alerts.checker import Checker, PastTick
from app.model import Batch, Tick
from tests.rules import rules

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OFF_THE_MEAN = {"when": "abs(price / avg(price, 5m) - 1) > 2%"}
CROSSES = {"when": "crosses(price, 103)", "repeat": "0s"}
LEVEL = {"when": "price > 103"}


def checker(rule: dict[str, str] = OFF_THE_MEAN) -> Checker:
    return Checker(rules({"name": "it", **rule}), market="coingecko")


def tick(at: float, price: float, source: str = "coingecko", symbol: str = "BTC") -> Tick:
    time = NOON + timedelta(seconds=at)
    return Tick(symbol, time, Decimal(str(price)), None, None, time, source)


def lines(of: Checker, ticks: Sequence[Tick]) -> list[tuple[str, float]]:
    """The state and second of each alert; a batch a tick."""
    found = [a for t in ticks for a in of.check(Batch(t.source, t.fetched_at, (t,))).alerts]
    return [(alert.state.value, (alert.timestamp - NOON).total_seconds()) for alert in found]


USUAL = [tick(10 * n, 100) for n in range(60)]
STAND_IN = [tick(600 + 10 * n, 105, "kraken") for n in range(60)]
AGAIN = [tick(1200 + 10 * n, 100) for n in range(60)]


def test_a_switch_to_another_source_and_back_fires_nothing() -> None:
    assert lines(checker(), [*USUAL, *STAND_IN, *AGAIN]) == []


def test_the_same_prices_from_the_symbols_own_source_do_fire() -> None:
    assert lines(checker(), [*USUAL, *(replace(t, source="coingecko") for t in STAND_IN)])[0] == ("FIRING", 600)


def test_a_move_within_the_stand_ins_own_ticks_fires_as_soon_as_its_windows_reach_back() -> None:
    moved = [replace(t, price=Decimal(110)) if n >= 30 else t for n, t in enumerate(STAND_IN)]
    assert lines(checker(), [*USUAL, *moved])[0] == ("FIRING", 900)


def test_after_a_short_absence_the_own_windows_go_on_where_they_were() -> None:
    back = [tick(660, 104)]
    assert lines(checker(), [*USUAL, *STAND_IN[:5], *back]) == [("FIRING", 660)]


def test_a_level_that_only_the_other_source_is_above_is_not_crossed_by_the_switch() -> None:
    assert lines(checker(CROSSES), [*USUAL, *STAND_IN, *AGAIN]) == []
    assert lines(checker(CROSSES), [*USUAL, tick(600, 105)])[0] == ("FIRING", 600)


def test_what_its_own_source_said_before_the_stand_in_is_late() -> None:
    of = checker(LEVEL)
    lines(of, [*USUAL, *STAND_IN])
    late = tick(1185, 120)
    assert lines(of, [late]) == []
    assert of.check(Batch("coingecko", late.fetched_at, (late,))).known == 1


def test_the_same_time_from_the_other_source_is_known() -> None:
    of = checker(LEVEL)
    lines(of, USUAL)
    again = tick(590, 120, "kraken")
    outcome = of.check(Batch("kraken", again.fetched_at, (again,)))
    assert (outcome.known, outcome.new, outcome.alerts) == (1, 0, [])


def stored(ticks: Sequence[Tick]) -> list[PastTick]:
    return [(t.symbol, t.timestamp, t.price, t.volume_24h, t.market_cap, t.fetched_at, t.source) for t in ticks]


@pytest.mark.parametrize("cut", [30, 60, 61, 90, 119, 120, 121, 150])
def test_a_restart_changes_no_line(cut: int) -> None:
    moved = [replace(t, price=Decimal(110)) if n % 17 == 16 else t for n, t in enumerate([*USUAL, *STAND_IN, *AGAIN])]
    whole = lines(checker(), moved)
    assert whole
    first, second = checker(), checker()
    before = lines(first, moved[:cut])
    second.warm(stored(moved[:cut]))
    second.resume(first.episodes(), NOON)
    assert before + lines(second, moved[cut:]) == whole


def test_many_symbols_at_once_fare_as_one_by_one() -> None:
    of = checker()
    symbols = [f"S{n}" for n in range(40)]
    fired = []
    for n, t in enumerate([*USUAL, *STAND_IN, *AGAIN]):
        price = t.price * (2 if n in (80, 170) else 1)
        batch = Batch(t.source, t.fetched_at, tuple(replace(t, symbol=s, price=price) for s in symbols))
        fired += [(n, alert.symbol) for alert in of.check(batch).alerts if alert.state == "FIRING"]
    assert fired == [(n, s) for n in (80, 170) for s in symbols]


def test_a_composite_beside_a_batch_is_of_its_own_source() -> None:
    of = checker()
    mean = [replace(t, symbol="BTC@all", source="all") for t in USUAL]
    for t, m in zip(USUAL, mean, strict=True):
        of.check(Batch("coingecko", t.fetched_at, (t, m)))
    leap = replace(tick(600, 110, "all"), symbol="BTC@all")
    assert lines(of, [leap]) == [("FIRING", 600)]


def all_of(prices: dict[str, float], at: float, source: str = "coingecko") -> Batch:
    time = NOON + timedelta(seconds=at)
    return Batch(source, time, tuple(tick(at, price, source, symbol) for symbol, price in prices.items()))


def one_by_one(of: Checker, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The symbols of a batch that are not taken together."""
    found: list[str] = []
    real = of._check_one
    with monkeypatch.context() as patched:
        patched.setattr(of, "_check_one", lambda t, *rest: (found.append(t.symbol), real(t, *rest)))
        of.check(batch)
    return found


def test_a_symbol_that_stays_with_the_stand_in_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    of, prices = checker(), {f"S{n}": 100.0 for n in range(40)}
    of.check(all_of(prices, 0))
    of.check(all_of(prices, 10, "kraken"))
    gone = prices.pop("S7")
    of.check(all_of(prices, 20))
    assert one_by_one(of, all_of(prices, 30), monkeypatch) == []
    # Nor does one that its own source knows no newer price of.
    stale = replace(all_of(prices, 40), ticks=(*all_of(prices, 40).ticks, tick(0, gone, symbol="S7")))
    assert one_by_one(of, stale, monkeypatch) == ["S7"]
    assert one_by_one(of, all_of({f"{s}@kraken": 1.0 for s in prices}, 40, "kraken"), monkeypatch) == []


def test_alerts_stand_in_the_order_of_their_ticks_also_beside_one_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    of, prices = checker(LEVEL), {f"S{n}": 100.0 for n in range(40)}
    of.check(all_of(prices, 0))
    of.check(all_of({"S7": 100.0}, 10, "kraken"))
    leap = all_of(dict.fromkeys(prices, 110.0), 20)
    assert [alert.symbol for alert in of.check(leap).alerts] == list(prices)


def test_what_is_watched_no_more_leaves_nothing_of_any_source_behind() -> None:
    of = checker()
    of.watch_only("coingecko", ["ETH"], NOON)
    for day in range(20):
        of.watch_only("coingecko", ["ETH", f"S{day}"], NOON)
        lines(of, [tick(day, 100, "coingecko", f"S{day}"), tick(day + 0.5, 100, "kraken", f"S{day}")])
        of.watch_only("coingecko", ["ETH"], NOON)
        of.let_go()
    assert (of._stand_ins._last, of._stand_ins._sources, dict(of._stand_ins._aside.rows)) == ({}, {}, {})
    assert (of._symbols, dict(of._windows.rows), of._windows.held) == (["ETH", ""], {"ETH": 0}, 0)
