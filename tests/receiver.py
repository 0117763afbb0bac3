"""A receiver for tests: a real HTTP server on loopback that writes down what it gets and answers as it is told."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.ports import free_port
from tests.provider import Answer, reply

OK = reply(b"thanks")


@dataclass(frozen=True)
class Received:
    """A request that came in whole, when on the monotonic clock, and whether it was answered with 200."""

    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        alerts: list[dict[str, Any]] = json.loads(self.body)["alerts"]
        return alerts


@dataclass
class Receiver:
    """``answer`` chooses what is done with each message; all are written down before it is asked."""

    port: int = 0
    answer: Callable[[Received], Answer] = lambda _: OK
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def states(self) -> list[tuple[str, str, str]]:
        """(symbol, id, state) of every alert, in the order in which they came, repetitions as well."""
        return [(a["symbol"], a["id"], a["state"]) for message in list(self.received) for a in message.alerts]

    def times(self) -> Counter[tuple[str, str, str]]:
        return Counter(self.states())


def scripted(*answers: Answer) -> Callable[[Received], Answer]:
    """These in order, and the last one for ever after."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """Run it, on the port that it had before if it had one; when left, its port and its threads are gone."""
    closing = threading.Event()
    open_sockets: set[socket.socket] = set()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            receiver.connections += 1
            open_sockets.add(self.request)
            # The client may leave whenever it likes.
            with suppress(OSError), self.request.makefile("rb") as reader:
                if (received := _read(reader)) is not None:
                    receiver.received.append(received)
                    receiver.answer(received)(self.request, closing)

        def finish(self) -> None:
            open_sockets.discard(self.request)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    receiver.port = receiver.port or free_port()  # one that is still free when it comes back
    with Server(("127.0.0.1", receiver.port), Handler) as server:
        loop = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        loop.start()
        try:
            yield receiver
        finally:
            closing.set()
            for open_socket in list(open_sockets):
                with suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)
            server.shutdown()
            loop.join()


def _read(reader: Any) -> Received | None:
    request_line = reader.readline()
    if not request_line:
        return None
    headers = {}
    while (line := reader.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", 0)))
    return Received(request_line.decode("latin-1").split()[1], headers, body, time.monotonic())


def reset(connection: socket.socket, closing: threading.Event) -> None:
    """No word, and the connection is torn down: the sender cannot know what became of its message."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def after(seconds: float, answer: Answer) -> Answer:
    """The answer, later."""

    def late(connection: socket.socket, closing: threading.Event) -> None:
        if not closing.wait(seconds):
            answer(connection, closing)

    return late
