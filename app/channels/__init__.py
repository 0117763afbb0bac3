"""Channels: where alerts go beside alerts.txt, from the table outbox. ``connect`` makes those of the settings."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from app import log
from app.channels.base import Channel
from app.channels.delivery import USUAL, Delivery, Timing
from app.channels.outbox import Outbox
from app.channels.sending import Sending
from app.channels.service import ServiceChannel, look
from app.channels.text import Form
from app.channels.webhook import WebhookChannel
from app.clock import Clock
from app.config import Settings
from app.db import Database
from app.errors import ChannelRefused, ChannelUnavailable, ConfigurationError
from app.notify import Service, Webhook, parse_allowed, parse_channels
from app.outbound import Outbound

_START_SECONDS = 30.0  # of the process that knows addresses, before the daemon goes on without it


def build(
    channels: Mapping[str, Channel],
    database: Database,
    clock: Clock,
    stop: threading.Event,
    timing: Timing = USUAL,
) -> list[Delivery]:
    """What sends to each of these channels, each for a task of its own. The database is theirs alone."""
    outbox = Outbox(database, list(channels), stop)
    if not channels:  # then nobody looks into it, and some of it may be for one that there was
        outbox.register()
    return [Delivery(name, channel, outbox, clock, stop, timing) for name, channel in channels.items()]


def connect(
    settings: Settings, clock: Clock, *, only: str | None = None, stop: threading.Event | None = None
) -> dict[str, Channel]:
    """The channels of NOTIFY_URLS by name, or ``only`` one. Nothing is sent.

    Raises ConfigurationError, and ChannelUnavailable where it cannot be found out whether an address is a good one.
    With ``stop``, as for the daemon, that is no reason to end: it is found out before the first message. Raises
    Stopping when it is set meanwhile.
    """
    receivers = parse_channels(settings.notify_urls.get_secret_value())
    if only is not None:
        if only not in receivers:
            known = ", ".join(receivers) or "none"
            raise ConfigurationError(f"NOTIFY_URLS has no channel {only!r}; there are: {known}")
        receivers = {only: receivers[only]}
    allowed = parse_allowed(settings.notify_allow)
    services = {name: receiver for name, receiver in receivers.items() if isinstance(receiver, Service)}
    forms = _forms(services, stop) if services else {}

    def channel(name: str, receiver: Webhook | Service) -> Channel:
        if isinstance(receiver, Webhook):
            return WebhookChannel(receiver, Outbound(allowed), clock)
        return ServiceChannel(receiver, forms.get(name), allowed, Sending(), clock)

    return {name: channel(name, receiver) for name, receiver in receivers.items()}


def _forms(services: Mapping[str, Service], stop: threading.Event | None) -> dict[str, Form]:
    """How texts for each service have to be; with ``stop``, only of those that could be asked for in time."""
    forms: dict[str, Form] = {}
    name, looking = "", Sending(start_seconds=_START_SECONDS, stop=stop)
    try:
        for name, service in services.items():
            forms[name] = look(service, looking)
    except ChannelRefused as error:
        raise ConfigurationError(f"NOTIFY_URLS: {name}: {error}") from None
    except ChannelUnavailable as error:
        if stop is None:
            raise
        # The others are not asked for either: each might take as long.
        log.get(__name__).warning(
            f"Whether the address of the channel {name} is a good one is not known ({error}); it is looked at again"
            " before something is sent to it.",
            action="channel_unknown_form",
            channel=name,
        )
    finally:
        looking.end()
    return forms


def kinds(settings: Settings) -> dict[str, str]:
    """What each channel of NOTIFY_URLS is, by name: its scheme, and nothing else of its address."""
    receivers = parse_channels(settings.notify_urls.get_secret_value())
    return {
        name: receiver.scheme if isinstance(receiver, Service) else ("jsons" if receiver.is_encrypted else "json")
        for name, receiver in receivers.items()
    }
