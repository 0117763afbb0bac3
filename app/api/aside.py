"""Work in a process of its own: it takes neither a thread's interpreter nor memory from those who ask for less."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from tempfile import TemporaryFile
from typing import IO

import anyio.from_thread
from fastapi import Request

from app.api.database import Busy
from app.api.handed_on import environment
from app.api.problems import Problem
from app.config import Settings
from app.errors import ConfigurationError, DatabaseUnavailable

MOST_SECONDS = 60.0

_LOOK_SECONDS = 0.2  # how soon it is noticed that the client is gone


class Refused(Exception):
    """The command cannot use what it was given. ``lines``: what it said, without its own name and the file's."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(*lines)
        self.lines = lines


class Aside:
    """Runs a command of ours for a client, one at a time, 60 seconds at most, and no longer than the client waits.

    ``what``: it is, for those that find it running. ``advice``: for those whose question takes too long.
    """

    def __init__(self, what: str, advice: str) -> None:
        self._what, self._advice = what, advice
        self._place = threading.Lock()

    def run(
        self, settings: Settings, request: Request, content: bytes, command: Callable[[str], Sequence[str]]
    ) -> bytes:
        """What it prints. ``command``: its words, given the name of a file that has the content.

        Raises Refused, Busy, DatabaseUnavailable; Problem where it takes too long, or the client is gone.
        """
        if not self._place.acquire(blocking=False):
            raise Busy(f"{self._what} runs already, and one at a time may")
        try:
            return self._run(settings, request, content, command)
        finally:
            self._place.release()

    def _run(
        self, settings: Settings, request: Request, content: bytes, command: Callable[[str], Sequence[str]]
    ) -> bytes:
        with TemporaryFile() as file:
            file.write(content)
            file.flush()
            file.seek(0)
            name = f"/dev/fd/{file.fileno()}"
            with _start(settings, file, command(name)) as process:
                try:
                    printed, said = self._wait(request, process)
                except BaseException:
                    process.kill()
                    raise
        if process.returncode == DatabaseUnavailable.exit_code:
            raise DatabaseUnavailable("the database does not answer")
        if process.returncode == ConfigurationError.exit_code:
            lines = said.decode("utf-8", "replace").strip().splitlines()
            raise Refused([line.removeprefix("cryptomonitor: ").removeprefix(f"{name}: ") for line in lines])
        if process.returncode != 0:
            raise RuntimeError(f"{self._what} ended with exit code {process.returncode}: {said[-2000:]!r}")
        return printed

    def _wait(self, request: Request, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """Both outputs, when it has ended by itself. Problem after a minute, or when nobody waits any more."""
        # communicate() would close it at once, and with it end the child.
        life, process.stdin = process.stdin, None
        deadline = time.monotonic() + MOST_SECONDS
        try:
            while True:
                try:
                    return process.communicate(timeout=_LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    if time.monotonic() >= deadline:
                        detail = f"This takes longer than {MOST_SECONDS:g} seconds: {self._advice}."
                        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
                    if anyio.from_thread.run(request.is_disconnected):
                        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "The client is gone.") from None
        finally:
            if life is not None:
                life.close()


def _start(settings: Settings, file: IO[bytes], command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  (our own program; the words were made of what was read before)
        [sys.executable, "-m", "app", *command, "--parent-fd=0"],
        env=environment(settings),
        pass_fds=[file.fileno()],
        stdin=subprocess.PIPE,  # its end is the child's end: the kernel closes it even when this process is killed
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
