"""ccxt's exchange as it is listened to: what its frames say, and what they cost."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64decode
from types import SimpleNamespace
from typing import Any

import pytest

from app.streams.listening import Proxy, _heard, _refusal, named, names, proxy_for
from app.streams.stream import _said

MARKETS: dict[str, Any] = {
    "BTC/USD": {"id": "XXBTZUSD", "info": {"wsname": "XBT/USD", "altname": "XBTUSD"}},
    "ETH/USD": {"id": "ETH-USD", "info": {}},
}


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ('{"price":62702.90}', {"price": "62702.90"}),
        ('{"price":1e-8,"volume":58033}', {"price": "1e-8", "volume": 58033}),
        (b' [{"p":0.10}]', [{"p": "0.10"}]),
        ('{"price":NaN}', {"price": None}),
        ("pong", "pong"),
    ],
)
def test_numbers_keep_their_digits(frame: str | bytes, says: object) -> None:
    heard: list[object] = []
    _heard(SimpleNamespace(on_message_callback=lambda _client, message: heard.append(message)), frame)
    assert heard == [says]


def test_a_frame_that_cannot_be_read_is_passed_over() -> None:
    def stumbles(_client: object, _message: object) -> None:
        raise KeyError("symbol")

    for frame in ('{"price":', b"\xff\xfe", "{}"):
        _heard(SimpleNamespace(on_message_callback=stumbles), frame)


@pytest.mark.parametrize(
    ("message", "is_one"),
    [
        ({"error": "Currency pair not supported XBT/USD", "method": "subscribe", "success": False}, True),
        ({"type": "error", "message": "Failed to subscribe", "reason": "X-USD is not a valid product"}, True),
        ({"event": "error", "code": 7}, True),
        ({"errorMessage": "Subscription depth not supported", "event": "subscriptionStatus"}, True),
        ({"method": "subscribe", "success": True, "result": {"symbol": "BTC/USD"}}, False),
        ({"result": None, "id": 1, "error": None}, False),
        ({"channel": "heartbeat"}, False),
        ([1, 2], False),
        ("error", False),
    ],
)
def test_a_refusal_is_known_by_its_frame(message: object, is_one: bool) -> None:
    assert (_refusal(message) is not None) == is_one


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Currency pair not supported XBT/USD", {"BTC/USD"}),
        ('{"error": "unknown", "symbol": "BTC/USD"}', {"BTC/USD"}),
        ("no stream for xbtusd.", {"BTC/USD"}),
        ("ETH-USD is not a valid product", {"ETH/USD"}),
        ("WETH-USD is not a valid product", set()),
        ("Too many requests", set()),
    ],
)
def test_a_pair_is_known_by_any_of_its_names(text: str, pairs: set[str]) -> None:
    known = names(SimpleNamespace(markets=MARKETS), ["BTC/USD", "ETH/USD", "GONE/USD"])
    assert named(text, known) == pairs


@pytest.mark.parametrize(
    ("address", "proxy"),
    [
        ("wss://ws.kraken.com/v2", "http://proxy.example:3128"),
        ("ws://ws.kraken.com/v2", None),
        ("wss://stream.inside.example", None),
        ("wss://127.0.0.1:9443", None),
        ("wss://localhost:9443", None),
    ],
)
def test_a_proxy_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, address: str, proxy: str | None
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert proxy_for(address) == (proxy and Proxy(proxy, ""))


@pytest.mark.parametrize(
    ("proxy", "address", "told"),
    [
        ("http://me:TOP%40SECRET@proxy.example:3128", "http://proxy.example:3128", b"me:TOP@SECRET"),
        ("http://me@proxy.example:3128", "http://proxy.example:3128", b"me:"),
        ("https://me:a:b@proxy.example/", "https://proxy.example/", b"me:a:b"),
    ],
)
def test_who_we_are_at_a_proxy_is_not_in_its_address(
    monkeypatch: pytest.MonkeyPatch, proxy: str, address: str, told: bytes
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    found = proxy_for("wss://ws.kraken.com/v2")
    assert found is not None
    assert found.address == address
    assert b64decode(found.authorization.removeprefix("Basic ")) == told
    assert found.authorization not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("407, url='http://me:SECRET@127.0.0.1:1'", "407, url='http://********@127.0.0.1:1'"),
        ("http://me:SE/CR@ET@here/ and wss://there/v2", "http://********@here/ and wss://there/v2"),
        ("mail somebody@example.com", "mail somebody@example.com"),
    ],
)
def test_a_reason_has_no_password_of_an_address(text: str, said: str) -> None:
    assert _said(text) == said


def test_who_only_imports_it_loads_nothing_heavy() -> None:
    code = "import sys, app.streams.fetcher; sys.exit(bool({'ccxt', 'aiohttp'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
