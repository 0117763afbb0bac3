"""Trailing windows against brute force: whatever comes, in whatever order, and by whichever way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from app.alerts.windows import Arrival, Statistic, Windows
from tests.trailing import SECOND, T0, Window, close, expected

NAN = math.nan

LENGTHS = (10, 37, 60, 300, 900, 3600, 5000, 7200, 86400, 604800)
PACES = (0.5, 1, 10, 60, 600, 7200)  # seconds from tick to tick, about

wanted = st.lists(
    st.builds(Window, st.sampled_from(Statistic), st.sampled_from(["price", "volume"]), st.sampled_from(LENGTHS)),
    min_size=1,
    max_size=12,
    unique=True,
)
prices = st.one_of(
    st.sampled_from([0.0, 1.0, 67187.34, -5.0, 1e30]),
    st.floats(1, 2),
    st.floats(67000, 67000.001),
)
ticks = st.tuples(
    st.integers(0, 3),  # symbol
    st.sampled_from(["next", "next", "next", "next", "late", "known", "gap"]),
    st.floats(0.001, 1),
    st.tuples(prices, prices | st.just(NAN)),
)
batches = st.lists(st.lists(ticks, min_size=1, max_size=4, unique_by=lambda tick: tick[0]), max_size=25)


@dataclass
class Symbol:
    """What a symbol's ticks have been, and in which order they came."""

    ticks: dict[int, Sequence[float]] = field(default_factory=dict)
    newest: int = T0

    def time(self, kind: str, by: float, pace: float, recent: int) -> int:
        """Of another tick."""
        step = max(1, round(by * 2 * pace * SECOND))
        if kind == "late" and self.ticks:
            return self.newest - 9 * step
        if kind == "known" and self.ticks:
            kept = [time for time in self.ticks if time >= self.newest - recent]
            return kept[round(by * (len(kept) - 1))]
        return self.newest + (step if kind == "next" else 500 * step)


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


@settings(max_examples=60, deadline=None)
@given(wanted=wanted, pace=st.sampled_from(PACES), batches=batches)
def test_many_at_once_and_one_by_one_give_the_same_numbers_and_those_of_brute_force(
    wanted: list[Window], pace: float, batches: list[list[tuple[int, str, float, tuple[float, float]]]]
) -> None:
    many, single = Windows(wanted), Windows(wanted)
    symbols = [Symbol() for _ in range(4)]
    recent = max(min(window.seconds, 3600) for window in wanted) * SECOND  # ticks are known again for so long
    for batch in batches:
        times = [symbols[of].time(kind, by, pace, recent) for of, kind, by, _ in batch]
        values = np.array([(*both, NAN) for *_, both in batch]).T
        arrivals, statistics = many.take(np.array([many.row(f"S{t[0]}") for t in batch]), np.array(times), values)
        for n, (of, *_) in enumerate(batch):
            symbol, time = symbols[of], times[n]
            arrival, found = single.take_one(single.row(f"S{of}"), time, values[:, n].tolist())
            assert arrival == arrivals[n]
            if arrival is Arrival.NEW:
                assert all(map(same, found, statistics[:, n]))
                for window, value in zip(wanted, found, strict=True):
                    assert close(value, expected(symbol.ticks, window, time)), window
            assert (arrival is Arrival.NEW) == (not symbol.ticks or time > symbol.newest)
            assert (arrival is Arrival.KNOWN) <= (time in symbol.ticks)
            if time not in symbol.ticks:
                symbol.ticks[time] = values[:, n].tolist()
                symbol.newest = max(symbol.newest, time) if len(symbol.ticks) > 1 else time


@settings(max_examples=50, deadline=None)
@given(
    wanted=wanted,
    pace=st.sampled_from(PACES),
    arrivals=st.lists(st.tuples(st.integers(1, 40), st.tuples(prices, prices | st.just(NAN))), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=3),
    newest_first=st.booleans(),
    loaded_twice=st.booleans(),
)
def test_history_gives_what_ticks_one_by_one_would_have_given(
    wanted: list[Window],
    pace: float,
    arrivals: list[tuple[int, tuple[float, float]]],
    cuts: list[int],
    newest_first: bool,
    loaded_twice: bool,
) -> None:
    time, past = T0, {}
    for steps, values in arrivals:
        time += round(steps * pace * SECOND / 10)
        past[time] = (*values, NAN)
    windows = Windows(wanted)
    row = windows.row("BTC")
    pieces = np.split(np.array(list(past)), sorted(cuts))
    for piece in pieces[::-1] if newest_first else pieces:
        for _ in range(1 + loaded_twice):
            windows.load(row, piece, np.array([past[t] for t in piece.tolist()]).reshape(-1, 3).T)
    assert windows.newest(row) == time
    for step in (1, SECOND, 5 * SECOND, 100 * SECOND, 4000 * SECOND):
        time += step
        found = windows.take_one(row, time, (1.0, 2.0, NAN))[1]
        for window, value in zip(wanted, found, strict=True):
            assert close(value, expected(past, window, time)), window
        past[time] = (1.0, 2.0, NAN)


