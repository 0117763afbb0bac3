"""An adapter for ``requests`` whose calls end by a deadline, whatever the other side does.

The time limits of requests and urllib3 are for each single wait. A server that sends a byte every four seconds, a
name with eight silent addresses, or a dead name server would hold a call for minutes. Here every wait of a call gets
only the time that is left of the whole.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import Any

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import create_connection

CONNECT_SECONDS = 3.0  # to one address, so that one that is silent leaves time for the next
STALL_SECONDS = 5.0  # in which nothing at all arrives

# Sockets wait in real time, so this is no matter for app.clock.
_ends: ContextVar[float] = ContextVar("ends")


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """What is called in here, through DeadlineAdapter and in this thread, ends within so many seconds."""
    token = _ends.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


class DeadlineAdapter(requests.adapters.HTTPAdapter):
    """Makes connections whose every wait respects ``deadline``. Never retries, never sleeps."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_our_connections(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _use_our_connections(manager)
        return manager


def _left(at_most: float) -> float:
    left = _ends.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return min(left, at_most)


class _Reader(io.RawIOBase):
    """Reads from a connection; before each wait its time limit is set to what is left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(STALL_SECONDS))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _SecureConnection(HTTPSConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _use_our_connections(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


def _connect(connection: HTTPConnection) -> socket.socket:
    """A socket to the first of the host's addresses that answers."""
    failure = OSError("the name has no address")
    for address in _addresses(connection._dns_host.strip("[]"), connection.port):
        sock = None
        try:
            sock = create_connection(
                address, _left(CONNECT_SECONDS), connection.source_address, connection.socket_options
            )
            sock.settimeout(_left(STALL_SECONDS))  # for a TLS handshake as a whole
            return sock
        except OSError as error:
            failure = error
            if sock is not None:
                sock.close()
    raise failure


def _addresses(host: str, port: int) -> list[tuple[str, int]]:
    """Where the host is. Asked in a thread, because a dead name server answers nobody, and knows no time limit."""
    answers: SimpleQueue[list[tuple[str, int]] | OSError] = SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([(str(address[0]), port) for *_, address in found])
        except OSError as error:
            answers.put(error)
        except UnicodeError:
            answers.put(OSError("not a host name"))

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=_left(STALL_SECONDS))
    except Empty:
        raise TimeoutError("the name server does not answer") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
