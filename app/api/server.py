"""The life of the API process: it serves until it is told to stop, or until its parent is gone."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from socket import socket
from typing import Any

import uvicorn

from app.api.edge import Edge
from app.api.stream_feed import MOST_CLIENTS

_CONNECTIONS = MOST_CLIENTS + 512
_GRACE_SECONDS = 1.5  # for replies that are under way; then the process is over, whatever a thread still waits for


def serve(
    app: Edge, listeners: Sequence[socket], parent_fd: int | None = None, ending: Callable[[], None] = lambda: None
) -> None:
    """Serve until SIGTERM or SIGINT. With the read end of a pipe: until its other end, the parent's, is closed.

    ``ending``: told that it is about to end, so that replies end that would not by themselves.
    """
    _allow_files(_CONNECTIONS + 256)
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
        limit_concurrency=_CONNECTIONS,
    )
    # What is there by now stays: to look through it for what could go would hold replies up by some 50 ms each time.
    gc.collect()
    gc.freeze()
    _Server(config, ending).run(list(listeners))
    # Not by way of Python's own end: it takes the handler away, and the timer that is running would then kill us.
    _end()


class _Server(uvicorn.Server):
    """Uvicorn, for which being told to stop is a success: it would end by raising the same signal again."""

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)

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


def _allow_files(count: int) -> None:
    """A connection is a file; where fewer are allowed than we may have open, allow more, as far as we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end(*_: Any) -> None:
    os._exit(0)


def _end_with_parent(fd: int) -> None:
    # Nothing is ever written to it: this returns when the parent has closed it or has died, however it died.
    os.read(fd, 1)
    # At once and without a word: the next `run` wants the port, and nobody may be left to read the log.
    os._exit(0)
