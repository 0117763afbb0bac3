"""The API described for programs: OpenAPI, with every problem that a request can meet, and who may ask."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from app.api.problems import ProblemReply
from app.api.routes import Route

_PROBLEMS = {
    HTTPStatus.UNAUTHORIZED: "A token is needed, or the one that was sent is good for nothing.",
    HTTPStatus.FORBIDDEN: "The token may only read.",
    HTTPStatus.NOT_FOUND: "There is no such thing.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come within 30 seconds.",
    HTTPStatus.CONFLICT: "What is asked for does not go together with what there is.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too long.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not said to be JSON.",
    HTTPStatus.MISDIRECTED_REQUEST: "Without a token: the Host header names a host that is not known to be ours.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Something of what was asked for cannot be used; `errors` says where and why.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests of this client; Retry-After says when it may ask again.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database is away or too slow, or too many ask; Retry-After says until when.",
}
_OF_BODIES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_OF_WRITES = (HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT)
_RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_SCHEME = "token"
_REF = "#/components/schemas/{model}"


def described(route: Route) -> dict[str, Any]:
    """What the framework is told of a route beside its types; what the route says itself comes first."""
    noun = route.endpoint.__module__.rpartition(".")[2]
    its = dict(route.described)
    replies: dict[int, dict[str, Any]] = {int(status): _problem(status) for status in _problems(route)}
    for status, said in its.pop("responses", {}).items():
        replies[status] = {**replies.get(status, {}), **said}
    return {
        "include_in_schema": route.path.startswith("/api/"),
        "tags": [noun],
        "summary": (route.endpoint.__doc__ or "").partition("\n")[0],
        "operation_id": f"{noun}_{route.endpoint.__name__}",
        "responses": replies,
        **its,
        "openapi_extra": {"security": _security(route), **its.get("openapi_extra", {})},
    }


def _security(route: Route) -> list[dict[str, list[str]]]:
    needed: dict[str, list[str]] = {_SCHEME: []}
    return [needed] if route.writes else [{}, needed]


def _problems(route: Route) -> list[HTTPStatus]:
    left_out: set[HTTPStatus] = set()
    if route.method not in ("POST", "PUT", "PATCH"):
        left_out |= {*_OF_BODIES}
    if not route.writes:
        left_out |= {*_OF_WRITES}
    return [status for status in _PROBLEMS if status not in left_out]


def _problem(status: HTTPStatus) -> dict[str, Any]:
    # Not as a model: the framework would build one anew for every status of every route, which takes it half a second.
    schema = {"$ref": _REF.format(model=ProblemReply.__name__)}
    problem: dict[str, Any] = {"description": _PROBLEMS[status]}
    problem["content"] = {"application/problem+json": {"schema": schema}}
    if status in _RETRIED:
        problem["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return problem


class Described(FastAPI):
    """An application that describes itself with who may ask, and in which form its problems come."""

    def openapi(self) -> dict[str, Any]:
        """The document; made once, then kept."""
        if self.openapi_schema is None:
            document = get_openapi(title=self.title, version=self.version, routes=self.routes)
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(_schemas_of_problems())
            components["securitySchemes"] = {
                _SCHEME: {"type": "http", "scheme": "bearer", "description": "`python -m app token create` makes one."}
            }
            self.openapi_schema = document
        return self.openapi_schema


def _schemas_of_problems() -> dict[str, Any]:
    schema = TypeAdapter(ProblemReply).json_schema(ref_template=_REF)
    return {**schema.pop("$defs"), ProblemReply.__name__: schema}
