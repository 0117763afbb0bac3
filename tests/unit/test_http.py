"""The one HTTP call: what it sends, what its failures are called, and that no secret leaves it."""

from __future__ import annotations

import gzip
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import __version__
from app.errors import CryptoMonitorError, ProviderRefused, ProviderUnavailable, RateLimited
from app.http import Http, Reply, retry_after
from tests.clock import FakeClock
from tests.provider import Answer, Provider, flood, hang, raw, reply, serving

CANARY = "CG-canary0123456789"
START = FakeClock().now()
CLOUDFLARE = b"<!DOCTYPE html><html><title>Error 1015</title>You are being rate limited</html>"

Opened = Callable[..., Http]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Makes callers of a provider, and closes them."""
    callers: list[Http] = []

    def make(provider: Provider | str, **options: object) -> Http:
        root = provider if isinstance(provider, str) else provider.root
        callers.append(Http("coingecko", root, FakeClock(), **{"deadline_seconds": 5.0, **options}))
        return callers[-1]

    yield make
    for caller in callers:
        caller.close()


def refused_with(opened: Opened, answer: Answer, **options: object) -> CryptoMonitorError:
    with serving(answer) as provider, pytest.raises(CryptoMonitorError) as caught:
        opened(provider, **options).get("/simple/price")
    return caught.value


# What it sends and gives.


def test_a_reply_is_its_json_the_providers_time_and_ours(opened: Opened) -> None:
    headers = {"Date": "Sun, 22 Nov 2026 10:14:59 GMT"}
    with serving(reply(b'{"bitcoin":{"usd":1.0}}', headers=headers)) as provider:
        found = opened(provider).get("/simple/price", {"ids": "bitcoin"})
    assert found == Reply({"bitcoin": {"usd": Decimal("1.0")}}, datetime(2026, 11, 22, 10, 14, 59, tzinfo=UTC), START)


@pytest.mark.parametrize(
    "date", [None, "yesterday", "Sun, 99 Nov 2026 10:14:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"]
)
def test_without_a_readable_date_the_time_is_ours(opened: Opened, date: str | None) -> None:
    with serving(reply({}, headers={"Date": date} if date else None)) as provider:
        assert opened(provider).get("/ping").now == START


def test_the_address_keeps_commas_and_quotes_the_rest(opened: Opened) -> None:
    with serving(reply({})) as provider:
        opened(provider).get("/simple/price", {"ids": "bitcoin,1move token&x=é#", "vs_currencies": "usd"})
        assert provider.asked[0].target == "/simple/price?ids=bitcoin,1move%20token%26x%3D%C3%A9%23&vs_currencies=usd"


def test_it_says_who_it_is_and_sends_the_secret_as_a_header_only(opened: Opened) -> None:
    with serving(reply({})) as provider:
        opened(provider, secret_headers={"x-cg-demo-api-key": CANARY}).get("/ping", {"a": "b"})
        asked = provider.asked[0]
    assert asked.headers["user-agent"] == f"CryptoMonitor/{__version__}"
    assert asked.headers["x-cg-demo-api-key"] == CANARY
    assert CANARY not in asked.target


def test_the_connection_is_kept_for_the_next_call_also_after_a_refusal(opened: Opened) -> None:
    with serving(reply({}), reply(b"Throttled", 429), reply({})) as provider:
        http = opened(provider)
        http.get("/ping")
        with pytest.raises(RateLimited):
            http.get("/ping")
        http.get("/ping")
        assert (provider.connections, len(provider.asked)) == (1, 3)


def test_a_connection_that_was_idle_for_long_is_not_used_again(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply({})) as provider:
        http = opened(provider)
        http.get("/ping")
        http.get("/ping")
        assert provider.connections == 1
        monkeypatch.setattr("app.http.KEEP_SECONDS", 0.0)
        http.get("/ping")
        assert provider.connections == 2


def test_a_netrc_adds_no_password(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(reply({})) as provider:
        opened(provider).get("/ping")
        assert "authorization" not in provider.asked[0].headers


def test_a_cookie_is_not_sent_back(opened: Opened) -> None:
    with serving(reply({}, headers={"Set-Cookie": "__cf_bm=abc; path=/"})) as provider:
        http = opened(provider)
        http.get("/ping")
        http.get("/ping")
        assert "cookie" not in provider.asked[1].headers


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(reply({"from": "proxy"})) as proxy, serving(reply({"from": "here"})) as here:
        monkeypatch.setenv("HTTP_PROXY", proxy.root)
        assert opened(here).get("/ping").data == {"from": "here"}
        assert opened("http://api.example.test").get("/ping").data == {"from": "proxy"}


def test_a_packed_reply_is_unpacked(opened: Opened) -> None:
    with serving(reply(gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})) as provider:
        assert opened(provider).get("/ping").data == {"a": 1}


# What failures are called. The status decides, never the body.


@pytest.mark.parametrize("body", [b"Throttled", CLOUDFLARE, b'{"status":{"error_code":429}}', b"", b'{"bitcoin":{}}'])
@pytest.mark.parametrize("status", [418, 429])
def test_too_many_calls_is_a_limit_in_whatever_body(opened: Opened, status: int, body: bytes) -> None:
    error = refused_with(opened, reply(body, status))
    assert isinstance(error, RateLimited)
    assert error.retry_after is None


@pytest.mark.parametrize("body", [b"", CLOUDFLARE, b'{"error":"no"}'])
@pytest.mark.parametrize("status", [401, 402, 403, 407, 451])
def test_a_refusal_waits_for_a_person_in_whatever_body(opened: Opened, status: int, body: bytes) -> None:
    error = refused_with(opened, reply(body, status))
    assert isinstance(error, ProviderRefused)
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize("body", [b"", CLOUDFLARE, b'{"error":"coin not found"}', b"\xff\x00\x1b[31m"])
@pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 404, 408, 410, 422, 500, 502, 503, 504, 520, 999])
def test_all_else_may_be_better_next_time_in_whatever_body(opened: Opened, status: int, body: bytes) -> None:
    error = refused_with(opened, reply(b"" if status in (204, 304) else body, status))
    assert type(error) is ProviderUnavailable
    assert f"HTTP {status}" in str(error)
    assert str(error).isprintable()


def test_an_error_names_what_the_provider_said_and_calls_html_html(opened: Opened) -> None:
    said = refused_with(opened, reply(b'{"error":"coin not found"}', 404))
    assert str(said) == 'coingecko: HTTP 404 ({"error":"coin not found"})'
    page = refused_with(opened, reply(CLOUDFLARE, 502))
    assert str(page) == "coingecko: HTTP 502 (an HTML page)"


def test_the_provider_may_know_better_what_a_4xx_means(opened: Opened) -> None:
    error = refused_with(opened, reply(b"{}", 400), refusal=lambda status, body: f"change {status} {body!r}")
    assert isinstance(error, ProviderRefused)
    assert "change 400 b'{}'" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(b""), id="empty"),
        pytest.param(reply(CLOUDFLARE), id="HTML"),
        pytest.param(reply(b"[" * 100_000), id="nested"),
        pytest.param(reply(b'{"a": "\xff"}'), id="not UTF-8"),
        pytest.param(reply(b"no gzip", headers={"Content-Encoding": "gzip"}), id="not packed"),
        pytest.param(reply(gzip.compress(b"{}" * 99)[:20], headers={"Content-Encoding": "gzip"}), id="half packed"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", then_close=True), id="too short"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", then_close=True), id="too long"),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", then_close=True),
            id="no last chunk",
        ),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", then_close=True), id="no chunk size"
        ),
        pytest.param(raw(b"", then_close=True), id="nothing"),
        pytest.param(raw(b"\x16\x03\x01 what\r\n\r\n", then_close=True), id="no HTTP"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 999 + b"\r\n{}", then_close=True), id="many headers"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 99_999 + b"\r\n\r\n", then_close=True), id="long header"),
    ],
)
def test_a_broken_reply_may_be_better_next_time(opened: Opened, answer: Answer) -> None:
    assert type(refused_with(opened, answer)) is ProviderUnavailable


def test_json_that_is_cut_anywhere_is_no_reply(opened: Opened) -> None:
    whole = b'{"bitcoin":{"usd":76975,"last_updated_at":1779092258}}'
    with serving(*(reply(whole[:end]) for end in range(len(whole))), reply(whole)) as provider:
        http = opened(provider)
        for _ in range(len(whole)):
            with pytest.raises(ProviderUnavailable):
                http.get("/simple/price")
        assert http.get("/simple/price").data["bitcoin"]["usd"] == 76975


def test_nobody_at_the_address_is_said_with_its_name(opened: Opened) -> None:
    with serving(reply({})) as provider:
        gone = provider.root
    with pytest.raises(ProviderUnavailable, match=r"from 127\.0\.0\.1 after \d+\.\d s \(.*refused"):
        opened(gone).get("/ping")


def test_a_server_that_speaks_no_tls_is_not_spoken_to_without_it(opened: Opened) -> None:
    with serving(reply({})) as provider:
        root = provider.root.replace("http:", "https:")
        with pytest.raises(ProviderUnavailable):
            opened(root, secret_headers={"x-cg-pro-api-key": CANARY}, deadline_seconds=0.3).get("/ping")
        assert CANARY not in str(provider.asked)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(301, ProviderRefused), (308, ProviderRefused), (302, ProviderUnavailable), (307, ProviderUnavailable)],
)
def test_a_redirect_is_named_and_not_followed(opened: Opened, status: int, kind: type[Exception]) -> None:
    with serving(reply({})) as elsewhere:
        error = refused_with(
            opened,
            reply(b"", status, {"Location": f"{elsewhere.root}/api?key={CANARY}"}),
            secret_headers={"x-cg-pro-api-key": CANARY},
        )
        assert elsewhere.asked == []
    assert isinstance(error, kind)
    assert f"HTTP {status}, a redirect to {elsewhere.root}/api, which is not followed" in str(error)


@pytest.mark.parametrize("location", ["", "http://[", "\xff\xfe", "http://a\x1b[31m", f"https://{'a' * 9999}"])
def test_a_redirect_to_nowhere_is_no_worse(opened: Opened, location: str) -> None:
    error = refused_with(opened, reply(b"", 302, {"Location": location}))
    assert isinstance(error, ProviderUnavailable)
    assert str(error).isprintable()
    assert len(str(error)) < 400


def test_the_body_of_a_redirect_is_not_read_without_end(opened: Opened) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nTransfer-Encoding: chunked\r\n\r\n"
    start = time.monotonic()
    assert isinstance(refused_with(opened, flood(head, b"4\r\n    \r\n")), ProviderUnavailable)
    assert time.monotonic() - start < 4.5  # its deadline is 5 s


# How long to wait.


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("5", 5.0),
        ("90", 90.0),
        ("86400", 86400.0),
        (" 53 ", 53.0),
        ("Sun, 22 Nov 2026 10:01:30 GMT", 90.0),
        ("Sunday, 22-Nov-26 10:01:30 GMT", 90.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e5", None),
        ("inf", None),
        ("٥", None),
        ("9" * 400, None),
        ("5, 10", None),
        ("Sun, 22 Nov 2026 09:59:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, START) == seconds


@given(st.text())
def test_no_retry_after_raises(value: str) -> None:
    seconds = retry_after(value, START)
    assert seconds is None or seconds >= 0


def test_a_date_to_wait_for_is_measured_on_the_providers_clock(opened: Opened) -> None:
    dates = {"Date": "Sun, 22 Nov 2020 10:15:00 GMT", "Retry-After": "Sun, 22 Nov 2020 10:15:30 GMT"}
    error = refused_with(opened, reply(b"", 429, dates))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 30


@pytest.mark.parametrize("status", [413, 429, 503])
def test_nothing_waits_or_asks_again_by_itself(opened: Opened, status: int) -> None:
    start = time.monotonic()
    with serving(reply(b"", status, {"Retry-After": "30"})) as provider:
        with pytest.raises(ProviderUnavailable):
            opened(provider).get("/ping")
        assert len(provider.asked) == 1
    assert time.monotonic() - start < 25


# Secrets.


@pytest.mark.parametrize(
    "answer",
    [
        reply({}),
        reply(f"bad key {CANARY}".encode(), 401),
        reply({"status": {"error_code": 10002, "error_message": f"{CANARY} is no key"}}, 400),
        reply(b"", 301, {"Location": f"https://example.test/{CANARY}"}),
        reply(f"Throttled {CANARY}".encode(), 429),
        reply(f"oops {CANARY}".encode(), 500),
        reply(f"{CANARY} is no JSON".encode()),
        raw(f"HTTP/1.1 200 OK {CANARY}\r\nno header {CANARY}\r\n\r\n".encode(), then_close=True),
        raw(f"{CANARY}\r\n\r\n".encode(), then_close=True),
        raw(b"", then_close=True),
        hang(),
    ],
)
def test_a_secret_is_in_no_error_and_no_log(opened: Opened, answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    with serving(answer) as provider:
        http = opened(provider, secret_headers={"x-cg-pro-api-key": CANARY}, deadline_seconds=0.3)
        with suppress(CryptoMonitorError):
            try:
                http.get("/simple/price", {"ids": "bitcoin"})
            except CryptoMonitorError as error:
                texts += [str(error), repr(error), *traceback.format_exception(error)]
                raise
        assert provider.asked[0].headers["x-cg-pro-api-key"] == CANARY
    logged = [logging.Formatter("%(message)s %(exc_text)s").format(record) for record in caplog.records]
    assert CANARY not in "\n".join([*texts, *logged])
