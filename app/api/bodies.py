"""Bodies of requests: JSON, no longer than allowed, not all too slow, and not too many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any

import anyio
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from app.api.problems import Problem, invalid
from app.api.replies import decoded

MOST_BYTES, MOST_BYTES_OF_ONE = 64_000_000, 24_000_000
"""That all bodies together may have, and those of one client, until they are answered."""

MOST_COMING = 8
"""Bodies of one client that may be on their way at once."""

_SECONDS = 10.0  # that a body may take beyond what its length explains
_LEAST_SPEED = 50_000  # bytes a second


class Body(Request):
    """A request whose body is read with these limits. Problem 408, 413, 422 or 503 while it is read.

    ``arrived``: told how many bytes came.
    """

    def __init__(self, scope: Scope, receive: Receive, most_bytes: int, arrived: Callable[[int], None]) -> None:
        super().__init__(scope, _limited(receive, most_bytes, arrived))

    async def json(self) -> Any:
        """What it says; numbers with a fraction are Decimals, with every digit."""
        try:
            found = decoded(await self.body())
            has_nul = _has_nul(found)
        except msgspec.DecodeError as error:
            raise invalid("body", f"should be JSON ({error})") from None
        except UnicodeDecodeError:
            raise invalid("body", "should be JSON, in UTF-8") from None
        except RecursionError:
            raise invalid("body", "should not be nested as deeply") from None
        if has_nul:
            raise invalid("body", "should have no zero bytes in its texts")
        return found


class Uploads:
    """The bodies that are on their way or wait for their answers, of which each client has a share. For one thread."""

    def __init__(self) -> None:
        self._coming: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @asynccontextmanager
    async def whole(self, request: Request, most_bytes: int, client: str) -> AsyncIterator[Body]:
        """The request with its body read. Its bytes count until it is answered. Problem 408, 413 or 503."""
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._bytes.total() + size > MOST_BYTES or self._bytes[client] + size > MOST_BYTES_OF_ONE:
                raise _busy("The bodies that are being sent are too long together.")
            self._bytes[client] += size
            held += size

        body = Body(request.scope, request.receive, most_bytes, hold)
        try:
            with self._one_more(client):
                await body.body()
            yield body
        except ClientDisconnect:
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, "The client is gone.") from None
        finally:
            _give_back(self._bytes, client, held)

    @contextmanager
    def _one_more(self, client: str) -> Iterator[None]:
        if self._coming[client] >= MOST_COMING:
            raise _busy(f"You are sending {MOST_COMING} bodies already.")
        self._coming[client] += 1
        try:
            yield
        finally:
            _give_back(self._coming, client, 1)


def _give_back(counts: Counter[str], client: str, count: int) -> None:
    counts[client] -= count
    if not counts[client]:
        del counts[client]


def _busy(detail: str) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})


def demand_json(request: Request) -> None:
    """Problem 415 for a body that is not said to be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_empty = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))) and not (
        is_empty and not kind
    ):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The body should be JSON, and the Content-Type header should say so: application/json.",
            {"Accept": "application/json"},
        )


def demand_size(request: Request, most_bytes: int) -> None:
    """Problem 413 for a body that is said to be too long."""
    said = request.headers.get("content-length", "")
    if said.isdecimal():
        _demand_size(int(said), most_bytes)


def _demand_size(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        detail = f"The body is too long: {most_bytes} bytes at most."
        # The server reads on and drops what comes. Closing on a client that still sends takes the answer from it.
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def _limited(receive: Receive, most_bytes: int, arrived: Callable[[int], None]) -> Receive:
    size, is_whole, started = 0, False, anyio.current_time()

    async def take() -> Message:
        nonlocal size, is_whole
        if is_whole:
            return await receive()  # whether the client is still there
        with anyio.CancelScope(deadline=started + _SECONDS + size / _LEAST_SPEED) as waiting:
            message = await receive()
        if waiting.cancelled_caught:
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time.", {"Connection": "close"})
        came, is_whole = len(message.get("body", b"")), not message.get("more_body", False)
        size += came
        _demand_size(size, most_bytes)
        arrived(came)
        return message

    return take


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any("\x00" in key or _has_nul(its) for key, its in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))
