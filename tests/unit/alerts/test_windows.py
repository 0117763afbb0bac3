"""Trailing windows: what is in them, and what they give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.alerts.columns import Ints
from app.alerts.middle import Middle
from app.alerts.windows import FIELDS, Arrival, Statistic, Windows, bucket
from tests.trailing import SECOND, T0, Window, close, expected

NAN = math.nan


def price(statistic: Statistic, seconds: int) -> Window:
    return Window(statistic, "price", seconds)


AVG, COUNT, AGO = (price(statistic, 300) for statistic in (Statistic.AVG, Statistic.COUNT, Statistic.AGO))


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def ticked(windows: Windows, *ticks: tuple[float, float] | float) -> None:
    """Ticks of BTC at these seconds, each with its second as price or with another one."""
    for tick in ticks:
        second, value = tick if isinstance(tick, tuple) else (tick, tick)
        windows.take_one(windows.row("BTC"), at(second), (value, NAN, NAN))


def found(windows: Windows, second: float) -> list[float]:
    arrival, statistics = windows.take_one(windows.row("BTC"), at(second), (1.0, 1.0, 1.0))
    assert arrival is Arrival.NEW
    return statistics


def test_the_window_never_contains_the_tick_it_is_compared_with() -> None:
    windows = Windows([AVG])
    ticked(windows, 0, 100)
    assert found(windows, 300) == [50.0]


@pytest.mark.parametrize("seconds", [10, 60, 300, 3600])
def test_a_tick_exactly_one_window_ago_is_in_it(seconds: int) -> None:
    for later, count in ((0, 1.0), (1e-6, NAN)):
        windows = Windows([price(Statistic.COUNT, seconds)])
        ticked(windows, 0)
        assert close(found(windows, seconds + later)[0], count)


@pytest.mark.parametrize(("oldest", "known"), [(150, True), (150.000001, False), (149, True), (299, False)])
def test_a_window_that_does_not_reach_back_half_its_length_is_unknown(oldest: float, known: bool) -> None:
    windows = Windows([AVG, COUNT])
    ticked(windows, oldest)
    assert [math.isfinite(value) for value in found(windows, 300)] == [known, known]


def test_a_long_window_that_does_not_reach_back_half_its_length_is_unknown() -> None:
    for oldest, known in ((43200, True), (43200.000001, False)):
        windows = Windows([price(Statistic.AVG, 86400)])
        ticked(windows, oldest)
        assert math.isfinite(found(windows, 86400)[0]) is known


def test_after_a_gap_the_window_is_unknown_until_it_reaches_back_again() -> None:
    windows = Windows([AVG])
    ticked(windows, 0, 60, 120, 180, 1000)
    assert math.isnan(found(windows, 1060)[0])
    assert found(windows, 1150) == [(1000 + 1) / 2]


def test_missing_values_are_left_out_and_do_not_count_as_reaching_back() -> None:
    windows = Windows([Window(Statistic.AVG, "volume", 300), Window(Statistic.COUNT, "volume", 300), COUNT])
    row = windows.row("BTC")
    for second, volume in ((0, NAN), (100, NAN), (200, 5.0), (250, 7.0)):
        windows.take_one(row, at(second), (1.0, volume, NAN))
    assert [math.isnan(value) for value in windows.take_one(row, at(300), (1.0, NAN, NAN))[1]] == [True, True, False]
    assert windows.take_one(row, at(350), (1.0, NAN, NAN))[1] == [6.0, 2.0, 4.0]


def test_zero_is_a_value_to_a_window() -> None:
    windows = Windows([Window(Statistic.AVG, "price", 300), Window(Statistic.MIN, "price", 300)])
    ticked(windows, (0, 0.0), (100, 3.0), (200, -6.0))
    assert found(windows, 300) == [-1.0, -6.0]


def test_how_a_tick_stands_to_those_before() -> None:
    windows = Windows([price(Statistic.MAX, 300)])
    ticked(windows, 100)
    row = windows.row("BTC")
    arrivals = ((200, 1), (200, 2), (150, 3), (150, 4), (-5000, 5))
    known = [windows.take_one(row, at(second), (value, NAN, NAN))[0] for second, value in arrivals]
    assert known == [Arrival.NEW, Arrival.KNOWN, Arrival.LATE, Arrival.KNOWN, Arrival.LATE]
    assert windows.newest(row) == at(200)
    assert found(windows, 300) == [100.0]  # the first of equal timestamps stands


def test_a_tick_older_than_an_hour_counts_in_a_long_window_once() -> None:
    windows = Windows([price(Statistic.COUNT, 86400)])
    ticked(windows, *range(0, 40000, 100))
    row = windows.row("BTC")
    late = [windows.take_one(row, at(1050), (1.0, NAN, NAN))[0] for _ in range(3)]
    assert late == [Arrival.LATE, Arrival.KNOWN, Arrival.KNOWN]
    assert found(windows, 50000) == [401.0]


def test_ago_is_the_latest_value_then_however_old() -> None:
    windows = Windows([AGO, price(Statistic.AGO, 7200)])
    ticked(windows, 0, (10, NAN), 200)
    assert math.isnan(found(windows, 299.999999)[0])
    assert found(windows, 300) == [0.0, pytest.approx(NAN, nan_ok=True)]
    assert found(windows, 500)[0] == 200.0
    assert found(windows, 1_000_000) == [1.0, 1.0]
    row = windows.row("BTC")
    windows.take_one(row, at(999), (5.0, NAN, NAN))  # late, and older than all that is kept one by one
    assert found(windows, 1_000_100) == [5.0, 5.0]
    windows.take_one(row, at(998), (6.0, NAN, NAN))
    assert found(windows, 1_000_200) == [5.0, 5.0]


def test_buckets_are_at_most_a_hundredth_of_the_window_and_divide_a_day() -> None:
    assert [bucket(seconds) for seconds in (10, 3600, 7200, 86400, 604800)] == [0, 0, 60, 600, 3600]
    for seconds in range(3601, 30 * 86400, 599):
        assert 0 < bucket(seconds) <= seconds / 100
        assert 86400 % bucket(seconds) == 0


def test_the_far_edge_of_a_long_window_is_the_beginning_of_a_bucket() -> None:
    day = 1_700_006_400  # midnight
    windows = Windows([price(Statistic.COUNT, 86400), price(Statistic.AGO, 86400)])
    row = windows.row("BTC")
    for second in (-1, 0, 599, 600, 50000):
        windows.take_one(row, (day + second) * SECOND, (float(second), NAN, NAN))
    results = [windows.take_one(row, (day + 86400 + s) * SECOND, (0.0, NAN, NAN))[1] for s in (0, 599, 600)]
    assert results == [[4.0, -1.0], [5.0, -1.0], [4.0, 599.0]]


def test_symbols_do_not_mix() -> None:
    windows = Windows([AVG])
    rows = np.array([windows.row(f"S{n}") for n in range(500)])
    for second in (0, 100):
        values = np.full((len(FIELDS), 500), NAN)
        values[0] = rows + second
        windows.take(rows[::-1], np.full(500, at(second)), values[:, ::-1])
    arrivals, statistics = windows.take(rows, np.full(500, at(300)), np.full((len(FIELDS), 500), 1.0))
    assert set(arrivals) == {Arrival.NEW}
    assert np.array_equal(statistics[0], rows + 50.0)
    assert dict(windows.rows) == {f"S{n}": n for n in range(500)}


def test_a_spike_is_felt_as_long_as_it_is_in_the_window_and_no_longer() -> None:
    wanted = [price(statistic, seconds) for seconds in (60, 300, 7200) for statistic in Statistic]
    windows, ticks = Windows(wanted), {}
    row = windows.row("BTC")
    for n in range(3000):
        values = (1e30 if n == 1000 else 1 + n % 7 / 8, NAN, NAN)
        statistics = windows.take_one(row, at(5 * n), values)[1]
        if n in (1000, 1001, 1012, 1013, 1060, 1061, 2439, 2600, 2999):
            for window, value in zip(wanted, statistics, strict=True):
                assert close(value, expected(ticks, window, at(5 * n)), 1e-12), (n, window)
        ticks[at(5 * n)] = values


@pytest.mark.parametrize("step", [0, 1e-10, 1e-6, 0.01])
def test_prices_that_hardly_move_have_their_own_deviation(step: float) -> None:
    wanted = [price(Statistic.STDDEV, seconds) for seconds in (60, 900, 4000)]
    windows, ticks = Windows(wanted), {}
    for n in range(4000):
        values = (67187.34 + step * (n % 97 == 0), NAN, NAN)
        statistics = windows.take_one(windows.row("BTC"), at(n), values)[1]
        if n > 3700 and n % 50 == 0:
            for window, value in zip(wanted, statistics, strict=True):
                assert close(value, expected(ticks, window, at(n))), (n, window)
        ticks[at(n)] = values


def test_memory_follows_what_the_windows_can_see() -> None:
    windows = Windows([AVG])
    rows = np.array([windows.row(f"S{n}") for n in range(20)])
    held = []
    for second in range(1500):
        ticking = rows if second % 50 == 0 else rows[:1]
        windows.take(ticking, np.full(len(ticking), at(second)), np.ones((len(FIELDS), len(ticking))))
        held.append(windows.held)
    assert max(held) <= 300 + 2 * 64 + 19 * (6 + 2 * 64)
    assert held[-1] == pytest.approx(held[-500], abs=20 * 64)


def test_without_windows_it_only_tells_new_from_known() -> None:
    windows = Windows([])
    row = windows.row("BTC")
    assert [windows.take_one(row, at(n), (1.0, NAN, NAN)) for n in (0, 0, 5, 3)] == [
        (Arrival.NEW, []),
        (Arrival.KNOWN, []),
        (Arrival.NEW, []),
        (Arrival.LATE, []),
    ]
    assert (windows.reach, windows.held) == (0.0, 0)


def test_reach_is_where_the_longest_window_can_begin() -> None:
    assert Windows([AVG, price(Statistic.AVG, 86400)]).reach == 86400 + 600


def test_symbols_that_come_and_go_need_no_more_room_than_those_that_are_there_at_a_time() -> None:
    windows = Windows([price(Statistic.AVG, 300), price(Statistic.STDDEV, 86400), price(Statistic.AGO, 86400), AGO])
    for day in range(100):
        for n in range(5):
            row = windows.row(f"C{day}-{n}")
            for second in range(70):
                windows.take_one(row, T0 + second * SECOND, (1.0, 1.0, 1.0))
            assert row < 5
        for symbol in list(windows.rows):
            windows.forget(symbol)
    assert (windows.held, windows._ticks._pages, windows._capacity) == (0, 10, 64)


LONG = [price(statistic, 7200) for statistic in Statistic]  # in buckets of a minute


@pytest.mark.parametrize("second", [7201, 7222, 7243, 7259])
def test_what_comes_late_counts_in_the_next_bucket_of_a_long_window_though_that_was_prepared(second: int) -> None:
    windows, symbols = Windows(LONG), 8
    rows = np.array([windows.row(f"S{n}") for n in range(symbols)])
    ticks = {}
    for at_second in (*range(0, 7180, 30), *range(7180, second)):
        ticks[at(at_second)] = (100 + at_second % 7 / 8, NAN, NAN)
        values = np.array([ticks[at(at_second)]] * symbols).T
        windows.take(rows, np.full(symbols, at(at_second)), values)
    late = at(3001)
    ticks[late] = (50.0, NAN, NAN)
    assert [windows.take_one(row, late, ticks[late])[0] for row in rows.tolist()] == [Arrival.LATE] * symbols
    for later in (second, second + 40, second + 80):
        many = windows.take(rows, np.full(symbols, at(later)), np.ones((len(FIELDS), symbols)))[1]
        for window, found_ in zip(LONG, many, strict=True):
            assert all(close(value, expected(ticks, window, at(later)), 1e-12) for value in found_), (window, later)
        ticks[at(later)] = (1.0, 1.0, 1.0)


def test_no_batch_puts_long_windows_of_all_symbols_together_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, symbols, prepared = Windows(LONG), 1000, [0]
    prepare = Middle.prepare

    def counted(self: Middle, rows: Ints, firsts: Ints, ends: Ints) -> None:
        prepared[-1] += len(rows)
        prepare(self, rows, firsts, ends)

    monkeypatch.setattr(Middle, "prepare", counted)
    rows = np.array([windows.row(f"S{n}") for n in range(symbols)])
    for second in range(240):
        prepared.append(0)
        windows.take(rows, np.full(symbols, at(second)), np.ones((len(FIELDS), symbols)))
    assert sum(prepared[120:]) == pytest.approx(2 * symbols, rel=0.05)
    assert max(prepared[120:]) < 0.05 * symbols
