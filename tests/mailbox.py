"""A mail server for tests: on loopback, takes what it is sent, or answers with the code that it is told to."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message


@dataclass
class Mailbox:
    """``refuse`` maps the first word of a command to what is answered instead of yes."""

    port: int = 0
    refuse: dict[str, str] = field(default_factory=dict)
    mails: list[Message] = field(default_factory=list)


@contextmanager
def receiving_mail(mailbox: Mailbox) -> Iterator[Mailbox]:
    """Run it; when left, its port and its threads are gone."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # the client may leave whenever it likes
                self._say("220 here")
                while line := self.rfile.readline().decode():
                    word = line.split()[0].upper()
                    if word in mailbox.refuse:
                        self._say(mailbox.refuse[word])
                    elif word == "EHLO":
                        self._say("250-here\r\n250 AUTH PLAIN")
                    elif word == "AUTH":
                        self._say("235 come in")
                    elif word == "DATA":
                        self._take()
                    else:
                        self._say("250 fine")

        def _take(self) -> None:
            self._say("354 go on")
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line)
            mailbox.mails.append(message_from_bytes(b"".join(lines)))
            self._say("250 taken")

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        mailbox.port = server.server_address[1]
        loop = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        loop.start()
        try:
            yield mailbox
        finally:
            server.shutdown()
            loop.join()
