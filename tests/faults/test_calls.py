"""Calls spent against limits, under kill -9 at random times: a real provider never counts more than the limit.

FAULTS=long runs the larger counts. Each test prints its seed; FAULTS_SEED repeats one.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provider import reply, serving

LONG = os.environ.get("FAULTS") == "long"
REPO = Path(__file__).parents[2]
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where fsync costs nothing


@pytest.fixture(scope="module")
def zygote() -> Iterator[subprocess.Popen[str]]:
    """Forks the daemons: a new Python for each would take most of the time."""
    command = [sys.executable, "-m", "tests.faults.spender"]
    with subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def lived(zygote: subprocess.Popen[str], order: str, seconds: float) -> bool:
    """One life, killed after so many seconds; whether it was a limit that ended it."""
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    zygote.stdin.write(f"{order}\n")
    zygote.stdin.flush()
    pid = int(zygote.stdout.readline())
    time.sleep(seconds)  # the point of the kill is to be anywhere
    os.kill(pid, signal.SIGKILL)
    said = []
    while (line := zygote.stdout.readline().strip()) != "end":
        said.append(line)
    zygote.stdin.write("\n")
    zygote.stdin.flush()
    return "limit" in said


@pytest.mark.parametrize(("per_minute", "per_month"), [(150, 0), (0, 150), (400, 120)])
def test_however_often_it_is_killed_it_makes_no_more_calls_than_its_limits_allow(
    zygote: subprocess.Popen[str], per_minute: int, per_month: int
) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(10**9))
    print(f"FAULTS_SEED={seed}")
    dice, limit = random.Random(seed), per_month or per_minute
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, serving(reply({"gecko_says": "(V3)"})) as provider:
        order = f"{provider.root} {folder} {per_minute} {per_month}"
        begun, kills = time.monotonic(), 0
        while not lived(zygote, order, dice.uniform(0, 0.15)):
            kills += 1
        for _ in range(20 if LONG else 3):  # and once it is reached, no start makes it forgotten
            lived(zygote, order, dice.uniform(0, 0.15))
        took = time.monotonic() - begun
    asked = provider.asked
    print(f"{kills} kills, {len(asked)} calls of {limit} in {took:.1f} s")
    assert took < 60 or per_month, "a minute's calls are free again after a minute"
    assert len(asked) <= limit
    assert len(asked) >= limit - kills, "a kill between counting and calling costs one call, and no more"
