"""The stream with a thousand clients on this machine: how long after its commit a batch is with the last of them.

``serve`` in a process of its own, over a real server and database; the clients are connections of this process, all
of which are told every batch. The clients' own work, on the same processors, is part of the result.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psutil

from app.alerts.states import Outcome
from app.db import Database
from app.migrations import migrate
from app.model import Tick
from app.store import Store
from tests.servers import available, started

ROOT = Path(__file__).parents[1]
_CLIENTS, _BATCHES, _WARM_UP, _APART_SECONDS = 1000, 30, 5, 1.0
_SYMBOLS = ("BTC", "ETH", "ZEC")
_END = b"\nid: "


def main() -> None:
    """Print the delays, and what they cost the API's process."""
    with (
        tempfile.TemporaryDirectory() as folder,
        started(available()[0]) as dsn,
        closing(Database(dsn, threading.Event())) as database,
        socket.create_server(("127.0.0.1", 0), backlog=_CLIENTS) as listener,
    ):
        migrate(database)
        listener.set_inheritable(True)
        command = [sys.executable, "-m", "app", "serve", "--listen-fd", str(listener.fileno())]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DATA_DIR": folder, "DATABASE_URL": dsn}
        environment |= {"API_REQUESTS_PER_SECOND": "0"}
        with subprocess.Popen(command, cwd=folder, env=environment, pass_fds=[listener.fileno()]) as api:
            try:
                asyncio.run(_measure(listener.getsockname()[1], Store(database), psutil.Process(api.pid)))
            finally:
                api.kill()


async def _measure(port: int, store: Store, api: psutil.Process) -> None:
    began = time.monotonic()
    clients = [await _connected(port) for _ in range(_CLIENTS)]
    print(f"stream: {_CLIENTS} clients, {len(_SYMBOLS)} ticks a batch, connected in {time.monotonic() - began:.1f} s")
    first, last, used = list[float](), list[float](), 0.0
    start = datetime.now(UTC)
    for number in range(_WARM_UP + _BATCHES):
        if number == _WARM_UP:
            first, last, used, began = [], [], _cpu(api), time.monotonic()
        at = start + timedelta(seconds=number)
        ticks = [Tick(symbol, at, Decimal("60781.97"), Decimal(5), Decimal(7), at, "coingecko") for symbol in _SYMBOLS]
        waiting = [asyncio.ensure_future(_next_batch(reader)) for reader, _ in clients]
        await asyncio.to_thread(store.save, ticks, Outcome())
        committed = time.monotonic()
        times = sorted(await asyncio.gather(*waiting))
        first.append(times[0] - committed)
        last.append(times[-1] - committed)
        await asyncio.sleep(max(0.0, _APART_SECONDS - (time.monotonic() - committed)))
    share = (_cpu(api) - used) / (time.monotonic() - began)
    for name, delays in (("first", sorted(first)), ("last", sorted(last))):
        median, most = delays[len(delays) // 2], delays[int(0.99 * len(delays))]
        print(f"  {name} client told: median {1000 * median:.1f} ms, p99 {1000 * most:.1f} ms after the commit")
    print(f"  the API: {100 * share:.1f} % of a core, {api.memory_info().rss / 1e6:.0f} MB; {len(last)} batches")
    began = time.monotonic()
    api.send_signal(signal.SIGTERM)
    await asyncio.gather(*(reader.read() for reader, _ in clients))
    told = time.monotonic()
    await asyncio.to_thread(api.wait)
    print(f"  after SIGTERM all ended within {told - began:.2f} s, the process within {time.monotonic() - began:.2f} s")


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await reader.readuntil(_END)
    assert head.startswith(b"HTTP/1.1 200"), head
    await reader.readuntil(b"\n\n")
    return reader, writer


async def _next_batch(reader: asyncio.StreamReader) -> float:
    """When its last event is there."""
    while True:
        await reader.readuntil(_END)
        if b"data: " in await reader.readuntil(b"\n\n"):  # and not a sign of life
            return time.monotonic()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
