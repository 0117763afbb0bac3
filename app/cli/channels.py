"""``python -m app channels``: which channels there are, and whether they take a message."""

from __future__ import annotations

import sys
import uuid

import click

from app import channels, config, log
from app.channels.base import Channel, Message
from app.clock import Clock, SystemClock
from app.config import Settings
from app.errors import ChannelRefused, ChannelUnavailable, MessageRefused
from app.model import Alert, State

_NOT_TAKEN = 69  # as where a database or provider does not answer
_NONE = "NOTIFY_URLS names none; docs/channels.md says how to"


@click.command("list")
def list_() -> None:
    """Show the name and kind of each channel."""
    kinds = channels.kinds(_settings())
    width = max(map(len, kinds), default=0)
    for name, kind in kinds.items():
        click.echo(f"{name:<{width}}  {kind}")
    if not kinds:
        click.echo(_NONE)


@click.command("test")
@click.argument("name", required=False)
def test(name: str | None) -> None:
    """Send a message through each channel, or through NAME, now.

    It looks like an alert of the rule channels-test that is over, and stands in no table and no file. The exit code is
    69 where a channel did not take it.
    """
    clock = SystemClock()
    found = channels.connect(_settings(), clock, only=name)
    if not found:
        click.echo(_NONE)
    taken = [_try(name, channel, clock) for name, channel in found.items()]
    sys.exit(0 if all(taken) else _NOT_TAKEN)


command = click.Group("channels", commands=[list_, test], help="Which channels there are, and whether they work.")


def _settings() -> Settings:
    settings = config.load()
    log.configure("error", settings.log_format)
    return settings


def _try(name: str, channel: Channel, clock: Clock) -> bool:
    id_ = f"test-{uuid.uuid4().hex[:12]}"
    alert = Alert(id_, State.RESOLVED, clock.now(), "TEST", "channels-test", ())
    try:
        channel.send(Message(f"{id_}.{alert.state}", (alert,)))
    except (ChannelRefused, ChannelUnavailable, MessageRefused) as error:
        click.echo(f"{name}: {error}")
        return False
    click.echo(f"{name}: taken")
    return True
