"""The spool: what it takes, gives back in order, forgets; its limit; what becomes of its files."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from app.alerts.states import Episode, Outcome
from app.errors import AlreadyRunning, CannotWrite, SchemaTooNew, SpoolFull
from app.model import Alert, State, Tick
from app.quarantine import Held
from app.spool import Spool, document
from app.spool.document import decode, encode
from app.spool.frame import PAGE, Frame, frame_at, frames_of
from tests.clock import FakeClock
from tests.spools import PLENTY, batch, drained, filled, killed, number_of, opened, reported, restarted

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where fsync costs nothing


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder) / "data" / "spool.sqlite"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = opened(path)
    yield spool
    spool.close()


# What goes in comes out.

DECIMALS = st.builds(lambda n, e: Decimal(f"{n}E{e}"), st.integers(-(10**40), 10**40), st.integers(-60, 60))
TIMES = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))])).map(
    lambda time: time.replace(fold=0)  # which says nothing without a time zone that has summer time
)
TEXT = st.text(max_size=20)
TICKS = st.builds(
    Tick, TEXT, TIMES, DECIMALS, st.none() | DECIMALS, st.none() | DECIMALS, TIMES, TEXT, st.sampled_from(["live", "x"])
)
STATES = st.sampled_from(State)
ALERTS = st.builds(Alert, TEXT, STATES, TIMES, TEXT, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple))
OUTCOMES = st.builds(
    Outcome,
    alerts=st.lists(ALERTS, max_size=3),
    episodes=st.dictionaries(st.tuples(TEXT, TEXT), st.from_type(Episode), max_size=3),
    new=st.integers(0, 10**9),
)
st.register_type_strategy(datetime, TIMES)
HELD = st.builds(Held, TICKS, st.none() | DECIMALS, TEXT, TIMES, st.none() | TIMES)


@given(ticks=st.lists(TICKS, max_size=4), outcome=OUTCOMES, held=st.lists(HELD, max_size=2))
@settings(deadline=None, max_examples=60)
def test_a_batch_is_read_back_to_the_last_digit(ticks: list[Tick], outcome: Outcome, held: list[Held]) -> None:
    found_ticks, found, found_held = decode(encode(ticks, outcome, held))
    assert (found_ticks, found, found_held) == (tuple(ticks), outcome, tuple(held))
    assert repr(found_ticks) == repr(tuple(ticks))  # 1.0 and 1.00 are equal, and not the same
    assert [type(alert.state) for alert in found.alerts] == [State] * len(found.alerts)


def test_a_field_of_a_newer_version_is_not_dropped_in_silence() -> None:
    found = json.loads(zlib.decompress(encode(*batch(1))))
    found["ticks"][0]["colour"] = "red"
    with pytest.raises(SchemaTooNew, match="a Tick with colour was kept by a newer version"):
        decode(zlib.compress(json.dumps(found).encode()))


def test_a_field_that_an_older_version_did_not_know_takes_its_default() -> None:
    ticks, outcome = batch(1)
    found = json.loads(zlib.decompress(encode(ticks, outcome)))
    for tick in found["ticks"]:
        del tick["origin"]
    del found["held"]
    assert decode(zlib.compress(json.dumps(found).encode())) == (ticks, outcome, ())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ticks": []}', '{"ticks": [{}], "outcome": {}}'])
def test_what_is_no_batch_is_told_from_one(text: str) -> None:
    for data in (text.encode(), zlib.compress(text.encode())):
        with pytest.raises(ValueError, match=r"\w"):
            decode(data)


def test_a_frame_with_any_bit_flipped_is_none() -> None:
    (frame,) = frames_of(7, 6, 1_000_000, 3, b"what is kept")
    data = frame.pack()
    assert frame_at(b"..." + data + b"...", 3) == frame
    for bit in range(len(data) * 8):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        assert frame_at(bytes(wrong)) is None
    for length in range(len(data)):
        assert frame_at(data[:length]) is None


# In and out, in order.


def test_batches_come_out_in_order_and_once(spool: Spool) -> None:
    for number in range(1, 31):
        assert spool.append(*batch(number)) == number
    assert [number_of(entry) for entry in spool.first(10)] == [1, 2, 3]
    assert [number_of(entry) for entry in spool.first(10)] == [1, 2, 3]
    spool.done(2)
    assert [entry.seq for entry in spool.first(9)] == [3, 4, 5]
    assert drained(spool) == list(range(3, 31))


def test_at_least_one_batch_comes_out_however_many_ticks_it_has(spool: Spool) -> None:
    spool.append(*batch(1, symbols=50))
    spool.append(*batch(2, symbols=50))
    assert [number_of(entry) for entry in spool.first(10)] == [1]


def test_a_batch_too_large_for_a_page_is_kept_in_pieces(spool: Spool, path: Path) -> None:
    for number in (1, 2, 3):
        spool.append(*batch(number, symbols=1200))
    assert len(encode(*batch(1, symbols=1200))) > PAGE
    spool.close()
    spool.open()
    assert spool.waiting == 3
    assert drained(spool) == [1, 2, 3]


def test_it_says_what_waits_and_since_when(path: Path) -> None:
    clock = FakeClock()
    spool = Spool(path, PLENTY, clock)
    spool.open()
    assert (spool.is_empty, spool.waiting, spool.oldest, spool.trouble) == (True, 0, None, None)
    empty = spool.bytes
    times = []
    for number in (1, 2, 3):
        clock.advance(60.5)
        times.append(clock.now())
        spool.append(*batch(number))
    assert (spool.is_empty, spool.waiting, spool.oldest) == (False, 3, times[0])
    assert spool.bytes > empty
    spool.done(1)
    assert (spool.waiting, spool.oldest) == (2, times[1])
    spool.close()
    spool.open()
    assert (spool.waiting, spool.oldest) == (2, times[1])
    spool.done(10**9)
    assert (spool.is_empty, spool.waiting, spool.oldest, spool.first(1)) == (True, 0, None, [])
    assert spool.bytes == empty
    spool.close()


def test_numbers_only_grow_whatever_happens_to_the_file(path: Path) -> None:
    spool = filled(path, 3)
    spool.done(3)
    spool.close()
    spool.open()
    assert spool.append(*batch(4)) == 4
    path.with_name("spool.sqlite.mark").unlink()
    spool.done(4)
    spool.close()
    path.with_name("spool.sqlite.mark").unlink()
    spool.open()
    assert spool.append(*batch(5)) == 5
    spool.close()
    path.write_bytes(b"")
    spool.open()
    assert spool.append(*batch(6)) == 6
    spool.close()


def test_one_thread_fills_while_another_drains(spool: Spool) -> None:
    total = 200

    def fill() -> None:
        for number in range(1, total + 1):
            spool.append(*batch(number))

    filler = threading.Thread(target=fill)
    filler.start()
    numbers: list[int] = []
    while len(numbers) < total:
        entries = spool.first(50)
        numbers += map(number_of, entries)
        if entries:
            spool.done(entries[-1].seq)
    filler.join()
    assert numbers == list(range(1, total + 1))


# The limit, and what the files are like.


def test_at_its_limit_it_takes_nothing_and_drops_nothing(path: Path) -> None:
    limit = 1_000_000
    spool = opened(path, limit)
    taken = 0
    with pytest.raises(SpoolFull, match=r"full \(1 MB, SPOOL_MAX_MB\)"):
        while True:
            spool.append(*batch(taken + 1, symbols=100))
            taken += 1
            size = sum(file.stat().st_size for file in (path, path.with_name("spool.sqlite-wal")))
            assert size <= limit
            assert spool.bytes <= limit
    assert spool.bytes > limit / 2
    assert spool.trouble is not None
    assert "none is dropped" in spool.trouble
    spool.done(taken // 2)
    assert spool.trouble is None
    spool.append(*batch(taken + 1, symbols=100))
    assert drained(spool) == list(range(taken // 2 + 1, taken + 2))
    spool.close()


def test_a_large_spool_is_small_again_when_it_is_empty(
    spool: Spool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.spool.keeper._SHRINK_PAGES", 10)
    for number in range(1, 31):
        spool.append(*batch(number, symbols=150))
    spool.close()
    spool.open()
    assert path.stat().st_size > 15 * PAGE
    assert len(drained(spool)) == 30
    assert spool.bytes == path.stat().st_size < 5 * PAGE
    assert spool.append(*batch(31)) == 31


def test_only_its_user_and_group_can_read_it(path: Path) -> None:
    for umask in (0o000, 0o077):
        before = os.umask(umask)
        try:
            spool = filled(path, 3)
        finally:
            os.umask(before)
        files = list(path.parent.iterdir())
        assert {file.name for file in files} == {"spool.sqlite", "spool.sqlite-wal", "spool.sqlite.mark"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o640}
        spool.close()
        shutil.rmtree(path.parent)


def test_a_second_process_is_kept_out_and_harms_nothing(spool: Spool, path: Path) -> None:
    spool.append(*batch(1))
    code = f"from tests.spools import opened; from pathlib import Path; opened(Path({str(path)!r}))"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert AlreadyRunning.__name__ in found.stderr
    spool.append(*batch(2))
    assert drained(spool) == [1, 2]


def test_where_it_cannot_be_made_it_says_so(path: Path) -> None:
    path.parent.parent.joinpath("data").write_text("a file")
    with pytest.raises(CannotWrite, match="DATA_DIR has to be a folder"):
        opened(path)


def test_what_is_closed_takes_and_gives_nothing(path: Path) -> None:
    spool = filled(path, 1)
    spool.close()
    spool.close()
    with pytest.raises(CannotWrite, match="is not open"):
        spool.append(*batch(2))
    with pytest.raises(CannotWrite, match="is not open"):
        spool.first(1)


# Damage while it runs. (Before a start: tests/faults.)


@pytest.mark.parametrize("end", ["", "-wal", ".mark"])
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_files_taken_away_while_it_runs_cost_nothing(spool: Spool, path: Path, end: str, how: str) -> None:
    for number in (1, 2, 3):
        spool.append(*batch(number))
    file = path.with_name(path.name + end)
    if how == "deleted":
        file.unlink()
    else:
        file.rename(file.with_name("elsewhere"))
    if how == "replaced":
        file.write_bytes(b"something else")
    spool.append(*batch(4))
    copy = killed(path, path.parent.with_name("killed"))
    assert restarted(copy)[0] == [1, 2, 3, 4]
    assert drained(spool) == [1, 2, 3, 4]
    assert spool.quarantined == 0


def test_a_batch_that_rots_while_it_runs_is_reported_and_left_out(spool: Spool, path: Path) -> None:
    for number in range(1, 11):
        spool.append(*batch(number, symbols=150))
    spool.close()
    with closing(sqlite3.connect(path)) as db:
        (data,) = db.execute("SELECT data FROM frame WHERE n / 1024 = 4").fetchone()
    spool.open()
    spool.append(*batch(11, symbols=150))
    content = path.read_bytes()
    assert content.count(data) == 1
    path.write_bytes(content.replace(data, data[:-1] + bytes([data[-1] ^ 1])))
    spool._keeper._open.execute("PRAGMA shrink_memory")
    with capture_logs() as logs:
        assert drained(spool, 10_000) == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert reported(logs) == {4}
    assert [entry["log_level"] for entry in logs] == ["error"]
    (kept,) = path.parent.glob("spool.sqlite.damaged-*Z")
    assert kept.name in logs[0]["event"]
    assert data[:-1] in kept.read_bytes()
    assert spool.quarantined == 1


def test_of_damaged_files_the_newest_three_are_kept(path: Path) -> None:
    clock = FakeClock()
    for number in range(1, 6):
        clock.advance(3600)
        spool = Spool(path, PLENTY, clock)
        spool.open()
        spool.append(*batch(number))
        spool.close()
        path.write_bytes(str(number).encode())
    spool.open()
    spool.close()
    found = sorted(path.parent.glob("spool.sqlite.damaged-*"))
    assert [file.read_text() for file in found] == ["3", "4", "5"]


def test_a_batch_that_makes_no_sense_does_not_hold_up_the_others(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append(*batch(1))
    with monkeypatch.context() as patch:
        patch.setattr(document, "_plain", lambda _: "nonsense")
        spool.append(*batch(2))
    spool.append(*batch(3))
    with capture_logs() as logs:
        assert drained(spool) == [1, 3]
    assert reported(logs) == {2}
    assert spool.quarantined == 1


def test_a_batch_of_a_newer_version_is_neither_dropped_nor_passed_over(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(document, "_plain", lambda _: {"ticks": [], "outcome": {}, "news": 1})
        spool.append(*batch(1))
    for _ in range(2):
        with pytest.raises(SchemaTooNew):
            spool.first(10)
    assert spool.waiting == 1


def test_a_write_that_was_interrupted_is_no_damage(path: Path) -> None:
    spool = filled(path, 5)
    wal = path.with_name("spool.sqlite-wal").stat().st_size
    spool.append(*batch(6))
    copy = killed(path, path.parent.with_name("killed"))
    spool.close()
    mark = copy.with_name("spool.sqlite.mark")
    mark.unlink()  # it comes after the commit
    for cut in range(wal, copy.with_name("spool.sqlite-wal").stat().st_size, 1000):
        again = killed(copy, copy.parent.with_name("cut"))
        os.truncate(again.with_name("spool.sqlite-wal"), cut)
        numbers, logs, lost = restarted(again)
        assert numbers in ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6])
        assert (logs, lost) == ([], 0)
        shutil.rmtree(again.parent)


def test_numbers_of_writes_that_failed_are_not_missed(
    spool: Spool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(*batch(1))
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def fail(db: sqlite3.Connection, frames: list[Frame]) -> None:
        raise full

    with monkeypatch.context() as patch:
        patch.setattr("app.spool.table.insert", fail)
        for _ in range(3):
            with pytest.raises(CannotWrite, match="free some space"):
                spool.append(*batch(2))
    assert spool.trouble is not None
    assert spool.append(*batch(2)) == 5
    assert spool.trouble is None
    spool.close()
    spool.open()
    assert drained(spool) == [1, 2]
    assert spool.quarantined == 0


# Any sequence of all that, against a plain list.


class Company(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.path = self.folder / "0" / "spool.sqlite"
        self.restarts = 0
        self.number = 0
        self.waiting: list[int] = []
        self.lost = 0
        self.spool = opened(self.path)

    @rule(symbols=st.sampled_from([0, 3, 3, 3, 400, 1500]))
    def append(self, symbols: int) -> None:
        self.number = self.spool.append(*batch(self.number + 1, symbols)) if symbols else self._append_nothing()
        self.waiting.append(self.number)

    def _append_nothing(self) -> int:
        return self.spool.append((), batch(self.number + 1, 1)[1])

    @rule(ticks=st.sampled_from([1, 10, 5000]), share=st.floats(0, 1))
    def take(self, ticks: int, share: float) -> None:
        found = [entry.seq for entry in self.spool.first(ticks)]
        assert found == self.waiting[: len(found)]
        assert bool(found) == bool(self.waiting)
        done = found[: round(len(found) * share)]
        if done:
            self.spool.done(done[-1])
            del self.waiting[: len(done)]

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.spool = opened(self.path)

    @rule()
    def kill(self) -> None:
        self._start_with(lambda path: None)

    @rule()
    def bring_in(self) -> None:
        self.spool._keeper.checkpoint()

    @rule()
    def doubt(self) -> None:
        self.spool._keeper._suspect = "a test"

    @rule(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), end=st.sampled_from(["", "-wal", ".mark"]))
    @precondition(lambda self: self.waiting)
    def rot(self, place: float, bit: int, end: str) -> None:
        def flip(path: Path) -> None:
            file = path.with_name(path.name + end)
            data = bytearray(file.read_bytes())
            if data:
                data[int(place * len(data))] ^= 1 << bit
                file.write_bytes(data)

        logs = self._start_with(flip)
        lost = reported(logs)
        assert len(lost) <= 1
        assert lost <= set(self.waiting)
        self.waiting = [number for number in self.waiting if number not in lost]

    def _start_with(self, damage: object) -> list[dict[str, object]]:
        self.restarts += 1
        copy = killed(self.path, self.folder / str(self.restarts))
        self.spool.close()
        self.path = copy
        assert callable(damage)
        damage(copy)
        with capture_logs() as logs:
            self.spool = opened(copy)
        return logs

    @invariant()
    def it_says_what_waits(self) -> None:
        assert self.spool.waiting == len(self.waiting)
        assert self.spool.is_empty == (not self.waiting)

    def teardown(self) -> None:
        found = []
        while entries := self.spool.first(1000):
            found += [entry.seq for entry in entries]
            self.spool.done(found[-1])
        assert found == self.waiting
        self.spool.close()
        shutil.rmtree(self.folder)


TestInAnyCompany = Company.TestCase
TestInAnyCompany.settings = settings(
    max_examples=500 if os.environ.get("FAULTS") == "long" else 15, stateful_step_count=25, deadline=None
)
