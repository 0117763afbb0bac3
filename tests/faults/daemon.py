"""The real daemon, started as a user starts it, and the ways to end it. With its whole process group, always."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.acceptance.daemon import REPOSITORY, environment

STOP_SECONDS = 5.0  # in which a SIGTERM has to be obeyed
_PATIENCE_SECONDS = 60.0


class Broken(AssertionError):
    """The daemon did not do what it has to do, so that the fault cannot go on."""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS) -> float:
    """Wait until it holds; the seconds it took. Raises Broken."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise Broken(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.01)
    return time.monotonic() - began


class Daemon:
    """``python -m app run --no-api`` in a folder of its own; it can be started again and again.

    ``code`` is the folder that holds the ``app`` to run (a changed copy is a seeded bug), ``prefix`` a command to run
    it under, such as strace. ``settings`` may be changed between two starts. Its output is in ``output.txt``.
    """

    def __init__(
        self, folder: Path, settings: dict[str, object], code: Path = REPOSITORY, prefix: Sequence[str] = ()
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.settings, self.code, self.prefix = folder, settings, code, tuple(prefix)
        self.data, self.alerts = folder / "data", folder / "alerts" / "alerts.txt"
        self.output = folder / "output.txt"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        """A new process; it is not waited for."""
        assert not self.alive, "it runs already"
        self.starts += 1
        paths = {"DATA_DIR": self.data, "ALERTS_FILE": self.alerts, "PYTHONPATH": self.code}
        settings = {key: str(value) for key, value in {**paths, **self.settings}.items()}
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "app", "run", "--no-api"],
                cwd=self.folder,
                env={**environment(self.folder), **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """kill -9 of its process group; returns when it is gone. Nothing, where it has ended."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Ask it to end; its exit code and the seconds it took. Raises Broken if it does not."""
        process = self._running()
        began = time.monotonic()
        process.send_signal(number)
        try:
            code = process.wait(4 * STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Broken(f"it does not end at a signal:\n{self.tail()}") from None
        return code, time.monotonic() - began

    def freeze(self) -> None:
        """SIGSTOP; it holds its locks and connections, and does nothing."""
        os.killpg(self._running().pid, signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        os.killpg(self._running().pid, signal.SIGCONT)

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS) -> float:
        """Wait until it holds; the seconds it took. Raises Broken, also when the daemon ends meanwhile."""
        began = time.monotonic()
        while not condition():
            if not self.alive:
                code = self.process.returncode if self.process else None
                raise Broken(f"the daemon ended by itself with {code}:\n{self.tail()}")
            if time.monotonic() - began > seconds:
                raise Broken(f"not within {seconds:.0f} s: {what}\n{self.tail()}")
            time.sleep(0.005)
        return time.monotonic() - began

    def tail(self, lines: int = 12) -> str:
        """The end of what it has said."""
        said = self.output.read_text(errors="replace").splitlines() if self.output.exists() else []
        return "\n".join(f"    | {line}" for line in said[-lines:])

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None or not self.alive:
            code = None if self.process is None else self.process.returncode
            raise Broken(f"the daemon is not running (ended with {code}):\n{self.tail()}")
        return self.process
