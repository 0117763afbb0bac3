"""The API with two weeks behind it: ten million ticks stored, the daemon writing, and 50 requests a second.

``python -m bench.api [FOLDER]``: with a folder, what is stored stays there for the next time; making it takes minutes.

A client in a process of its own asks at set times, over connections that stay open, whether earlier answers are there
or not; an answer took from its set time to its last byte. Half of the requests want it packed. Meanwhile the daemon,
with its own PostgreSQL and the API as its child, polls all symbols once a second, of which nine have a new tick; a
batch took from the provider's last byte to the notice that PostgreSQL gives at its commit. Spells with and without
requests take turns. The provider here and the client use the same processors, and so do others: the load, and what was
stolen, are said.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import re
import select
import socket
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
from psycopg2 import extensions as pg

from app.db import Database, connect
from app.embedded import EmbeddedPostgres, address
from app.migrations import migrate
from bench.latency import stolen_seconds
from tests.acceptance.daemon import running, stop, wait_until
from tests.ports import free_port
from tests.provider import Provider, reply, serving

_SYMBOLS = [f"C{number}" for number in range(1, 526)]
_TICKS = 10_000_000
_MINUTE = timedelta(minutes=1)
_A_SECOND = 50
_SPELL_SECONDS, _SPELLS = 30, 3  # with requests, and as many without
_CONNECTIONS = 16
_BATCH_LIMIT = 1.10  # of what a batch takes while nobody asks

_TYPES = "/api/v1/metric_types"
_OF_ONE = [f"{_TYPES}/{type_}/metrics/{symbol}" for type_ in ("price", "volume") for symbol in _SYMBOLS]
_KINDS = {
    "history of 24 h": (0.025, [f"{metric}/history" for metric in _OF_ONE]),
    "rank of one": (0.015, [f"{metric}/rank" for metric in _OF_ONE]),
    "latest of all": (0.015, [f"{_TYPES}/price/metrics", f"{_TYPES}/volume/metrics"]),
    "ranks of all": (0.015, ["/api/v1/metrics?limit=1050"]),
}
"""What is asked for: the limit in seconds, and the addresses, of which one is drawn."""
_TURNS = ("history of 24 h", "rank of one", "history of 24 h", "latest of all", "history of 24 h", "ranks of all")

_STORE = """
INSERT INTO ticker_data ("timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin)
SELECT t, %(symbol)s, round((60000 * (1 + 0.1 * random()))::numeric, 2), round((1e10 * random())::numeric, 2),
    round((1e12 * random())::numeric, 2), t, 'coingecko', 'live'
FROM generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '1 minute') AS t
"""


@dataclass
class Market:
    """All coins, of which each has a new price once a minute; ``sent``: when the last byte of a reply went out."""

    sent: float = 0.0
    polls: int = 0
    provider: Provider = field(init=False)

    def answer(self, connection: socket.socket, closing: threading.Event) -> None:
        """Answer /simple/price; anything else that is asked for has nothing in it."""
        asked = self.provider.asked[-1]
        del self.provider.asked[:-1]
        if not asked.path.endswith("/simple/price"):
            reply([])(connection, closing)
            return
        self.polls += 1
        price, now = 63000 + random.randrange(10_000) / 100, int(time.time())
        values = {"usd": price, "usd_24h_vol": 5e9 + price, "usd_market_cap": 5e11 + price}
        # Each coin is renewed once a minute, as in what is stored: nine of them a second.
        renewed = {id_: now - (now - int(id_[1:])) % 60 for id_ in asked.query["ids"].split(",")}
        content = json.dumps({id_: {**values, "last_updated_at": at} for id_, at in renewed.items()}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        self.sent = time.monotonic()


def main(folder: str | None = None) -> None:
    """Print what is asked for, and how long it takes, as shares of the limits."""
    market, port = Market(), free_port()
    with tempfile.TemporaryDirectory() as temporary, serving(market.answer) as market.provider:
        home = Path(folder or temporary)
        (home / "alerts").mkdir(parents=True, exist_ok=True)
        stored = _fill(home / "data")
        with (
            _Client(port) as client,
            running(
                home,
                "run",
                COINGECKO_BASE_URL=f"{market.provider.root}/api/v3",
                WATCH=",".join(f"{symbol}={symbol.lower()}" for symbol in _SYMBOLS),
                TICK_SECONDS=1,
                API_PORT=port,
                API_REQUESTS_PER_SECOND=0,
            ) as daemon,
        ):
            wait_until(lambda: market.polls > 10 and _is_ready(port), daemon, 300, home)
            with _commits(home / "data", market) as batches:
                client.ask(10)  # a first time
                load, stolen, began = os.getloadavg()[0], stolen_seconds(), time.monotonic()
                quiet, busy, answers, used = list[float](), list[float](), list[_Answer](), Counter[str]()
                for spell in range(_SPELLS):
                    print(f"  spell {spell + 1} of {_SPELLS}", file=sys.stderr, flush=True)
                    batches.clear()
                    time.sleep(_SPELL_SECONDS)
                    quiet += batches
                    batches.clear()
                    before = _used(daemon.pid)
                    answers += client.ask(_SPELL_SECONDS)
                    used.update(_used(daemon.pid))
                    used.subtract(before)
                    busy += batches
                stolen = (stolen_seconds() - stolen) / (time.monotonic() - began) / (os.cpu_count() or 1)
            stop(daemon)
    print(
        f"api: {stored:,} ticks, {2 * len(_SYMBOLS):,} metrics, a poll of {len(_SYMBOLS)} symbols a second, "
        f"{len(answers)} answers at {_A_SECOND} a second, Python {sys.version.split()[0]}"
    )
    for kind, (limit, _) in _KINDS.items():
        took = sorted(answer.seconds for answer in answers if answer.kind == kind)
        print(
            f"  {kind:16} median {_ms(took, 0.5)}   p99 {_ms(took, 0.99)}   at most {_ms(took, 1)};"
            f"   p99 is {_share(took, 0.99) / limit:5.2f} of the limit of {1000 * limit:.0f} ms"
        )
    for name, took in (("nobody asks", sorted(quiet)), ("they ask", sorted(busy))):
        print(f"  a batch while {name:12} median {_ms(took, 0.5)}   p99 {_ms(took, 0.99)}   ({len(took)} batches)")
    ratio = statistics.median(busy) / statistics.median(quiet)
    print(f"  the median is {ratio:5.2f} times that while nobody asks (limit: {_BATCH_LIMIT:.2f})")
    shares = ", ".join(f"{name} {its / 10 / _SPELLS / _SPELL_SECONDS:.0f} %" for name, its in used.items())
    print(f"  of a processor, while they ask: {shares}")
    late = sorted(answer.late for answer in answers)
    print(f"  the client itself was late by {_ms(late, 0.5)} (p99 {_ms(late, 0.99)}), which is in the above")
    print(f"  load {load:.1f} to {os.getloadavg()[0]:.1f}; {stolen:.1%} of the processors' time went to other machines")


def _used(pid: int) -> dict[str, int]:
    """The processor time, in milliseconds, of the daemon, of the API and of PostgreSQL so far."""
    daemon = psutil.Process(pid)
    used = Counter[str]()
    for process in (daemon, *daemon.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            its = process.cpu_times()
            name = "PostgreSQL" if "postgres" in process.name() else "the daemon" if process.pid == pid else "the API"
            used[name] += int(1000 * (its.user + its.system))
    return used


def _share(values: Sequence[float], share: float) -> float:
    """The value that so large a share of the (sorted) values does not exceed."""
    return values[min(len(values) - 1, int(share * len(values)))]


def _ms(values: Sequence[float], share: float) -> str:
    return f"{1000 * _share(values, share):6.2f} ms"


def _is_ready(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
        return int(answer.status) == 200
    return False


@contextmanager
def _commits(data: Path, market: Market) -> Iterator[list[float]]:
    """A list that grows by each batch: how long it took from the market's last byte to its commit."""
    found, over = list[float](), threading.Event()
    with closing(connect(address(data) or "")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("LISTEN cryptomonitor")

        def listen() -> None:
            while not over.is_set():
                if select.select([connection], [], [], 0.2)[0]:
                    connection.poll()
                    now = time.monotonic()
                    found.extend(now - market.sent for _ in connection.notifies)
                    connection.notifies.clear()

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield found
        finally:
            over.set()
            listener.join()


@dataclass(frozen=True)
class _Answer:
    """How long it took from the time at which it was to be asked for; ``late``: of that, before it was."""

    kind: str
    seconds: float
    late: float


class _Client:
    """A process that asks at set times."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_client, args=(port, there))

    def __enter__(self) -> _Client:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._here.send(0)
        self._process.join()

    def ask(self, seconds: int) -> list[_Answer]:
        self._here.send(seconds)
        answers: list[_Answer] = self._here.recv()
        return answers


def _client(port: int, parent: Connection) -> None:
    while seconds := parent.recv():
        parent.send(asyncio.run(_ask(port, seconds)))


async def _ask(port: int, seconds: int) -> list[_Answer]:
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(_Connection(*await asyncio.open_connection("127.0.0.1", port)))
    dice, asked = random.Random(6), list[asyncio.Task[_Answer]]()
    began = time.monotonic() + 0.1
    for number in range(seconds * _A_SECOND):
        at = began + number / _A_SECOND
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        kind = _TURNS[number % len(_TURNS)]
        asked.append(
            asyncio.create_task(_one(free, kind, dice.choice(_KINDS[kind][1]), at, packed=dice.random() < 0.5))
        )
    answers = await asyncio.gather(*asked)
    while not free.empty():
        free.get_nowait().writer.close()
    return answers


async def _one(free: asyncio.Queue[_Connection], kind: str, path: str, at: float, *, packed: bool) -> _Answer:
    late = time.monotonic() - at
    connection = await free.get()
    await connection.get(path, packed)
    free.put_nowait(connection)
    return _Answer(kind, time.monotonic() - at, late)


@dataclass(frozen=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def get(self, path: str, packed: bool) -> None:
        """Ask, and read the answer to its end; it is to be 200."""
        more = "Accept-Encoding: gzip\r\n" if packed else ""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        if length := re.search(rb"\ncontent-length: (\d+)\r", head):
            await self.reader.readexactly(int(length[1]))
            return
        size = 1
        while size:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            await self.reader.readexactly(size + 2)


def _fill(data: Path) -> int:
    """A tick of every symbol a minute up to now, ten million in all, and candles of all widths; how many ticks."""
    data.mkdir(parents=True, exist_ok=True)
    with EmbeddedPostgres(data) as server, closing(Database(server.dsn, threading.Event())) as database:
        migrate(database)
        with closing(connect(server.dsn)) as connection, connection.cursor() as cursor:
            connection.autocommit, connection.patience = True, 3600.0
            cursor.execute("SET statement_timeout = 0")
            _store(cursor, datetime.now(UTC).replace(second=0, microsecond=0))
            cursor.execute("VACUUM (ANALYZE)")
            cursor.execute("SELECT refresh_daily_ohlcv()")
            cursor.execute("SELECT count(*) FROM ticker_data")
            ((count,),) = cursor.fetchall()
    return int(count)


def _store(cursor: pg.cursor, last: datetime) -> None:
    first = last - (_TICKS // len(_SYMBOLS)) * _MINUTE
    for month in {first.replace(day=1).date(), last.date(), (last + timedelta(days=31)).date()}:
        cursor.execute("SELECT make_partition(%s)", [month])
    cursor.execute(
        "INSERT INTO instruments (symbol, base, quote, market, provider_id)"
        " SELECT s, s, 'USD', 'coingecko', lower(s) FROM unnest(%s::text[]) AS s ON CONFLICT DO NOTHING",
        [_SYMBOLS],
    )
    cursor.execute("SELECT symbol, max(close_at) FROM candles WHERE width = '1d' GROUP BY symbol")
    newest = dict(cursor.fetchall())
    for number, symbol in enumerate(_SYMBOLS):
        if number % 25 == 0:
            print(f"  storing: {number} of {len(_SYMBOLS)} symbols", file=sys.stderr, flush=True)
        since = newest[symbol].replace(second=0, microsecond=0) + _MINUTE if symbol in newest else first
        if since <= last:
            cursor.execute(_STORE, {"symbol": symbol, "first": since, "last": last})
            cursor.execute("SELECT recompute_candles(%s, %s, %s)", [symbol, since, last + _MINUTE])


if __name__ == "__main__":
    main(*sys.argv[1:])
