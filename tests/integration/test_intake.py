"""The way of a batch while the database is there, away, back, or another's; and what waits on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from app.alerts.checker import Checker
from app.alerts.file import AlertsFile
from app.alerts.rules import RuleSet
from app.backlog import Backlog
from app.clock import SystemClock
from app.db import Database
from app.errors import CannotWrite, DatabaseUnavailable, Deposed, SpoolFull, Stopping
from app.intake import Intake
from app.lease import Lease
from app.model import Batch, Instrument, State, Tick
from app.spool import Spool
from app.store import Store
from tests.clock import FakeClock
from tests.conftest import Logged
from tests.rules import rule, rules, shipped

START = datetime(2021, 4, 18, 12, tzinfo=UTC)
BTC = Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin", "Bitcoin")


class Switch(Database):
    """A database that can be away."""

    away = False

    def once(self, work: Any, *, patience: float = 15.0) -> Any:
        if self.away:
            raise DatabaseUnavailable("connection refused")
        return super().once(work, patience=patience)


class Desk:
    """Everything that a batch passes through, put together as the daemon does; and its provider."""

    def __init__(self, folder: Path, dsn: str, stack: ExitStack, spool_bytes: int = 10_000_000) -> None:
        self.stop, self.clock = threading.Event(), FakeClock()
        self.path = folder / "alerts.txt"
        self.alerts = AlertsFile(self.path, folder / "alerts.sqlite", SystemClock())
        self.alerts.open()
        stack.callback(self.alerts.close)
        self.spool = Spool(folder / "spool.sqlite", spool_bytes, SystemClock())
        self.spool.open()
        stack.callback(self.spool.close)
        self.writer, self.drain = (stack.enter_context(closing(Switch(dsn, self.stop))) for _ in range(2))
        self.store = Store(self.writer)
        self.lease = Lease(self.writer, "here", self.clock)
        self.backlog = Backlog(Store(self.drain), self.spool, self.alerts)
        self.minutes = 0
        assert self.lease.take()
        self.intake = self.term()

    def term(self, rules: RuleSet | None = None) -> Intake:
        checker = Checker(rules or shipped(), self.lease.epoch or 0, "coingecko")
        ended = checker.resume(self.store.episodes(), self.clock.now())
        intake = Intake(checker, self.store, self.spool, self.alerts, self.clock, self.stop, self.lease)
        intake.accept_outcome(ended)
        intake.watch("coingecko", [BTC])
        return intake

    def batch(self, price: str) -> Batch:
        """The next minute's."""
        self.minutes += 1
        time = START + timedelta(minutes=self.minutes)
        return Batch("coingecko", time, (Tick("BTC", time, Decimal(price), Decimal(1), None, time, "coingecko"),))

    def take(self, *prices: str) -> None:
        for price in prices:
            self.intake.accept(self.batch(price))

    def away(self, is_away: bool) -> None:
        self.writer.away = self.drain.away = is_away

    def lines(self) -> list[str]:
        return [line.split()[1] for line in self.path.read_text().splitlines()]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        def work(cursor: Any) -> list[tuple[Any, ...]]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        return self.writer.run(work)


@pytest.fixture
def desk(tmp_path: Path, dsn: str, database: Database) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield Desk(tmp_path, dsn, stack)


CALM = ["100"] * 10


def test_a_batch_goes_past_the_spool_while_the_database_answers(desk: Desk) -> None:
    desk.spool.close()  # it would raise if it were touched
    desk.spool.open()
    appended: list[object] = []
    desk.spool.append = lambda *batch: appended.append(batch)  # type: ignore[method-assign, assignment]
    desk.take(*CALM, "110")
    assert not appended
    assert desk.rows("SELECT count(*) FROM ticker_data") == [(11,)]
    assert desk.lines() == ["FIRING"]


def test_while_the_database_is_away_alerts_go_on_and_all_is_stored_when_it_is_back(desk: Desk, logged: Logged) -> None:
    desk.take(*CALM)
    desk.away(True)
    desk.take("110", "100", "100", "100", "100", "90")
    desk.backlog.step(desk.stop)
    assert desk.lines() == ["FIRING", "RESOLVED", "FIRING"]
    assert desk.spool.waiting == 6
    assert "connection refused" in logged.read_new()
    desk.away(False)
    desk.take("90")  # behind those that wait
    assert desk.spool.waiting == 7
    desk.backlog.step(desk.stop)
    assert desk.spool.is_empty
    assert "stored now: 7" in logged.read_new()
    assert desk.rows("SELECT price FROM ticker_data ORDER BY timestamp") == [
        (Decimal(p),) for p in [*CALM, "110", "100", "100", "100", "100", "90", "90"]
    ]
    assert desk.rows("SELECT state FROM alerts ORDER BY number") == [("FIRING",), ("RESOLVED",), ("FIRING",)]
    assert desk.rows("SELECT state FROM alert_states") == [("FIRING",)]
    assert desk.rows("SELECT ticks FROM ohlcv_1d") == [(17,)]
    assert (desk.intake.counts.stored, desk.backlog.counts.stored) == (10, 7)
    desk.take("90")
    assert desk.spool.is_empty


