"""Named background threads: one that dies stops the rest and is remembered; the cadence is fixed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from app.clock import SystemClock
from app.errors import DatabaseUnavailable, Stopping
from app.tasks import Death, Halt, Tasks
from tests.clock import FakeClock
from tests.conftest import Logged

PATIENCE = 60.0


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def ended(tasks: Tasks) -> None:
    assert tasks.join(PATIENCE) == []


def raising(error: BaseException) -> Callable[[], None]:
    def target() -> None:
        raise error

    return target


def test_a_dying_task_sets_stop_and_is_remembered(stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())
    tasks.start("bystander", lambda: assert_(stop.wait(PATIENCE)))
    error = ValueError("out of range")
    tasks.start("fetch", raising(error))
    ended(tasks)
    assert stop.is_set()
    assert tasks.death == Death("fetch", error)


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), MemoryError()])
def test_whatever_ends_a_task_counts(error: BaseException, stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())
    tasks.start("fetch", raising(error))
    ended(tasks)
    assert tasks.death is not None
    assert tasks.death.error is error


def test_the_first_death_is_the_reason_and_later_ones_are_its_echoes(stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())

    def echo() -> None:
        assert_(stop.wait(PATIENCE))
        raise DatabaseUnavailable("we are stopping")

    tasks.start("store", echo)
    tasks.start("fetch", raising(ValueError("the cause")))
    ended(tasks)
    assert tasks.death is not None
    assert tasks.death.task == "fetch"


def test_an_error_while_stopping_is_no_reason(stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())
    stop.set()
    tasks.start("store", raising(DatabaseUnavailable("nobody answers")))
    ended(tasks)
    assert tasks.death is None


def test_of_the_echoes_those_that_nobody_foresaw_are_logged(stop: threading.Event, logged: Logged) -> None:
    tasks = Tasks(stop, SystemClock())
    stop.set()
    tasks.start("store", raising(DatabaseUnavailable("nobody answers")))
    tasks.start("views", raising(KeyError("day")))
    ended(tasks)
    line = logged.read_new()
    assert "views ended by an error while stopping: KeyError('day')" in line
    assert line.count("\n") == 1


def test_a_task_that_ends_by_itself_stops_nothing(stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())
    tasks.start("once", lambda: None)
    ended(tasks)
    assert not stop.is_set()
    assert tasks.death is None
    assert tasks.states() == {"once": "ended"}


def test_it_says_which_tasks_run_and_which_did_not_end_in_time(stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())
    hanging = threading.Event()
    tasks.start("hanging", lambda: assert_(hanging.wait(PATIENCE)))
    tasks.start("fine", lambda: assert_(stop.wait(PATIENCE)))
    assert tasks.states() == {"hanging": "running", "fine": "running"}
    stop.set()
    while tasks.states()["fine"] == "running":
        time.sleep(0.01)
    assert tasks.join(0.01) == ["hanging"]
    hanging.set()
    ended(tasks)


def test_what_watches_them_ends_with_the_death_and_not_with_its_echo(stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())
    with pytest.raises(ValueError, match="the cause"), tasks.watched():
        tasks.start("status", raising(ValueError("the cause")))
        ended(tasks)
        raise Stopping("nobody answers")
    with pytest.raises(ValueError, match="the cause"), tasks.watched():
        pass


def test_what_watches_them_lets_every_other_end_pass(stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())
    with pytest.raises(DatabaseUnavailable), tasks.watched():
        raise DatabaseUnavailable("nobody answers")
    with tasks.watched():
        pass


class Steps:
    """A step that takes as long as it is told, in turn, and notes when it began; the last one stops."""

    def __init__(self, clock: FakeClock, stop: threading.Event, *seconds: float) -> None:
        self._clock, self._stop, self._seconds = clock, stop, list(seconds)
        self._start = clock.monotonic()
        self.began: list[float] = []

    def __call__(self) -> None:
        self.began.append(round(self._clock.monotonic() - self._start, 6))
        self._clock.advance(self._seconds.pop(0))
        if not self._seconds:
            self._stop.set()


@pytest.mark.parametrize(
    ("seconds", "began"),
    [
        pytest.param([0, 0, 0, 0], [0, 1, 2, 3], id="steps that take no time"),
        pytest.param([0.3, 0.9, 0.1, 0], [0, 1, 2, 3], id="the time they take is no delay"),
        pytest.param([1, 0, 0], [0, 1, 2], id="just in time"),
        pytest.param([1.5, 0, 0], [0, 2, 3], id="one turn is missed"),
        pytest.param([10.5, 0, 0], [0, 11, 12], id="many are missed and none is made up for"),
        pytest.param([1.2, 1.2, 1.2, 0], [0, 2, 4, 6], id="always too slow"),
    ],
)
def test_the_cadence_is_fixed_and_missed_turns_are_skipped(
    seconds: list[float], began: list[float], stop: threading.Event
) -> None:
    clock = FakeClock()
    tasks = Tasks(stop, clock)
    steps = Steps(clock, stop, *seconds)
    tasks.every("upkeep", 1.0, steps)
    ended(tasks)
    assert steps.began == began
    assert tasks.death is None


def test_a_jump_of_the_wall_clock_changes_no_cadence(stop: threading.Event) -> None:
    clock = FakeClock()
    tasks = Tasks(stop, clock)
    steps = Steps(clock, stop, 0, 0, 0)

    def step() -> None:
        clock.jump(-3600)
        steps()

    tasks.every("upkeep", 1.0, step)
    ended(tasks)
    assert steps.began == [0, 1, 2]


def test_nothing_is_done_once_stop_is_set(stop: threading.Event) -> None:
    stop.set()
    tasks = Tasks(stop, FakeClock())
    tasks.every("upkeep", 1.0, raising(AssertionError("too late")))
    ended(tasks)
    assert tasks.death is None


def assert_(truth: bool) -> None:
    assert truth


def test_a_wish_to_stop_reaches_its_parts_and_not_the_other_way_round() -> None:
    whole = Halt()
    first, second = whole.part(), whole.part()
    first.set()
    assert [whole.is_set(), first.is_set(), second.is_set()] == [False, True, False]
    whole.set()
    assert second.is_set()
    assert whole.part().is_set()


def test_many_tasks_of_one_name_leave_nothing_behind(stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())
    for _ in range(50):
        tasks.start("fetch", lambda: None)
        assert tasks.join(PATIENCE, "fetch") == []
    assert tasks.states() == {"fetch": "ended"}
    assert len(tasks._threads) == 1


def test_two_signals_at_once_do_not_wait_for_each_other_for_ever() -> None:
    """Their handlers run in one thread, the second in the middle of the first."""
    halt = Halt()
    with halt._cond:  # where the first signal's set() is
        halt.set()
    assert halt.is_set()


def test_tasks_that_two_threads_start_at_once_are_both_known(stop: threading.Event) -> None:
    tasks = Tasks(stop, SystemClock())
    looking, go_on = threading.Event(), threading.Event()

    class Slow(threading.Thread):
        """One that takes a while to be looked at: the first who starts another is held up there."""

        @property
        def name(self) -> str:
            if threading.current_thread().name == "first" and not looking.is_set():
                looking.set()
                assert go_on.wait(PATIENCE)
            return "slow"

    tasks._threads = [Slow()]
    first = threading.Thread(target=lambda: tasks.start("one", lambda: None), name="first")
    second = threading.Thread(target=lambda: tasks.start("two", lambda: None), name="second")
    first.start()
    assert looking.wait(PATIENCE)
    second.start()
    second.join(0.3)  # it is done by then where nothing makes it wait
    go_on.set()
    first.join()
    second.join()
    assert {"one", "two"} <= {thread.name for thread in tasks._threads}
