"""From the provider's last byte to the line in alerts.txt: three coins, the daemon with its own PostgreSQL.

The provider stamps the moment before it sends a whole reply in one go; another process looks at alerts.txt every fifth
of a millisecond, and stamps what it sees. Both read the machine's one monotonic clock. What scheduling costs either is
part of the result; so is what other work on the machine takes, and where this is a virtual machine, what others on the
same hardware do: while they have its processors or its disk, everything stands still, and an fsync may take seconds.
So the disk is tried while the daemon runs, and the time that was stolen is said.

A line that is late was held up in the first 20 ms after its reply. So the lines are counted once more without those in
whose first 20 ms another process, too, was kept waiting for far longer than the daemon and its server ever work in one
go: the looker for a processor, or the trial of the disk. What is left out is chosen by what the others met, and not by
how long the line took; what held up a line between two trials of the disk stays in.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

from tests.acceptance.daemon import running, stop, wait_until
from tests.provider import Provider, reply, serving

COINS = ("bitcoin", "ethereum", "zcash")
_TICK_SECONDS = 0.1
_WARM_UP, _POLLS = 30, 480  # two of three polls alert, about each coin
_STEP = timedelta(seconds=30)  # of tick time: ten ticks a window
_LOOK_SECONDS = 0.0002
_LIMIT = 0.020
_LATE_LOOK = 0.005  # seconds from one look to the next: somebody else had the processors
_LATE_SYNC = 0.010  # seconds for one fsync: somebody else had the disk
_TRY_DISK_SECONDS = 0.07  # no part of the time between polls

_Span = tuple[float, float]  # of the monotonic clock, in seconds

RULE = """
[[rule]]
name = "price-2pct-5m"
when = "abs(price / avg(price, 5m) - 1) > 2%"
"""


@dataclass
class Market:
    """Every third reply has prices 4 % up; ``sent`` has the moment of each, by the time it gives its ticks."""

    began: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0) - 1000 * _STEP)
    sent: dict[str, int] = field(default_factory=dict)
    polls: int = 0

    def answer(self, connection: socket.socket, closing: threading.Event) -> None:
        """Answer /simple/price; anything else that is asked for has nothing in it."""
        if not self.provider.asked[-1].path.endswith("/simple/price"):
            reply([])(connection, closing)
            return
        self.polls = min(self.polls + 1, _WARM_UP + _POLLS)  # then the same again, which is nothing new
        time_ = self.began + self.polls * _STEP
        price = 104 if self.polls > _WARM_UP and self.polls % 3 == 0 else 100
        coin = {"usd": price, "usd_24h_vol": 1e9, "last_updated_at": int(time_.timestamp())}
        content = json.dumps(dict.fromkeys(COINS, coin)).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        self.sent.setdefault(f"{time_:%Y-%m-%dT%H:%M:%S.000Z}", time.monotonic_ns())
        connection.sendall(head.encode() + content)

    provider: Provider = field(init=False)


def main() -> None:
    """Print the latency as a share of its limit."""
    market = Market()
    with tempfile.TemporaryDirectory() as name, serving(market.answer) as market.provider:
        folder = Path(name)
        (folder / "rules.toml").write_text(RULE)
        (folder / "alerts").mkdir()
        tried, over = list[_Span](), threading.Event()
        disk = threading.Thread(target=lambda: tried.extend(_syncs(folder / "probe", over)), daemon=True)
        with (
            _Watcher(folder / "alerts" / "alerts.txt") as watcher,
            running(
                folder,
                "run",
                "--no-api",
                COINGECKO_BASE_URL=f"{market.provider.root}/api/v3",
                TICK_SECONDS=_TICK_SECONDS,
                RULES_FILE=folder / "rules.toml",
            ) as daemon,
        ):
            load, stolen, began = os.getloadavg()[0], stolen_seconds(), time.monotonic()
            disk.start()
            wait_until(lambda: market.polls == _WARM_UP + _POLLS, daemon, 300, folder)
            stop(daemon)
            seen, looked_at = watcher.result()
            stolen = (stolen_seconds() - stolen) / (time.monotonic() - began) / (os.cpu_count() or 1)
            over.set()
            disk.join()
    lines = [(market.sent[line.split()[0]] / 1e9, at / 1e9) for at, line in seen]
    took = sorted(at - sent for sent, at in lines)
    assert took, "nothing alerted"
    looked = [(begin / 1e9, end / 1e9) for begin, end in pairwise(looked_at)]
    waits = _longer(looked, _LATE_LOOK) + _longer(tried, _LATE_SYNC)
    quiet = sorted(at - sent for sent, at in lines if not _overlaps(waits, sent, sent + _LIMIT))
    looks, syncs = (sorted(end - begin for begin, end in spans) for spans in (looked, tried))
    print(f"latency: {len(took)} lines, a poll every {_TICK_SECONDS} s, Python {sys.version.split()[0]}")
    print(f"  last byte to line  median {_ms(took, 0.5)}   p99 {_ms(took, 0.99)}   at most {_ms(took, 1)}")
    print(f"  p99 is {_share(took, 0.99) / _LIMIT:5.2f} of the limit of {1000 * _LIMIT:.0f} ms")
    if quiet:
        print(f"  the {len(quiet)} lines in whose first {1000 * _LIMIT:.0f} ms no look and no other's fsync was late:")
        print(f"    last byte to line  median {_ms(quiet, 0.5)}   p99 {_ms(quiet, 0.99)}   at most {_ms(quiet, 1)}")
    print(f"  another's fsync of this disk took {_ms(syncs, 0.5)} (p99 {_ms(syncs, 0.99)}, at most {_ms(syncs, 1)})")
    print(f"  looked every {_ms(looks, 0.5)} (p99 {_ms(looks, 0.99)}, at most {_ms(looks, 1)})")
    print(f"  load {load:.1f} to {os.getloadavg()[0]:.1f}; {stolen:.1%} of the processors' time went to other machines")


def _syncs(file: Path, over: threading.Event) -> Iterator[_Span]:
    """From when to when the disk alone took to have a line, again and again."""
    with file.open("ab", buffering=0) as probe:
        while not over.wait(_TRY_DISK_SECONDS):
            probe.write(b"x" * 150)
            began = time.monotonic()
            os.fsync(probe.fileno())
            yield began, time.monotonic()


def stolen_seconds() -> float:
    """Processor time that others on the same hardware had while we wanted it, since the machine started; Linux only."""
    try:
        steal = Path("/proc/stat").read_text(encoding="ascii").split()[8]
    except (OSError, IndexError):
        return 0.0
    return int(steal) / os.sysconf("SC_CLK_TCK")


def _longer(spans: list[_Span], seconds: float) -> list[_Span]:
    return [(begin, end) for begin, end in spans if end - begin > seconds]


def _overlaps(spans: list[_Span], begin: float, end: float) -> bool:
    return any(since < end and begin < until for since, until in spans)


def _share(values: list[float], share: float) -> float:
    """The value that so large a share of the (sorted) values does not exceed."""
    return values[min(len(values) - 1, int(share * len(values)))]


def _ms(values: list[float], share: float) -> str:
    return f"{1000 * _share(values, share):.2f} ms"


class _Watcher:
    """A process that sees lines as they come into being."""

    def __init__(self, path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_watch, args=(path, there))

    def __enter__(self) -> _Watcher:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._here.close()
        self._process.join()

    def result(self) -> tuple[list[tuple[int, str]], list[int]]:
        """(when it was seen, the line) of each, and when it was looked, in nanoseconds."""
        self._here.send(None)
        seen, looked_at = self._here.recv()
        return seen, looked_at


def _watch(path: Path, parent: Connection) -> None:
    while not path.exists():
        if parent.poll(0.01):  # the daemon never got so far
            return
    seen: list[tuple[int, str]] = []
    looked_at: list[int] = []
    rest = b""
    with path.open("rb", buffering=0) as file:
        while not parent.poll(0):
            data = file.read(65536)
            now = time.monotonic_ns()
            *lines, rest = (rest + data).split(b"\n") if data else (rest,)
            seen += [(now, line.decode()) for line in lines]
            looked_at.append(now)
            time.sleep(_LOOK_SECONDS)
    try:
        parent.recv()
    except EOFError:
        return
    parent.send((seen, looked_at))


if __name__ == "__main__":
    main()
