"""The seconds between replies, and what a backtest adds up to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.alerts.checker import Checker
from app.history.backtest import Step, Summary, run
from app.model import Alert, Batch, State, Tick
from tests.rules import rules

NOON = datetime(2021, 4, 18, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SILENT = rules({"name": "silent", "when": "age > 2m"})


@dataclass
class Recording:
    """Replies with a tick of BTC, so many seconds after noon; ``known``: a tick came before it begins."""

    replies: tuple[float, ...]
    since: datetime = NOON
    until: datetime = NOON + 5 * SECOND
    known: bool = False

    def warm(self, checker: Checker) -> bool:
        if self.known:
            checker.warm([("BTC", NOON - SECOND, Decimal(1), None, None, NOON - SECOND, "coingecko")])
        return self.known

    def batches(self) -> Iterator[Batch]:
        for seconds in self.replies:
            at = NOON + seconds * SECOND
            yield Batch("coingecko", at, (Tick("BTC", at, Decimal(1), None, None, at, "coingecko"),))


def steps(recording: Recording, held: Any = SILENT) -> list[tuple[float, int]]:
    """(seconds after noon, ticks) of each step."""
    found = run(held, recording, "coingecko")  # type: ignore[arg-type]
    return [((step.at - NOON) / SECOND, step.ticks) for step in found]


def test_a_second_counts_what_arrived_up_to_it() -> None:
    assert steps(Recording((0.5, 1.0, 3.2), known=True)) == [
        (0, 0), (0.5, 1), (1.0, 1), (1, 0), (2, 0), (3, 0), (3.2, 1), (4, 0),
    ]  # fmt: skip


def test_it_begins_at_a_whole_second_and_ends_before_the_end() -> None:
    half = Recording((), since=NOON + SECOND / 2, until=NOON + 3 * SECOND, known=True)
    assert steps(half) == [(1, 0), (2, 0)]


def test_before_the_first_tick_of_all_no_second_passes() -> None:
    assert steps(Recording((2.5,))) == [(2.5, 1), (3, 0), (4, 0)]
    assert steps(Recording(())) == []


def test_where_no_rule_looks_at_the_clock_none_does() -> None:
    assert steps(Recording((0.5, 3.2), known=True), rules({"name": "high", "when": "price > 2"})) == [
        (0.5, 1),
        (3.2, 1),
    ]


@pytest.fixture
def summary() -> Summary:
    found = Summary(("quiet", "loud"))
    for number in range(23):
        at = datetime(2021, 4, 18, 23, 59, 49, tzinfo=UTC) + number * SECOND
        symbol = f"S{number % 12:02}"
        found.add(Step(at, 3, [Alert("id", state, at, symbol, "loud", ()) for state in (State.FIRING, State.RESOLVED)]))
    return found


def test_firing_is_counted_a_day_and_a_rule(summary: Summary) -> None:
    assert (summary.ticks, summary.fired, summary.resolved) == (69, 23, 23)
    assert [(day.isoformat(), count) for day, count in summary.days] == [("2021-04-18", 11), ("2021-04-19", 12)]
    assert summary.by_rule == [("quiet", 0), ("loud", 23)], "also what never fired"


def test_the_ten_noisiest_symbols_are_named_the_noisiest_first(summary: Summary) -> None:
    assert summary.noisiest == [(f"S{number:02}", 2) for number in range(10)]
    summary.add(Step(NOON, 0, [Alert("id", State.FIRING, NOON, "S11", "loud", ())]))
    summary.add(Step(NOON, 0, [Alert("id", State.FIRING, NOON, "S11", "loud", ())]))
    assert summary.noisiest[:2] == [("S11", 3), ("S00", 2)]
