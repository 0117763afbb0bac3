"""Every problem as RFC 9457 (application/problem+json), in words, without internals."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response


class Problem(HTTPException):
    """Ends a request with a problem; ``more`` are members beside those of the standard."""

    def __init__(self, status: HTTPStatus, detail: str, **more: object) -> None:
        super().__init__(status, detail)
        self.more = more


_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address; / lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take this method; the Allow header names those it takes.",
}


def _reply(
    status: int, detail: str, headers: Mapping[str, str] | None = None, more: Mapping[str, object] | None = None
) -> Response:
    standard = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    body = {**standard, **(more or {})}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def _http(_request: Request, error: HTTPException) -> Response:
    if isinstance(error, Problem):
        return _reply(error.status_code, error.detail, more=error.more)
    detail = _DETAILS.get(HTTPStatus(error.status_code), error.detail)
    return _reply(error.status_code, detail, error.headers)


async def _invalid(_request: Request, error: RequestValidationError) -> Response:
    # Not the value that was sent: it is the client's, and reflecting it is how scripts get into pages.
    wrong = [{"where": ".".join(str(part) for part in e["loc"]), "problem": e["msg"]} for e in error.errors()]
    return _reply(HTTPStatus.UNPROCESSABLE_ENTITY, "What was asked for cannot be read.", more={"errors": wrong})


async def _unforeseen(_request: Request, _error: Exception) -> Response:
    # The error itself goes on to uvicorn, which logs it.
    return _reply(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed to answer; its log says why.")


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    HTTPException: _http,
    RequestValidationError: _invalid,
    Exception: _unforeseen,
}
