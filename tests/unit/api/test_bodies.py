"""Bodies that come slowly, in part, or too many at once: nobody but who sends them has to wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from app.api import bodies
from app.api.edge import Edge
from app.api.gate import MOST_WAITING, Gate
from app.api.problems import Problem
from app.api.rates import Rates
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock
from tests.statuses import NOW

PATH = "/api/v1/detect_transfers"
NONE = b'{"transactions": []}'
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Edge:
    """One for all: each test leaves it as it was, which is part of what is tested."""
    return an_api(
        tmp_path_factory.mktemp("data"), lambda: None, FakeClock(NOW), api_open_reads=True, api_requests_per_second=0
    )


class Upload:
    """A client that sends its body when it is told to."""

    def __init__(self, app: Any, address: str = HERE) -> None:
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._sent: list[Any] = []
        scope = {
            "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
            "headers": [(b"host", b"x"), (b"content-type", b"application/json")], "client": (address, 1),
        }  # fmt: skip
        self._task = asyncio.ensure_future(app(scope, self._messages.get, self._send))

    async def _send(self, message: Any) -> None:
        self._sent.append(message)

    async def send(self, body: bytes, *, more: bool = True) -> None:
        """A piece, taken when this returns."""
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": more})
        while not (self._messages.empty() or self._task.done()):
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    @property
    def is_answered(self) -> bool:
        return bool(self._sent)

    async def answer(self) -> int:
        await self._task
        return int(self._sent[0]["status"])


async def begun(app: Any, count: int, address: str = HERE, body: bytes = b"{") -> list[Upload]:
    """So many that have sent a piece and no more."""
    uploads = [Upload(app, address) for _ in range(count)]
    for upload in uploads:
        await upload.send(body)
    return uploads


async def ended(uploads: list[Upload]) -> set[int]:
    for upload in uploads:
        upload.leave()
    return {await upload.answer() for upload in uploads}


async def whole(app: Any, address: str, body: bytes = NONE) -> int:
    upload = Upload(app, address)
    await upload.send(body, more=False)
    return await upload.answer()


def test_of_one_client_eight_bodies_may_be_on_their_way_and_others_are_not_kept_from_theirs(app: Edge) -> None:
    async def ask() -> list[int]:
        uploads = await begun(app, bodies.MOST_COMING)
        answers = [await whole(app, HERE), await whole(app, ELSEWHERE)]
        assert await ended(uploads) == {HTTPStatus.REQUEST_TIMEOUT}
        return [*answers, await whole(app, HERE)]

    assert asyncio.run(ask()) == [503, 200, 200]


@pytest.mark.parametrize(("of_one", "of_all", "answers"), [(100, 1000, [503, 200]), (1000, 100, [503, 503])])
def test_bodies_may_have_so_many_bytes_together_and_of_one_client(
    app: Edge, monkeypatch: pytest.MonkeyPatch, of_one: int, of_all: int, answers: list[int]
) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES_OF_ONE", of_one)
    monkeypatch.setattr(bodies, "MOST_BYTES", of_all)

    async def ask() -> list[int]:
        uploads = await begun(app, 2, body=b" " * 45)
        found = [await whole(app, HERE), await whole(app, ELSEWHERE)]
        await ended(uploads)
        return [*found, await whole(app, HERE), await whole(app, ELSEWHERE)]

    assert asyncio.run(ask()) == [*answers, 200, 200]


def test_a_body_may_take_long_as_long_as_it_comes(app: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_SECONDS", 0.02)

    async def ask(least_speed: float) -> int:
        monkeypatch.setattr(bodies, "_LEAST_SPEED", least_speed)
        (upload,) = await begun(app, 1)
        await asyncio.sleep(0.1)
        await upload.send(NONE[1:], more=False)
        return await upload.answer()

    assert (asyncio.run(ask(1 / 600)), asyncio.run(ask(1000))) == (200, 408)


@pytest.mark.parametrize("path", [PATH, "/api/v1/rules/backtest"])
def test_a_client_that_goes_away_while_it_sends_is_no_failure_of_ours(
    app: Edge, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("tests.unit.api.test_bodies.PATH", path)

    async def ask() -> set[int]:
        return await ended(await begun(app, 1))

    assert asyncio.run(ask()) == {HTTPStatus.REQUEST_TIMEOUT}


def test_a_request_counts_as_waiting_when_its_body_is_there_and_is_shed_then() -> None:
    async def ask() -> tuple[int, int, set[int], set[int]]:
        begin = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            while (await receive())["more_body"]:
                pass
            await begin.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        gate = Gate(slow, None, Rates(0, FakeClock()), [])  # type: ignore[arg-type]

        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            try:
                await gate(scope, receive, send)
            except Problem as problem:  # as the application would answer it
                await send({"type": "http.response.start", "status": problem.status_code})

        coming = await begun(guarded, MOST_WAITING)
        waiting = await begun(guarded, MOST_WAITING)
        assert not any(upload.is_answered for upload in waiting)
        for upload in waiting:
            await upload.send(b"}", more=False)
        await coming[0].send(b"}", more=False)
        shed, refused = await coming[0].answer(), await whole(guarded, ELSEWHERE)
        begin.set()
        answered = {await upload.answer() for upload in waiting}
        for upload in coming[1:]:
            await upload.send(b"}", more=False)
        return shed, refused, answered, {await upload.answer() for upload in coming[1:]}

    assert asyncio.run(ask()) == (503, 503, {200}, {200})


@pytest.fixture
def post(app: Edge) -> Callable[[bytes], Reply]:
    headers = {"content-type": "application/json"}
    return lambda body: request(app, "/api/v1/rules/backtest", "POST", headers=headers, body=body)


@pytest.mark.parametrize("depth", [350, 450, 600, 800, 940, 5000])
def test_nesting_is_refused_with_its_place_however_deep(post: Callable[[bytes], Reply], depth: int) -> None:
    reply = post(b"[" * depth + b"]" * depth)
    assert (reply.status, reply.json["errors"][0]["where"]) == (422, "body")


@pytest.mark.parametrize("body", [b'{"rule": {"name": "\xff"}}', b'"\xc3\x28"', "{}".encode("utf-16")])
def test_what_is_not_utf_8_is_refused_with_its_place(post: Callable[[bytes], Reply], body: bytes) -> None:
    reply = post(body)
    assert (reply.status, reply.json["errors"][0]["where"]) == (422, "body")
