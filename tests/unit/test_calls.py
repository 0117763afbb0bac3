"""The ledger of calls: no restart, kill, outage, full disk or set clock makes a call forgotten."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.call_file import CallFile
from app.calls import CallLedger
from app.errors import CannotWrite, DatabaseRefused, DatabaseUnavailable, RateLimited, SchemaTooNew
from app.limits import Account, CallBudget, Spending
from app.pacing import Learned
from tests.clock import FakeClock
from tests.conftest import Logged

HERE, THERE = Account("coingecko", "0123456789ab"), Account("other")
NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where fsync costs nothing


class Killed(BaseException):
    """The process is gone at this very point."""


class Server:
    """Stands for app.db.Database and its cursor: the tables of calls, which can be away."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, date, str], tuple[int, int]] = {}
        self.recent: list[tuple[str, str, str, float, bool]] = []
        self.clock = FakeClock()
        self.learned: tuple[int, float] | tuple[None, None] = (None, None)
        self.trouble: Exception | None = None
        self.asked = 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def once(self, work: Callable[[Any], Any], *, patience: float) -> Any:
        assert patience <= 2
        self.asked += 1
        self.before()
        if self.trouble is not None:
            raise self.trouble
        before = dict(self.counts), list(self.recent)
        try:
            done = work(self)
        except BaseException:
            self.counts, self.recent = before
            raise
        self.after()
        return done

    def run(self, name: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        match name:
            case "calls_standing":
                return [self._standing(**values)]
            case "spend_calls":
                self._spend(**values)
            case "learn_calls_a_minute":
                self.learned = (values["per_minute"], 0.0)
            case "calls_elsewhere":
                self.counts[values["source"], values["account"], values["month"], "elsewhere"] = (values["spent"], 0)
        return []

    def _standing(self, source: str, account: str, month: date, spender: str, caller: str) -> tuple[Any, ...]:
        mine, others = [0, 0], [0, 0]
        for (its, whose, when, who), counts in self.counts.items():
            if (its, when) == (source, month) and whose in (account, ""):
                of = mine if who == spender else others
                of[:] = [of[0] + counts[0], of[1] + counts[1]]
        ages: tuple[list[float], list[float]] = ([], [])
        for its, whose, who, then, backfill in self.recent:
            if (its, whose) == (source, account) and who != caller:
                ages[backfill].append(self.clock.monotonic() - then)
        return (mine[0], others[0], mine[1], others[1], 0, *ages, *self.learned)

    def _spend(
        self,
        source: str,
        account: str,
        month: date,
        spender: str,
        caller: str,
        calls: int,
        backfill: int,
        is_backfill: bool,
        polls: bool,
    ) -> None:
        old = self.counts.get((source, account, month, spender), (0, 0))
        self.counts[source, account, month, spender] = (max(old[0], calls), max(old[1], backfill))
        self.recent.append((source, account, caller, self.clock.monotonic(), is_backfill))


@pytest.fixture(autouse=True, scope="module")
def queries() -> Iterator[None]:
    def execute(cursor: Server, name: str, **values: Any) -> list[tuple[Any, ...]]:
        return cursor.run(name, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.calls.execute", execute)
        yield


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "calls.sqlite"


_open: list[CallLedger] = []


@pytest.fixture(autouse=True)
def all_closed() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def ledger(path: Path, server: Server | None = None, clock: FakeClock | None = None) -> CallLedger:
    server, clock = server or Server(), clock or FakeClock()
    server.clock = clock
    _open.append(CallLedger(server, path, clock))  # type: ignore[arg-type]
    return _open[-1]


def spend(
    book: CallLedger, times: int, month: date = NOVEMBER, account: Account = HERE, *, backfill: bool = False
) -> int:
    """The month's credits after so many calls."""
    return [book.spend(account, month, Spending(1, backfill), lambda _: None).spent for _ in range(times)][-1]


# What a restart finds.


def test_a_restart_finds_every_call_of_every_month_and_source(path: Path) -> None:
    away = Server()
    away.trouble = DatabaseUnavailable("away")
    before = ledger(path, away)
    spend(before, 3)
    spend(before, 2, DECEMBER)
    spend(before, 1, account=THERE)
    before.close()
    after = ledger(path, away)
    found = [after.look(*of) for of in ((HERE, NOVEMBER), (HERE, DECEMBER), (THERE, NOVEMBER))]
    assert [standing.spent for standing in found] == [3, 2, 1]


def test_a_new_start_is_the_same_spender(path: Path) -> None:
    server = Server()
    for _ in range(3):
        book = ledger(path, server)
        book.recent(HERE)
        spend(book, 4)
        book.close()
    assert list(server.counts.values()) == [(12, 0)]


def test_the_file_is_made_when_it_is_first_needed_and_not_for_everybody_to_read(path: Path) -> None:
    book = ledger(path)
    assert not path.exists()
    book.recent(HERE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    book.close()


@pytest.mark.parametrize("away", [False, True])
def test_a_call_is_on_disk_when_it_may_be_made(path: Path, away: bool) -> None:
    server = Server()
    server.trouble = DatabaseUnavailable("away") if away else None
    book = ledger(path, server)
    spend(book, 5)
    assert book._file._db is not None
    assert book._file._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: flushed with every commit
    copy = path.with_name("copy.sqlite")
    for suffix in ("", "-wal"):  # what a kill would leave; the ledger is still open
        Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    with closing(CallFile(copy)) as file:
        assert file.spent(HERE, NOVEMBER) == (5, 0, 0, 0)
        assert len(file.recent(HERE)) == 5


def test_only_calls_that_may_still_matter_are_kept(path: Path) -> None:
    clock = FakeClock()
    book = ledger(path, clock=clock)
    for _ in range(50):
        clock.advance(10)
        spend(book, 1)
    spend(book, 1, account=THERE)
    book.close()
    with closing(CallFile(path)) as file:
        assert [monotonic for _, monotonic, _ in file.recent(HERE)] == [1430.0 + 10 * n for n in range(8)]
        assert len(file.recent(THERE)) == 1


# Who shares the key.


def test_the_calls_of_others_count(folder: Path) -> None:
    server = Server()
    one, other = ledger(folder / "one", server), ledger(folder / "other", server)
    assert [spend(one, 3), spend(other, 4), spend(one, 1)] == [3, 7, 8]


def test_calls_that_an_older_version_counted_count(path: Path) -> None:
    server = Server()
    server.counts[HERE.source, "", NOVEMBER, ""] = (40, 0)
    assert spend(ledger(path, server), 1) == 41


def test_while_the_database_is_away_the_others_have_spent_what_they_had(folder: Path, logged: Logged) -> None:
    server, clock = Server(), FakeClock()
    one, other = (ledger(folder / name, server, clock) for name in ("one", "other"))
    assert [spend(one, 10), spend(other, 1)] == [10, 11]
    server.trouble = DatabaseUnavailable("no route to host")
    assert spend(other, 20) == 31
    other.close()
    other = ledger(folder / "other", server, clock)  # a restart knows it too
    assert other.look(HERE, NOVEMBER).spent == 31
    assert spend(other, 1) == 32
    server.trouble = None
    clock.advance(31)
    assert spend(one, 1) == 33 - 21  # it has not heard of the other's calls while that was cut off
    assert spend(other, 1) == 34
    said = logged.read_new()
    assert said.count("alone: no route to host.") == 2  # once for each of the two starts
    assert said.count("counted in the database again") == 1


@pytest.mark.parametrize("trouble", [DatabaseUnavailable("away"), DatabaseRefused("permission denied")])
def test_a_database_that_is_away_is_not_waited_for_at_each_call(path: Path, trouble: Exception) -> None:
    server, clock = Server(), FakeClock()
    server.trouble = trouble
    book = ledger(path, server, clock)
    spend(book, 100)
    assert server.asked == 1
    clock.advance(30)
    spend(book, 100)
    assert server.asked == 2


def test_a_count_that_the_database_knows_better_is_taken_over(path: Path) -> None:
    server = Server()
    first = ledger(path, server)
    spend(first, 1)
    first.close()
    (key,) = server.counts
    server.counts[key] = (50, 0)  # the file is an old copy
    book = ledger(path, server)
    assert book.look(HERE, NOVEMBER).spent == 50
    assert spend(book, 1) == 51


def test_what_backfill_had_is_told_apart_after_a_restart_too(path: Path) -> None:
    away = Server()
    away.trouble = DatabaseUnavailable("away")
    book = ledger(path, away)
    spend(book, 3, backfill=True)
    spend(book, 2)
    book.close()
    book = ledger(path, away)
    standing = book.look(HERE, NOVEMBER)
    assert (standing.ours, standing.ours_backfill) == (5, 3)
    assert [call.backfill for call in book.recent(HERE)] == [True] * 3 + [False] * 2


def test_others_calls_of_the_minute_are_unknown_while_the_database_is_away(folder: Path) -> None:
    server, clock = Server(), FakeClock()
    one, other = (ledger(folder / name, server, clock) for name in ("one", "other"))
    spend(other, 2)
    clock.advance(30)
    assert [call.age for call in one.look(HERE, NOVEMBER).recent or ()] == [20, 20]
    server.trouble = DatabaseUnavailable("away")
    assert one.look(HERE, NOVEMBER).recent is None


def test_a_restart_knows_what_a_429_has_taught_with_or_without_the_database(path: Path) -> None:
    server, clock = Server(), FakeClock()
    server.trouble = DatabaseUnavailable("away")
    book = ledger(path, server, clock)
    book.learn(HERE, 7)
    book.close()
    clock.advance(100)
    for trouble in (server.trouble, None):
        server.trouble = trouble
        book = ledger(path, server, clock)
        assert book.look(HERE, NOVEMBER).learned == Learned(7, 100)
        book.close()
    book = ledger(path, server, clock)
    server.learned = (4, 20.0)  # another's, and newer
    assert book.look(HERE, NOVEMBER).learned == Learned(4, 20)


def test_a_file_of_the_version_before_accounts_counts_for_whatever_key_comes(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            """
            CREATE TABLE about (spender TEXT NOT NULL);
            CREATE TABLE spent (
                source TEXT NOT NULL, month TEXT NOT NULL, ours INTEGER NOT NULL, others INTEGER NOT NULL,
                PRIMARY KEY (source, month)
            );
            CREATE TABLE recent (
                n INTEGER PRIMARY KEY, source TEXT NOT NULL, wall REAL NOT NULL, monotonic REAL NOT NULL
            );
            CREATE INDEX recent_of ON recent (source, n);
            INSERT INTO about VALUES ('we');
            INSERT INTO spent VALUES ('coingecko', '2026-11-01', 40, 2);
            PRAGMA user_version = 1;
            """
        )
        clock = FakeClock()
        db.execute("INSERT INTO recent VALUES (1, 'coingecko', ?, ?)", (clock.now().timestamp(), clock.monotonic()))
        db.commit()
    away = Server()
    away.trouble = DatabaseUnavailable("away")
    book = ledger(path, away, clock)
    clock.advance(20)
    assert [call.age for call in book.recent(HERE)] == [10]
    assert spend(book, 1) == 43
    book.close()
    assert ledger(path, away, clock).look(HERE, NOVEMBER).ours == 41
    assert _open[-1]._file.spender == "we"


# Clocks.


@pytest.mark.parametrize(
    ("passed", "jumped", "ages"),
    [
        (30, 0, [20]),
        (30, 7200, [20]),  # set ahead: the monotonic clock knows better
        (30, -7200, [0]),  # set back: nobody knows, so as if it were now
        (5, 0, [0]),  # a call may arrive as late as its deadline
    ],
)
def test_a_restart_knows_how_long_ago_a_call_was_or_thinks_it_was_later(
    path: Path, passed: float, jumped: float, ages: list[float]
) -> None:
    clock = FakeClock()
    book = ledger(path, clock=clock)
    spend(book, 1)
    book.close()
    clock.advance(passed)
    clock.jump(jumped)
    assert [call.age for call in ledger(path, clock=clock).recent(HERE)] == pytest.approx(ages)


def test_after_a_restart_of_the_machine_the_wall_clock_says_how_long_ago_a_call_was(path: Path) -> None:
    book = ledger(path)
    spend(book, 1)
    book.close()
    clock = FakeClock(FakeClock().now().replace(minute=1))
    clock.advance(-900)  # of the monotonic clock, which starts anew
    clock.jump(900)
    assert [call.age for call in ledger(path, clock=clock).recent(HERE)] == pytest.approx([50])


# Trouble with the file.


def test_a_file_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match=r"calls\.sqlite: cannot be written"):
        ledger(tmp_path / "file" / "calls.sqlite").recent(HERE)


def test_a_disk_that_is_full_for_a_while_stops_no_call_and_forgets_none(
    path: Path, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    server = Server()
    server.trouble = DatabaseUnavailable("away")
    book = ledger(path, server)
    spend(book, 2)

    def full(*_: object) -> None:
        raise CannotWrite("calls.sqlite: cannot be written (database or disk is full)")

    with monkeypatch.context() as patch:
        patch.setattr(CallFile, "write", full)
        assert spend(book, 5) == 7
    assert spend(book, 1) == 8
    book.close()
    assert ledger(path, server).look(HERE, NOVEMBER).spent == 8
    said = logged.read_new()
    assert said.count("after a restart some would not be counted") == 1
    assert said.count("are written to") == 1


def test_a_failed_write_is_tried_again_on_a_new_connection(path: Path) -> None:
    book = ledger(path)
    spend(book, 1)
    connection = book._file._db
    assert connection is not None
    connection.execute("PRAGMA query_only = ON")
    assert spend(book, 1) == 2
    assert spend(book, 1) == 3
    book.close()
    with closing(CallFile(path)) as file:
        assert file.spent(HERE, NOVEMBER) == (3, 0, 0, 0)


@pytest.mark.parametrize("harm", [b"this is no database" * 300, b""])
def test_a_damaged_file_is_set_aside_and_the_database_still_has_its_calls(
    path: Path, harm: bytes, logged: Logged
) -> None:
    server = Server()
    first = ledger(path, server)
    spend(first, 9)
    first.close()
    path.write_bytes(harm)
    book = ledger(path, server)
    assert book.look(HERE, NOVEMBER).spent == 9
    assert spend(book, 1) == 10
    book.close()
    if harm:
        assert path.with_name("calls.sqlite.damaged").read_bytes() == harm
        assert "is damaged" in logged.read_new()


def test_a_flipped_bit_never_counts_fewer_calls_silently(path: Path) -> None:
    """Whatever the file says, the database's count of the same spender is the least that is believed."""
    server = Server()
    first = ledger(path, server)
    spend(first, 9)
    first.close()
    whole = path.read_bytes()
    for at in range(0, len(whole), 211):
        harmed = bytearray(whole)
        harmed[at] ^= 1 << at % 8
        path.write_bytes(harmed)
        book = ledger(path, server)
        with suppress(CannotWrite, SchemaTooNew):  # the start ends, and says so
            book.recent(HERE)
            assert book.look(HERE, NOVEMBER).spent >= 9
        book.close()
        for suffix in ("-wal", "-shm", ".damaged", ".damaged-wal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 3")
    with pytest.raises(SchemaTooNew):
        ledger(path).recent(HERE)


# Never more than the limit, whatever is killed when.

STEPS = st.sampled_from(["call"] * 12 + ["pause"] * 4 + ["restart", "kill", "away", "back", "ahead", "behind"])
POINTS = st.sampled_from(["before the database", "after the database", "before the file", "after the file", "called"])


class Spender:
    """A daemon with its folder, that can be killed and started again, and what the provider saw of it."""

    def __init__(self, folder: Path, server: Server, clock: FakeClock, limits: tuple[int, int]) -> None:
        self.path, self.server, self.clock, self.limits = folder / "calls.sqlite", server, clock, limits
        self.arrived: list[tuple[float, date]] = []
        self.start()

    def start(self) -> None:
        self.book = ledger(self.path, self.server, self.clock)
        self.budget = CallBudget(HERE.source, *self.limits, self.clock, self.book, account=HERE.name)

    def stop(self) -> None:
        self.book.close()

    def call(self, lasts: float, kill_at: str | None) -> None:
        """One call, of which the provider hears at its end; or a kill at this point of it, and a new start."""

        def die(*_: object) -> None:
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            write = CallFile.write
            if kill_at == "before the database":
                patch.setattr(self.server, "before", die)
            elif kill_at == "after the database":
                patch.setattr(self.server, "after", die)
            elif kill_at == "before the file":
                patch.setattr(CallFile, "write", die)
            elif kill_at == "after the file":
                patch.setattr(CallFile, "write", lambda *args: die(write(*args)))
            try:
                self.make(lasts, kill_at == "called")
            except Killed:
                self.stop()
                self.start()

    def make(self, lasts: float, then_die: bool) -> None:
        with suppress(RateLimited), self.budget.call():
            month = self.clock.now().date().replace(day=1)
            self.clock.advance(lasts)
            self.arrived.append((self.clock.monotonic(), month))
            if then_die:
                raise Killed


def no_limit_is_broken(spenders: list[Spender], per_minute: int, per_month: int) -> None:
    for spender in spenders:
        times = [time for time, _ in spender.arrived]
        if per_minute:
            assert all(sum(start <= time < start + 60 for time in times) <= per_minute for start in times)
    months = Counter(month for spender in spenders for _, month in spender.arrived)
    if per_month:
        assert max(months.values(), default=0) <= per_month


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEPS, st.floats(0, 10), POINTS), min_size=30, max_size=150), st.data())
def test_no_minute_and_no_month_has_more_calls_than_its_limit_whatever_is_killed_or_away(
    steps: list[tuple[str, float, str]], data: st.DataObject
) -> None:
    per_minute, per_month = data.draw(st.sampled_from([(3, 0), (0, 12), (4, 12), (8, 40)]))
    clock, server = FakeClock(datetime(2026, 11, 22, tzinfo=UTC)), Server()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        daemon = Spender(Path(folder), server, clock, (per_minute, per_month))
        for step, seconds, point in steps:
            match step:
                case "call" | "kill":
                    daemon.call(seconds, point if step == "kill" else None)
                case "pause":
                    clock.advance(seconds * 4)
                case "restart":
                    daemon.stop()
                    daemon.start()
                case "away":
                    server.trouble = DatabaseUnavailable("away")
                case "back":
                    server.trouble = None
                case "ahead" | "behind":
                    clock.jump(7200 if step == "ahead" else -7200)
        daemon.stop()
    no_limit_is_broken([daemon], per_minute, per_month)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), POINTS), min_size=30, max_size=120))
