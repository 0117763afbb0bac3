"""``python -m app silences``: have channels not hear of some alerts for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import click

from app import config, log
from app.cli.database import opened
from app.cli.table import show
from app.cli.times import parse_length, parse_time, shown
from app.clock import SystemClock
from app.config import Settings
from app.errors import ConfigurationError
from app.silences import (
    Silence,
    Silences,
    demand_an_end,
    read_line,
    read_pattern,
    read_severity,
    read_symbols,
)


@click.command("add")
@click.option("--rule", metavar="PATTERN", help="Which rules.")
@click.option("--symbol", metavar="PATTERN", help="Which symbols.")
@click.option("--severity", metavar="PATTERN", help="Which severities.")
@click.option("--for", "length", required=True, metavar="LENGTH", help="For how long: 30s, 90m, 2h, 7d.")
@click.option("--from", "since", metavar="TIME", help="From when on, ISO 8601; else from now on.")
@click.option("--why", required=True, metavar="TEXT", help="For those who wonder.")
def add(rule: str | None, symbol: str | None, severity: str | None, length: str, since: str | None, why: str) -> None:
    """Silence alerts for a while: alerts.txt has them, no channel does.

    An alert is silenced that matches each PATTERN given; * in one is any text, alone any at all: --rule 'price-*'
    --symbol BTC. Those of symbols are as in rules: BTC is that of the default market, '*@kraken' all of kraken. What
    counts is the time of its tick.
    """
    settings = config.load()
    if not (rule or symbol or severity):
        raise ConfigurationError(
            "nothing is named that is to be silenced: give --rule, --symbol or --severity ('*' stands for all)"
        )
    matcher: dict[str, Any] = {
        "rule": _read(read_pattern, "--rule", rule),
        "symbol": _symbols(symbol, settings.source),
        "severity": _read(read_severity, "--severity", severity),
        "why": _read(read_line, "--why", why),
    }
    starts_at, lasts = None if since is None else parse_time("--from", since), parse_length("--for", length)
    _demand_an_end(starts_at, lasts)
    with _silences(settings) as silences:
        _print([silences.add(**matcher, length=lasts, starts_at=starts_at)])


@click.command("list")
@click.option("--all", "over_too", is_flag=True, help="Those that are over, too.")
def list_(over_too: bool) -> None:
    """Show the silences that are in force or to come."""
    with _silences(config.load()) as silences:
        found = silences.read(over_too=over_too)
    _print(found)
    if not found:
        click.echo("there is none" if over_too else "none is in force or to come")


@click.command("end")
@click.argument("id_", metavar="ID", type=click.IntRange(1, 2**63 - 1))
def end(id_: int) -> None:
    """End a silence now. What it has silenced stays so."""
    with _silences(config.load()) as silences:
        silence = silences.end(id_)
    if silence is None:
        raise ConfigurationError(f"there is no silence {id_} that is not over; `silences list` shows those there are")
    _print([silence])


command = click.Group(
    "silences", commands=[add, list_, end], help="Have the channels not hear of some alerts for a while."
)


@contextmanager
def _silences(settings: Settings) -> Iterator[Silences]:
    log.configure("error", settings.log_format)
    with opened(settings, "silences") as database:
        yield Silences(database)


def _read(read: Callable[[str], str], option: str, text: str | None) -> str:
    try:
        return "*" if text is None else read(text)
    except ValueError as error:
        shown_text = text if text is None or text.isprintable() else repr(text)
        raise ConfigurationError(f"{option}={shown_text}: {error}") from None


def _symbols(text: str | None, default_market: str) -> str:
    try:
        return "*" if text is None else read_symbols(text, default_market)
    except ValueError as error:
        raise ConfigurationError(f"--symbol: {error}") from None


def _demand_an_end(since: datetime | None, length: timedelta) -> None:
    now = SystemClock().now()
    try:
        demand_an_end(since or now, length, now)
    except ValueError as error:
        raise ConfigurationError(f"--from={since}: {error}" if since else f"--for: {error}") from None


def _print(silences: Sequence[Silence]) -> None:
    """A line each, under a heading."""
    if not silences:
        return
    rows = [("ID", "FROM", "UNTIL", "RULE", "SYMBOL", "SEVERITY", "", "WHY"), *map(_row, silences)]
    show(rows)


def _row(silence: Silence) -> tuple[str, ...]:
    until = min(silence.ends_at, silence.ended_at or silence.ends_at)
    matcher = (silence.rule, silence.symbol, silence.severity)
    return str(silence.id), shown(silence.starts_at), shown(until), *matcher, silence.stage, silence.why
