"""``python -m app alerts``: what was alerted, and what became of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import click

from app import channels, config, log
from app.cli.database import opened
from app.db import Database, execute
from app.errors import ConfigurationError
from app.model import Alert, State


@click.command("list")
@click.option("--symbol", metavar="PATTERN", help="Of these symbols; * stands for any text.")
@click.option("--rule", metavar="PATTERN", help="Of these rules.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="At most so many.")
@click.option("--firing", is_flag=True, help="Those alone that fire now.")
@click.option("--channels", "with_channels", is_flag=True, help="And what became of each on its channels.")
def list_(symbol: str | None, rule: str | None, limit: int, firing: bool, with_channels: bool) -> None:
    """Print the latest alerts, the newest last, as the lines of alerts.txt."""
    settings = config.load()
    log.configure("error", settings.log_format)
    with opened(settings, "alerts") as database:
        query = "list_alerts_firing" if firing else "list_alerts_of" if symbol or rule else "list_alerts"
        found = _query(database, query, symbol=symbol or "*", rule=rule or "*", limit=limit)
        alerts = [_alert(row) for row in reversed(found)]
        became = _became(database, alerts) if with_channels else {}
    for alert in alerts:
        click.echo(alert.line)
        for line in became.get((alert.id, alert.state), ()):
            click.echo(f"    {line}")
    if not alerts:
        click.echo("there is none" + (" of these" if symbol or rule or firing else " yet"), err=True)


@click.command("replay-dead")
@click.argument("channel", required=False)
def replay_dead(channel: str | None) -> None:
    """Send again what was given up, to all channels or to CHANNEL.

    The running daemon sends it at once; where none runs, the next one does. What was delivered meanwhile is newer.
    """
    settings = config.load()
    log.configure("error", settings.log_format)
    named = channels.kinds(settings)
    with opened(settings, "alerts") as database:
        if channel is not None and channel not in named:
            _check(channel, named, database)
        replayed = _query(database, "replay_dead", channel=channel)
    for name, count in replayed:
        unnamed = "" if name in named else "; NOTIFY_URLS does not name it, and until it does nothing is sent"
        click.echo(f"{name}: {count} wait{'s' if count == 1 else ''} to be sent again{unnamed}")
    if not replayed:
        click.echo("nothing was given up" + (f" for {channel}" if channel else ""))


command = click.Group("alerts", commands=[list_, replay_dead], help="What was alerted, and what became of it.")


def _query(database: Database, name: str, /, **values: object) -> list[tuple[Any, ...]]:
    return database.once(lambda cursor: execute(cursor, name, **values))


def _check(channel: str, named: Collection[str], database: Database) -> None:
    """Raises ConfigurationError for a channel that there never was."""
    known = [name for (name,) in _query(database, "known_channels")]
    if channel not in known:
        gone = [f"{name} (not in NOTIFY_URLS any more)" for name in known if name not in named]
        raise ConfigurationError(f"there is no channel {channel!r}; there are: {', '.join([*named, *gone]) or 'none'}")


def _alert(row: tuple[Any, ...]) -> Alert:
    id_, state, timestamp, symbol, rule, terms, severity = row
    return Alert(id_, State(state), timestamp, symbol, rule, tuple(terms.items()), severity)


def _became(database: Database, alerts: Sequence[Alert]) -> dict[tuple[str, State], list[str]]:
    """A line a channel, for each alert."""
    keys = {"id": [alert.id for alert in alerts], "state": [alert.state.value for alert in alerts]}
    found: dict[tuple[str, State], list[str]] = defaultdict(list)
    for id_, state, channel, delivered_at, dead_at, error in _query(database, "what_became_of", **keys):
        found[id_, State(state)].append(f"{channel}: {_fate(delivered_at, dead_at, error)}")
    return found


def _fate(delivered_at: datetime | None, dead_at: datetime | None, error: str | None) -> str:
    if delivered_at is not None:
        return f"delivered {delivered_at:%Y-%m-%dT%H:%M:%SZ}"
    why = f" ({error})" if error else ""
    return f"given up {dead_at:%Y-%m-%dT%H:%M:%SZ}{why}" if dead_at is not None else f"waits{why}"
