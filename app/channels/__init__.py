"""Channels: where alerts go beside alerts.txt, from the table outbox. ``build`` makes those of the settings."""

from __future__ import annotations

import threading

from app.channels.delivery import USUAL, Delivery, Timing
from app.channels.outbox import Outbox
from app.channels.webhook import WebhookChannel
from app.clock import Clock
from app.config import Settings
from app.db import Database
from app.notify import parse_allowed, parse_channels
from app.outbound import Outbound


def build(
    settings: Settings,
    database: Database,
    clock: Clock,
    stop: threading.Event,
    timing: Timing = USUAL,
) -> list[Delivery]:
    """One for each channel of NOTIFY_URLS, each for a task of its own. The database is theirs alone."""
    webhooks = parse_channels(settings.notify_urls.get_secret_value())
    allowed = parse_allowed(settings.notify_allow)
    outbox = Outbox(database, list(webhooks), stop)
    return [
        Delivery(name, WebhookChannel(webhook, Outbound(allowed), clock), outbox, clock, stop, timing)
        for name, webhook in webhooks.items()
    ]
