"""A call ends by its deadline, whatever the other side does."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.errors import ProviderUnavailable, RateLimited
from app.http import Http
from tests.clock import FakeClock
from tests.provider import Answer, drip, flood, hang, reply, serving

SECONDS = 0.4
LEEWAY = 20.0  # the machine may be busy; a call without deadline never ends
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def ask(root: str, **options: int) -> float:
    """Ask once; the seconds it took to fail."""
    http = Http("coingecko", root, FakeClock(), deadline_seconds=SECONDS, **options)
    start = time.monotonic()
    try:
        with pytest.raises(ProviderUnavailable):
            http.get("/ping")
    finally:
        http.close()
    return time.monotonic() - start


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(hang(), id="says nothing"),
        pytest.param(hang(HEAD), id="stops within the head"),
        pytest.param(hang(HEAD + b"Content-Length: 20\r\n\r\n{"), id="stops within the body"),
        pytest.param(drip(b"", b"H"), id="drips the status line"),
        pytest.param(drip(HEAD + b"X-Slow: "), id="drips a header"),
        pytest.param(drip(HEAD + b"Content-Length: 9999\r\n\r\n", b" "), id="drips the body"),
        pytest.param(drip(CHUNKED, b"1\r\n \r\n"), id="drips chunks"),
        pytest.param(drip(CHUNKED, b"0"), id="drips the size of a chunk"),
        pytest.param(drip(HEAD + b"Connection: close\r\n\r\n", b" "), id="drips a body without length"),
        pytest.param(flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="says Continue for ever"),
    ],
)
def test_a_server_that_never_ends_its_reply_is_left_in_time(answer: Answer) -> None:
    with serving(answer) as provider:
        assert SECONDS * 0.9 < ask(provider.root) < SECONDS + LEEWAY


@pytest.mark.parametrize("answer", [drip(HEAD + b"X: "), hang(HEAD)])
def test_a_call_that_took_too_long_says_that_it_was_the_time(answer: Answer) -> None:
    with serving(answer) as provider:
        http = Http("coingecko", provider.root, FakeClock(), deadline_seconds=SECONDS)
        reason = r"from 127\.0\.0\.1 after \d\.\d s \((the deadline has passed|timed out)\)"
        with pytest.raises(ProviderUnavailable, match=reason):
            http.get("/ping")
        http.close()


def test_the_deadline_holds_on_a_connection_that_is_used_again() -> None:
    with serving(reply({}), drip(HEAD + b"X-Slow: ")) as provider:
        http = Http("coingecko", provider.root, FakeClock(), deadline_seconds=SECONDS)
        http.get("/ping")
        start = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            http.get("/ping")
        assert time.monotonic() - start < SECONDS + LEEWAY
        assert provider.connections == 1
        http.close()


def test_the_deadline_holds_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(drip(HEAD + b"X-Slow: ")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.root)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask("http://api.example.test") < SECONDS + LEEWAY
        assert proxy.asked[0].target == "http://api.example.test/ping"


def test_a_limit_on_calls_whose_page_drips_is_still_a_limit() -> None:
    head = b"HTTP/1.1 429 Too Many\r\nRetry-After: 53\r\nContent-Length: 9999\r\n\r\n"
    with serving(drip(head, b" ")) as provider:
        http = Http("coingecko", provider.root, FakeClock(), deadline_seconds=SECONDS)
        with pytest.raises(RateLimited) as caught:
            http.get("/ping")
        http.close()
    assert caught.value.retry_after == 53


def test_a_tls_handshake_that_hangs_is_left_in_time() -> None:
    with serving(hang()) as provider:
        assert ask(provider.root.replace("http:", "https:")) < SECONDS + LEEWAY


def test_a_body_without_end_is_left_at_the_size_limit() -> None:
    with serving(flood(CHUNKED, b"4000\r\n" + b" " * 0x4000 + b"\r\n")) as provider:
        http = Http("coingecko", provider.root, FakeClock(), most_bytes=2**20)
        with pytest.raises(ProviderUnavailable, match="more than 1048576 bytes"):
            http.get("/ping")
        http.close()


@pytest.mark.parametrize("nested", [1, 2])
def test_a_gzip_bomb_is_not_inflated_whole(nested: int) -> None:
    bomb = b"\0" * 64 * 2**20
    for _ in range(nested):
        bomb = gzip.compress(bomb, 9)
    with serving(reply(bomb, headers={"Content-Encoding": ", ".join(["gzip"] * nested)})) as provider:
        http = Http("coingecko", provider.root, FakeClock(), most_bytes=2**20)
        tracemalloc.start()
        try:
            with pytest.raises(ProviderUnavailable, match="more than 1048576 bytes"):
                http.get("/ping")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            http.close()
    assert peak < 8 * 2**20


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which nobody answers, as its queue of connections is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def test_a_name_with_many_silent_addresses_is_left_in_time(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.deadline._addresses", lambda *_: [("127.0.0.1", silent_port)] * 40)
    monkeypatch.setattr("app.deadline.CONNECT_SECONDS", SECONDS / 2)
    assert ask(f"http://localhost:{silent_port}") < SECONDS + LEEWAY


def test_the_next_address_is_tried_when_the_first_is_silent(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply({"a": 1})) as provider:
        port = int(provider.root.rpartition(":")[2])
        monkeypatch.setattr("app.deadline.CONNECT_SECONDS", 0.1)
        monkeypatch.setattr("app.deadline._addresses", lambda *_: [("127.0.0.1", silent_port), ("127.0.0.1", port)])
        http = Http("coingecko", "http://localhost", FakeClock(), deadline_seconds=20)
        assert http.get("/ping").data == {"a": 1}
        http.close()


def test_a_dead_name_server_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def dead(*_: object, **__: object) -> list[object]:
        over.wait(120)
        return []

    monkeypatch.setattr("app.deadline.socket.getaddrinfo", dead)
    try:
        assert ask("http://api.example.test") < SECONDS + LEEWAY
    finally:
        over.set()


def test_a_name_that_nobody_knows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("app.deadline.socket.getaddrinfo", unknown)
    http = Http("coingecko", "http://api.example.test", FakeClock())
    with pytest.raises(
        ProviderUnavailable, match=r"from api\.example\.test .*(Name or service not known|the name has no address)"
    ):
        http.get("/ping")
    http.close()