def test_a_commit_of_which_nobody_knows_is_stored_once(desk: Desk) -> None:
    """The connection breaks after COMMIT was sent: the server has it, we put it aside."""
    desk.take(*CALM)
    real = desk.writer.once

    def commits_and_breaks(work: Any, *, patience: float = 15.0) -> Any:
        real(work, patience=patience)
        raise DatabaseUnavailable("server closed the connection unexpectedly")

    desk.writer.once = commits_and_breaks  # type: ignore[method-assign]
    desk.take("110")
    desk.writer.once = real  # type: ignore[method-assign]
    assert desk.spool.waiting == 1
    desk.backlog.step(desk.stop)
    assert desk.rows("SELECT count(*) FROM ticker_data") == [(11,)]
    assert desk.rows("SELECT ticks FROM ohlcv_1d") == [(11,)]
    assert desk.rows("SELECT count(*) FROM alerts") == [(1,)]
    assert desk.lines() == ["FIRING"]


def test_a_kill_between_the_database_s_commit_and_the_spool_s_changes_nothing(desk: Desk) -> None:
    desk.away(True)
    desk.take(*CALM, "110")
    desk.away(False)
    real, desk.spool.done = desk.spool.done, lambda through: None  # type: ignore[method-assign]
    entries = desk.spool.first(3)
    Store(desk.drain).save_spooled(entries)
    desk.spool.done = real  # type: ignore[method-assign]
    desk.backlog.step(desk.stop)
    assert desk.rows("SELECT count(*), sum(ticks)::int FROM ticker_data, ohlcv_1d GROUP BY ohlcv_1d.ticks") == [
        (11, 121)
    ]
    assert desk.rows("SELECT count(*) FROM alerts") == [(1,)]


def test_where_neither_takes_a_batch_polling_waits_and_goes_on_when_one_does(desk: Desk, logged: Logged) -> None:
    desk.away(True)
    tries: list[int] = []

    def full(*_: object) -> int:
        tries.append(1)
        if len(tries) == 3:
            desk.away(False)
        raise SpoolFull("the spool is full: 9 MB of 9")

    desk.spool.append = full  # type: ignore[method-assign, assignment]
    desk.take("100")
    assert len(tries) == 3
    assert desk.clock.waits[-3:] == [1.0, 1.0, 1.0]
    assert desk.rows("SELECT count(*) FROM ticker_data") == [(1,)]
    log = logged.read_new()
    assert "Polling has stopped" in log
    assert "polling goes on" in log
    assert desk.intake.blocked is None


def test_told_to_stop_while_neither_takes_it_the_batch_is_not_accepted(desk: Desk) -> None:
    desk.take(*CALM)
    desk.away(True)

    def broken(*_: object) -> int:
        desk.stop.set()
        raise CannotWrite("spool.sqlite: no space left on device")

    desk.spool.append = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopping, match="no space left"):
        desk.take("110")
    assert desk.lines() == [], "what is not accepted does not alert"


def test_who_is_deposed_commits_nothing_and_does_not_alert(desk: Desk, dsn: str) -> None:
    desk.take(*CALM)
    desk.rows("UPDATE leader SET epoch = epoch + 1 RETURNING 1")
    with pytest.raises(Deposed):
        desk.take("110")
    assert desk.rows("SELECT count(*) FROM ticker_data") == [(10,)]
    assert desk.lines() == []
    assert desk.spool.is_empty


def test_who_was_frozen_in_a_commit_asks_again_before_the_batch_counts_as_accepted(desk: Desk) -> None:
    """The server has ended its session meanwhile, and another leads: the spool would take what is not ours to take."""
    desk.take(*CALM)
    desk.rows("UPDATE leader SET epoch = epoch + 1 RETURNING 1")
    real = desk.writer.once

    def frozen(work: Any, *, patience: float = 15.0) -> Any:
        desk.writer.once = real  # type: ignore[method-assign]
        desk.clock.advance(30)
        raise DatabaseUnavailable("terminating connection due to idle-in-transaction timeout")

    desk.writer.once = frozen  # type: ignore[method-assign]
    with pytest.raises(Deposed):
        desk.take("110")
    assert desk.spool.is_empty
    assert desk.lines() == []


