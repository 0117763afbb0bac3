"""An event loop that can always be left: what asks for a host's address does not hold it, nor the process, up."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any


class LeavableLoop(asyncio.SelectorEventLoop):
    """As usual, but names are looked up in threads of their own, which nobody waits for at the end.

    The usual ones are waited for, by the loop and again by the interpreter: half a minute, where a name server is away.
    """

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> list[Any]:
        """As ``socket.getaddrinfo``."""
        found: asyncio.Future[list[Any]] = self.create_future()
        threading.Thread(target=self._look_up, args=(found, host, port, hints), name="getaddrinfo", daemon=True).start()
        return await found

    def _look_up(self, found: asyncio.Future[list[Any]], host: Any, port: Any, hints: dict[str, Any]) -> None:
        try:
            addresses = socket.getaddrinfo(host, port, **hints)
        except OSError as error:
            self._tell(found, error, [])
        else:
            self._tell(found, None, addresses)

    def _tell(self, found: asyncio.Future[list[Any]], error: OSError | None, addresses: list[Any]) -> None:
        def tell() -> None:
            if found.done():  # nobody waits for it any more
                return
            if error is None:
                found.set_result(addresses)
            else:
                found.set_exception(error)

        try:
            self.call_soon_threadsafe(tell)
        except RuntimeError:  # closed meanwhile
            return
