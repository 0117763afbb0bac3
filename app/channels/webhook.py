"""The plain JSON webhook: a POST of alerts as JSON. docs/channels.md shows one."""

from __future__ import annotations

import json

from app.channels.base import Message
from app.clock import Clock
from app.errors import ChannelRefused, ChannelUnavailable, MessageRefused
from app.http import retry_after
from app.model import Alert
from app.notify import Webhook
from app.outbound import Answer, Outbound

VERSION = 1
"""Of the message's form. It changes when a field changes its meaning or goes; not when one is added."""

_AGAIN = frozenset({408, 425, 429})
_NOT_US = {
    401: "wants other credentials",
    403: "forbids it to us",
    404: "has nothing at this path",
    405: "takes no POST at this path",
    407: "is behind a proxy that wants credentials",
    410: "is gone",
    451: "is not allowed to take it",
}


class WebhookChannel:
    """A channel to one webhook."""

    most = 100

    def __init__(self, webhook: Webhook, outbound: Outbound, clock: Clock) -> None:
        self._webhook, self._outbound, self._clock = webhook, outbound, clock

    def send(self, message: Message) -> None:
        body = json.dumps({"version": VERSION, "alerts": [_shown(alert) for alert in message.alerts]})
        ours = {"Content-Type": "application/json", "Idempotency-Key": message.key}
        answer = self._outbound.post(self._webhook.url, body.encode(), {**self._webhook.headers, **ours})
        if not 200 <= answer.status < 300:
            raise self._error(answer)

    def _error(self, answer: Answer) -> Exception:
        status = answer.status
        said = f"it answers {status}"
        if 300 <= status < 400:
            return ChannelRefused(f"{said}, a redirect, which is not followed: name the address that it leads to")
        if status in _NOT_US:
            return ChannelRefused(f"{said}: it {_NOT_US[status]}")
        if 400 <= status < 500 and status not in _AGAIN:
            return MessageRefused(said)
        return ChannelUnavailable(said, retry_after(answer.retry_after, self._clock.now()))


def _shown(alert: Alert) -> dict[str, object]:
    time, *_ = alert.line.split(" ", 1)
    return {
        "time": time,
        "state": alert.state.value,
        "symbol": alert.symbol,
        "rule": alert.rule,
        "terms": dict(alert.terms),
        "id": alert.id,
    }
