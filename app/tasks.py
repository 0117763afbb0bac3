"""Named background threads, watched in one place: when one dies, the process has to know."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app import log
from app.clock import Clock
from app.errors import CryptoMonitorError, Stopping


class Halt(threading.Event):
    """A wish to stop that reaches those who were made from it too."""

    def __init__(self) -> None:
        super().__init__()
        # A second signal's handler may come in the middle of the first one's set(), in the same thread.
        self._cond = threading.Condition(threading.RLock())
        self._parts: list[Halt] = []

    def part(self) -> Halt:
        """One for a part of the work: set together with this one, or alone."""
        part = Halt()
        self._parts = [p for p in self._parts if not p.is_set()] + [part]
        if self.is_set():  # meanwhile
            part.set()
        return part

    def set(self) -> None:
        super().set()
        for part in self._parts:
            part.set()


@dataclass(frozen=True, slots=True)
class Death:
    """Which task ended by an error, and by which."""

    task: str
    error: BaseException


class Tasks:
    """Threads that run until ``stop`` is set. One that raises sets it too, and is remembered as the reason."""

    def __init__(self, stop: threading.Event, clock: Clock) -> None:
        self._stop, self._clock = stop, clock
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._log = log.get(__name__)
        self.death: Death | None = None

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run ``target`` in a thread of this name."""
        # Daemon threads: one that hangs in a system call must not keep a stopped process alive.
        thread = threading.Thread(target=self._guard, args=(name, target), name=name, daemon=True)
        thread.start()
        # One that ended in time makes room for its successor: there may be many in a life.
        with self._lock:  # several threads start others
            self._threads = [t for t in self._threads if t.name != name or t.is_alive()] + [thread]

    def every(self, name: str, seconds: float, step: Callable[[], object]) -> None:
        """Run ``step`` in a thread of this name, now and on a fixed cadence, until ``stop`` is set.

        A step that takes longer than its turn makes the next ones wait for theirs; turns are skipped, never made up.
        """
        self.start(name, lambda: self._repeat(name, seconds, step))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Where a task has died, end with its error, also in place of what follows from its death."""
        try:
            yield
        except Stopping:
            # It is not waited for once stop is set; here because a task has died.
            if self.death is None:
                raise
        if self.death is not None:
            self._log.error(f"The task {self.death.task} has died; with it ends the daemon.", action="task_died")
            raise self.death.error

    def join(self, seconds: float, *names: str) -> list[str]:
        """Wait for those of these names, or for all, at most so long; the names of those that still run."""
        deadline = self._clock.monotonic() + seconds
        threads = [thread for thread in self._threads if not names or thread.name in names]
        for thread in threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        return [thread.name for thread in threads if thread.is_alive()]

    def states(self) -> dict[str, str]:
        """Each task's name, and whether it is running or ended."""
        return {thread.name: "running" if thread.is_alive() else "ended" for thread in self._threads}

    def _repeat(self, name: str, seconds: float, step: Callable[[], object]) -> None:
        due = self._clock.monotonic()
        while not self._clock.wait(self._stop, due - self._clock.monotonic()):
            step()
            turns = max(1, math.ceil((self._clock.monotonic() - due) / seconds))
            due += turns * seconds
            if turns > 1:
                self._log.debug(f"{name} took longer than its turn; {turns - 1} skipped.", action="overrun", task=name)

    def _guard(self, name: str, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:  # noqa: BLE001  whatever ends a task has to end the process, with its reason
            with self._lock:
                # The first is the cause; once we are stopping, later ones are its echoes.
                stopping = self._stop.is_set()
                if not stopping:
                    self.death = Death(name, error)
                    self._stop.set()
            # An echo that nobody foresaw is a bug of its own, and nobody else tells of it.
            if stopping and not isinstance(error, CryptoMonitorError):
                self._log.error(f"{name} ended by an error while stopping: {error!r}", action="task_died", task=name)
