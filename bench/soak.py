"""Does it grow? ``python -m bench.soak [MINUTES]``: the real daemon and its API at 20 polls a second, for ten minutes.

At a poll a second, the fastest default, that is more than three hours of ticks. PostgreSQL is stopped five times. What
is resident is held against the polls, after a warm-up with two of these outages in it; 3600 polls are an hour.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.acceptance.daemon import running, stop, wait_until
from tests.alert_files import rotate
from tests.faults.endless import Endless
from tests.faults.postgres import Postgres
from tests.servers import available

_AWAY = tuple((0.2 * n + 0.04, 0.2 * n + 0.1) for n in range(5))  # of the time: PostgreSQL is stopped
_WARM_UP = 0.4  # of the time
_TICK_SECONDS = 0.05
_HOUR = 3600  # polls
_LIMIT = 1.0  # MiB an hour of ticks
_PATHS = ("/api/v1/status", "/metrics", "/readyz", "/healthz")


@dataclass
class Watched:
    """A process, and what was seen of it: (polls, MiB resident, threads, descriptors)."""

    name: str
    process: psutil.Process
    seen: list[tuple[int, float, int, int]] = field(default_factory=list)

    def look(self, polls: int) -> None:
        with self.process.oneshot():
            rss = self.process.memory_info().rss / 2**20
            self.seen.append((polls, rss, self.process.num_threads(), self.process.num_fds()))

    def report(self) -> None:
        warm = self.seen[int(len(self.seen) * _WARM_UP) :]
        growth = slope([(polls, rss) for polls, rss, *_ in warm]) * _HOUR
        threads, descriptors = ([row[i] for row in warm] for i in (2, 3))
        print(
            f"  {self.name:7} {growth:+6.2f} MiB an hour of ticks, {max(0.0, growth) / _LIMIT:5.2f} of the limit;"
            f" {warm[0][1]:.1f} MiB after the warm-up, {warm[-1][1]:.1f} at the end,"
            f" at most {max(row[1] for row in warm):.1f};"
            f" threads {min(threads)} to {max(threads)}, descriptors {min(descriptors)} to {max(descriptors)}"
        )
        print("          MiB:", *(f"{rss:.1f}" for _, rss, *_ in self.seen[:: max(1, len(self.seen) // 20)]))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through them, by least squares."""
    n = len(points)
    x, y = (sum(point[i] for point in points) / n for i in (0, 1))
    spread = sum((a - x) ** 2 for a, _ in points)
    return sum((a - x) * (b - y) for a, b in points) / spread if spread else 0.0


def main(minutes: float = 10.0) -> None:
    """Print how much daemon and API grow, as shares of the limit."""
    market, port = Endless(), _free_port()
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as server,
        Postgres(Path(server) / "server", available()[0]) as postgres,
        market.serving() as url,
        running(
            Path(home),
            "run",
            DATABASE_URL=postgres.dsn,
            COINGECKO_BASE_URL=url,
            TICK_SECONDS=_TICK_SECONDS,
            API_PORT=port,
        ) as daemon,
    ):
        folder = Path(home)
        wait_until(lambda: market.served > 10 and len(psutil.Process(daemon.pid).children()) > 0, daemon, 60, folder)
        main_process = psutil.Process(daemon.pid)
        watched = [Watched("daemon", main_process), Watched("API", main_process.children()[0])]
        for second in _seconds(60 * minutes, postgres):
            for one in watched:
                one.look(market.served)
            _ask_api(port)
            if second % 30 == 29:
                rotate(folder / "alerts" / "alerts.txt")
        wait_until(lambda: _waiting(folder) == 0, daemon, 120, folder)
        stop(daemon)
    polls = watched[0].seen[-1][0] - watched[0].seen[0][0]
    rate, python = polls / 60 / minutes, sys.version.split()[0]
    print(f"soak: {minutes:g} minutes, {polls} polls, {rate:.1f} a second, Python {python}")
    for one in watched:
        one.report()


def _seconds(total: float, postgres: Postgres) -> Iterator[int]:
    """Each second, while PostgreSQL goes and comes back."""
    began, number, away = time.monotonic(), 0, False
    while (passed := time.monotonic() - began) < total:
        if away != any(first <= passed / total < last for first, last in _AWAY):
            away = not away
            (postgres.stop if away else postgres.start)()
        yield number
        number += 1
        time.sleep(max(0.0, began + number - time.monotonic()))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _ask_api(port: int) -> None:
    for path in _PATHS:
        # 503 is an answer too: /readyz says so while the database is away.
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()


def _waiting(folder: Path) -> int:
    return int(json.loads((folder / "data" / "status.json").read_text())["spool"]["batches"])


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
