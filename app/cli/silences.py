"""``python -m app silences``: have channels not hear of some alerts for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import click

from app import config, log
from app.alerts.definition import canonical_pattern
from app.alerts.rules import SEVERITIES
from app.cli.database import opened
from app.cli.table import show
from app.cli.times import parse_length, parse_time, shown
from app.config import Settings
from app.errors import ConfigurationError
from app.silences import Silence, Silences

_LATEST_YEAR = 9000  # of what databases and Python know


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
    matcher = {
        "rule": _pattern("--rule", rule),
        "symbol": _symbols(symbol, settings.source),
        "severity": _severity(_pattern("--severity", severity)),
        "why": _printable("--why", why),
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


def _pattern(option: str, text: str | None) -> str:
    if text is None:
        return "*"
    if not text or " " in text:
        raise ConfigurationError(f"{option}={text}: should be a name, in which * stands for any text, without spaces")
    return _printable(option, text)


def _printable(option: str, text: str) -> str:
    if not (text.strip() and text.isprintable()):
        raise ConfigurationError(f"{option}={text!r}: should be a text of one line")
    return text


def _symbols(text: str | None, default_market: str) -> str:
    try:
        return "*" if text is None else canonical_pattern(text, default_market)
    except ValueError as error:
        raise ConfigurationError(f"--symbol: {error}") from None


def _severity(text: str) -> str:
    if "*" not in text and text not in SEVERITIES:
        raise ConfigurationError(f"--severity={text}: should be {', '.join(SEVERITIES)}, or a pattern with *")
    return text


def _demand_an_end(since: datetime | None, length: timedelta) -> None:
    try:
        good = since is None or (since + length).year < _LATEST_YEAR
    except OverflowError:
        good = False
    if not good:
        raise ConfigurationError(f"--from={since}: is so late that it would never end")


def _print(silences: Sequence[Silence]) -> None:
    """A line each, under a heading."""
    if not silences:
        return
    rows = [("ID", "FROM", "UNTIL", "RULE", "SYMBOL", "SEVERITY", "", "WHY"), *map(_row, silences)]
    show(rows)


def _row(silence: Silence) -> tuple[str, ...]:
    until = min(silence.ends_at, silence.ended_at or silence.ends_at)
    matcher = (silence.rule, silence.symbol, silence.severity)
    return str(silence.id), shown(silence.starts_at), shown(until), *matcher, _stage(silence), silence.why


def _stage(silence: Silence) -> str:
    if silence.is_over:
        return "over"
    return "in force" if silence.has_begun else "to come"
