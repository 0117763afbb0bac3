"""What the daemon costs when nothing happens: three coins, one tick a second, real server, real database."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import psutil

from app.clock import SystemClock
from app.simulate.server import Server
from app.simulate.synthetic import lively_market
from app.simulate.timeline import Timeline
from tests.acceptance.daemon import running, stop, wait_until
from tests.servers import available, started

_WARM_UP, _SECONDS = 15, 60
_CPU_LIMIT, _RSS_LIMIT = 0.03, 120.0  # of one core; MB


def main() -> None:
    """Print the shares of the limits that the daemon uses."""
    timeline = Timeline(SystemClock(), 1.0)
    with (
        tempfile.TemporaryDirectory() as folder,
        started(available()[0]) as dsn,
        Server(lively_market(timeline.start), timeline, SystemClock()) as server,
        running(Path(folder), "run", "--no-api", DATABASE_URL=dsn, COINGECKO_BASE_URL=server.url) as daemon,
    ):
        process = psutil.Process(daemon.pid)
        wait_until(lambda: "version" in (Path(folder) / "output.txt").read_text(), daemon, 30, Path(folder))
        time.sleep(_WARM_UP)
        cpu, rss = _measure(process)
        stop(daemon)
    print(f"steady state: 3 coins, a tick a second, {_SECONDS} s, Python {sys.version.split()[0]}")
    print(f"  CPU  {100 * cpu:6.2f} % of a core   {cpu / _CPU_LIMIT:5.2f} of the limit of {100 * _CPU_LIMIT:.0f} %")
    print(f"  RSS  {rss:6.1f} MB             {rss / _RSS_LIMIT:5.2f} of the limit of {_RSS_LIMIT:.0f} MB")


def _measure(process: psutil.Process) -> tuple[float, float]:
    """(share of a core, largest resident MB) over the time."""
    began, used, largest = time.monotonic(), _cpu(process), 0.0
    while time.monotonic() < began + _SECONDS:
        largest = max(largest, process.memory_info().rss / 1e6)
        time.sleep(1)
    return (_cpu(process) - used) / (time.monotonic() - began), largest


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
