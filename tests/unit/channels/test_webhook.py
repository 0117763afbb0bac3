"""The JSON webhook: what is sent, and what is made of each answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from app.channels.base import Message
from app.channels.webhook import WebhookChannel
from app.errors import ChannelRefused, ChannelUnavailable, CryptoMonitorError, MessageRefused
from app.model import Alert, State
from app.notify import parse_allowed, parse_channels
from app.outbound import Outbound
from tests.clock import FakeClock
from tests.provider import reply
from tests.receiver import Receiver, receiving, scripted

NOON = datetime(2021, 4, 18, 12, 0, 0, 123456, tzinfo=UTC)
ALERT = Alert("3f2a9c0d11e4", State.FIRING, NOON, "BTC", "price-2pct-5m", (("price", "1.0"), ("avg(price,5m)", "2")))
MESSAGE = Message("3f2a9c0d11e4.FIRING", (ALERT,))


def send(receiver: Receiver, message: Message = MESSAGE) -> None:
    webhook = parse_channels(f"ops=json://me:pw@127.0.0.1:{receiver.port}/hook?+X-Token=t&-q=1")["ops"]
    WebhookChannel(webhook, Outbound(parse_allowed("127.0.0.1")), FakeClock()).send(message)


def failure(status: int, headers: dict[str, str] | None = None) -> CryptoMonitorError:
    answer = scripted(reply(b"internal secret", status, headers))
    with receiving(Receiver(answer=answer)) as receiver, pytest.raises(CryptoMonitorError) as caught:
        send(receiver)
    assert "secret" not in str(caught.value)
    return caught.value


def test_it_posts_the_alerts_as_json_with_a_key_and_the_headers_asked_for() -> None:
    resolved = Alert("x\n", State.RESOLVED, NOON + timedelta(seconds=1), "ETH-EUR", "r\u00e9gle", ())
    with receiving(Receiver()) as receiver:
        send(receiver, Message("3f2a9c0d11e4.FIRING+1", (ALERT, resolved)))
        received = receiver.received[0]
    assert json.loads(received.body) == {
        "version": 1,
        "alerts": [
            {
                "time": "2021-04-18T12:00:00.123Z",
                "state": "FIRING",
                "symbol": "BTC",
                "rule": "price-2pct-5m",
                "terms": {"price": "1.0", "avg(price,5m)": "2"},
                "id": "3f2a9c0d11e4",
            },
            {
                "time": "2021-04-18T12:00:01.123Z",
                "state": "RESOLVED",
                "symbol": "ETH-EUR",
                "rule": "r\u00e9gle",
                "terms": {},
                "id": "x\n",
            },
        ],
    }
    assert list(received.alerts[0]["terms"]) == ["price", "avg(price,5m)"]  # in the order of the rule
    assert received.target == "/hook?q=1"
    assert received.key == "3f2a9c0d11e4.FIRING+1"
    headers = received.headers
    assert (headers["content-type"], headers["x-token"]) == ("application/json", "t")
    assert headers["authorization"] == "Basic bWU6cHc="


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_success_is_taken_as_one(status: int) -> None:
    with receiving(Receiver(answer=scripted(reply(b"", status)))) as receiver:
        send(receiver)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (301, ChannelRefused, "it answers 301, a redirect, which is not followed: name the address that it leads to"),
        (307, ChannelRefused, "it answers 307, a redirect"),
        (400, MessageRefused, "it answers 400"),
        (401, ChannelRefused, "it answers 401: it wants other credentials"),
        (403, ChannelRefused, "it answers 403: it forbids it to us"),
        (404, ChannelRefused, "it answers 404: it has nothing at this path"),
        (408, ChannelUnavailable, "it answers 408"),
        (410, ChannelRefused, "it answers 410: it is gone"),
        (413, MessageRefused, "it answers 413"),
        (422, MessageRefused, "it answers 422"),
        (425, ChannelUnavailable, "it answers 425"),
        (429, ChannelUnavailable, "it answers 429"),
        (500, ChannelUnavailable, "it answers 500"),
        (503, ChannelUnavailable, "it answers 503"),
        (599, ChannelUnavailable, "it answers 599"),
    ],
)
def test_the_status_says_what_to_do(status: int, kind: type[CryptoMonitorError], said: str) -> None:
    error = failure(status)
    assert type(error) is kind
    assert str(error).startswith(said)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("53", 53),
        ("86400", 86400),
        ("Sun, 22 Nov 2026 10:01:30 GMT", 90),
        ("Sun, 22 Nov 2020 10:01:30 GMT", None),
        ("-5", None),
        ("soon", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_what_it_asks_to_wait_is_told(status: int, value: str, seconds: float | None) -> None:
    error = failure(status, {"Retry-After": value})
    assert isinstance(error, ChannelUnavailable)
    assert error.retry_after == seconds
