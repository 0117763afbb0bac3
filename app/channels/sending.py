"""The daemon's end of app.sender: a process for one channel, started when there is something to send.

It is asked by its standard input, where nobody else can read addresses. What does not answer in time is killed: that is
the only time limit which apprise, and whatever it talks to, cannot stretch.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.errors import ChannelUnavailable, Stopping

START_SECONDS = 6.0  # which a message waits for it; it then goes on starting, for the next try
ANSWER_SECONDS = 10.0
_MOST_START_SECONDS = 60.0
_LOOK_SECONDS = 0.2  # how soon a wish to stop is noticed
_IDLE_SECONDS = 30.0  # then it is not asked any more: it ends by itself soon after
_ROOT = Path(__file__).parents[2]
# All of ours that it gets: no setting, and no proxy.
_KEPT = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SSL_CERT_DIR", "TMPDIR", "TZ")
_AUTHORITIES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


class Sending:
    """Asks a process of its own, for one thread at a time. Where ``stop`` is set it waits no longer: Stopping."""

    def __init__(
        self,
        *,
        start_seconds: float = START_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        stop: threading.Event | None = None,
    ) -> None:
        self._start_seconds, self._answer_seconds = start_seconds, answer_seconds
        self._stop = stop or threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._started_at = self._asked_at = 0.0

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Its answer. Raises ChannelUnavailable where there is none in time; it is then not known what was done."""
        process = self._running()
        end = time.monotonic() + self._answer_seconds
        try:
            self._write(process, json.dumps(request).encode() + b"\n", end)
            answer = self._read(process, end)
        except (OSError, ValueError) as error:
            self.end()
            raise ChannelUnavailable(_said(error)) from None
        self._asked_at = time.monotonic()
        return answer

    def end(self) -> None:
        """End the process, if there is one. A later ``ask`` starts another."""
        process, self._process, self._is_ready = self._process, None, False
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what could not be written is not worth writing now
                    pipe.close()  # type: ignore[union-attr]

    def _running(self) -> subprocess.Popen[bytes]:
        now = time.monotonic()
        since, most = (self._asked_at, _IDLE_SECONDS) if self._is_ready else (self._started_at, _MOST_START_SECONDS)
        if now - since > most:
            self.end()
        try:
            if self._process is None:
                self._process, self._started_at = _start(), now
            if not self._is_ready:
                self._read(self._process, time.monotonic() + self._start_seconds)
                self._is_ready, self._asked_at = True, time.monotonic()
        except TimeoutError:
            raise ChannelUnavailable("the process that sends has not started yet") from None
        except (OSError, ValueError):
            self.end()
            raise ChannelUnavailable(
                "the process that sends did not start (python -m app.sender); is apprise installed?"
            ) from None
        return self._process

    def _write(self, process: subprocess.Popen[bytes], line: bytes, end: float) -> None:
        """Give it a line. Raises TimeoutError where it has not taken it by then: a pipe holds only so much."""
        pipe = process.stdin.fileno()  # type: ignore[union-attr]
        while line:
            self._wait(pipe, select.POLLOUT, end)
            line = line[os.write(pipe, line) :]

    def _read(self, process: subprocess.Popen[bytes], end: float) -> dict[str, Any]:
        """The next line that it writes. Raises TimeoutError, BrokenPipeError (there is none), ValueError."""
        pipe, line = process.stdout.fileno(), b""  # type: ignore[union-attr]
        while not line.endswith(b"\n"):
            self._wait(pipe, select.POLLIN, end)
            part = os.read(pipe, 65536)
            if not part:
                raise BrokenPipeError
            line += part
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _wait(self, pipe: int, event: int, end: float) -> None:
        poller = select.poll()
        poller.register(pipe, event)
        while not poller.poll(1000 * max(0.0, min(_LOOK_SECONDS, end - time.monotonic()))):
            if self._stop.is_set():
                raise Stopping("the process that sends was waited for")
            if time.monotonic() >= end:
                raise TimeoutError


def _start() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "app.sender"],
        cwd=_ROOT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries complain there, with addresses
        bufsize=0,
        start_new_session=True,  # the terminal's Ctrl-C is for the daemon
    )
    os.set_blocking(process.stdin.fileno(), False)  # type: ignore[union-attr]
    # One that has ended by itself is not left behind as a zombie until the next alert.
    threading.Thread(target=process.wait, name=f"sender {process.pid}", daemon=True).start()
    return process


def _environment() -> dict[str, str]:
    environment = {key: os.environ[key] for key in (*_KEPT, *_AUTHORITIES) if key in os.environ}
    if "REQUESTS_CA_BUNDLE" in environment:
        environment.setdefault("SSL_CERT_FILE", environment["REQUESTS_CA_BUNDLE"])  # for mail
    return {**environment, "NETRC": os.devnull, "NO_PROXY": "*", "PYTHONUTF8": "1"}


def _said(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else "the process that sends has ended"
