"""The API on a port of its own within the test, and clients of its stream, as a browser's EventSource is one."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

_PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class Told:
    """One event."""

    kind: str
    data: Any
    id: str | None = None
    """What it says is the last id from then on, if it says so."""


@contextmanager
def served(app: ASGIApp, kept_by_system: int | None = None) -> Iterator[int]:
    """The port on which the application answers, for as long as this lasts.

    ``kept_by_system``: bytes, about, that the system takes from it before the client does.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=2000) as listener:
        if kept_by_system is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kept_by_system)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, kept_by_system)
        config = uvicorn.Config(app, lifespan="off", log_config=None, log_level=logging.ERROR, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


class Client:
    """One connection to the stream. ``last_id`` is what it would come back with."""

    def __init__(self, port: int, query: str = "", last_id: str | None = None, takes: int | None = None) -> None:
        """``takes``: bytes, about, that the system takes in for it before it reads them."""
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
        if takes is not None:
            self.connection.sock = socket.socket()
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
            self.connection.sock.settimeout(_PATIENCE_SECONDS)
            self.connection.sock.connect(("127.0.0.1", port))
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        self.connection.request("GET", f"/api/v1/stream{query}", headers=headers)
        self.reply = self.connection.getresponse()
        self.last_id, self.comments = last_id, list[str]()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.reply.close()
        self.connection.close()

    def begun(self) -> Client:
        """This client, once it knows from where on it is told everything."""
        while self.last_id is None:
            assert self.block() is None
        return self

    def told(self) -> Told | None:
        """The next event; None at the end."""
        try:
            while (found := self.block()) is None:
                pass
        except EOFError:
            return None
        return found

    def take(self, count: int) -> list[Told]:
        """The next events, so many."""
        found = [self.told() for _ in range(count)]
        assert None not in found, found
        return [told for told in found if told is not None]

    def block(self) -> Told | None:
        """What stands before the next empty line; None, where that is no event. Raises EOFError at the end."""
        fields: dict[str, str] = {}
        while (line := self._line()) != "":
            name, _, value = line.partition(": ")
            if name == "":
                self.comments.append(value)
            fields[name or ":"] = value if name else line[2:]
        # As the standard has it: an id counts when its block is whole, be it an event or not.
        self.last_id = fields.get("id", self.last_id)
        if "data" not in fields:
            return None
        return Told(fields.get("event", "message"), json.loads(fields["data"], parse_float=str), fields.get("id"))

    def _line(self) -> str:
        try:
            line = self.reply.readline()
        except (http.client.IncompleteRead, ConnectionResetError):
            line = b""
        if not line.endswith(b"\n"):
            raise EOFError
        return line.decode().rstrip("\n")


def of(kind: str, told: list[Told]) -> list[Mapping[str, Any]]:
    """What the events of a kind say."""
    return [one.data for one in told if one.kind == kind]
