"""``python -m app quarantine``: ticks that are held back, and the way in and out of there by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from app import config, log
from app.cli.database import opened
from app.cli.table import show
from app.cli.times import parse_time, shown
from app.config import Settings
from app.errors import ConfigurationError
from app.model import parse_symbol, symbol_of
from app.quarantine_table import Kept, Quarantine


@click.command("list")
@click.option("--symbol", metavar="SYMBOL", help="Of this symbol alone.")
@click.option("--all", "released_too", is_flag=True, help="Those that were released, too.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
def list_(symbol: str | None, released_too: bool, limit: int) -> None:
    """Show the ticks that are held back, the latest last."""
    settings = config.load()
    key = None if symbol is None else _symbol(symbol, settings)
    with _quarantine(settings) as quarantine:
        kept = quarantine.read(key, limit, released_too=released_too)
    _print(kept[::-1])
    if not kept:
        click.echo("there is none" if released_too else "none is held")


@click.command("release")
@click.argument("symbol")
@click.argument("time")
def release(symbol: str, time: str) -> None:
    """Let a tick in that is held: it was right. TIME is its own, as `list` shows it.

    It goes into ticker_data and its candles, like a tick that came late; no rule is held against it.
    """
    settings = config.load()
    key, at = _symbol(symbol, settings), parse_time("TIME", time)
    with _quarantine(settings) as quarantine:
        if not quarantine.release(key, at):
            raise ConfigurationError(
                f"no tick of {key} at {_exact(at)} is held; `quarantine list --symbol {key}` shows those that are"
            )
    click.echo(f"{key} {_exact(at)} is released; `quarantine hold {key} {_exact(at)}` takes that back")


@click.command("hold")
@click.argument("symbol")
@click.argument("time")
@click.option("--why", default="held by hand", metavar="TEXT", help="For those who wonder.")
def hold(symbol: str, time: str, why: str) -> None:
    """Take a tick out that is stored: it was wrong. TIME is its own, as ticker_data has it.

    Its candles are as if it had never come. What it has alerted stays, and a daemon that runs keeps it in its windows.
    """
    settings = config.load()
    key, at = _symbol(symbol, settings), parse_time("TIME", time)
    if not (why.strip() and why.isprintable()):
        raise ConfigurationError(f"--why={why!r}: should be a text of one line")
    with _quarantine(settings) as quarantine:
        if not quarantine.hold(key, at, why):
            raise ConfigurationError(f"no tick of {key} at {_exact(at)} is stored; its time has to be exact")
    click.echo(f"{key} {_exact(at)} is held; `quarantine release {key} {_exact(at)}` takes that back")


command = click.Group(
    "quarantine", commands=[list_, release, hold], help="Ticks whose price nobody confirms, kept out of candles."
)


@contextmanager
def _quarantine(settings: Settings) -> Iterator[Quarantine]:
    log.configure("error", settings.log_format)
    with opened(settings, "quarantine") as database:
        yield Quarantine(database)


def _symbol(text: str, settings: Settings) -> str:
    parts = parse_symbol(text, default_market=settings.source)
    if parts is None:
        raise ConfigurationError(f"SYMBOL={text}: should be a symbol, like BTC, BTC-EUR or BTC@kraken")
    return symbol_of(*parts, settings.source)


def _print(kept: Sequence[Kept]) -> None:
    """A line each, under a heading."""
    if not kept:
        return
    rows = [("SYMBOL", "TIME", "PRICE", "SOURCE", "STATE", "SINCE", "WHY"), *map(_row, kept)]
    show(rows)


def _row(it: Kept) -> tuple[str, ...]:
    state = it.state if it.settled_by is None else f"{it.state} by {it.settled_by}"
    since = shown(it.settled_at or it.held_at)
    return it.symbol, _exact(it.timestamp), f"{it.price:f}", it.source, state, since, it.why


def _exact(time: datetime) -> str:
    """All there is of it: by it a tick is found."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
