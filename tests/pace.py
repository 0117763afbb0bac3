"""Limits of time, for a machine that may be busy with something else just then."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_WORK_SECONDS = 0.2


def in_time(took: float, limit: float) -> bool:
    """Whether it took less than so many seconds; or, where other programs take the processor, accordingly more."""
    return took < limit or took < limit * _slowness()


def until_ended(pid: int, seconds: float) -> float:
    """Wait for the end of a child, and leave it to be waited for: the seconds it was ready to run, and others ran.

    Raises TimeoutError where it does not end.
    """
    deadline = time.monotonic() + seconds
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not end within {seconds:.0f} s")
        time.sleep(0.005)
    with suppress(OSError, ValueError, IndexError):  # not every kernel counts
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def _slowness() -> float:
    """How many seconds pass now in one second of work."""
    began, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < _WORK_SECONDS:
        pass
    return (time.monotonic() - began) / _WORK_SECONDS