def test_who_knows_that_another_leads_puts_nothing_aside(desk: Desk) -> None:
    """Also where batches wait already, so that the database is not asked."""
    desk.away(True)
    desk.take("100")
    desk.away(False)
    desk.rows("UPDATE leader SET epoch = epoch + 1 RETURNING 1")
    assert not desk.lease.renew()
    with pytest.raises(Deposed):
        desk.take("100")
    assert desk.spool.waiting == 1


def test_a_step_after_the_wish_to_stop_stores_what_one_transaction_holds(desk: Desk) -> None:
    desk.away(True)
    desk.take(*CALM)
    desk.away(False)
    desk.stop.set()
    desk.backlog.step(desk.stop)
    assert desk.spool.is_empty


def test_what_a_deposed_leader_had_accepted_is_stored_all_the_same(desk: Desk) -> None:
    desk.take(*CALM)
    desk.away(True)
    desk.take("110")
    desk.away(False)
    desk.rows("UPDATE leader SET epoch = epoch + 1 RETURNING 1")
    desk.backlog.step(desk.stop)
    assert desk.rows("SELECT count(*) FROM ticker_data") == [(11,)]
    assert desk.rows("SELECT state FROM alerts") == [("FIRING",)]
    assert desk.rows("SELECT count(*) FROM alert_states") == [(0,)], "the states are the successor's to say"


def test_a_database_that_took_our_rights_away_is_waited_for_too(desk: Desk, dsn: str) -> None:
    desk.take(*CALM)
    desk.rows("ALTER TABLE alerts RENAME TO gone; SELECT 1")
    desk.take("110")
    assert desk.spool.waiting == 1
    desk.backlog.step(desk.stop)
    assert desk.spool.waiting == 1
    desk.rows("ALTER TABLE gone RENAME TO alerts; SELECT 1")
    desk.backlog.step(desk.stop)
    assert desk.spool.is_empty
    assert desk.rows("SELECT count(*) FROM alerts") == [(1,)]


def test_a_tick_that_the_database_refuses_costs_no_other_out_of_the_spool(desk: Desk, logged: Logged) -> None:
    desk.away(True)
    good = desk.batch("100")
    bad = desk.batch("100")
    desk.intake.accept(good)
    desk.intake.accept(replace(bad, ticks=(replace(bad.ticks[0], price=Decimal(-1)),)))
    desk.take("100")
    desk.away(False)
    desk.backlog.step(desk.stop)
    assert desk.spool.is_empty
    assert desk.rows("SELECT count(*) FROM ticker_data") == [(2,)]
    assert desk.backlog.counts.refused == 1
    assert "will not take this tick of BTC" in logged.read_new()


def test_alerts_that_were_too_many_to_wait_in_memory_are_fetched_when_the_spool_is_empty(desk: Desk) -> None:
    desk.take(*CALM)
    desk.away(True)
    desk.alerts.behind = True  # as when ten thousand wait for a file that cannot be written
    desk.take("110")
    desk.backlog.step(desk.stop)
    assert desk.lines() == []
    desk.away(False)
    desk.backlog.step(desk.stop)
    assert desk.lines() == ["FIRING"]
    assert not desk.alerts.behind


def test_a_new_term_goes_on_where_the_last_one_ended(desk: Desk) -> None:
    desk.take(*CALM, "110")
    assert desk.lease.take()
    desk.intake = desk.term()
    desk.take("110")
    assert desk.lines() == ["FIRING"]
    desk.take("104")
    assert desk.lines() == ["FIRING", "RESOLVED"]


@pytest.mark.one_server
def test_a_frozen_server_holds_a_batch_up_for_two_seconds_and_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    patiences: list[float] = []
    real = desk.writer.once

    def once(work: Any, *, patience: float = 15.0) -> Any:
        patiences.append(patience)
        return real(work, patience=patience)

    monkeypatch.setattr(desk.writer, "once", once)
    desk.take("100")
    assert max(patiences) <= 2
    lock = psycopg2.connect(desk.writer._dsn)
    with closing(lock), lock.cursor() as cursor:
        cursor.execute("LOCK TABLE ticker_data")
        desk.take("100")
        assert desk.spool.waiting == 1


