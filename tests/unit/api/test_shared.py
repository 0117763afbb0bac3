from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from app.api.database import Busy
from app.api.shared import Shared
from tests.clock import FakeClock

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Work:
    """What is asked for: the number of times that it was, with the period; held up while it is told to wait."""

    def __init__(self) -> None:
        self.calls: list[datetime] = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.may_go_on.set()

    def __call__(self, period: datetime) -> int:
        self.calls.append(period)
        self.begun.set()
        assert self.may_go_on.wait(60)
        return len(self.calls)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


def test_it_is_worked_out_once_a_period(clock: FakeClock, work: Work) -> None:
    shared = Shared(clock, 60, work)
    assert shared.get() == shared.get() == 1
    clock.advance(59.9)
    assert shared.get() == 1
    clock.advance(0.1)
    assert shared.get() == 2
    assert work.calls == [NOON, NOON.replace(minute=1)]


def started(what: Callable[[], int], work: Work) -> threading.Thread:
    """A thread that asks, and is held up in the work."""
    work.begun.clear()
    work.may_go_on.clear()
    thread = threading.Thread(target=what)
    thread.start()
    assert work.begun.wait(60)
    return thread


def test_who_asks_while_another_works_gets_the_value_of_the_period_before(clock: FakeClock, work: Work) -> None:
    shared = Shared(clock, 60, work)
    shared.get()
    clock.advance(60)
    thread = started(shared.get, work)
    assert shared.get() == 1
    work.may_go_on.set()
    thread.join()
    assert (shared.get(), len(work.calls)) == (2, 2)


def test_what_is_older_than_the_period_before_is_given_to_nobody(
    clock: FakeClock, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.shared._WAIT_SECONDS", 0.01)
    shared = Shared(clock, 60, work)
    shared.get()
    clock.advance(120)
    thread = started(shared.get, work)
    with pytest.raises(Busy):
        shared.get()
    work.may_go_on.set()
    thread.join()
    assert shared.get() == 2


def test_all_who_ask_at_first_wait_for_the_one_who_works(clock: FakeClock, work: Work) -> None:
    shared = Shared(clock, 60, work)
    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(lambda _: shared.get(), range(8))} == {1}


def test_what_fails_is_tried_again_by_the_next(clock: FakeClock) -> None:
    answers: list[Callable[[], int]] = [lambda: 1 // 0, lambda: 7]
    shared = Shared(clock, 60, lambda _: answers.pop(0)())
    with pytest.raises(ZeroDivisionError):
        shared.get()
    assert shared.get() == 7


def test_a_clock_that_is_set_back_does_not_keep_the_value_of_the_future(clock: FakeClock, work: Work) -> None:
    shared = Shared(clock, 60, work)
    shared.get()
    clock.jump(-3600)
    assert shared.get() == 2
