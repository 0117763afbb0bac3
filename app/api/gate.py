"""What every request passes before its route is looked for: the load, its client's rate, whose token it carries."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from math import ceil
from typing import cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.callers import Caller, Keyring, caller_of, credentials
from app.api.problems import Problem, problem_reply
from app.api.rates import Rates
from app.errors import DatabaseRefused, DatabaseUnavailable

MOST_WAITING = 128
"""Requests that may wait for their answers at once: some three for each thread.

Streams that have begun do not wait, nor do those whose bodies are still to come: we wait for them.
"""


class Gate:
    """Lets a request in, with its caller in the scope, or answers it with a problem.

    ``open_to_all``: the paths that nothing is asked at, so that health checks are answered whatever else goes on.
    """

    def __init__(self, app: ASGIApp, keyring: Keyring, rates: Rates, open_to_all: Collection[str]) -> None:
        self._app, self._keyring, self._rates, self._open = app, keyring, rates, frozenset(open_to_all)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        state = scope.setdefault("state", {})
        state["caller"] = caller
        if scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        if self._waiting >= MOST_WAITING:
            await problem_reply(_busy())(scope, receive, send)
            return
        await self._let_in(scope, receive, send, caller)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        waits = True

        def go() -> None:
            nonlocal waits
            self._waiting -= waits
            waits = False

        async def send_and_go(message: Message) -> None:
            go()
            await send(message)

        async def go_and_receive() -> Message:
            nonlocal waits
            if not waits:
                return await receive()
            go()
            try:
                message = await receive()
            finally:
                self._waiting += 1
                waits = True
            if self._waiting > MOST_WAITING and message["type"] == "http.request":
                raise _busy()
            return message

        self._waiting += 1
        try:
            try:
                scope["state"]["caller"] = await self._known(scope, caller)
            except (Problem, DatabaseUnavailable, DatabaseRefused) as problem:
                await problem_reply(problem)(scope, receive, send_and_go)
            else:
                await self._app(scope, go_and_receive, send_and_go)
        finally:
            go()

    async def _known(self, scope: Scope, caller: Caller) -> Caller:
        """The caller with its token. Problem 429, or 401 for a token that is good for nothing."""
        text = credentials(scope)
        token = self._keyring.remembered(text) if text is not None else None
        known = Caller(caller.address, caller.is_local, token)
        if wait := self._rates.wait(known.key):
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "You ask too often; the Retry-After header says in how many seconds you may again.",
                {"Retry-After": str(ceil(wait))},
            )
        if text is not None and token is None:
            # Counted as its address's until it is known: whoever makes tokens up does not get a bucket for each.
            token = await run_in_threadpool(self._keyring.look_up, text)
        return Caller(caller.address, caller.is_local, token)


def _busy() -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests are waiting.", {"Retry-After": "1"})


def caller(connection: HTTPConnection) -> Caller:
    """Who asks."""
    return cast(Caller, connection.state.caller)