HIGH = rule("price > 105")


def test_other_rules_hold_from_the_next_batch_on_with_windows_as_if_they_always_had(desk: Desk) -> None:
    desk.take(*CALM)
    with_mean = rule("price > 1.01 * avg(price, 5m)", "over")
    assert desk.intake.change_rules(with_mean, Store(desk.drain))
    desk.take("102")
    assert [line.split()[1:4] for line in desk.path.read_text().splitlines()] == [["FIRING", "BTC", "over"]]


def test_a_rule_that_is_as_before_goes_on_where_it_was(desk: Desk) -> None:
    desk.intake = desk.term(HIGH)
    desk.take("110")
    both = RuleSet((*rule("price > 105", repeat="0s", severity="critical").rules, *rule("price > 1", "any").rules))
    assert desk.intake.change_rules(both, Store(desk.drain))
    assert desk.intake.firing == 1
    desk.take("100")
    assert desk.lines() == ["FIRING", "RESOLVED", "FIRING"]
    [[first], [second]] = desk.rows("SELECT DISTINCT id FROM alerts WHERE rule = 'high' OR rule = 'any' ORDER BY 1")
    assert first != second


@pytest.mark.parametrize(("after", "reason"), [(RuleSet(), "removed"), (rule("price > 106"), "changed")])
def test_a_rule_that_is_taken_away_or_changed_while_firing_resolves_and_says_why(
    desk: Desk, after: RuleSet, reason: str
) -> None:
    desk.intake = desk.term(HIGH)
    desk.take("110")
    assert desk.intake.change_rules(after, Store(desk.drain))
    [fired, resolved] = desk.path.read_text().splitlines()
    assert resolved.split()[1:5] == ["RESOLVED", "BTC", "high", f"reason={reason}"]
    assert resolved.split()[-1] == fired.split()[-1]
    assert [episode.state for episode in desk.store.episodes().values()] == [State.INACTIVE]
    desk.take("110")
    assert desk.lines() == ["FIRING", "RESOLVED"] + ["FIRING"] * (reason == "changed")


def test_a_rule_that_went_while_nobody_ran_resolves_at_the_start(desk: Desk) -> None:
    desk.intake = desk.term(HIGH)
    desk.take("110")
    desk.intake = desk.term(RuleSet())
    assert desk.lines() == ["FIRING", "RESOLVED"]
    desk.intake = desk.term(RuleSet())
    assert desk.lines() == ["FIRING", "RESOLVED"]


def test_while_the_database_is_away_the_rules_stay_and_ticks_go_on(desk: Desk) -> None:
    desk.take(*CALM)
    desk.away(True)
    far = rule("price > 105 and count(price, 1m) >= 0")
    with pytest.raises(DatabaseUnavailable):
        desk.intake.change_rules(far, Store(desk.drain))
    desk.take("110")
    assert not desk.intake.change_rules(far, Store(desk.drain)), "what is in the spool is not in the windows"
    assert desk.lines() == ["FIRING"]
    desk.away(False)
    desk.backlog.step(desk.stop)
    assert desk.intake.change_rules(far, Store(desk.drain))
    desk.take("110")
    assert desk.lines() == ["FIRING", "RESOLVED", "FIRING"]


def test_what_comes_in_while_windows_are_read_back_is_in_them(desk: Desk) -> None:
    desk.intake = desk.term(RuleSet())
    desk.take(*["100"] * 3)

    class Slow(Store):
        def recent_ticks(self, *args: Any, **kwargs: Any) -> Any:
            found = list(super().recent_ticks(*args, **kwargs))
            desk.take("120")
            return iter(found)

    assert desk.intake.change_rules(rule("avg(price, 4m) == 105", "mean"), Slow(desk.drain))
    desk.take("100")
    assert desk.lines() == ["FIRING"]


def test_ticks_that_come_again_meanwhile_count_once(desk: Desk) -> None:
    desk.intake = desk.term(RuleSet())
    desk.take(*["100"] * 3)

    class Slow(Store):
        def recent_ticks(self, *args: Any, **kwargs: Any) -> Any:
            found = list(super().recent_ticks(*args, **kwargs))
            again = desk.batch("120")
            for _ in range(5):
                desk.intake.accept(again)
            return iter(found)

    assert desk.intake.change_rules(rule("count(price, 4m) == 4 and avg(price, 4m) == 105", "mean"), Slow(desk.drain))
    desk.take("100")
    assert desk.lines() == ["FIRING"]


