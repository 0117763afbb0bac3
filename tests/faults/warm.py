"""Daemons without the second that Python needs to load: forked from a process that has loaded everything.

``python -m tests.faults.warm`` takes an order a line on standard input and answers a line on standard output:
``{"start": {...}}`` forks a daemon that does what ``python -m app run --no-api`` does, ``{"poll": pid}`` tells whether
it has ended. A ``stopped`` one waits for SIGCONT before it does anything, so that it can be traced from its first step.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from tests.acceptance.daemon import REPOSITORY, environment
from tests.faults.daemon import Daemon

_LOADED = ("app.cli.run", "app.main", "app.sources.coingecko", "stringprep", "encodings.idna")
_PR_SET_PDEATHSIG = 1
_PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)


class Warm:
    """The process that has loaded the ``app`` of a folder. Safe to use from several threads."""

    def __init__(self, code: Path, orders: IO[str], answers: IO[str]) -> None:
        self.code, self._orders, self._answers = code, orders, answers
        self._lock = threading.Lock()

    def ask(self, **order: Any) -> Any:
        """The answer to one order."""
        with self._lock:
            print(json.dumps(order), file=self._orders, flush=True)
            return json.loads(self._answers.readline())


@contextmanager
def warm(code: Path = REPOSITORY) -> Iterator[Warm]:
    """Load the ``app`` in this folder; it ends, with all that it has forked, when left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.warm"],
        cwd=code,
        env={**environment(code), "PYTHONPATH": f"{code}{os.pathsep}{REPOSITORY}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        yield Warm(code, process.stdin, process.stdout)
        process.stdin.close()


class Forked:
    """A forked daemon: what is used of subprocess.Popen."""

    def __init__(self, warm: Warm, pid: int) -> None:
        self._warm, self.pid = warm, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._warm.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("a forked daemon", timeout)
            time.sleep(0.002)
        return code

    def send_signal(self, number: int) -> None:
        """Nothing, where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class WarmDaemon(Daemon):
    """tests.faults.daemon.Daemon, forked. ``wall`` is a file with the seconds by which its wall clock is wrong."""

    process: Forked | None  # type: ignore[assignment]

    def __init__(self, warm: Warm, folder: Path, settings: dict[str, object], wall: Path | None = None) -> None:
        super().__init__(folder, settings, warm.code)
        self._warm, self._wall = warm, wall

    def start(self, *, stopped: bool = False) -> None:
        """As ``python -m app run --no-api``."""
        assert not self.alive, "it runs already"
        self.starts += 1
        paths = {"DATA_DIR": self.data, "ALERTS_FILE": self.alerts, "PYTHONPATH": self.code}
        settings = {key: str(value) for key, value in {**paths, **self.settings}.items()}
        order = {
            "folder": str(self.folder),
            "output": str(self.output),
            "environment": {**environment(self.folder), **settings},
            "stopped": stopped,
            "wall": str(self._wall) if self._wall else "",
        }
        self.process = Forked(self._warm, self._warm.ask(start=order))


class WrongClock:
    """The machine's clocks, the wall's wrong by the seconds that stand in a file."""

    def __init__(self, file: Path) -> None:
        # Here, as only what is forked has loaded the app that is tested.
        self._true, self._file = importlib.import_module("app.clock").SystemClock(), file

    def now(self) -> datetime:
        """app.clock.Clock."""
        return self._true.now() + timedelta(seconds=float(self._file.read_text()))

    def monotonic(self) -> float:
        return self._true.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return self._true.wait(event, seconds)


def _serve() -> None:
    for module in _LOADED:
        importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_poll(order["poll"]) if "poll" in order else _start(order["start"])), flush=True)


def _poll(pid: int) -> int | None:
    with suppress(ChildProcessError):
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None
    return 0


def _start(order: dict[str, Any]) -> int:
    if pid := os.fork():
        return pid
    code = 70
    # Nothing is left behind, not even one that is stopped, when whoever runs the faults is killed.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        os.setsid()
        _be_ready(order)
        sys.argv = ["app", "run", "--no-api"]
        importlib.import_module("app.cli").main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)


def _be_ready(order: dict[str, Any]) -> None:
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    output = os.open(order["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for descriptor, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
        os.dup2(file, descriptor)
    os.closerange(3, 64)
    if order["wall"]:
        vars(importlib.import_module("app.cli.run"))["SystemClock"] = lambda: WrongClock(Path(order["wall"]))
    if order["stopped"]:
        # Some systems let only a parent trace, unless one agrees.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    _serve()
