"""What this process may do: connect to judged addresses, read the program's own files. It holds for every library.

Python reports what is about to happen to an audit hook, which cannot be taken off again: so nothing is missed that
does not run in C beneath it. The looking up of names is replaced: it judges, and remembers what may be connected to.
"""

from __future__ import annotations

import os
import socket
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from app.errors import ChannelRefused
from app.notify import Allowed
from app.outbound import Blocked, told
from app.sender.heard import Heard

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTING = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn"}
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FOLDERS = tuple(
    os.path.realpath(path) + os.sep
    for path in {
        str(Path(__file__).parents[1]),
        str(Path(requests.__file__).parents[1]),
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        "/usr/share/zoneinfo",
    }
)
_FILES = frozenset({os.devnull, "/etc/mime.types", "/etc/localtime"})


class Guard:
    """The rules for the message that is being sent. ``install`` makes the whole process keep them, for good."""

    def __init__(self) -> None:
        self._allowed, self._judged = Allowed(), set[str]()
        self._encrypted, self._scheme = True, ""
        self.heard = Heard()

    @contextmanager
    def sending(self, allowed: Allowed, scheme: str, *, encrypted: bool) -> Iterator[Heard]:
        """For one message: where it may go, and whether what its plugin says is encrypted. What was heard of it."""
        self._allowed, self._scheme, self._encrypted = allowed, scheme, encrypted
        self._judged, self.heard = set(), Heard()
        try:
            yield self.heard
        finally:
            self._judged = set()

    def install(self) -> None:
        find, send, connect = socket.getaddrinfo, HTTPAdapter.send, socket.socket.connect

        def judged(host: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                found = find(host, *args, **kwargs)
            except OSError as error:
                self.heard.failed(told(error))
                raise
            self._judge(_text(host), [str(address[0]) for *_, address in found])
            return found

        def sent(adapter: HTTPAdapter, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
            # A plugin that is known to be encrypted may call an address that is not, and a redirect may lead to one.
            before = self._encrypted
            self._encrypted = urlsplit(request.url or "").scheme == "https" and kwargs.get("verify") is not False
            try:
                response = send(adapter, request, **{**kwargs, "proxies": None})
            except (OSError, ValueError) as error:
                self.heard.failed(told(error))
                raise
            finally:
                self._encrypted = before
            self.heard.answered(response.status_code, response.headers.get("Retry-After"))
            return response

        def connected(sock: socket.socket, address: Any) -> None:
            try:
                connect(sock, address)
            except BlockingIOError:
                raise
            except OSError as error:
                self.heard.failed(told(error))
                raise

        socket.getaddrinfo = judged
        socket.socket.connect = connected  # type: ignore[method-assign,assignment]
        HTTPAdapter.send = sent  # type: ignore[method-assign,assignment]
        sys.addaudithook(self._audit)

    def _judge(self, host: str, addresses: list[str]) -> None:
        refusal = self._allowed.refusal(host, addresses, encrypted=True)
        foreign = [address for address in addresses if not self._allowed.covers(host, address)]
        if refusal is None and foreign and not self._encrypted:
            refusal = f"{self._scheme}:// is not encrypted here: use its secure form, or name its host in NOTIFY_ALLOW"
        if refusal is not None:
            self._refuse(refusal)
        self._judged.update(addresses)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _CONNECTING:
            address = args[1]
            if address is not None and not (isinstance(address, tuple) and address[0] in self._judged):
                self._refuse("it connects in a way that cannot be watched over; use another service")
        elif event == "open":
            path, _, flags = args
            if not isinstance(path, int) and (flags & _WRITING or not _ours(path)):
                self._refuse("it names a file of this machine, and none is opened")
        elif event in _STARTING:
            self._refuse("it starts a program of this machine, and none is started")

    def _refuse(self, why: str) -> None:
        self.heard.failed(ChannelRefused(why))
        raise Blocked(why)


def _ours(path: str | bytes) -> bool:
    real = os.path.realpath(os.fsdecode(path))
    return real.startswith(_FOLDERS) or real in _FILES or os.fsdecode(path) in _FILES


def _text(host: str | bytes | None) -> str:
    return os.fsdecode(host or "")
