"""What all replies have in common: headers, problems, HEAD, the access log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from app.api.app import ROUTES, create_app
from app.api.context import Context
from app.api.database import Reader
from app.api.edge import Edge
from app.api.problems import HANDLERS
from tests.asgi import Reply, request
from tests.clock import FakeClock
from tests.statuses import NOW

Get = Callable[[str], Reply]


def broken() -> str | None:
    raise ZeroDivisionError("secret internals")


@pytest.fixture
def broken_app(tmp_path: Path) -> Edge:
    return create_app(Context(tmp_path, Reader(broken), FakeClock(NOW)))


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/api/v1/status", "/openapi.json", "/none"])
def test_every_reply_carries_the_browser_headers(get: Get, path: str) -> None:
    headers = get(path).headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control") or name == "server"]


def test_the_reply_to_an_unforeseen_error_carries_them_too_and_tells_nothing(broken_app: Edge) -> None:
    reply = request(broken_app, "/readyz", ignore=ZeroDivisionError)
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "The server failed to answer; its log says why.",
    }


def test_an_unknown_address_is_a_problem_in_words(get: Get) -> None:
    reply = get("/none")
    assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")
    assert reply.json["title"] == "Not Found"
    assert reply.json["detail"] == "There is nothing at this address; / lists what there is."


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_a_wrong_method_is_a_problem_that_names_the_right_one(app: Edge, method: str) -> None:
    reply = request(app, "/healthz", method)
    assert (reply.status, reply.headers["content-type"]) == (405, "application/problem+json")
    assert reply.headers["allow"] == "GET"
    assert reply.json["status"] == 405


def test_a_parameter_that_cannot_be_read_is_a_problem_that_does_not_repeat_it() -> None:
    app = FastAPI(exception_handlers=HANDLERS)

    @app.get("/days")
    def days(count: int) -> int:
        return count

    reply = request(Edge(app), "/days?count=<script>")
    assert (reply.status, reply.headers["content-type"]) == (422, "application/problem+json")
    assert [error["where"] for error in reply.json["errors"]] == ["query.count"]
    assert b"script" not in reply.body


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/api/v1/status"])
def test_head_is_answered_like_get(app: Edge, path: str) -> None:
    got, headed = request(app, path), request(app, path, "HEAD")
    assert (headed.status, headed.headers) == (got.status, got.headers)


def test_the_index_lists_every_route_with_its_meaning(get: Get) -> None:
    lines = get("/").body.decode().splitlines()[2:]
    assert [line.split()[0] for line in lines] == [path for _, path, _ in ROUTES] + ["/openapi.json"]
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)


def test_openapi_describes_the_api_and_no_page_wants_a_cdn(get: Get) -> None:
    assert list(get("/openapi.json").json["paths"]) == ["/api/v1/status"]
    assert [get(path).status for path in ("/docs", "/redoc")] == [404, 404]


def test_the_access_log_is_for_debugging_and_cannot_be_forged(app: Edge) -> None:
    with capture_logs() as lines:
        request(app, "/none%0d%0aforged")
    (line,) = lines
    assert (line["log_level"], line["method"], line["status"]) == ("debug", "GET", 404)
    assert line["path"] == "/none%0d%0aforged"
