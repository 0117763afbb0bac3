"""A request is understood whole or refused: parameters, and bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Query
from pydantic import BaseModel, ConfigDict

from app.api import bodies
from app.api.edge import Edge
from app.api.params import From
from app.api.routes import Route
from app.errors import DataRefused
from tests.api import an_api
from tests.asgi import Reply, request


class Wish(BaseModel):
    """What is wished for."""

    model_config = ConfigDict(extra="forbid")
    price: Decimal
    note: str = ""


def look(
    name: str, since: From = None, limit: int = 5, of: Annotated[list[str] | None, Query()] = None
) -> dict[str, Any]:
    """Looks."""
    return {"limit": limit, "of": of, "name": name}


def wish(its: Wish) -> dict[str, str]:
    """Wishes."""
    return {"price": str(its.price), "note": its.note}


def store() -> None:
    """Stores."""
    raise DataRefused("value out of range: 1e999")


def mirror(ids: str = "") -> dict[str, str]:
    """As others do."""
    return {"ids": ids}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    routes = (
        Route("GET", "/look/{name}", look),
        Route("POST", "/wish", wish, most_bytes=100),
        Route("PUT", "/wish", wish),
        Route("GET", "/store", store),
        Route("GET", "/mirror", mirror, lenient=True),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.api.app.ROUTES", routes)
        yield an_api(tmp_path_factory.mktemp("data"), lambda: None)


@pytest.fixture
def post(app: Edge) -> Callable[..., Reply]:
    def send(body: Any, kind: str = "application/json", **headers: str) -> Reply:
        return request(app, "/wish", "POST", headers={"content-type": kind, **headers}, body=body)

    return send


def errors(reply: Reply) -> list[tuple[str, str]]:
    assert (reply.status, reply.headers["content-type"]) == (422, "application/problem+json")
    return [(error["where"], error["problem"]) for error in reply.json["errors"]]


def test_a_parameter_nobody_knows_is_refused_with_the_one_that_was_meant(app: Edge) -> None:
    assert errors(request(app, "/look/x?limt=1")) == [("query.limt", "is no parameter of this address; it takes limit")]
    assert errors(request(app, "/look/x?From=2026-01-01"))[0][1].endswith("it takes from")
    assert errors(request(app, "/look/x?zzz"))[0][1].endswith("it takes from, limit, of")


def test_a_name_that_is_none_is_not_repeated(app: Edge) -> None:
    reply = request(app, "/look/x?<script>=1")
    assert errors(reply)[0][0] == "query.?"
    assert b"script" not in reply.body


def test_a_parameter_given_twice_is_refused_unless_it_is_a_list(app: Edge) -> None:
    assert errors(request(app, "/look/x?limit=1&limit=2")) == [("query.limit", "should be given once")]
    assert request(app, "/look/x?of=a&of=b").json["of"] == ["a", "b"]


@pytest.mark.parametrize("path", ["/look/x?of=a%00b", "/look/x%00y", "/mirror?x%00=1"])
def test_a_zero_byte_which_no_database_takes_is_refused(app: Edge, path: str) -> None:
    assert "zero bytes" in errors(request(app, path))[0][1]


def test_a_mirror_of_others_passes_over_what_it_does_not_know(app: Edge) -> None:
    assert request(app, "/mirror?ids=a&x_cg_pro_api_key=k&precision=2").json == {"ids": "a"}


def test_a_value_that_only_the_database_refuses_is_a_problem_of_the_client_without_its_words(app: Edge) -> None:
    reply = request(app, "/store")
    assert reply.status == 422
    assert b"1e999" not in reply.body


def test_every_digit_of_a_body_is_kept(post: Callable[..., Reply]) -> None:
    assert post(b'{"price": 0.12345678901234567890123}').json["price"] == "0.12345678901234567890123"


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"]
)
def test_json_by_any_of_its_names_is_taken(post: Callable[..., Reply], kind: str) -> None:
    assert post(b'{"price": 1}', kind).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json", "application/jsonx"])
def test_a_body_of_another_kind_is_refused(post: Callable[..., Reply], kind: str) -> None:
    reply = post(b'{"price": 1}', kind)
    assert (reply.status, reply.headers["accept"]) == (415, "application/json")


def test_no_body_at_all_is_a_body_that_is_missing(app: Edge) -> None:
    assert errors(request(app, "/wish", "POST")) == [("body", "Field required")]


@pytest.mark.parametrize(
    "body",
    [b"{", b"NaN", b'{"price": Infinity}', b'"\\ud800"', b'{"price": 1, "note": "a\\u0000"}', b'{"a\\u0000": 1}',
     b"[" * 60 + b"]" * 30, b"\xff\xfe"],
)  # fmt: skip
def test_what_is_no_json_or_nothing_to_store_is_refused(post: Callable[..., Reply], body: bytes) -> None:
    assert errors(post(body))[0][0] == "body"


def test_nesting_without_end_is_refused(app: Edge) -> None:
    body = b"[" * 400_000
    reply = request(app, "/wish", "PUT", headers={"content-type": "application/json"}, body=body)
    assert errors(reply) == [("body", "should not be nested as deeply")]


def test_a_key_that_nobody_knows_is_refused(post: Callable[..., Reply]) -> None:
    assert errors(post(b'{"price": 1, "nots": ""}')) == [("body.nots", "Extra inputs are not permitted")]
    assert errors(post(b'{"price": 1, "<b>": ""}'))[0][0] == "body.?"


def test_a_body_that_is_too_long_is_refused_by_what_it_says_and_by_what_comes(post: Callable[..., Reply]) -> None:
    long = b'{"price": 1, "note": "%s"}' % (b"x" * 100)
    for body in (long, [long[:50], long[50:]]):
        reply = post(body)
        assert reply.status == 413
        assert reply.json["detail"] == "The body is too long: 100 bytes at most."
    assert post([b'{"price"', b": 1}"]).status == 200


def test_a_body_that_does_not_come_is_given_up(app: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_SECONDS", 0.01)
    sent: list[Any] = []

    async def receive() -> Any:
        await anyio.sleep(600)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/wish", "raw_path": b"/wish", "query_string": b"",
        "headers": [(b"host", b"x"), (b"content-type", b"application/json"), (b"content-length", b"50")],
        "client": ("127.0.0.1", 1),
    }  # fmt: skip
    anyio.run(app, scope, receive, send)
    assert sent[0]["status"] == 408