@given(st.permutations(range(0, 3600, 97)), st.sampled_from([300, 3600, 7200]))
@settings(max_examples=20, deadline=None)
def test_a_statistic_does_not_depend_on_the_order_in_which_ticks_came(order: list[int], seconds: int) -> None:
    wanted = [Window(statistic, "price", seconds) for statistic in Statistic]
    results = []
    for seconds_of_day in (order, sorted(order)):
        windows = Windows(wanted)
        row = windows.row("BTC")
        for second in seconds_of_day:
            windows.take_one(row, T0 + second * SECOND, (1000 + second / 7, NAN, NAN))
        results.append(windows.take_one(row, T0 + 3600 * SECOND, (1.0, NAN, NAN))[1])
    if seconds <= 3600:
        assert all(map(same, *results))
    assert all(close(*pair, 1e-13) for pair in zip(*results, strict=True))


def test_nothing_drifts_in_two_hundred_thousand_ticks() -> None:
    symbols, rounds = 2000, 100
    rng = np.random.default_rng(7)
    wanted = [Window(statistic, "price", seconds) for statistic in Statistic for seconds in (60, 300, 900)]
    windows = Windows(wanted)
    rows = np.array([windows.row(f"S{n}") for n in range(symbols)])
    values = np.full((rounds, 3, symbols), NAN)
    values[:, 0] = 67000 + rng.random((rounds, symbols)).round(2)
    times = T0 + SECOND * 10 * np.arange(rounds)
    for n in range(rounds):
        statistics = windows.take(rows, np.full(symbols, times[n]), values[n])[1]
        if n % 14 == 13:
            for row in rng.integers(symbols, size=3).tolist():
                past = dict(zip(times[:n].tolist(), values[:n, :, row].tolist(), strict=True))
                for window, value in zip(wanted, statistics[:, row], strict=True):
                    assert close(value, expected(past, window, int(times[n])), 1e-11), window


@settings(max_examples=40, deadline=None)
@given(
    wanted=wanted,
    pace=st.sampled_from(PACES),
    before=st.lists(ticks, max_size=30),
    after=st.lists(ticks, min_size=1, max_size=30),
    at_once=st.booleans(),
)
def test_the_room_of_a_symbol_that_was_forgotten_is_as_good_as_new(
    wanted: list[Window],
    pace: float,
    before: list[tuple[int, str, float, tuple[float, float]]],
    after: list[tuple[int, str, float, tuple[float, float]]],
    at_once: bool,
) -> None:
    def feed(windows: Windows, came: list[tuple[int, str, float, tuple[float, float]]]) -> list[tuple[float, ...]]:
        symbols, found = [Symbol() for _ in range(4)], []
        for of, kind, by, values in came:
            time = symbols[of].time(kind, by, pace, 0)
            symbols[of].ticks.setdefault(time, values)
            symbols[of].newest = max(time, symbols[of].newest)
            row = windows.row(f"S{of}")
            if at_once:
                arrived, many = windows.take(np.array([row]), np.array([time]), np.array([[*values, NAN]]).T)
                found.append((arrived[0], *many[:, 0].tolist()))
            else:
                arrival, one = windows.take_one(row, time, (*values, NAN))
                found.append((arrival, *one))
        return found

    used, fresh = Windows(wanted), Windows(wanted)
    feed(used, before)
    rows = dict(used.rows)
    for symbol in rows:
        used.forget(symbol)
    assert (used.held, dict(used.rows)) == (0, {})
    for expected_, found in zip(feed(fresh, after), feed(used, after), strict=True):
        assert all(map(same, expected_, found))
    assert set(used.rows.values()) <= set(range(max(len(rows), len(fresh.rows))))
