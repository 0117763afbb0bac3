"""Who may ask without a token, and what all requests have to keep to: names, rates, load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.api.edge import Edge
from app.api.gate import MOST_WAITING, Gate
from app.api.rates import Rates
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock
from tests.statuses import NOW

Get = Callable[..., Reply]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Edge:
    """One for all that only look: to make one takes longer than to ask it."""
    return an_api(tmp_path_factory.mktemp("data"), lambda: None, FakeClock(NOW))


@pytest.fixture
def api(tmp_path: Path) -> Callable[..., Edge]:
    return lambda **settings: an_api(tmp_path, lambda: None, FakeClock(NOW), **settings)


# From where


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_read(app: Edge, client: str) -> None:
    assert request(app, "/docs", client=(client, 1)).status == 200


@pytest.mark.parametrize("client", [("192.0.2.7", 1), ("2001:db8::1", 1), ("::ffff:192.0.2.7", 1), ("", 0), None])
@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/metrics", "/api/v1/status"])
def test_from_elsewhere_it_takes_a_token(app: Edge, client: tuple[str, int] | None, path: str) -> None:
    reply = request(app, path, client=client)
    assert (reply.status, reply.headers["content-type"]) == (401, "application/problem+json")
    assert reply.headers["www-authenticate"] == 'Bearer realm="CryptoMonitor"'


PROXIES = """
Forwarded Via X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Anything X-Original-Forwarded-For X-Real-IP
X-Client-IP True-Client-IP CF-Connecting-IP Fly-Client-IP
"""


@pytest.mark.parametrize("header", PROXIES.split())
def test_who_asks_by_way_of_a_proxy_on_this_machine_is_elsewhere(app: Edge, header: str) -> None:
    assert request(app, "/", headers={header: "127.0.0.1"}).status == 401


def test_a_header_that_only_has_such_a_name_in_it_is_none_of_a_proxy(app: Edge) -> None:
    assert request(app, "/", headers={"X-Not-Forwarded": "1"}).status == 200


def test_reads_can_be_opened_to_all(api: Callable[..., Edge]) -> None:
    assert request(api(api_open_reads=True), "/", client=("192.0.2.7", 1)).status == 200


def test_health_is_told_to_all(app: Edge) -> None:
    elsewhere = ("192.0.2.7", 1)
    assert request(app, "/healthz", client=elsewhere, headers={"host": "evil.example"}).status == 200
    assert request(app, "/readyz", client=elsewhere).status == 503


# Under which name


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "127.0.0.1", "[::1]:8000", "[::1]", "localhost:8000", "LOCALHOST.", "app", "192.168.1.7:80"],
)
def test_an_address_and_a_name_without_a_dot_are_ours(app: Edge, host: str) -> None:
    assert request(app, "/", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "evil.example.", "a b", "x@127.0.0.1", ""]
)
def test_any_other_name_could_be_one_that_a_page_has_made_to_lead_here(app: Edge, host: str) -> None:
    reply = request(app, "/", headers={"host": host})
    assert reply.status == 421
    assert "API_ALLOWED_HOSTS" in reply.json["detail"]


def test_names_of_ours_can_be_set(api: Callable[..., Edge]) -> None:
    app = api(api_allowed_hosts="Prices.example.org, other.example", api_host="host.example")
    for host in ("prices.example.org:8000", "OTHER.example", "host.example"):
        assert request(app, "/", headers={"host": host}).status == 200
    assert request(app, "/", headers={"host": "example.org"}).status == 421


# How often


def test_a_client_may_ask_so_often_and_twice_that_after_a_pause() -> None:
    clock = FakeClock()
    rates = Rates(10, clock)
    assert [rates.wait("a") for _ in range(21)] == [0] * 20 + [0.1]
    assert rates.wait("b") == 0
    clock.advance(0.2)
    assert [rates.wait("a") > 0 for _ in range(3)] == [False, False, True]
    clock.advance(3600)
    assert [rates.wait("a") > 0 for _ in range(21)] == [False] * 20 + [True]


def test_a_rate_of_zero_is_none() -> None:
    rates = Rates(0, FakeClock())
    assert not any(rates.wait("a") for _ in range(1000))


def test_of_too_many_clients_the_one_that_has_not_asked_for_longest_is_forgotten() -> None:
    rates = Rates(1, FakeClock())
    assert [rates.wait("first") for _ in range(3)] == [0, 0, 1]
    for number in range(9_999):
        rates.wait(str(number))
    assert rates.wait("first") == 1  # it has asked just now
    for number in range(10_000):
        rates.wait(str(number))
    assert len(rates._buckets) == 10_000
    assert rates.wait("first") == 0


def test_who_asks_too_often_is_told_when_to_ask_again_and_health_is_not_counted(api: Callable[..., Edge]) -> None:
    app = api(api_requests_per_second=1)
    replies = [request(app, "/none") for _ in range(3)]
    assert [reply.status for reply in replies] == [404, 404, 429]
    assert replies[2].headers["retry-after"] == "1"
    assert replies[2].headers["content-type"] == "application/problem+json"
    assert [request(app, "/healthz").status for _ in range(5)] == [200] * 5


def test_a_household_of_ipv6_is_one_client(api: Callable[..., Edge]) -> None:
    app = api(api_requests_per_second=1, api_open_reads=True)
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::77", "2001:db8:1:3::1"]
    assert [request(app, "/", client=(address, 1)).status for address in addresses] == [200, 200, 429, 200]


def test_what_waits_past_all_measure_is_shed_and_health_still_answers() -> None:
    async def ask() -> tuple[list[int], int, int]:
        begin = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/healthz":
                await begin.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        gate = Gate(slow, None, Rates(0, FakeClock()), ["/healthz"])  # type: ignore[arg-type]

        async def one(path: str) -> int:
            sent: list[Any] = []

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "GET", "path": path, "headers": [], "client": ("127.0.0.1", 1)}
            await gate(scope, None, send)  # type: ignore[arg-type]
            return int(sent[0]["status"])

        waiting = [asyncio.ensure_future(one("/")) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        shed, health = await one("/"), await one("/healthz")
        begin.set()
        return await asyncio.gather(*waiting), shed, health

    answered, shed, health = asyncio.run(ask())
    assert (set(answered), shed, health) == ({200}, 503, 200)


# Pages of other origins


def test_no_page_of_another_origin_may_read_unless_it_is_named(app: Edge, api: Callable[..., Edge]) -> None:
    origin = {"origin": "https://charts.example.org"}
    assert not [name for name in request(app, "/", headers=origin).headers if name.startswith("access-control")]
    open_app = api(api_cors_origins="https://charts.example.org")
    allowed = request(open_app, "/", headers=origin)
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "https://charts.example.org")
    other = request(open_app, "/", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_a_named_page_may_ask_first_whether_it_may_read_and_not_whether_it_may_write(api: Callable[..., Edge]) -> None:
    app = api(api_cors_origins="https://charts.example.org")

    def asked(method: str) -> Reply:
        headers = {"origin": "https://charts.example.org", "access-control-request-method": method}
        return request(app, "/", "OPTIONS", headers=headers)

    assert asked("GET").status == 200
    assert asked("POST").status == 400
