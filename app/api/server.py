"""The life of the API process: it serves until it is told to stop, or until its parent is gone."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from socket import socket
from typing import Any

import uvicorn

from app.api.edge import Edge

_GRACE_SECONDS = 1.5  # for replies that are under way; then the process is over, whatever a thread still waits for


def serve(app: Edge, listeners: Sequence[socket], parent_fd: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT. With the read end of a pipe: until its other end, the parent's, is closed."""
    if parent_fd is not None:
        threading.Thread(target=_end_with_parent, args=(parent_fd,), name="parent", daemon=True).start()
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level=logging.ERROR,  # what is left is an error nobody foresaw, with its traceback
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=512,
    )
    _Server(config).run(list(listeners))
    # Not by way of Python's own end: it takes the handler away, and the timer that is running would then kill us.
    _end()


class _Server(uvicorn.Server):
    """Uvicorn, for which being told to stop is a success: it would end by raising the same signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        signal.signal(signal.SIGALRM, _end)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        # Not undone afterwards: a second Ctrl-C while Python ends would be a traceback.
        yield

    def _stop(self, *_: Any) -> None:
        self.should_exit = True
        signal.setitimer(signal.ITIMER_REAL, _GRACE_SECONDS)


def _end(*_: Any) -> None:
    os._exit(0)


def _end_with_parent(fd: int) -> None:
    # Nothing is ever written to it: this returns when the parent has closed it or has died, however it died.
    os.read(fd, 1)
    # At once and without a word: the next `run` wants the port, and nobody may be left to read the log.
    os._exit(0)
