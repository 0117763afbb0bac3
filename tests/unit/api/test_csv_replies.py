"""CSV: when it is wanted, and that it is sent page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from app.api import csv_replies
from app.api.replies import ASK_AGAIN
from app.errors import DatabaseUnavailable


def asked(accept: str | None = None, **scope: Any) -> Request:
    headers = [] if accept is None else [(b"accept", accept.encode())]
    return Request({"type": "http", "method": "GET", "headers": headers, "asgi": {"spec_version": "2.4"}, **scope})


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("text/html, */*", "json"),
        ("application/json", "json"),
        ("text/csv", "csv"),
        ("Text/CSV; header=present", "csv"),
        ("text/csv, */*;q=0.1", "csv"),
        ("text/csv, */*", "csv"),
        ("text/csv, application/json", "json"),
        ("text/csv, application/json;q=0.5", "csv"),
        ("text/csv;q=0.4, application/json;q=0.5", "json"),
        ("text/csv;q=0", "json"),
        ("text/csv;q=0.5, */*", "json"),
        (",;=q", "json"),
    ],
)
def test_the_accept_header_says_when_csv_is_wanted(accept: str | None, wanted: str) -> None:
    assert csv_replies.preferred(asked(accept)) == wanted


def sent(reply: Any, request: Request, log: list[str]) -> bytes:
    body = b""

    async def send(message: Any) -> None:
        nonlocal body
        if message.get("body"):
            log.append("sent")
            body += message["body"]

    async def receive() -> Any:
        return await asyncio.Event().wait()

    asyncio.run(reply(request.scope, receive, send))
    return body


def test_a_page_is_asked_for_when_the_one_before_was_sent() -> None:
    log: list[str] = []

    def pages() -> Iterator[str]:
        for number in range(3):
            log.append("asked")
            yield f"{number}\r\n"

    request = asked()
    reply = csv_replies.reply(request, "BTC@kraken-1m.csv", ["a"], pages(), ASK_AGAIN)
    assert log == ["asked"]  # an error of the first one is a problem as anywhere else
    assert sent(reply, request, log) == b"a\r\n0\r\n1\r\n2\r\n"
    assert log == ["asked", "sent", "asked", "sent", "asked", "sent"]
    assert reply.headers["content-disposition"] == 'attachment; filename="BTC_kraken-1m.csv"'
    assert "content-length" not in reply.headers


def test_an_error_on_the_way_breaks_the_reply_off() -> None:
    def pages() -> Iterator[str]:
        yield "1\r\n"
        raise DatabaseUnavailable("away")

    request = asked()
    with pytest.raises(DatabaseUnavailable):
        sent(csv_replies.reply(request, "x.csv", ["a"], pages(), ASK_AGAIN), request, [])


def test_what_nobody_reads_is_not_asked_for() -> None:
    pages = iter(["1\r\n", "2\r\n"])
    request = asked(asked_with="HEAD")
    assert sent(csv_replies.reply(request, "x.csv", ["a"], pages, ASK_AGAIN), request, []) == b""
    assert list(pages) == ["2\r\n"]
