"""Processes that keep batches in a spool, and are meant to be killed, or to meet a disk that fails.

``python -m tests.faults.spool_child`` forks one for each line ``PATH FIRST LAST`` on standard input: it opens the spool
and keeps the batches of these numbers, and in between takes some out. It waits, stopped, before it touches a file, so
that it can be traced from its first step on. It tells ``pid N``, ``kept N`` or ``refused N`` for each batch, ``took N``
for those it takes out, before it forgets them; after it ``end`` is told, with its signal or exit code.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app import log
from app.clock import SystemClock
from app.errors import CannotWrite
from app.spool import Spool
from tests.faults.trace import Trace
from tests.spools import PLENTY, batch, number_of

_PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)
_REPO = Path(__file__).parents[2]
_ENDS = ("", "-wal", ".mark", ".new", ".building", ".closing")


class Life:
    """What a process did until its end. Numbers of batches; ``end``: 0, or the signal that killed it."""

    def __init__(self, told: list[str], trace: list[str]) -> None:
        def numbers(word: str) -> list[int]:
            return [int(line.split()[1]) for line in told if line.startswith(f"{word} ")]

        self.kept, self.refused, self.took = numbers("kept"), numbers("refused"), numbers("took")
        (self.end,) = numbers("end")
        self.trace = trace


class Lives:
    """Starts them, one after another."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._told = process.stdin, process.stdout

    def run(self, path: Path, first: int, last: int, calls: tuple[str, ...], inject: str = "") -> Life:
        """One life, under strace. Raises Untraceable."""
        print(path, first, last, file=self._orders, flush=True)
        pid = int(self._told.readline().removeprefix("pid "))
        files = [path.parent, *(path.with_name(path.name + end) for end in _ENDS)]
        try:
            trace = Trace(pid, calls, files, inject, stopped=True)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            self._rest()
            raise
        told = self._rest()
        return Life(told, trace.end())

    def _rest(self) -> list[str]:
        told = [self._told.readline()]
        while not told[-1].startswith("end"):
            told.append(self._told.readline())
        return told


@contextmanager
def lives() -> Iterator[Lives]:
    """The process that forks them."""
    command = [sys.executable, "-m", "tests.faults.spool_child"]
    with subprocess.Popen(command, cwd=_REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Lives(process)


def _live(path: Path, first: int, last: int) -> None:
    spool = Spool(path, PLENTY, SystemClock())
    spool.open()
    for number in range(first, last + 1):
        try:
            spool.append(*batch(number))
            _tell(f"kept {number}")
        except CannotWrite:
            _tell(f"refused {number}")
        if number % 3 == 0:
            _take_some(spool)
        if number % 5 == 0:
            spool._keeper.checkpoint()
        if number % 7 == 0:
            spool._keeper._suspect = "a test"  # the next one is written by way of a new file
    spool.close()


def _take_some(spool: Spool) -> None:
    entries = spool.first(6)
    for entry in entries:
        _tell(f"took {number_of(entry)}")
    if entries:
        spool.done(entries[-1].seq)


def _serve() -> None:
    log.configure("critical")
    for order in sys.stdin:
        path, first, last = order.split()
        pid = os.fork()
        if pid == 0:
            _tell(f"pid {os.getpid()}")
            # Some systems let only a parent trace, unless one agrees.
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            try:
                _live(Path(path), int(first), int(last))
            except CannotWrite as error:
                os._exit(error.exit_code)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        _tell(f"end {os.waitstatus_to_exitcode(status)}")


def _tell(text: str) -> None:
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    _serve()
