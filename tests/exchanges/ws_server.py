"""A WebSocket server of an exchange, on this machine: it answers subscriptions, and sends what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from aiohttp import WSMsgType, web
else:
    aiohttp = pytest.importorskip("aiohttp", reason="what requirements-exchanges.txt lists is not installed")
    web, WSMsgType = pytest.importorskip("aiohttp.web"), aiohttp.WSMsgType

_SECONDS = 20.0


class FakeStream(ABC):
    """Serves on a free port, in a thread of its own, inside a ``with``. Frames are texts, or are written as JSON."""

    path = ""
    """Of the address, where the exchange's has one."""

    def __init__(self) -> None:
        self.subscribed: list[str] = []
        """What was subscribed to, by the exchange's names, in order, by all connections."""
        self.unknown: set[str] = set()
        """What is refused."""
        self.opened = 0
        self.turns_away = False
        """Whether new connections are refused."""
        self.falls_silent = False
        """Whether nothing is answered any more; connections stay open."""
        self._sockets: list[web.WebSocketResponse] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    # What an exchange says.

    @abstractmethod
    def answers(self, message: Any) -> Iterable[object]:
        """What is sent for what came in."""

    def greeting(self) -> Iterable[object]:
        """What is sent at once."""
        return ()

    # What a test does.

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_SECONDS)

    def send(self, *frames: object) -> None:
        """To all who are connected."""
        self._run(lambda socket: self._send(socket, frames))

    def close(self) -> None:
        """Say good-bye to all."""
        self._run(lambda socket: socket.close(code=1001))

    def cut(self) -> None:
        """Be gone without a word."""

        async def abort(socket: web.WebSocketResponse) -> None:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()

        self._run(abort)

    def wait(self, what: Callable[[], object]) -> None:
        """Until it is so."""
        wait_until(what)

    # How.

    def _run(self, act: Callable[[web.WebSocketResponse], Any]) -> None:
        async def all_of_them() -> None:
            for socket in [*self._sockets]:
                with suppress(ConnectionError):
                    await act(socket)

        asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result(_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_get("/{tail:.*}", self._accept)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{runner.addresses[0][1]}{self.path}"
        self._ready.set()
        await self._over.wait()
        for socket in [*self._sockets]:
            with suppress(Exception):
                await asyncio.wait_for(socket.close(), 1)
        await runner.cleanup()

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        if self.turns_away:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.append(socket)
        self.opened += 1
        try:
            await self._send(socket, self.greeting())
            async for message in socket:
                if message.type is WSMsgType.TEXT and not self.falls_silent:
                    await self._send(socket, self.answers(json.loads(message.data)))
        except ConnectionError:
            pass  # it was cut
        finally:
            self._sockets.remove(socket)
        return socket

    async def _send(self, socket: web.WebSocketResponse, frames: Iterable[object]) -> None:
        for frame in frames:
            await socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))


def wait_until(what: Callable[[], object], seconds: float = _SECONDS) -> None:
    """Until it is so. Raises AssertionError where it takes too long."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
