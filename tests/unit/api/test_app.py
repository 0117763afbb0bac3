"""What all replies have in common: headers, problems, HEAD, the access log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from app.api import measured
from app.api.edge import Edge
from app.api.problems import HANDLERS
from app.api.routes import ROUTES
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock
from tests.statuses import NOW

Get = Callable[[str], Reply]


def broken() -> str | None:
    raise ZeroDivisionError("secret internals")


@pytest.fixture
def broken_app(tmp_path: Path) -> Edge:
    return an_api(tmp_path, broken, FakeClock(NOW))


ASKED_AGAIN = ["/openapi.json"]


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/healthz", "/readyz", "/metrics", "/api/v1/status", "/none", *ASKED_AGAIN]
)
def test_every_reply_carries_the_browser_headers(get: Get, path: str) -> None:
    headers = get(path).headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    # What nobody said may be kept is not kept.
    assert headers["cache-control"] == ("private, no-cache" if path in ASKED_AGAIN else "no-store")
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
    assert reply.headers["allow"] == "GET, HEAD"
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


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/api/v1/status"])
def test_head_is_answered_like_get(app: Edge, path: str) -> None:
    got, headed = request(app, path), request(app, path, "HEAD")
    assert (headed.status, headed.headers) == (got.status, got.headers)


def test_the_index_lists_every_route_with_its_meaning(get: Get) -> None:
    lines = get("/").body.decode().splitlines()[2:]
    assert [line.split()[:2] for line in lines] == [[route.method, route.path] for route in ROUTES]
    assert all(len(line.split(maxsplit=2)) == 3 for line in lines)


def test_no_slash_too_many_leads_to_where_the_host_header_says(get: Get) -> None:
    assert get("/healthz/").status == 404


def test_the_access_log_is_for_debugging_and_cannot_be_forged(app: Edge) -> None:
    with capture_logs() as lines:
        request(app, "/none%0d%0aforged")
    (line,) = lines
    assert (line["log_level"], line["method"], line["status"]) == ("debug", "GET", 404)
    assert line["path"] == "/none%0d%0aforged"
    assert line["client"] == "127.0.0.1"
    assert line["bytes"] > 100


def shown(lines: Sequence[Mapping[str, object]]) -> list[tuple[object, ...]]:
    """Of each line that is in the log also when nobody debugs: status, client, how many were left out before it."""
    its = [line for line in lines if line["log_level"] != "debug"]
    return [(line["status"], line["client"], line.get("left_out", 0)) for line in its]


def test_who_is_kept_out_is_in_the_log_once_a_minute_with_how_many_were_left_out(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    app = an_api(tmp_path, lambda: None, clock, api_requests_per_second=0)
    elsewhere, other = ("192.0.2.7", 1), ("192.0.2.8", 1)
    with capture_logs() as lines:
        for _ in range(20):
            request(app, "/api/v1/silences", "POST", client=elsewhere)
            request(app, "/", client=elsewhere)
        request(app, "/", client=other)
        request(app, "/", headers={"host": "evil.example"})
        clock.advance(60)
        request(app, "/", client=elsewhere)
        request(app, "/", client=elsewhere)
    assert shown(lines) == [(401, "192.0.2.7", 0), (401, "192.0.2.8", 0), (421, "127.0.0.1", 0), (401, "192.0.2.7", 39)]
    assert len(lines) == 44, "to debug, all are there"


def test_of_many_callers_that_are_kept_out_those_past_a_hundred_share_a_line(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    app = an_api(tmp_path, lambda: None, clock)
    with capture_logs() as lines:
        for number in range(120):
            request(app, "/", client=(f"192.0.2.{number}", 1))
    assert [client for _, client, _ in shown(lines)] == [f"192.0.2.{number}" for number in range(101)]
    clock.advance(60)
    with capture_logs() as lines:
        request(app, "/", client=("192.0.2.200", 1))
        request(app, "/", client=("192.0.2.1", 1))
    assert [client for _, client, _ in shown(lines)] == ["192.0.2.200", "192.0.2.1"], "a place is free again"


def test_what_came_too_often_or_changed_nothing_is_for_debugging_alone(tmp_path: Path) -> None:
    app = an_api(tmp_path, lambda: None, FakeClock(NOW), api_requests_per_second=1)
    token = {"authorization": f"Bearer cm_0123456789ab_{'S' * 43}"}
    json = {"content-type": "application/json"}
    with capture_logs() as lines:
        statuses = [
            request(app, "/api/v1/silences", "POST", headers=token).status,
            request(app, "/api/v1/detect_transfers", "POST", headers=json, body=b"{}").status,
            request(app, "/api/v1/silences", "POST", headers=token).status,
            request(app, "/", "DELETE", client=("127.0.0.2", 1)).status,
        ]
    assert statuses == [503, 422, 429, 405]
    assert not shown([line for line in lines if "status" in line])


def test_a_read_is_a_read_also_as_a_post(app: Edge) -> None:
    json = {"content-type": "application/json"}
    with capture_logs() as lines:
        reply = request(app, "/api/v1/detect_transfers", "POST", headers=json, body=b'{"transactions": []}')
    assert reply.status == 200, reply.body
    assert not shown(lines)


def test_a_token_is_never_in_the_log_wherever_it_was_sent(app: Edge) -> None:
    token = f"cm_0123456789ab_{'S' * 43}"
    with capture_logs() as lines:
        request(app, f"/{token}?token={token}", headers={"Authorization": f"Bearer {token}"})
        request(app, "/", headers={"Authorization": f"Basic {token}"})
    assert len(lines) > 1
    assert "SSS" not in str(lines)


def test_what_was_asked_is_counted_by_its_route(app: Edge) -> None:
    def counted() -> float:
        labels = {"route": "/docs", "method": "GET", "status": "2xx"}
        return measured.REGISTRY.get_sample_value("cryptomonitor_api_requests_total", labels) or 0

    before = counted()
    request(app, "/docs?")
    assert counted() == before + 1
