"""System calls of a running process, counted, failed or answered with a kill, by strace: the process knows nothing."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "openat", "unlink")
"""What changes a disk. SQLite writes with pwrite64, alerts.txt is written with write."""

_ATTACH_SECONDS = 10.0
_UNFINISHED = "<unfinished ...>"


class Untraceable(Exception):
    """strace is not here, or may not trace."""


class Trace:
    """strace on a process and all its threads, looking only at calls on the given files, whatever else it does.

    No files: all calls. A ``stopped`` process is let go. Raises Untraceable, or ProcessLookupError if the process ends
    meanwhile.
    """

    def __init__(
        self, pid: int, calls: Sequence[str], files: Iterable[Path] = (), inject: str = "", *, stopped: bool = False
    ) -> None:
        if shutil.which("strace") is None:
            raise Untraceable("strace is not installed")
        self.pid = pid
        while stopped and _field(Path(f"/proc/{pid}"), "State")[:1] not in ("T", ""):
            time.sleep(0.001)  # let go of before it has stopped, it would stop for ever
        descriptor, name = tempfile.mkstemp(prefix="faults-trace-")
        os.close(descriptor)
        self._log = Path(name)
        options = [word for file in files for word in ("-P", str(file))] + ["-e", f"trace={','.join(calls)}"]
        options += ["-e", f"inject={inject}"] if inject else []
        # -y: the path of each descriptor; -ttt: when
        command = ["strace", "-f", "-qq", "-y", "-ttt", "-o", name, *options, "-p", str(pid)]
        self._strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            self._wait_until_attached()
        except BaseException:
            self.end()
            raise
        if stopped:
            os.kill(pid, signal.SIGCONT)

    def end(self) -> list[str]:
        """Let go of the process; the lines of the trace, ``TIME CALL(...) = RESULT``, in the order of their ends."""
        if self._strace.poll() is None:
            self._strace.terminate()
        try:
            self._strace.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._strace.kill()
            self._strace.communicate()
        lines = self.lines()
        self._log.unlink(missing_ok=True)
        return lines

    def lines(self) -> list[str]:
        """What it has seen until now."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        whole: list[str] = []
        begun: dict[str, str] = {}  # by thread, where another's call came in between
        for line in text.splitlines():
            thread, _, rest = line.partition(" ")
            if rest.endswith(_UNFINISHED):
                begun[thread] = rest.removesuffix(_UNFINISHED).strip()
            elif " resumed>" in rest:
                whole.append(begun.pop(thread, "") + rest.partition(" resumed>")[2])
            elif "(" in rest:
                whole.append(rest.strip())
        return [*whole, *begun.values()]

    def _wait_until_attached(self) -> None:
        end = time.monotonic() + _ATTACH_SECONDS
        while not _all_traced(self.pid):
            if self._strace.poll() is not None:
                said = self._strace.communicate()[1].strip()
                if not said:  # it went with the process, which is dead, or about to be
                    raise ProcessLookupError(self.pid)
                raise Untraceable(f"strace may not trace here: {said.splitlines()[-1]}")
            if time.monotonic() > end:
                raise Untraceable("strace does not attach")
            time.sleep(0.002)


def call_of(line: str) -> str:
    """The name of the call in a line of a trace."""
    return line.split(None, 1)[1].partition("(")[0]


@functools.cache
def untraceable() -> str:
    """Why nothing can be traced here; empty where it can."""
    with suppress(ProcessLookupError), _sleeper() as pid:
        try:
            Trace(pid, ("write",)).end()
        except Untraceable as error:
            return str(error)
    return ""


@contextmanager
def _sleeper() -> Iterator[int]:
    # Like the daemons that will be traced: not our own child, so that it matters whether one may trace others'.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def _all_traced(pid: int) -> bool:
    tasks = _tasks(pid)
    return bool(tasks) and all(_field(task, "TracerPid") not in ("", "0") for task in tasks)


def _tasks(pid: int) -> list[Path]:
    with suppress(FileNotFoundError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []


def _field(task: Path, name: str) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in (task / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return line.partition(":")[2].strip()
    return ""
