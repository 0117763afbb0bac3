"""alerts.txt under kill -9: at random times, at every system call that changes the disk, and in random company.

FAULTS=long runs the larger counts. Each test prints its seed; FAULTS_SEED repeats one.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.alert_files import Crash, Desk, FaultyOs, alert, compress_file, lines, rotate, standing
from tests.faults.alerts_child import committed

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where fsync costs nothing
LONG = os.environ.get("FAULTS") == "long"
REPO = Path(__file__).parents[2]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    return FaultyOs().stand_in(monkeypatch)


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(10**9))
    print(f"{request.node.name}: FAULTS_SEED={seed}")
    return random.Random(seed)


class Runs:
    """tests.faults.alerts_child, which forks a run whenever it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._told = process.stdin, process.stdout

    def start(self, folder: Path, total: int, rotate_every: int, *stopped: str) -> int:
        """A run; its process id."""
        print(folder, total, rotate_every, *stopped, file=self._orders, flush=True)
        return int(self._told.readline().removeprefix("pid "))

    def first(self) -> int:
        """Waits for the first alert that it accepts."""
        return int(self._told.readline())

    def end(self) -> tuple[int, int]:
        """Waits for its end: the last alert that it accepted, -1 for none, and the signal that ended it."""
        last = -1
        while not (line := self._told.readline()).startswith("end"):
            last = int(line)
        return last, int(line.removeprefix("end "))


@pytest.fixture(scope="session")
def runs() -> Iterator[Runs]:
    command = [sys.executable, "-m", "tests.faults.alerts_child"]
    with subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Runs(process)


def traced(runs: Runs, folder: Path, *options: str) -> tuple[int, int]:
    """One run under strace: what Runs.end says."""
    pid = runs.start(folder, ALERTS, ROTATE_EVERY, "stopped")
    command = ["strace", "-f", "-qq", *_watched(folder), *options, "-p", str(pid)]
    status = Path(f"/proc/{pid}/status")
    while "State:\tT" not in status.read_text():
        time.sleep(0.001)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        while "TracerPid:\t0\n" in status.read_text():
            if strace.poll() is not None:
                os.kill(pid, signal.SIGKILL)
                runs.end()
                pytest.skip(f"strace may not trace here: {strace.communicate()[1].strip()}")
            time.sleep(0.001)
        os.kill(pid, signal.SIGCONT)
        return runs.end()


def restart_and_check(folder: Path) -> int:
    """Start once more, and hold the files against the database: every alert once, whole, in order. How many."""
    desk = Desk(folder)
    numbers = committed(folder / "database")
    file = desk.open()
    file.catch_up(alert(number) for number in numbers)
    file.close()
    hold_against(desk.path, numbers)
    assert numbers == list(range(len(numbers)))
    return len(numbers)


def hold_against(path: Path, numbers: Sequence[int]) -> None:
    """Fails, with what is wrong, unless exactly these alerts stand there, once, whole, in order."""
    expected = [f"{line}\n" for line in lines(*numbers)]
    found = [line for line in standing(path) if not line.startswith("a note")]
    if found != expected:
        missing, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
        pytest.fail(f"missing {list(missing)[:5]}, torn or more than once {list(extra)[:5]}, else not in order")


def test_killed_at_random_times_between_rotations_it_holds_every_alert_once_whole_and_in_order(
    tmp_path: Path, runs: Runs, dice: random.Random
) -> None:
    total = 0
    for number in range(50 if LONG else 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        for _ in range(40):
            rotate_every = dice.choice([0, 7, 30])
            pid = runs.start(folder, 10**9, rotate_every)
            first = runs.first()
            time.sleep(dice.uniform(0, 0.06))
            if not rotate_every:  # then we do it, at any moment of a write
                rotate(folder / "alerts" / "alerts.txt", create=dice.random() < 0.5)
                time.sleep(dice.uniform(0, 0.01))
            os.kill(pid, signal.SIGKILL)
            said = max(first, runs.end()[0]) + 1
            if dice.random() < 0.3:
                rotate(folder / "alerts" / "alerts.txt", create=dice.random() < 0.5)
            stored = restart_and_check(folder)
            assert stored >= said, "an alert that was accepted is gone"
            _archive(folder)
        total += stored
    print(f"{total} alerts")


def _archive(folder: Path) -> None:
    """Compress what was rotated before, one rotation later, as the README has it."""
    for old in (folder / "alerts").glob("alerts.txt.*"):
        if old.suffix != ".gz" and not old.name.endswith(".1"):
            compress_file(old)


def test_rotated_without_pause_it_holds_every_alert_once_whole_and_in_order(
    tmp_path: Path, dice: random.Random
) -> None:
    desk = Desk(tmp_path)
    file = desk.open()
    done = threading.Event()
    rotations = number = 0

    def rotating() -> None:
        nonlocal rotations
        while not done.wait(dice.uniform(0, 0.02)):
            rotate(desk.path, create=dice.random() < 0.5)
            rotations += 1

    rotator = threading.Thread(target=rotating)
    rotator.start()
    try:
        while rotations < (500 if LONG else 100):
            file.write([alert(number)])
            file.flush()
            number += 1
    finally:
        done.set()
        rotator.join()
    assert file.flush()
    file.close()
    hold_against(desk.path, range(number))
    print(f"{number} alerts, {rotations} rotations")


# What changes a disk. SQLite writes its journal with pwrite64, we write with write.
CALLS = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "openat", "unlink")
ALERTS, ROTATE_EVERY = 14, 5