def test_several_who_share_a_month_and_are_killed_spend_no_more_than_there_is(
    steps: list[tuple[int, bool, str]],
) -> None:
    clock, server = FakeClock(datetime(2026, 11, 22, tzinfo=UTC)), Server()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        spenders = []
        for number in range(3):
            (Path(folder) / str(number)).mkdir()
            spenders.append(Spender(Path(folder) / str(number), server, clock, (0, 20)))
        for who, kill, point in steps:
            spenders[who].call(1, point if kill else None)
        for spender in spenders:
            spender.stop()
    no_limit_is_broken(spenders, 0, 20)
    # Nor are they much too careful: only a kill between counting and calling costs a call.
    lost = sum(kill for _, kill, point in steps if point != "called")
    assert sum(len(spender.arrived) for spender in spenders) >= min(20, len(steps)) - lost


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), POINTS, st.floats(0, 20)), min_size=30, max_size=100))
def test_several_who_share_a_minute_and_are_killed_make_no_more_calls_than_it_allows(
    steps: list[tuple[int, bool, str, float]],
) -> None:
    clock, server = FakeClock(datetime(2026, 11, 22, tzinfo=UTC)), Server()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        spenders = []
        for number in range(3):
            (Path(folder) / str(number)).mkdir()
            spenders.append(Spender(Path(folder) / str(number), server, clock, (4, 0)))
        for who, kill, point, pause in steps:
            clock.advance(pause)
            spenders[who].call(1, point if kill else None)
        for spender in spenders:
            spender.stop()
    times = sorted(time for spender in spenders for time, _ in spender.arrived)
    assert all(sum(start <= time < start + 60 for time in times) <= 4 for start in times)
    assert times or all(kill for _, kill, _, _ in steps[:4])
