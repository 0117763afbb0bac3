"""Every problem as RFC 9457 (application/problem+json), in words, without internals."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from app import log
from app.api.database import Busy
from app.api.forms import in_its_form
from app.errors import DatabaseRefused, DatabaseUnavailable, DataRefused


@dataclass(frozen=True, slots=True)
class Mistake:
    """Where in the request (``query.from``, ``body.when``), and what is wrong there.

    ``line`` and ``column``: where in a condition, both from 1 on; left out elsewhere.
    """

    where: str
    problem: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class ProblemReply:
    """Why there is no other answer (RFC 9457). ``errors``: where something cannot be read, each such place."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Mistake] | None = None


class Problem(HTTPException):
    """Ends a request with a problem; ``more`` are members beside those of the standard."""

    def __init__(
        self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        super().__init__(status, detail, headers)
        self.more = more


def invalid(where: str, problem: str) -> Problem:
    """One parameter, or place in a body (``query.from``, ``body.when``), that cannot be used, and why."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, _UNREADABLE, errors=[{"where": where, "problem": problem}])


_MOST_ERRORS = 20  # a body of 10,000 unknown keys was answered with one seven times as long
_UNREADABLE = "What was asked for cannot be read."


# A name that a client made up is shown only where it cannot be mistaken for anything else.
_NAME = re.compile(r"[\w.@*-]{1,60}")

_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address; / lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take this method; the Allow header names those it takes.",
}


def _reply(
    status: int, detail: str, headers: Mapping[str, str] | None = None, more: Mapping[str, object] | None = None
) -> Response:
    standard = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    body = {**standard, **(more or {})}
    return _ProblemResponse(body, int(status), headers)


class _ProblemResponse(JSONResponse):
    """In the form of the protocol that the address speaks; what that is, is known when it is sent."""

    media_type = "application/problem+json"

    def __init__(self, problem: Mapping[str, Any], status: int, headers: Mapping[str, str] | None) -> None:
        super().__init__(problem, status, headers)
        self._problem, self._its_headers = problem, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = in_its_form(scope["path"], self._problem)
        if body is None:
            await super().__call__(scope, receive, send)
        else:
            await JSONResponse(body, self.status_code, self._its_headers)(scope, receive, send)


async def _http(request: Request, error: HTTPException) -> Response:
    if isinstance(error, Problem):
        return problem_reply(error)
    detail = _DETAILS.get(HTTPStatus(error.status_code), error.detail)
    headers = {"Allow": _allowed(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return _reply(error.status_code, detail, headers)


def _allowed(request: Request) -> str:
    """All methods that an address takes: the framework names those of its first route.

    /rules/backtest is not one of /rules/{name}, though that fits it, too.
    """
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    itself = [route for route in here if not route.param_convertors]
    methods = {method for route in itself or here for method in route.methods or ()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


async def _invalid(_request: Request, error: RequestValidationError) -> Response:
    # Not the value that was sent: it is the client's, and reflecting it is how scripts get into pages.
    found = error.errors()[:_MOST_ERRORS]
    wrong = [{"where": _place(e["loc"]), "problem": e["msg"].removeprefix("Value error, ")} for e in found]
    return _reply(HTTPStatus.UNPROCESSABLE_ENTITY, _UNREADABLE, more={"errors": wrong})


def _place(parts: Sequence[int | str]) -> str:
    return ".".join(str(part) if _NAME.fullmatch(str(part)) else "?" for part in parts)


async def _away(_request: Request, error: DatabaseUnavailable | DatabaseRefused) -> Response:
    return problem_reply(error)


async def _refused(_request: Request, error: DataRefused) -> Response:
    # A value that came through all checks; or a mistake of ours, so that somebody has to hear of it.
    log.get(__name__).warning(f"The database does not take a value of a request: {error}.", action="value_refused")
    return _reply(HTTPStatus.UNPROCESSABLE_ENTITY, "The database does not take one of the values that were sent.")


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."


async def _unforeseen(_request: Request, _error: Exception) -> Response:
    # The error itself goes on to uvicorn, which logs it.
    return _reply(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed to answer; its log says why.")


def problem_reply(error: Problem | DatabaseUnavailable | DatabaseRefused) -> Response:
    """The same, for what happens before the application is asked."""
    if isinstance(error, Problem):
        return _reply(error.status_code, error.detail, error.headers, error.more)
    seconds = "1" if isinstance(error, Busy) else "5"
    return _reply(HTTPStatus.SERVICE_UNAVAILABLE, _sentence(error), {"Retry-After": seconds})


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    HTTPException: _http,
    RequestValidationError: _invalid,
    DatabaseUnavailable: _away,
    DatabaseRefused: _away,
    DataRefused: _refused,
    Exception: _unforeseen,
}
