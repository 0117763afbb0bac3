"""Who leads: one at a time, and nobody commits under an epoch that is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest

from app.alerts.states import Outcome
from app.clock import SystemClock
from app.db import Database, execute
from app.errors import Deposed
from app.lease import Lease, holder_of
from app.model import Tick
from app.store import Store
from tests.clock import FakeClock

NOON = datetime(2021, 4, 18, 12, tzinfo=UTC)
TICK = Tick("BTC", NOON, Decimal(5), None, None, NOON, "coingecko")


@pytest.fixture
def databases(dsn: str, database: Database) -> Iterator[list[Database]]:
    """Three connections to a database that has our schema."""
    stop = threading.Event()
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Database(dsn, stop))) for _ in range(3)]


def grow_old(database: Database, seconds: float) -> None:
    """As if the leader had been renewed for the last time so long ago."""
    sql = f"UPDATE leader SET renewed_at = clock_timestamp() - interval '{seconds} s'"
    database.run(lambda cursor: cursor.execute(sql))


def test_one_leads_and_the_other_stands_by_and_knows_who(databases: list[Database]) -> None:
    a, b = Lease(databases[0], "a", SystemClock()), Lease(databases[1], "b", SystemClock())
    assert [a.take(), b.take()] == [True, False]
    assert (a.epoch, a.leader, b.epoch, b.leader) == (1, "a", None, "a")
    assert [a.renew(), b.renew()] == [True, False]


def test_a_lease_that_is_renewed_is_not_taken_and_one_that_grew_old_is(databases: list[Database]) -> None:
    a, b = Lease(databases[0], "a", SystemClock()), Lease(databases[1], "b", SystemClock())
    assert a.take()
    grow_old(databases[2], 5)
    assert not b.take()
    grow_old(databases[2], 7)
    assert b.take()
    assert b.epoch == 2
    assert not a.renew(), "who is deposed has to hear of it"
    assert a.epoch is None
    grow_old(databases[2], 7)
    assert a.take()
    assert a.epoch == 3


def test_a_late_renewal_is_good_while_nobody_took_over(databases: list[Database]) -> None:
    a = Lease(databases[0], "a", SystemClock())
    assert a.take()
    grow_old(databases[2], 60)
    assert a.renew()
    assert not Lease(databases[1], "b", SystemClock()).take()


def test_who_leaves_is_followed_at_once(databases: list[Database]) -> None:
    a, b = Lease(databases[0], "a", SystemClock()), Lease(databases[1], "b", SystemClock())
    assert a.take()
    a.leave()
    assert b.take()
    a.leave()  # a second time, after another has taken over: that is not its to leave
    assert not Lease(databases[2], "c", SystemClock()).take()


def test_the_same_folder_takes_its_own_lease_back_at_once_under_a_new_epoch(
    databases: list[Database], tmp_path: Path
) -> None:
    assert Lease(databases[0], holder_of(tmp_path), SystemClock()).take()
    again = Lease(databases[1], holder_of(tmp_path), SystemClock())
    assert again.take()
    assert again.epoch == 2
    (tmp_path / "other").mkdir()
    assert not Lease(databases[2], holder_of(tmp_path / "other"), SystemClock()).take()


def test_a_database_that_is_away_deposes_nobody(databases: list[Database], tmp_path: Path) -> None:
    a = Lease(databases[0], "a", SystemClock())
    assert a.take()
    databases[0].close()
    a._database = Database(f"host={tmp_path} user=nobody dbname=nothing", threading.Event())
    assert a.renew()
    a.leave()
    assert a.epoch is None


def test_a_transaction_that_has_seen_its_epoch_lead_is_waited_for(databases: list[Database]) -> None:
    """Else it would commit after its successor has begun."""
    a, b = Lease(databases[0], "a", SystemClock()), Lease(databases[1], "b", SystemClock())
    assert a.take()
    grow_old(databases[2], 7)
    taken = threading.Event()

    def take_over() -> None:
        assert b.take()
        taken.set()

    thread = threading.Thread(target=take_over)

    def write(cursor: psycopg2.extensions.cursor) -> None:
        execute(cursor, "leading", epoch=1)
        thread.start()
        while not waits_for_a_lock(databases[0]):
            pass
        assert not taken.is_set()

    databases[2].run(write)
    thread.join(60)
    assert taken.is_set()
    with pytest.raises(Deposed):
        Store(databases[2]).save([TICK], Outcome(1))


def waits_for_a_lock(database: Database) -> bool:
    def work(cursor: psycopg2.extensions.cursor) -> bool:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (row,) = cursor.fetchall()
        return bool(row[0])

    return database.run(work)


def test_renewals_do_not_wait_for_those_who_write(databases: list[Database]) -> None:
    a = Lease(databases[0], "a", SystemClock())
    assert a.take()

    def write(cursor: psycopg2.extensions.cursor) -> bool:
        execute(cursor, "leading", epoch=1)
        return a.renew()

    assert databases[1].run(write)


def test_of_many_who_try_at_once_one_leads(dsn: str, database: Database) -> None:
    start = threading.Barrier(8)
    led: list[int] = []

    def try_it(number: int) -> None:
        with closing(Database(dsn, threading.Event())) as own:
            lease = Lease(own, str(number), SystemClock())
            start.wait(60)
            if lease.take():
                led.append(number)

    threads = [threading.Thread(target=try_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(led) == 1


def test_a_lease_is_old_when_it_could_not_be_renewed_for_as_long_as_a_standby_waits(databases: list[Database]) -> None:
    clock = FakeClock()
    a = Lease(databases[0], "a", clock)
    assert a.take()
    clock.advance(5)
    assert not a.is_old
    assert a.renew()
    clock.advance(5)
    assert not a.is_old
    clock.advance(2)
    assert a.is_old
