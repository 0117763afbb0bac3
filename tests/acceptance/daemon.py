"""The daemon as a user starts it: a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SHIPPED_FILE = REPOSITORY / "app" / "alerts" / "shipped.toml"


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """An environment with nothing in it but these settings, everything kept in the folder."""
    base = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LANG") if key in os.environ}
    ours: dict[str, object] = {"DATA_DIR": folder / "data", "ALERTS_FILE": folder / "alerts" / "alerts.txt"}
    ours |= {"RULES_FILE": SHIPPED_FILE, **settings}
    return {**base, "PYTHONPATH": str(REPOSITORY), **{key: str(value) for key, value in ours.items()}}


@contextmanager
def running(folder: Path, *arguments: str, **settings: object) -> Iterator[subprocess.Popen[str]]:
    """``python -m app ARGUMENTS`` in the folder; its output goes to output.txt there. Killed at the end if need be."""
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", *arguments],
            cwd=folder,
            env=environment(folder, **settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, float]:
    """Send the signal; the exit code, and the seconds it took."""
    began = time.monotonic()
    process.send_signal(number)
    code = process.wait(60)
    return code, time.monotonic() - began


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float, folder: Path) -> None:
    """Wait for a condition while the process lives; shows its output when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        output = (folder / "output.txt").read_text()
        assert process.poll() is None, f"it ended with {process.returncode}:\n{output}"
        assert time.monotonic() < deadline, f"not within {seconds} s:\n{output}"
        time.sleep(0.02)
