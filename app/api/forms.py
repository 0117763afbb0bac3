"""Problems in the form of the protocol that an address speaks, where that is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_OF_THE_QUESTION = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


def in_its_form(path: str, problem: Mapping[str, Any]) -> dict[str, Any] | None:
    """A problem (the members of RFC 9457) as clients of this address expect it; None: they expect it like that."""
    if path.startswith("/coingecko/"):
        return _of_coingecko(problem)
    if path.startswith("/udf/"):
        return {"s": "error", "errmsg": _sentence(problem)}
    return None


def _of_coingecko(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Two forms: one for what cannot be asked, one for who may not ask now."""
    if problem["status"] in _OF_THE_QUESTION:
        return {"error": _sentence(problem)}
    return {"status": {"error_code": problem["status"], "error_message": _sentence(problem)}}


def _sentence(problem: Mapping[str, Any]) -> str:
    wrong = "; ".join(f"{each['where']}: {each['problem']}" for each in problem.get("errors") or ())
    return f"{problem['detail']} {wrong}".strip()
