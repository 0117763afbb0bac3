"""A small daemon that only asks a provider, as often as its limits allow, and is meant to be killed.

``python -m tests.faults.spender`` forks one for each line ``ROOT DATA_DIR PER_MINUTE PER_MONTH`` on standard input.
A run tells its process id, ``limit`` when a limit has stopped it, and then ``end``, which is to be answered with a
line. Its database never answers.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from app import log
from app.calls import CallLedger
from app.clock import SystemClock
from app.config import load
from app.db import Database
from app.errors import RateLimited
from app.sources import coingecko


def run(root: str, data_dir: Path, per_minute: int, per_month: int) -> None:
    """Ask until a limit says no."""
    clock = SystemClock()
    away = Database(f"host={data_dir} user=nobody dbname=nothing", threading.Event())
    settings = load(
        None,
        coingecko_base_url=root,
        coingecko_calls_per_minute=per_minute,
        coingecko_calls_per_month=per_month,
    )
    source = coingecko.build(settings, clock, CallLedger(away, data_dir / "calls.sqlite", clock))
    try:
        while True:
            source.ping()
    except RateLimited:
        os.write(1, b"limit\n")


def serve() -> None:
    """A forked run for each line."""
    log.configure("error")
    for order in sys.stdin:
        root, folder, per_minute, per_month = order.split()
        pid = os.fork()
        if pid == 0:
            os.write(1, f"{os.getpid()}\n".encode())
            run(root, Path(folder), int(per_minute), int(per_month))
            os._exit(0)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.write(1, b"end\n")
        sys.stdin.readline()  # until then its number is nobody else's, and may be killed
        os.waitpid(pid, 0)


if __name__ == "__main__":
    serve()
