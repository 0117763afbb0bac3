"""The plain JSON webhook: a POST of alerts as JSON. docs/channels.md shows one."""

from __future__ import annotations

import json

from app.channels.answers import of_http
from app.channels.base import Message
from app.clock import Clock
from app.model import Alert
from app.notify import Webhook
from app.outbound import Outbound

VERSION = 1
"""Of the message's form. It changes when a field changes its meaning or goes; not when one is added."""


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
            raise of_http(answer.status, answer.retry_after, self._clock.now())


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
