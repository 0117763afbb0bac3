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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import create_connection

CONNECT_SECONDS = 3.0  # to one address, so that one that is silent leaves time for the next
STALL_SECONDS = 5.0  # in which nothing at all arrives

Guard = Callable[[str, Sequence[str]], None]
"""Given a host and all addresses that it has just been found at: raises where none of them may be connected to."""

# Sockets wait in real time, so this is no matter for app.clock.
_ends: ContextVar[tuple[float, float]] = ContextVar("ends")


@contextmanager
def deadline(seconds: float, *, stall: float = STALL_SECONDS) -> Iterator[None]:
    """What is called in here, through DeadlineAdapter and in this thread, ends within so many seconds.

    And it ends when for ``stall`` of them nothing at all arrives.
    """
    token = _ends.set((time.monotonic() + seconds, stall))
    try:
        yield
    finally:
        _ends.reset(token)


class DeadlineAdapter(requests.adapters.HTTPAdapter):
    """Makes connections whose every wait respects ``deadline``, and which ``guard`` allows. Never retries or sleeps."""

    def __init__(self, guard: Guard = lambda _host, _addresses: None) -> None:
        self._guard = guard
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_our_connections(self.poolmanager, self._guard)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _use_our_connections(manager, self._guard)
        return manager


def _left(at_most: float | None = None) -> float:
    end, stall = _ends.get()
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return min(left, stall if at_most is None else at_most)


class _Reader(io.RawIOBase):
    """Reads from a connection; before each wait its time limit is set to what is left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))

    def _safe_read(self, amt: int) -> bytes:
        # urllib3 takes "-1" for the size of a chunk, and would read without end; "-2" it would not survive.
        if amt < 0:
            raise http.client.HTTPException("a chunk of negative size")
        return super()._safe_read(amt)  # type: ignore[misc,no-any-return]


def _use_our_connections(manager: PoolManager, guard: Guard) -> None:
    class Connection(HTTPConnection):
        response_class = _Response

        def _new_conn(self) -> socket.socket:
            return _connect(self, guard)

    class SecureConnection(HTTPSConnection):
        response_class = _Response

        def _new_conn(self) -> socket.socket:
            return _connect(self, guard)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    manager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}


def _connect(connection: HTTPConnection, guard: Guard) -> socket.socket:
    """A socket to the first of the host's addresses that answers; exactly those that the guard was shown are tried."""
    failure = OSError("the name has no address")
    host = connection._dns_host.strip("[]")
    addresses = _addresses(host, connection.port)
    guard(host, [address for address, _ in addresses])
    for address in addresses:
        sock = None
        try:
            sock = create_connection(
                address, _left(CONNECT_SECONDS), connection.source_address, connection.socket_options
            )
            sock.settimeout(_left())  # for a TLS handshake as a whole
            return sock
        except OSError as error:
            failure = error
            if sock is not None:
                sock.close()
    raise failure


_Addresses = list[tuple[str, int]]
_lookups: dict[tuple[str, int], Future[_Addresses]] = {}
_lookups_lock = threading.Lock()


def _addresses(host: str, port: int) -> _Addresses:
    """Where the host is. Asked in a thread, because a dead name server answers nobody, and knows no time limit.

    Who asks for a name that is being asked for waits for the same answer: one thread a name, however long it takes.
    """
    with _lookups_lock:
        answer = _lookups.get((host, port))
        if answer is None:
            answer = _lookups[host, port] = Future()
            threading.Thread(target=_look_up, args=(host, port, answer), name=f"resolve {host}", daemon=True).start()
    try:
        return answer.result(_left(STALL_SECONDS))
    except TimeoutError:
        raise TimeoutError("the name server does not answer") from None


def _look_up(host: str, port: int, answer: Future[_Addresses]) -> None:
    found: _Addresses = []
    failure: OSError | None = None
    try:
        found = [(str(address[0]), port) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        failure = error
    except UnicodeError:
        failure = OSError("not a host name")
    with _lookups_lock:  # what is asked from now on is asked anew
        del _lookups[host, port]
    if failure is None:
        answer.set_result(found)
    else:
        answer.set_exception(failure)
