"""A provider for tests: a real HTTP server on loopback that answers exactly as it is told, also badly."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

Answer = Callable[[socket.socket, threading.Event], None]
"""Writes to the connection; the event is set when the server closes."""


@dataclass(frozen=True)
class Asked:
    """A request as it arrived; header names in lower case."""

    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass
class Provider:
    """Gives its answers in order, and the last one for ever after."""

    root: str
    answers: list[Answer]
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def serving(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """Run a provider, with ``tls`` under https; when left, its port and its threads are gone."""
    closing = threading.Event()
    open_sockets: set[socket.socket] = set()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            provider.connections += 1
            # The client may leave whenever it likes, also because of our certificate.
            with suppress(OSError):
                if tls is not None:
                    self.request.settimeout(5)  # for a client that only connects
                    self.request = tls.wrap_socket(self.request, server_side=True)
                    self.request.settimeout(None)
                open_sockets.add(self.request)
                self.converse()

        def converse(self) -> None:
            with self.request.makefile("rb") as reader:
                while not closing.is_set() and (request_line := reader.readline()):
                    headers = {}
                    while (line := reader.readline().strip()) != b"":
                        name, _, value = line.decode("latin-1").partition(":")
                        headers[name.lower()] = value.strip()
                    provider.asked.append(Asked(request_line.decode("latin-1").split()[1], headers))
                    provider.next_answer()(self.request, closing)

        def finish(self) -> None:
            open_sockets.discard(self.request)
            if isinstance(self.request, ssl.SSLSocket):
                self.request.close()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        scheme = "http" if tls is None else "https"
        provider = Provider(f"{scheme}://127.0.0.1:{server.server_address[1]}", list(answers))
        loop = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        loop.start()
        try:
            yield provider
        finally:
            closing.set()
            for open_socket in list(open_sockets):
                with suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)
            server.shutdown()
            loop.join()


def reply(body: object = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A complete, well-formed reply; a body that is no bytes becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return raw(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode("latin-1") + content)


def raw(content: bytes, *, then_close: bool = False) -> Answer:
    """These bytes, whatever they mean."""

    def answer(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(content)
        if then_close:
            connection.shutdown(socket.SHUT_RDWR)

    return answer


def drip(content: bytes, tail: bytes = b"x", pause: float = 0.02) -> Answer:
    """These bytes, and then the tail again and again, slowly, until the other side gives up."""

    def answer(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(content)
        while not closing.wait(pause):
            connection.sendall(tail)

    return answer


def flood(content: bytes, tail: bytes) -> Answer:
    """These bytes, and then the tail again and again, as fast as it goes, until the other side gives up."""

    def answer(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(content)
        while not closing.is_set():
            connection.sendall(tail)

    return answer


def hang(content: bytes = b"") -> Answer:
    """These bytes, and then nothing."""

    def answer(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(content)
        closing.wait()

    return answer
