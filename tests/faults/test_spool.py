"""The spool under bit rot, cut and deleted files, full and failing disks, and kill -9 at every call that writes.

FAULTS=long runs the larger counts. Each test prints its seed; FAULTS_SEED repeats one.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.errors import CannotWrite
from app.spool.frame import PAGE, PARTS
from tests.faults.mounts import small
from tests.faults.scene import Skip
from tests.faults.spool_child import Life, Lives, lives
from tests.faults.trace import CALLS, Untraceable, call_of
from tests.spools import batch, drained, filled, killed, opened, reported, restarted

LONG = os.environ.get("FAULTS") == "long"
BATCHES = 200


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(10**9))
    print(f"{request.node.name}: FAULTS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder where fsync costs nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


class Spools:
    """Spools as a kill leaves them, and how each batch stands in them, byte for byte."""

    def __init__(self, folder: Path) -> None:
        self._copy = folder / "copy"
        live = folder / "live" / "spool.sqlite"
        half = BATCHES // 2
        spool = filled(live, half)
        self.kinds = {"in the WAL": (killed(live, folder / "wal"), range(1, half + 1))}
        spool._keeper.checkpoint()
        for number in range(half + 1, BATCHES + 1):
            spool.append(*batch(number))
        self.kinds["half in the WAL"] = killed(live, folder / "half"), range(1, BATCHES + 1)
        spool.close()
        self.kinds["closed"] = killed(live, folder / "closed"), range(1, BATCHES + 1)
        with closing(sqlite3.connect(live)) as db:
            self._bytes = {n // PARTS: data for n, data in db.execute("SELECT n, data FROM frame")}
        assert len(self._bytes) == BATCHES
        spool.open()
        spool.done(half)
        self.kinds["half drained"] = killed(live, folder / "drained"), range(half + 1, BATCHES + 1)
        spool.close()

    @contextmanager
    def copy(self, kind: str) -> Iterator[Path]:
        """One to be damaged."""
        try:
            yield killed(self.kinds[kind][0], self._copy)
        finally:
            shutil.rmtree(self._copy, ignore_errors=True)

    def check(self, kind: str, path: Path) -> int:
        """Start on these files: what is nowhere in them is reported, all else comes out. How many batches are lost."""
        files = [file.read_bytes() for file in path.parent.iterdir()]
        expected = self.kinds[kind][1]
        lost = {number for number in expected if not any(self._bytes[number] in data for data in files)}
        numbers, logs, quarantined = restarted(path)
        assert numbers == [number for number in expected if number not in lost]
        assert reported(logs) == lost
        assert quarantined == len(lost)
        assert restarted(path) == ([], [], 0), "it was not mended for good"
        return len(lost)


@pytest.fixture(scope="module")
def spools(memory: Path) -> Spools:
    return Spools(memory)


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def test_a_flipped_bit_anywhere_costs_at_most_the_batch_it_hits_and_is_reported(
    spools: Spools, dice: random.Random
) -> None:
    lost = 0
    for number in range(2000 if LONG else 40):
        kind = dice.choice(list(spools.kinds))
        with spools.copy(kind) as path:
            file = dice.choice([file for file in path.parent.iterdir() if file.stat().st_size])
            bit = dice.randrange(file.stat().st_size * 8)
            print(f"{number}: bit {bit} of {file.name}, {kind}")
            flip(file, bit)
            cost = spools.check(kind, path)
            assert cost <= 1
            lost += cost
    print(f"{lost} batches lost")


def test_many_flipped_bits_cost_the_batches_they_hit_and_no_more(spools: Spools, dice: random.Random) -> None:
    lost = 0
    for _ in range(300 if LONG else 4):
        kind = dice.choice(list(spools.kinds))
        with spools.copy(kind) as path:
            files = [file for file in path.parent.iterdir() if file.stat().st_size and file.suffix != ".mark"]
            for _ in range(50):
                file = dice.choice(files)
                flip(file, dice.randrange(file.stat().st_size * 8))
            lost += spools.check(kind, path)
    assert lost


@pytest.mark.parametrize("end", ["", "-wal"])
def test_a_file_cut_off_at_any_page_costs_what_was_behind_and_no_more(
    spools: Spools, dice: random.Random, end: str
) -> None:
    for kind in spools.kinds:
        with spools.copy(kind) as path:
            file = path.with_name(path.name + end)
            cuts = range(0, file.stat().st_size if file.exists() else 0, PAGE + 24 if end else PAGE)
        for at in cuts if LONG else dice.sample(cuts, min(len(cuts), 2)):
            for cut in (at, at + dice.randrange(PAGE)):
                with spools.copy(kind) as path:
                    print(f"{kind}, cut at {cut}")
                    os.truncate(file, cut)
                    spools.check(kind, path)


@pytest.mark.parametrize("end", ["", "-wal", ".mark"])
def test_a_deleted_file_costs_what_stood_in_it_alone_and_that_is_reported(spools: Spools, end: str) -> None:
    for kind in spools.kinds:
        with spools.copy(kind) as path:
            print(kind)
            path.with_name(path.name + end).unlink(missing_ok=True)
            cost = spools.check(kind, path)
            if (kind, end) in (("in the WAL", "-wal"), ("half in the WAL", "-wal")):
                assert cost >= BATCHES // 2
            elif (kind, end) == ("closed", ""):
                assert cost == BATCHES
            elif end:
                assert cost == 0


def test_on_a_full_disk_nothing_is_accepted_nothing_lost_and_it_works_again_by_itself(
    memory: Path, dice: random.Random
) -> None:
    try:
        with small(memory / "small", 1024) as disk:
            spool = opened(memory / "small" / "spool.sqlite")
            accepted: list[int] = []
            number = refused = 0
            for _ in range(200 if LONG else 20):
                disk.fill(leave=dice.randrange(100_000))
                for _ in range(dice.randrange(1, 6)):
                    number += 1
                    try:
                        spool.append(*batch(number, dice.choice([3, 100])))
                        accepted.append(number)
                    except CannotWrite:
                        assert spool.trouble is not None
                        assert "free some space" in spool.trouble
                        refused += 1
                if dice.random() < 0.3:  # the database takes all of it, with no space to delete it
                    assert drained(spool) == accepted
                    accepted = []
                disk.free()
                if dice.random() < 0.3:
                    spool.close()
                    spool.open()
                number += 1
                spool.append(*batch(number))
                accepted.append(number)
                assert spool.trouble is None
                assert drained(spool) == accepted
                accepted = []
            spool.close()
            print(f"{refused} of {number} refused")
            assert refused
    except Skip as reason:
        pytest.skip(str(reason))


# Kills and failures at the system calls.

TOTAL = 24


class Lived:
    """A folder in which lives follow one another, and what each has to leave to the next."""

    def __init__(self, runs: Lives, path: Path) -> None:
        self._runs, self.path = runs, path

    def run(self, first: int, calls: tuple[str, ...] = CALLS, inject: str = "") -> Life:
        try:
            return self._runs.run(self.path, first, first + TOTAL - 1, calls, inject)
        except Untraceable as error:
            pytest.skip(str(error))

    def left(self) -> list[int]:
        """What a start finds. Fails where it says that anything was damaged."""
        numbers, logs, quarantined = restarted(self.path)
        assert quarantined == 0
        assert not [entry for entry in logs if entry["log_level"] == "error"]
        return numbers


@pytest.fixture(scope="module")
def runs() -> Iterator[Lives]:
    with lives() as found:
        yield found


@pytest.fixture(scope="module")
def points(runs: Lives, memory: Path) -> list[tuple[str, int]]:
    """(call, k) for every k-th such call of one undisturbed life, which begins with what another has left."""
    lived = Lived(runs, memory / "undisturbed" / "spool.sqlite")
    lived.run(1)
    life = lived.run(1 + TOTAL)
    assert (life.kept, life.end) == (list(range(1 + TOTAL, 1 + 2 * TOTAL)), 0)
    seen = Counter(call_of(line) for line in life.trace)
    return [(call, k) for call in CALLS for k in range(1, seen[call] + 1)]


def test_no_batch_is_accepted_before_the_disk_has_it(runs: Lives, memory: Path) -> None:
    life = Lived(runs, memory / "synced" / "spool.sqlite").run(1)
    unsynced = False
    accepted = 0
    for line in life.trace:
        call, file = call_of(line), line.partition("<")[2].partition(">")[0]
        if call == "pwrite64" and file.endswith(("-wal", ".building")):
            unsynced = True
        elif call in ("fsync", "fdatasync"):
            unsynced = False
        elif call == "pwrite64" and file.endswith(".mark"):  # it is written as soon as the batch is accepted
            assert not unsynced
            accepted += 1
    assert accepted >= len(life.kept) == TOTAL


def expect(left: list[int], lives_: list[Life]) -> None:
    """Fails unless all that was kept and not taken is left, in order; at most what hung in the balance beside it."""
    kept = {number for life in lives_ for number in life.kept}
    refused = {number for life in lives_ for number in life.refused}
    took = {number for life in lives_ for number in life.took}
    assert left == sorted(set(left)), "not in order, or twice"
    assert kept - took <= set(left), "an accepted batch is lost"
    in_flight = max(kept | refused, default=0) + 1
    assert set(left) <= kept | refused | {in_flight, 1, 1 + TOTAL}


def test_killed_at_any_call_that_changes_the_disk_it_loses_nothing_that_was_accepted(
    runs: Lives, memory: Path, points: list[tuple[str, int]], dice: random.Random
) -> None:
    chosen = points if LONG else sorted(dice.sample(points, min(15, len(points))))
    hit = 0
    for call, k in chosen:
        print(call, k)
        lived = Lived(runs, memory / f"{call}-{k}" / "spool.sqlite")
        before = lived.run(1)
        life = lived.run(1 + TOTAL, (call,), f"{call}:signal=KILL:when={k}")
        hit += life.end == -signal.SIGKILL
        expect(lived.left(), [before, life])
        shutil.rmtree(lived.path.parent)
    print(f"{hit} kills at {len(chosen)} of {len(points)} points")
    assert hit >= 0.9 * len(chosen), "the calls were not where they were counted: nothing was tested"


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_one_call_that_fails_costs_nothing_and_no_fsync_is_repeated(
    runs: Lives, memory: Path, points: list[tuple[str, int]], dice: random.Random, error: str
) -> None:
    calls = ("fsync", "fdatasync") if error == "EIO" else ("pwrite64", "openat", "ftruncate")
    possible = [point for point in points if point[0] in calls]
    for call, k in possible if LONG else sorted(dice.sample(possible, min(8, len(possible)))):
        print(call, k)
        lived = Lived(runs, memory / f"{call}-{k}" / "spool.sqlite")
        before = lived.run(1)
        life = lived.run(1 + TOTAL, CALLS, f"{call}:error={error}:when={k}")
        assert life.end in (0, 73), "it fell over"
        assert len(life.refused) <= 1
        expect(lived.left(), [before, life])
        if error == "EIO":
            assert not repeated(life.trace), "\n".join(life.trace)
        shutil.rmtree(lived.path.parent)


def repeated(trace: list[str]) -> bool:
    """Whether a file whose fsync failed was synced again, before another had taken its place."""
    failed = ""
    for line in trace:
        call = call_of(line)
        if call in ("rename", "unlink"):
            failed = ""
        elif call in ("fsync", "fdatasync"):
            file = line.partition("<")[2].partition(">")[0]
            if file == failed and Path(file).suffix:
                return True
            if "EIO" in line:
                failed = file
    return False
