"""What a service's answer means, and what the texts of some services look like on the wire."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from app.channels.base import Message
from app.channels.sending import Sending
from app.channels.service import ServiceChannel
from app.channels.text import Form, compose
from app.errors import ChannelRefused, ChannelUnavailable, CryptoMonitorError, MessageRefused
from app.model import Alert, State
from app.notify import Service, parse_allowed
from app.sender import services
from app.sender.guard import Guard
from tests.clock import FakeClock

NOON = datetime(2026, 11, 22, 10, 15, 3, tzinfo=UTC)
NAMES = "a_b*c|<b>@everyone</b>|[x](http://evil/)|<!channel>|<@123>|`q`|~s~|\\|&amp;"
ALERT = Alert("3f2a9c0d11e4", State.FIRING, NOON, "BTC@kraken", NAMES, (("price", "67187.34"),), "warning")
PRICE = Alert("3f2a9c0d11e5", State.FIRING, NOON, "BTC", "r", (("avg(price,5m)", "1.5"),), "warning")


class Answering(Sending):
    """Answers what it is told to."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer = {"taken": False, **answer}

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        return self._answer


def failure(**heard: object) -> CryptoMonitorError:
    nothing = {"refused": None, "status": None, "retry_after": None, "smtp": None, "trouble": None}
    sending = Answering({**nothing, **heard})
    channel = ServiceChannel(Service("ntfys", "ntfys://h/x"), Form(250, 1000), parse_allowed(""), sending, FakeClock())
    with pytest.raises(CryptoMonitorError) as caught:
        channel.send(Message("x", (ALERT,)))
    return caught.value


@pytest.mark.parametrize(
    ("heard", "kind", "said"),
    [
        ({"status": 404}, ChannelRefused, "it answers 404: it has nothing at this path"),
        ({"status": 302}, ChannelRefused, "it answers 302, a redirect"),
        ({"status": 400}, MessageRefused, "it answers 400"),
        ({"status": 413}, MessageRefused, "it answers 413"),
        ({"status": 503}, ChannelUnavailable, "it answers 503"),
        ({"status": 503, "refused": "it leads inside"}, ChannelRefused, "it leads inside"),
        ({"trouble": "connection refused"}, ChannelUnavailable, "connection refused"),
        ({"smtp": 535}, ChannelRefused, "the mail server answers 535: it wants other credentials"),
        ({"smtp": 550}, ChannelRefused, "the mail server answers 550"),
        ({"smtp": 554}, MessageRefused, "the mail server answers 554"),
        ({"smtp": 421}, ChannelUnavailable, "the mail server answers 421"),
        ({}, ChannelUnavailable, "it did not take it"),
    ],
)
def test_what_was_heard_says_what_to_do(heard: dict[str, object], kind: type[CryptoMonitorError], said: str) -> None:
    error = failure(**heard)
    assert type(error) is kind
    assert str(error).startswith(said)


def test_what_a_service_asks_to_wait_is_told() -> None:
    error = failure(status=429, retry_after="53")
    assert isinstance(error, ChannelUnavailable)
    assert error.retry_after == 53


# On the wire: what services at fixed hosts would get.


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[requests.PreparedRequest]]:
    """Requests, all of which are answered as Slack, Telegram and Discord would."""
    seen: list[requests.PreparedRequest] = []

    def send(_: HTTPAdapter, request: requests.PreparedRequest, **__: Any) -> requests.Response:
        seen.append(request)
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response._content = b"ok" if "slack" in response.url else b'{"ok": true, "result": {}}'
        return response

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # apprise imports imghdr where there is one
        services.load()
    monkeypatch.setattr(HTTPAdapter, "send", send)
    yield seen


def payload(posted: list[requests.PreparedRequest], url: str, *alerts: Alert) -> Any:
    service = {"scheme": url.partition(":")[0], "url": url}
    form = services.look(service)
    assert "wrong" not in form
    text = compose(alerts, Form(**form))
    sent = {"title": text.title, "body": text.body, "type": text.kind, "allow": ""}
    assert services.send({**service, **sent}, Guard())["taken"]
    (request,) = posted
    return json.loads(request.body or "")


TELEGRAM = "tgram://123456789:abcdefghijklmnopqrstuvwxyz012345678/12315544/"
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
MATTERMOST = "mmosts://h.example/3ccdd113474722377935511fc85d3dd4"
ROCKET = "rockets://web1234/abc@h.example/#c?mode=webhook"


def test_telegram_gets_names_as_text_and_not_as_tags(posted: list[requests.PreparedRequest]) -> None:
    sent = payload(posted, TELEGRAM, ALERT, PRICE)
    assert sent["parse_mode"] == "HTML"
    text = sent["text"].replace("\u200b", "")
    assert "&lt;b&gt;@everyone&lt;/b&gt;|[x](http://evil/)|&lt;!channel&gt;" in text
    assert "BTC@kraken" in sent["text"]
    assert "<b>2 alerts: 2 FIRING</b>" in text
    assert text.count("<") == 2


def test_slack_gets_names_escaped_and_calls_nobody(posted: list[requests.PreparedRequest]) -> None:
    sent = json.dumps(payload(posted, SLACK, ALERT, PRICE))
    assert "<!channel" not in sent
    assert "<@123" not in sent
    assert "avg(price,5m)=1.5" in sent


@pytest.mark.parametrize(("url", "field"), [(DISCORD, "content"), (MATTERMOST, "text"), (ROCKET, "text")])
def test_chats_that_read_markdown_get_it_escaped_and_numbers_plain(
    url: str, field: str, posted: list[requests.PreparedRequest]
) -> None:
    text = payload(posted, url, ALERT, PRICE)[field]
    for called in ("@everyone", "<@123", "<!channel", "[x](", " `q`"):
        assert called not in text
    assert r"a\_b\*c" in text
    assert "price=67187.34" in text
    assert "avg(price,5m)=1.5" in text
    assert "2 alerts: 2 FIRING" in text


def test_no_service_is_led_to_pictures_of_others(posted: list[requests.PreparedRequest]) -> None:
    assert "github" not in json.dumps(payload(posted, DISCORD, ALERT))
