"""``python -m app rules``: what stands in a rules file, and whether it is good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from app import config
from app.alerts import rules_file
from app.alerts.expression import duration
from app.alerts.rules import Rule
from app.notify import parse_channels


@click.group(no_args_is_help=False)
def command() -> None:
    """Look at the rules that say when an alert is due."""


@command.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check(file: Path | None) -> None:
    """Check a rules FILE (without one: that of RULES_FILE), and print its rules as they are understood.

    Where something in it is wrong, each mistake is a line that begins with its place, and the exit code is 78.
    """
    settings = config.load()
    channels = list(parse_channels(settings.notify_urls.get_secret_value()))
    found = rules_file.load(file or settings.rules_file, channels=channels, default_market=settings.source)
    for rule in found.rules:
        click.echo(rule.name)
        for key, text in _described(rule, settings.source):
            click.echo(f"  {key:<16}{text}")
    for severity, names in found.routes.items():
        click.echo(f"severity {severity}\n  {'channels':<16}{_listed(names)}")
    count = len(found.rules)
    click.echo(f"{count} rule{'' if count == 1 else 's'}, all good")


def _described(rule: Rule, default_market: str) -> Iterator[tuple[str, str]]:
    """Its condition in canonical form, and the options that are not as usual."""
    yield "when", str(rule.when)
    if rule.clear is not None:
        yield "clear", str(rule.clear)
    for key, seconds in (("for", rule.hold or None), ("keep_firing_for", rule.keep or None), ("repeat", rule.repeat)):
        if seconds is not None:
            yield key, duration(int(seconds))
    if rule.symbols:
        yield "symbols", ", ".join(f"*@{default_market}" if symbol == "*@" else symbol for symbol in rule.symbols)
    if rule.channels is not None:
        yield "channels", _listed(rule.channels)
    if rule.severity != "warning":
        yield "severity", rule.severity


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
