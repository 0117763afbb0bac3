"""What a client has already is not sent again, and what is long is packed."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from starlette.responses import Response, StreamingResponse

from app.api.compact import SMALLEST, Compact
from app.api.edge import Edge
from app.api.replies import FINAL, raw_reply
from tests.asgi import Reply, request

LONG = json.dumps({"history": {f"2026-11-22T{n // 60:02}:{n % 60:02}:00Z": n * 1.1 for n in range(1440)}})


@pytest.fixture
def app() -> Edge:
    api = FastAPI()

    @api.get("/long")
    def long() -> Response:
        return raw_reply(LONG, FINAL)

    @api.get("/short")
    def short() -> Response:
        return raw_reply("{}")

    @api.get("/stream")
    def stream() -> Response:
        return StreamingResponse(iter([LONG[:100], LONG[100:]]), media_type="text/csv")

    @api.get("/events")
    def events() -> Response:
        async def none_yet() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n" * 1000

        return StreamingResponse(none_yet(), media_type="text/event-stream")

    @api.get("/packed")
    def packed() -> Response:
        return Response(b"x" * 5000, media_type="text/plain", headers={"content-encoding": "br"})

    @api.get("/bad")
    def bad() -> Response:
        return raw_reply(LONG, status=500)

    @api.post("/long")
    def write() -> Response:
        return raw_reply(LONG)

    return Edge(Compact(api))


def ask(app: Edge, path: str, method: str = "GET", **headers: str) -> Reply:
    return request(app, path, method, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_a_long_reply_is_packed_for_who_takes_it(app: Edge) -> None:
    reply = ask(app, "/long", accept_encoding="br, gzip;q=0.5")
    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body).decode() == LONG
    assert len(reply.body) < len(LONG) / 3
    assert "content-length" not in reply.headers
    assert reply.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "*;q=0", "gzip;q=0, *"])
def test_who_does_not_take_it_gets_it_as_it_is_and_caches_are_told_of_the_difference(app: Edge, accepted: str) -> None:
    reply = ask(app, "/long", accept_encoding=accepted)
    assert reply.body.decode() == LONG
    assert "content-encoding" not in reply.headers
    assert reply.headers["vary"] == "Accept-Encoding"


def test_the_star_takes_it(app: Edge) -> None:
    assert ask(app, "/long", accept_encoding="*").headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", ["/short", "/events", "/packed"])
def test_what_is_short_packed_already_or_a_stream_of_events_stays_as_it_is(app: Edge, path: str) -> None:
    reply = ask(app, path, accept_encoding="gzip")
    assert reply.headers.get("content-encoding") in (None, "br")
    assert "vary" not in reply.headers


def test_a_streamed_reply_is_packed_in_pieces(app: Edge) -> None:
    assert gzip.decompress(ask(app, "/stream", accept_encoding="gzip").body).decode() == LONG
    assert len(LONG) > SMALLEST


def test_what_the_client_has_is_not_sent_again(app: Edge) -> None:
    first = ask(app, "/long")
    again = ask(app, "/long", if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"] == "private, max-age=3600"
    assert again.headers["vary"] == "Accept-Encoding"
    assert not {"content-length", "content-type", "content-encoding"} & set(again.headers)


def test_the_packed_reply_has_a_weak_tag_that_is_known_again(app: Edge) -> None:
    plain, packed = ask(app, "/long"), ask(app, "/long", accept_encoding="gzip")
    assert packed.headers["etag"] == f"W/{plain.headers['etag']}"
    for tag in (plain.headers["etag"], packed.headers["etag"]):
        for accepted in ("", "gzip"):
            assert ask(app, "/long", if_none_match=tag, accept_encoding=accepted).status == 304


@pytest.mark.parametrize(
    ("tags", "status"),
    [('"a", {}, W/"b"', 304), ("*", 304), (' "a" ', 200), ("{}x", 304), ("nonsense", 200), ("", 200), ('"*"', 200)],
)
def test_one_of_several_tags_is_enough(app: Edge, tags: str, status: int) -> None:
    tag = ask(app, "/long").headers["etag"]
    assert ask(app, "/long", if_none_match=tags.replace("{}", tag)).status == status


def test_what_failed_or_was_written_is_sent_whatever_the_client_has(app: Edge) -> None:
    for path, method, status in (("/bad", "GET", 500), ("/long", "POST", 200)):
        reply = ask(app, path, method, if_none_match="*")
        assert (reply.status, reply.body.decode()) == (status, LONG)


def test_head_has_the_head_of_get(app: Edge) -> None:
    for headers in ({}, {"accept_encoding": "gzip"}, {"if_none_match": "*"}):
        assert ask(app, "/long", "HEAD", **headers).headers == ask(app, "/long", **headers).headers