def _watched(folder: Path) -> list[str]:
    """strace's options for the files that matter: calls of the interpreter's own are not counted."""
    names = ["alerts", *(f"alerts/alerts.txt{end}" for end in ("", ".1", ".2", ".3"))]
    names += [f"data/alerts.sqlite{end}" for end in ("", "-wal")]
    return [word for name in names for word in ("-P", str(folder / name))]


@pytest.fixture(scope="session")
def crash_points(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int]]:
    """(call, k) for every k-th such call of one undisturbed run."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    folder = tmp_path_factory.mktemp("undisturbed")
    log = folder / "calls"
    assert traced(runs, folder, "-o", str(log), "-e", f"trace={','.join(CALLS)}") == (ALERTS - 1, 0)
    seen = [line.split(None, 1)[1].partition("(")[0] for line in log.read_text().splitlines()]
    return [(call, k) for call in CALLS for k in range(1, seen.count(call) + 1)]


def test_killed_at_any_call_that_changes_the_disk_it_holds_every_alert_once_whole_and_in_order(
    tmp_path: Path, runs: Runs, crash_points: list[tuple[str, int]], dice: random.Random
) -> None:
    points = crash_points if LONG else sorted(dice.sample(crash_points, min(60, len(crash_points))))
    killed = 0
    for call, k in points:
        folder = tmp_path / f"{call}-{k}"
        folder.mkdir()
        kill = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={k}"]
        last, end = traced(runs, folder, "-o", os.devnull, *kill)
        killed += end == signal.SIGKILL
        if dice.random() < 0.3:
            rotate(folder / "alerts" / "alerts.txt", create=dice.random() < 0.5)
        assert restart_and_check(folder) > last, (call, k)
        shutil.rmtree(folder)
    print(f"{killed} kills at {len(points)} of {len(crash_points)} points")
    assert killed >= 0.9 * len(points), "the calls were not where they were counted: nothing was tested"


# In company: any sequence of writes, kills and failures inside them, rotations and restarts.

ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS]
CALL = st.integers(1, 12)
ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 5)),
    st.tuples(st.just("kill"), CALL, st.booleans(), st.integers(1, 3)),
    st.tuples(st.just("kill-at"), st.sampled_from(["intend", "mark"]), st.booleans(), st.integers(1, 3)),
    st.tuples(st.just("fail"), CALL, st.booleans(), st.sampled_from(ERRORS), st.integers(1, 3)),
    st.tuples(st.just("rotate"), st.booleans()),
    st.tuples(st.just("note")),
    st.tuples(st.just("flush")),
    st.tuples(st.just("restart")),
)


class Company:
    """A writer, its database, and what befalls them."""

    def __init__(self, folder: Path, faulty: FaultyOs) -> None:
        self.desk, self.faults = Desk(folder), faulty
        self.committed: list[int] = []
        self.file = self.desk.open()

    def write(self, count: int) -> None:
        new = range(len(self.committed), len(self.committed) + count)
        self.committed += new
        self.file.write([alert(number) for number in new])

    def kill(self, at: int, half: bool, count: int) -> None:
        self.faults.arm(Crash(), at=at, half=half)
        try:
            self.write(count)
            self.flush()
        except Crash:
            self.start_again()
        self.faults.disarm()

    def kill_at(self, method: str, done: bool, count: int) -> None:
        journal = self.file._journal
        real = getattr(journal, method)

        def killed(argument: object) -> None:
            if done:
                real(argument)
            raise Crash

        setattr(journal, method, killed)
        try:
            self.write(count)
        except Crash:
            self.start_again()
        else:
            delattr(journal, method)

    def fail(self, at: int, again: bool, code: int, count: int) -> None:
        self.faults.arm(OSError(code, os.strerror(code)), at=at, again=again, half=True)
        self.write(count)
        self.flush()
        self.faults.disarm()

    def rotate(self, create: bool) -> None:
        rotate(self.desk.path, create=create)

    def note(self) -> None:
        if self.file.trouble is not None:
            return  # behind a torn line that cannot be cut off now, it would stay torn
        with self.desk.path.open("a") as other:
            other.write("a note")

    def flush(self) -> None:
        self.file.flush()

    def restart(self) -> None:
        self.file.close()
        self.start_again()

    def start_again(self) -> None:
        self.faults.disarm()
        self.desk.kill(self.file)
        self.file = self.desk.open()
        self.file.catch_up(alert(number) for number in self.committed)


@settings(
    max_examples=5000 if LONG else 200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=st.lists(ACTIONS, max_size=30))
def test_whatever_befalls_it_it_holds_every_alert_once_whole_and_in_order(
    faults: FaultyOs, actions: list[tuple[str, ...]]
) -> None:
    faults.disarm()
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    company = Company(folder, faults)
    try:
        for name, *arguments in actions:
            getattr(company, name.replace("-", "_"))(*arguments)
        assert company.file.flush()
        hold_against(company.desk.path, company.committed)
    finally:
        company.desk.end()
        shutil.rmtree(folder)


def test_the_programme_can_tell_a_file_that_is_wrong(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "database").write_text("0\n1\n2\n")
    restart_and_check(tmp_path)
    good = desk.path.read_text()
    for wrong in (good + good, good[: len(good) // 2], "".join(reversed(good.splitlines(keepends=True)))):
        desk.path.write_text(wrong)
        with pytest.raises(pytest.fail.Exception):
            restart_and_check(tmp_path)
