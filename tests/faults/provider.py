"""A CoinGecko that is never killed, never serves the same minute twice, and writes down all that it serves.

Each reply is the next minute of a made-up market, so that whatever a daemon loses shows as a hole. Prices jump often
enough for the two default rules to fire and to resolve every few replies; the last five digits of a price are the
number of its reply, and market caps have more digits than a float can hold.
"""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from email.utils import format_datetime
from hashlib import blake2b
from pathlib import Path
from random import Random
from urllib.parse import SplitResult, parse_qs, urlsplit

MINUTE = timedelta(minutes=1)
_NEAR_A_MONTHS_END = datetime(2024, 2, 29, 22, 30, tzinfo=UTC)
_BLOCK = 12  # replies for which a price stays about where it is
_KNOWN = {"BTC": ("bitcoin", "60781.97"), "ETH": ("ethereum", "2388.18"), "ZEC": ("zcash", "29.45")}


@dataclass(frozen=True, slots=True)
class Row:
    """One observation, digit for digit as served."""

    time: datetime
    symbol: str
    price: str
    volume: str
    cap: str


@dataclass(slots=True)
class Reply:
    """One reply. ``done``: all of it was handed to the network; else it broke off, and may or may not have arrived."""

    number: int
    client: str
    rows: tuple[Row, ...]
    asked_at: float
    done: bool = False


class Market:
    """Any minute of it can be computed on its own, from the seed alone."""

    def __init__(self, seed: int, coins: int = 3, lively: int = 3) -> None:
        """``lively``: how many of the coins cause alerts."""
        more = {
            f"C{n:02d}": (f"coin-{n}", f"{n}.{n:02d}" if n % 2 else f"0.0000{n:02d}21") for n in range(4, coins + 1)
        }
        self.coins = dict(list((_KNOWN | more).items())[:coins])
        self._lively, self._seed = lively, seed

    @property
    def watch(self) -> str:
        """The WATCH setting for its coins."""
        return ",".join(s if s in _KNOWN else f"{s}={id_}" for s, (id_, _) in self.coins.items())

    def rows(self, number: int) -> tuple[Row, ...]:
        """What stands in the reply of this number."""
        at = _NEAR_A_MONTHS_END + number * MINUTE
        return tuple(
            self._row(place, symbol, base, number, at) for place, (symbol, (_, base)) in enumerate(self.coins.items())
        )

    def body(self, rows: tuple[Row, ...]) -> bytes:
        """The rows as /simple/price writes them."""
        coins = [
            f'"{self.coins[row.symbol][0]}":{{"usd":{row.price},"usd_market_cap":{row.cap},"usd_24h_vol":{row.volume},'
            f'"last_updated_at":{int(row.time.timestamp())}}}'
            for row in rows
        ]
        return ("{" + ",".join(coins) + "}").encode()

    def _row(self, place: int, symbol: str, base: str, number: int, at: datetime) -> Row:
        wobble = Decimal(self._dice(symbol, "wobble", number) % 200) / 100_000
        price = _cut(Decimal(base) * (self._level(place, symbol, "price", number) + wobble), base)
        volume = 1_000_000 * (place + 1) * self._level(place, symbol, "volume", number) + number % 97
        digits = self._dice(symbol, "cap", number)
        return Row(
            at, symbol, f"{price:f}{number % 100_000:05d}", f"{volume:.2f}", f"{19_000_000 * price:.0f}.{digits:020d}"
        )

    def _level(self, place: int, symbol: str, what: str, number: int) -> Decimal:
        if place >= self._lively:
            return Decimal(1)
        block = (number + 5 * place + (6 if what == "volume" else 0)) // _BLOCK
        return (Decimal("1"), Decimal("1.03"), Decimal("1.07"))[self._dice(symbol, what, block) % 3]

    def _dice(self, *which: object) -> int:
        return int.from_bytes(blake2b(repr((self._seed, *which)).encode(), digest_size=8).digest(), "big")


def _cut(value: Decimal, like: str) -> Decimal:
    """As many places behind the point."""
    return value.quantize(Decimal(like), ROUND_DOWN)


Bad = Callable[[int], bytes | None]
"""From the number of the request: the whole response, head and body, that it gets instead of the next minute."""


