"""The ledger of calls on real PostgreSQL: counts by spender, one at a time, and no wait for a server that is away."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from app.calls import CallLedger, of_command
from app.db import Database
from app.errors import RateLimited
from app.limits import Account, CallBudget, PlanFacts, Spending, Standing
from tests.clock import FakeClock

NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)
HERE, OTHER_KEY, KRAKEN = Account("coingecko", "0123456789ab"), Account("coingecko", "ba9876543210"), Account("kraken")

Opened = Callable[[str], CallLedger]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def opened(dsn: str, tmp_path: Path, clock: FakeClock) -> Iterator[Opened]:
    """Makes a daemon's ledger, by the name of its folder."""
    with ExitStack() as stack:

        def make(name: str) -> CallLedger:
            database = stack.enter_context(closing(Database(dsn, threading.Event(), "test")))
            path = tmp_path / name / "calls.sqlite"
            return stack.enter_context(closing(CallLedger(database, path, clock)))

        yield make


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    def work(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []

    return database.run(work)


def spend(ledger: CallLedger, account: Account = HERE, month: date = NOVEMBER, cost: int = 1, **how: bool) -> Standing:
    return ledger.spend(account, month, Spending(cost, **how), lambda _: None)


def budget(ledger: CallLedger, clock: FakeClock, per_minute: int, per_month: int, **how: Any) -> CallBudget:
    return CallBudget(HERE.source, per_minute, per_month, clock, ledger, account=HERE.name, **how)


def call(from_: CallBudget, **how: Any) -> bool:
    try:
        with from_.call(**how):
            return True
    except RateLimited:
        return False


# Counting.


def test_credits_are_counted_by_account_month_and_spender(database: Database, opened: Opened) -> None:
    one, other = opened("one"), opened("other")
    spent = [
        spend(one).spent,
        spend(other, cost=3).spent,
        spend(other, backfill=True).spent,
        spend(one).spent,
        spend(one, KRAKEN).spent,
        spend(one, OTHER_KEY).spent,
        spend(one, month=DECEMBER).spent,
    ]
    assert spent == [1, 4, 5, 6, 1, 1, 1]
    assert other.look(HERE, NOVEMBER).spent == 6
    found = rows(database, "SELECT source, account, month, calls, backfill FROM provider_calls ORDER BY 1, 2, 3, 4")
    assert found == [
        ("coingecko", HERE.name, NOVEMBER, 2, 0),
        ("coingecko", HERE.name, NOVEMBER, 4, 1),
        ("coingecko", HERE.name, DECEMBER, 1, 0),
        ("coingecko", OTHER_KEY.name, NOVEMBER, 1, 0),
        ("kraken", "keyless", NOVEMBER, 1, 0),
    ]
    assert rows(database, "SELECT count(DISTINCT spender) FROM provider_calls") == [(2,)]


def test_where_it_stands_says_who_spent_it_and_for_what(opened: Opened) -> None:
    one, other, third = opened("one"), opened("other"), opened("third")
    spend(one, cost=5)
    spend(one, cost=2, backfill=True)
    spend(other, cost=7)
    spend(third, cost=11, backfill=True)
    stands = one.look(HERE, NOVEMBER)
    assert (stands.ours, stands.others, stands.ours_backfill, stands.others_backfill) == (7, 18, 2, 11)
    assert stands.pollers == 1  # who only fills holes does not poll
    assert stands.recent is not None
    assert sorted(made.backfill for made in stands.recent) == [False, True]
    assert max(made.age for made in stands.recent) < 30  # seconds by the server's clock, less a call's longest


def test_what_an_older_version_counted_is_everybodys_and_not_counted_twice(database: Database, opened: Opened) -> None:
    one = opened("one")
    one.recent(HERE)
    old = "INSERT INTO provider_calls (source, account, month, spender, calls) VALUES ('coingecko', '', '2026-11-01', "
    rows(database, f"{old} '', 40)")
    rows(database, f"{old} '{one._file.spender}', 5)")
    stands = spend(one)
    assert (stands.ours, stands.others) == (6, 40)
    assert opened("other").look(HERE, NOVEMBER).spent == 46


def test_to_tell_it_twice_does_no_harm_and_an_older_count_replaces_no_newer(database: Database, opened: Opened) -> None:
    one = opened("one")
    for _ in range(5):
        spend(one)
    one._known[HERE, NOVEMBER] = Standing(ours=2)
    assert one.look(HERE, NOVEMBER).spent == 5
    assert spend(one).spent == 6
    assert rows(database, "SELECT calls FROM provider_calls") == [(6,)]


def test_who_does_not_agree_leaves_nothing_behind(database: Database, opened: Opened) -> None:
    def disagree(_: Standing) -> None:
        raise RateLimited("no")

    one = opened("one")
    with pytest.raises(RateLimited):
        one.spend(HERE, NOVEMBER, Spending(1), disagree)
    assert one.look(HERE, NOVEMBER) == Standing(recent=[])
    assert rows(database, "SELECT count(*) FROM provider_recent_calls") == [(0,)]
    assert one.recent(HERE) == []


def test_of_many_who_race_for_the_last_credits_each_gets_some_of_its_own(opened: Opened, clock: FakeClock) -> None:
    budgets = [budget(opened(str(number)), clock, 0, 40) for number in range(4)]
    made: list[int] = []
    start = threading.Barrier(len(budgets))

    def race(budget: CallBudget) -> None:
        start.wait()
        while call(budget):
            made.append(1)

    threads = [threading.Thread(target=race, args=(budget,)) for budget in budgets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 40


def test_what_the_provider_counts_and_we_did_not_was_spent_elsewhere(database: Database, opened: Opened) -> None:
    one, other = opened("one"), opened("other")
    spend(one, cost=10)
    spend(other, cost=5)
    assert one.correct(HERE, NOVEMBER, 100).others == 90
    assert other.look(HERE, NOVEMBER).spent == 100
    spend(one, cost=3)
    assert one.correct(HERE, NOVEMBER, 110).spent == 110
    assert rows(database, "SELECT calls FROM provider_calls WHERE spender = 'elsewhere'") == [(92,)]
    assert other.correct(HERE, NOVEMBER, 4).spent == 18  # its month has begun anew, in the middle of ours


# The minute.


def test_a_minute_is_shared_by_all_whatever_their_clocks_say(opened: Opened) -> None:
    clocks = [FakeClock(), FakeClock()]
    clocks[1].jump(45)
    clocks[1].advance(7)
    budgets = [budget(opened(str(number)), clock, 5, 0) for number, clock in enumerate(clocks)]
    assert [call(budgets[number % 2]) for number in range(8)] == [True] * 5 + [False] * 3
    with pytest.raises(RateLimited, match="5 calls a minute") as refused, budgets[0].call():
        pass
    assert 30 < (refused.value.retry_after or 0) <= 61


def test_calls_older_than_a_few_minutes_do_not_pile_up(database: Database, opened: Opened) -> None:
    one, other = opened("one"), opened("other")
    for _ in range(3):
        spend(one)
    rows(database, "UPDATE provider_recent_calls SET called_at = called_at - interval '45 seconds'")
    stands = other.look(HERE, NOVEMBER)
    assert stands.recent is not None
    assert [35 <= made.age < 65 for made in stands.recent] == [True] * 3
    rows(database, "UPDATE provider_recent_calls SET called_at = called_at - interval '80 seconds'")
    assert other.look(HERE, NOVEMBER).recent == []
    rows(database, "UPDATE provider_recent_calls SET called_at = called_at - interval '1 hour'")
    spend(other)
    assert rows(database, "SELECT count(*) FROM provider_recent_calls") == [(1,)]


def test_a_servers_clock_that_was_set_back_an_hour_blocks_nobody_for_an_hour(
    database: Database, opened: Opened
) -> None:
    spend(opened("one"))
    rows(database, "UPDATE provider_recent_calls SET called_at = called_at + interval '1 hour'")
    assert opened("other").look(HERE, NOVEMBER).recent == []


def test_a_command_finds_what_its_last_run_had_and_keeps_no_file(
    database: Database, opened: Opened, clock: FakeClock, tmp_path: Path
) -> None:
    for _ in range(3):
        with of_command("backfill", database, clock) as ledger:
            assert [call(budget(ledger, clock, 7, 1000), backfill=True) for _ in range(2)] == [True, True]
    with of_command("backfill", database, clock) as ledger:
        assert not call(budget(ledger, clock, 7, 1000), backfill=True)  # one is kept for polling
    assert opened("one").look(HERE, NOVEMBER).others_backfill == 6
    assert rows(database, "SELECT spender, calls, polled_at FROM provider_calls") == [("backfill", 6, None)]


# What is learned.


def test_what_a_429_teaches_one_the_others_know_and_a_restart_too(opened: Opened, clock: FakeClock) -> None:
    one, other = budget(opened("one"), clock, 30, 0), budget(opened("other"), clock, 30, 0)
    with pytest.raises(RateLimited), one.call():
        raise RateLimited("HTTP 429", 5)
    assert call(other)
    new = budget(opened("new"), clock, 30, 0)
    new.look()
    assert [of.per_minute for of in (one, other, new)] == [15, 15, 15]
    clock.advance(1200)
    assert [of.per_minute for of in (one, other, new)] == [21, 21, 21]


def test_that_the_credits_will_not_last_is_said_by_one_of_all_once_a_month(opened: Opened) -> None:
    one, other = opened("one"), opened("other")
    assert [one.first_to_say(HERE, NOVEMBER), one.first_to_say(HERE, NOVEMBER)] == [True, False]
    assert [other.first_to_say(HERE, NOVEMBER), other.first_to_say(OTHER_KEY, NOVEMBER)] == [False, True]
    assert other.first_to_say(HERE, DECEMBER)


# A server that is away; a month.


def test_a_server_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    with (
        closing(Database(f"host={tmp_path} user=nobody dbname=nothing", threading.Event())) as away,
        closing(CallLedger(away, tmp_path / "calls.sqlite", FakeClock())) as book,
    ):
        start = time.monotonic()
        assert [spend(book).spent for _ in range(5)] == [1, 2, 3, 4, 5]
        assert book.first_to_say(HERE, NOVEMBER)
        assert time.monotonic() - start < 10


@pytest.mark.one_server
def test_a_month_of_two_daemons_and_a_restart_ends_with_its_credits(
    database: Database, opened: Opened, clock: FakeClock
) -> None:
    """The whole month in seconds; the minute's limit goes by the server's clock, and is left out."""
    dice, per_month = random.Random(5), 250
    clock.jump((datetime(2026, 11, 1, tzinfo=UTC) - clock.now()).total_seconds())
    daemons = [budget(opened("one"), clock, 0, per_month), budget(opened("other"), clock, 0, per_month)]
    due = [0.0, 40_000.0]
    begun, made = clock.monotonic(), 0
    while clock.now().month == 11:
        who = due.index(min(due))
        clock.advance(max(0.0, begun + due[who] - clock.monotonic()))
        if clock.now().month == 11:
            made += call(daemons[who])
        if made == 100:
            daemons[0] = budget(opened("one again"), clock, 0, per_month)
        due[who] = clock.monotonic() - begun + max(60.0, daemons[who].pace()) * dice.uniform(1, 1.01)
    assert 245 <= made <= 250
    assert rows(database, "SELECT sum(calls) FROM provider_calls WHERE month = '2026-11-01'") == [(made,)]


def test_the_plan_that_a_provider_tells_is_that_of_the_budget(opened: Opened, clock: FakeClock) -> None:
    paid = budget(opened("one"), clock, 250, 100_000)
    paid.learn(PlanFacts(per_minute=500, per_month=500_000, spent=420_000))
    assert (paid.per_minute, paid.left_this_month) == (500, 80_000)
    assert paid.pace() == pytest.approx(8.58 * 86400 / (0.95 * 80_000), rel=1e-3)