def test_rules_with_the_same_windows_change_also_while_the_database_is_away(desk: Desk) -> None:
    desk.take(*CALM)
    desk.away(True)
    closer = rule("abs(price / avg(price, 5m) - 1) > 1% or volume > 2 * avg(volume, 5m)", "closer")
    assert desk.intake.change_rules(closer, Store(desk.drain))
    desk.take("101.5")
    assert [line.split()[3] for line in desk.path.read_text().splitlines()] == ["closer"]


def test_too_many_ticks_meanwhile_leave_the_rules_for_the_next_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    monkeypatch.setattr("app.intake._MOST_MEANWHILE", 2)
    desk.take(*CALM)

    class Slow(Store):
        def recent_ticks(self, *args: Any, **kwargs: Any) -> Any:
            desk.take(*CALM)
            return super().recent_ticks(*args, **kwargs)

    before = desk.intake.rules
    assert desk.intake.change_rules(rule("price > avg(price, 1h)"), Slow(desk.drain))
    assert desk.intake.rules == before
    assert "at the next start" in logged.read_new()


def test_what_is_watched_no_more_ends_its_alerts(desk: Desk) -> None:
    desk.intake = desk.term(HIGH)
    desk.take("110")
    desk.intake.watch("coingecko", [replace(BTC, base="ETH", symbol="ETH", provider_id="ethereum")])
    [_, resolved] = desk.path.read_text().splitlines()
    assert resolved.split()[1:5] == ["RESOLVED", "BTC", "high", "reason=unwatched"]
    assert desk.intake.firing == 0


def test_a_rule_that_no_longer_goes_by_the_clock_has_its_states_stored(desk: Desk) -> None:
    desk.intake = desk.term(rule("age > 1m", "odd"))
    desk.take("100")
    for _ in range(62):
        desk.clock.advance(1)
        desk.intake.look_at_clock([])
    desk.intake = desk.term(rule("price > 105", "odd"))  # its ticks are years older than the clock
    desk.take("110")
    assert desk.lines() == ["FIRING", "RESOLVED", "FIRING"]
    desk.intake = desk.term(rule("price > 105", "odd"))
    desk.take("100")
    assert desk.lines() == ["FIRING", "RESOLVED", "FIRING", "RESOLVED"]


def test_a_state_of_an_older_version_belongs_to_the_rule_as_it_is(desk: Desk) -> None:
    desk.intake = desk.term(HIGH)
    desk.take("110")
    desk.writer.run(lambda cursor: cursor.execute("UPDATE alert_states SET digest = ''"))
    desk.intake = desk.term(HIGH)
    desk.intake = desk.term(rule("price > 106"))
    assert [line.split()[4] for line in desk.path.read_text().splitlines()[1:]] == ["reason=changed"]


def test_silence_is_found_by_the_clock_once_a_second_and_survives_a_restart(desk: Desk) -> None:
    silent = rule("age > 2m", "no-data")
    desk.intake = desk.term(silent)
    desk.take("100")
    for _ in range(122):
        desk.clock.advance(1)
        desk.intake.look_at_clock([])
        desk.intake.look_at_clock([])
    assert desk.lines() == ["FIRING"]
    desk.intake = desk.term(silent)
    desk.clock.advance(1)
    desk.intake.look_at_clock([])
    assert desk.lines() == ["FIRING"]
    desk.take("100")
    desk.clock.advance(1)
    desk.intake.look_at_clock([])
    assert desk.lines() == ["FIRING", "RESOLVED"]


def test_a_clock_that_leaps_finds_no_silence(desk: Desk) -> None:
    desk.intake = desk.term(rule("age > 2m", "no-data"))
    desk.take("100")
    desk.clock.advance(1)
    desk.intake.look_at_clock([])
    for leap in (7200, -3600, 86_400):
        desk.clock.jump(leap)
        desk.clock.advance(1)
        desk.intake.look_at_clock([])
    assert desk.rows("SELECT count(*) FROM alerts") == [(0,)]


def test_alerts_go_to_the_channels_of_their_rule(desk: Desk) -> None:
    desk.intake = desk.term(
        rules(
            {"name": "own", "when": "price > 105", "channels": ["a"]},
            {"name": "severe", "when": "price > 105", "severity": "critical"},
            {"name": "plain", "when": "price > 105"},
            critical=("b",),
        )
    )
    desk.store._channels = ("a", "b")
    desk.take("110")
    found = desk.rows("SELECT rule, channel FROM outbox JOIN alerts USING (id, state) ORDER BY 1, 2")
    assert found == [("own", "a"), ("plain", "a"), ("plain", "b"), ("severe", "b")]