@dataclass
class Provider:
    """What was served. ``root``: the server's address. ``replies`` and the file ``journal`` only grow.

    ``in_flight`` are the numbers of the replies that may be missing: those on their way when a daemon was killed.
    """

    root: str
    market: Market
    journal: Path
    bad: Bad = lambda _number: None
    replies: list[Reply] = field(default_factory=list)
    in_flight: set[int] = field(default_factory=set)
    asked: int = 0
    dice: Random = field(default_factory=Random)
    _serving: int = 0
    _change: threading.Condition = field(default_factory=threading.Condition)
    _open: threading.Event = field(default_factory=threading.Event)

    def url(self, client: str = "a") -> str:
        """The COINGECKO_BASE_URL of one of several daemons: the journal tells them apart."""
        return f"{self.root}/{client}/api/v3"

    def served(self, client: str | None = None) -> int:
        """How many replies were begun, to this daemon or to all."""
        return len(self.replies) if client is None else sum(reply.client == client for reply in list(self.replies))

    def last(self, client: str) -> Reply | None:
        """The newest reply to this daemon."""
        return next((reply for reply in reversed(list(self.replies)) if reply.client == client), None)

    def mark(self, client: str = "a") -> None:
        """This daemon has just been killed, or frozen for so long that another took its place: its newest reply may be
        lost, and no other."""
        self.settle()
        if (reply := self.last(client)) is not None:
            self.in_flight.add(reply.number)

    def settle(self) -> None:
        """Wait until nothing is being sent."""
        with self._change:
            assert self._change.wait_for(lambda: self._serving == 0, 120), "a reply is stuck"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Requests wait meanwhile; short of the 10 s after which a client gives up."""
        self._open.clear()
        try:
            self.settle()
            yield
        finally:
            self._open.set()

    def answer(self, connection: socket.socket, client: str, ids: set[str]) -> None:
        """The next minute of the market, in one piece or two."""
        assert ids == {id_ for id_, _ in self.market.coins.values()}, ids
        self._open.wait()
        with self._change:
            if _has_left(connection):
                return  # it was killed before we came to it: nothing is in flight to it any more
            self.asked += 1
            response = self.bad(self.asked)
            if response is None:
                number = len(self.replies)
                reply = Reply(number, client, self.market.rows(number), time.monotonic())
                self.replies.append(reply)
                self._write(f"begun {number} {client} {reply.rows[0].time.isoformat()}")
                response = _response(self.market.body(reply.rows))
            else:
                reply = None
            self._serving += 1
            pauses = [self.dice.uniform(0, 0.004) for _ in range(2)]
            cut = self.dice.randrange(len(response))
        try:
            time.sleep(pauses[0])
            connection.sendall(response[:cut])
            time.sleep(pauses[1])
            connection.sendall(response[cut:])
            if reply is not None:
                reply.done = True
                self._write(f"done {reply.number}")
        finally:
            with self._change:
                self._serving -= 1
                self._change.notify_all()

    def _write(self, line: str) -> None:
        with self.journal.open("a") as file:
            file.write(f"{line}\n")


@contextmanager
def serving(market: Market, journal: Path, bad: Bad = lambda _number: None) -> Iterator[Provider]:
    """Serve the market on a free port of this machine. When left, the port and its threads are gone."""
    sockets: set[socket.socket] = set()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            sockets.add(self.request)
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The client may be killed whenever we like.
            with suppress(OSError), self.request.makefile("rb") as reader:
                while request := reader.readline():
                    while reader.readline().strip():
                        pass
                    self.reply(urlsplit(request.split()[1].decode()))

        def reply(self, target: SplitResult) -> None:
            client, _, path = target.path.lstrip("/").partition("/api/v3")
            if path == "/simple/price":
                ids = parse_qs(target.query)["ids"][0].split(",")
                provider.answer(self.request, client, set(ids))
            else:
                self.request.sendall(_response(b'{"error":"not served here"}', "404 Not Found"))

        def finish(self) -> None:
            sockets.discard(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close = True, False
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        provider = Provider(f"http://127.0.0.1:{server.server_address[1]}", market, journal, bad)
        provider._open.set()
        loop = threading.Thread(target=server.serve_forever, args=(0.05,))
        loop.start()
        try:
            yield provider
        finally:
            provider._open.set()
            server.shutdown()
            loop.join()
            for connection in list(sockets):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _has_left(connection: socket.socket) -> bool:
    """Whether the client has closed the connection, or is dead."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def _response(body: bytes, status: str = "200 OK") -> bytes:
    head = {
        "Content-Type": "application/json",
        "Content-Length": len(body),
        "Date": format_datetime(datetime.now(UTC), usegmt=True),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body
