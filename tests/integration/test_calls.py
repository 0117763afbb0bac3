"""The ledger of calls on real PostgreSQL: counts by spender, one at a time, and no wait for a server that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from app.calls import CallLedger
from app.db import Database
from app.errors import RateLimited
from app.limits import CallBudget
from tests.clock import FakeClock

NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)

Opened = Callable[[str], CallLedger]


@pytest.fixture
def opened(dsn: str, tmp_path: Path) -> Iterator[Opened]:
    """Makes a daemon's ledger, by the name of its folder."""
    with ExitStack() as stack:

        def make(name: str) -> CallLedger:
            database = stack.enter_context(closing(Database(dsn, threading.Event(), "test")))
            path = tmp_path / name / "calls.sqlite"
            return stack.enter_context(closing(CallLedger(database, path, FakeClock())))

        yield make


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    def work(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(statement)
        return cursor.fetchall()  # type: ignore[no-any-return]

    return database.run(work)


def test_calls_are_counted_by_source_month_and_spender(database: Database, opened: Opened) -> None:
    one, other = opened("one"), opened("other")
    spent = [
        one.spend("coingecko", NOVEMBER, 9),
        other.spend("coingecko", NOVEMBER, 9),
        other.spend("coingecko", NOVEMBER, 9),
        one.spend("coingecko", NOVEMBER, 9),
        one.spend("kraken", NOVEMBER, 9),
        one.spend("coingecko", DECEMBER, 9),
    ]
    assert spent == [1, 2, 3, 4, 1, 1]
    assert other.spent("coingecko", NOVEMBER) == 4
    found = rows(database, "SELECT source, month, calls FROM provider_calls WHERE calls > 0 ORDER BY 1, 2, 3")
    assert found == [
        ("coingecko", NOVEMBER, 2),
        ("coingecko", NOVEMBER, 2),
        ("coingecko", DECEMBER, 1),
        ("kraken", NOVEMBER, 1),
    ]
    assert rows(database, "SELECT count(DISTINCT spender) FROM provider_calls") == [(2,)]


def test_what_an_older_version_counted_is_somebody_elses(database: Database, opened: Opened) -> None:
    added = "INSERT INTO provider_calls VALUES ('coingecko', '2026-11-01', 40, '') RETURNING 1"
    rows(database, added)
    assert opened("one").spend("coingecko", NOVEMBER, 9) == 41


def test_to_tell_it_twice_does_no_harm_and_an_older_count_replaces_no_newer(database: Database, opened: Opened) -> None:
    one = opened("one")
    for _ in range(5):
        one.spend("coingecko", NOVEMBER, 9)
    for _ in range(3):
        assert one.spent("coingecko", NOVEMBER) == 5
    one._spent["coingecko", NOVEMBER] = (2, 0)
    assert one.spent("coingecko", NOVEMBER) == 5
    assert rows(database, "SELECT calls FROM provider_calls") == [(5,)]


def test_of_many_who_race_for_the_last_calls_each_gets_one_of_its_own(opened: Opened) -> None:
    budgets = [CallBudget("coingecko", 0, 40, FakeClock(), opened(str(number))) for number in range(4)]
    made: list[int] = []
    start = threading.Barrier(len(budgets))

    def spend(budget: CallBudget) -> None:
        start.wait()
        try:
            while True:
                with budget.call():
                    made.append(1)
        except RateLimited:
            pass

    threads = [threading.Thread(target=spend, args=(budget,)) for budget in budgets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 40


def test_a_server_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    with (
        closing(Database(f"host={tmp_path} user=nobody dbname=nothing", threading.Event())) as away,
        closing(CallLedger(away, tmp_path / "calls.sqlite", FakeClock())) as book,
    ):
        start = time.monotonic()
        assert [book.spend("coingecko", NOVEMBER, 9) for _ in range(5)] == [1, 2, 3, 4, 5]
        assert time.monotonic() - start < 10