ETH = replace(BTC, base="ETH", symbol="ETH", provider_id="ethereum")
AT_KRAKEN = Instrument("BTC", "USD", "kraken", "BTC@kraken")


def reads_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The symbols whose windows are read back, from now on."""
    found: list[list[str]] = []
    real = Store.recent_ticks

    def recent_ticks(store: Store, symbols: Any, seconds: float) -> Any:
        if seconds:  # else it is a composite's, or the screen's
            found.append(list(symbols))
        return real(store, symbols, seconds)

    monkeypatch.setattr(Store, "recent_ticks", recent_ticks)
    return found


def test_a_changed_list_reads_back_only_the_windows_of_what_is_new(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reads_back(desk, monkeypatch)
    desk.take(*CALM)
    desk.intake.watch("coingecko", [BTC, ETH])
    desk.intake.watch("coingecko", [ETH, replace(BTC, name="bitcoin")])
    desk.intake.watch("kraken", [AT_KRAKEN])
    assert [symbols for symbols in read if symbols] == [["ETH"], ["BTC@kraken"]]
    desk.take("110")
    assert desk.lines() == ["FIRING"], "the windows are as they were"


def test_what_is_watched_again_has_its_windows_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.take(*CALM)
    desk.intake.watch("coingecko", [ETH])
    read = reads_back(desk, monkeypatch)
    desk.intake.watch("coingecko", [BTC, ETH])
    assert read == [["BTC"]]
    desk.take("110")
    assert desk.lines() == ["FIRING"]


def test_windows_are_kept_while_their_ticks_wait_in_the_spool(desk: Desk) -> None:
    desk.away(True)
    desk.take(*CALM)
    desk.away(False)
    desk.intake.watch("coingecko", [ETH])
    desk.intake.watch("coingecko", [BTC, ETH])
    desk.take("110")
    assert desk.lines() == ["FIRING"]


def test_what_the_list_leaves_behind_is_let_go_of_once_it_is_in_the_database(desk: Desk) -> None:
    desk.away(True)
    desk.take(*CALM)
    desk.away(False)
    desk.intake.watch("coingecko", [ETH])
    assert desk.intake._checker._windows.held == 10
    desk.backlog.step(desk.stop)
    desk.clock.advance(1)
    desk.intake.look_at_clock([])
    assert desk.intake._checker._windows.held == 0


def test_other_rules_read_back_only_what_is_watched(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.take(*CALM)
    desk.intake.watch("kraken", [AT_KRAKEN])
    desk.intake.watch("coingecko", [ETH])
    read = reads_back(desk, monkeypatch)
    assert desk.intake.change_rules(rule("price > max(price, 1h)"), Store(desk.drain))
    assert read == [["ETH", "BTC@kraken"]] or read == [["BTC@kraken", "ETH"]]


@pytest.mark.parametrize("when", ["price > 105 ", "price > 105 and count(price, 1m) >= 0"])
def test_other_rules_end_no_alert_of_a_market_that_came_later(desk: Desk, when: str) -> None:
    checker = Checker(HIGH, desk.lease.epoch or 0, "coingecko", ["coingecko"])
    desk.intake = Intake(checker, desk.store, desk.spool, desk.alerts, desk.clock, desk.stop, desk.lease)
    desk.intake.watch("coingecko", [BTC])
    desk.intake.watch("kraken", [AT_KRAKEN])
    batch = desk.batch("110")
    desk.intake.accept(replace(batch, source="kraken", ticks=(replace(batch.ticks[0], symbol="BTC@kraken"),)))
    both = RuleSet((*HIGH.rules, *rule(when, "other").rules))
    assert desk.intake.change_rules(both, Store(desk.drain))
    assert (desk.lines(), desk.intake.firing) == (["FIRING"], 1)


def test_a_restart_after_a_failover_knows_what_each_source_said_a_while_ago(desk: Desk) -> None:
    fell = rule("price < ago(price, 2m) - 5", "fell")
    desk.intake = desk.term(fell)
    desk.take(*CALM)
    for _ in range(100):  # for more than an hour somebody else answers
        batch = desk.batch("103")
        desk.intake.accept(replace(batch, source="kraken", ticks=(replace(batch.ticks[0], source="kraken"),)))
    desk.intake = desk.term(fell)
    desk.take("90")
    assert desk.lines() == ["FIRING"]
