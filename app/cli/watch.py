"""``python -m app watch``: change what the daemon watches while it runs. History stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from app import config, log, sources
from app.calls import of_command
from app.cli.database import opened
from app.cli.table import show
from app.cli.times import shown
from app.clock import SystemClock
from app.config import Settings
from app.db import Database
from app.errors import ConfigurationError, ProviderRefused, ProviderUnavailable
from app.store import Store
from app.watch import ALL, Entry, Without, parse_watch, written
from app.watchlist import Change, Watched, WatchStore, listed


@click.command("add")
@click.argument("entries", nargs=-1, required=True, metavar="ENTRY...")
def add(entries: Sequence[str]) -> None:
    """Watch these, too: BTC, BTC-EUR@kraken, '*@kraken', top:250, WIF=dogwifcoin, BTC@all.

    A running daemon asks for them at its next tick. What WATCH says stays in force beside them.
    """
    settings = config.load()
    wanted = _parsed(entries, settings)
    with _store(settings) as (store, database):
        unchecked = _check(wanted, settings, database)
        store.change(wanted, watched=True)
    for entry in wanted:
        click.echo(f"{written(entry)} is on the watch list" + (f" ({unchecked[entry]})" if entry in unchecked else ""))


@click.command("remove")
@click.argument("entries", nargs=-1, required=True, metavar="ENTRY...")
def remove(entries: Sequence[str]) -> None:
    """Watch these no more, also where WATCH names them, or top:250 means them. Their history stays."""
    settings = config.load()
    unwanted = _parsed(entries, settings)
    with _store(settings) as (store, _):
        for entry in unwanted:
            if not store.has(entry, _of_settings(settings), settings.source, settings.quote):
                raise ConfigurationError(f"{written(entry)}: is not watched; `watch list` shows what is")
        store.change(unwanted, watched=False)
    for entry in unwanted:
        click.echo(f"{written(entry)} is off the watch list")


@click.command("list")
@click.option("--symbols", is_flag=True, help="Every symbol that the entries mean, with its newest tick.")
def list_(*, symbols: bool) -> None:
    """Show the watch list in effect, and where each entry is from."""
    settings = config.load()
    with _store(settings) as (store, _):
        rows = _symbol_rows(store.symbols()) if symbols else _entry_rows(settings, store.changes())
    show(rows)


command = click.Group("watch", commands=[add, remove, list_], help="Change what the running daemon watches.")


@contextmanager
def _store(settings: Settings) -> Iterator[tuple[WatchStore, Database]]:
    log.configure("error", settings.log_format)
    with opened(settings, "watch") as database:
        yield WatchStore(database), database


def _of_settings(settings: Settings) -> list[Entry]:
    return parse_watch(settings.watch, default_market=settings.source, default_quote=settings.quote)


def _parsed(texts: Sequence[str], settings: Settings) -> list[Entry]:
    entries = parse_watch(",".join(texts), default_market=settings.source, default_quote=settings.quote)
    for entry in entries:
        if isinstance(entry, Without):
            raise ConfigurationError(f"{written(entry)}: `watch remove {entry.symbol}` says that here")
    return entries


def _check(entries: Sequence[Entry], settings: Settings, database: Database) -> dict[Entry, str]:
    """Have each provider say what the entries mean to it; those it could not be asked about now, and why.

    Raises ConfigurationError for what it does not know, or knows several of.
    """
    unchecked: dict[Entry, str] = {}
    clock = SystemClock()
    with of_command("watch", database, clock) as ledger:
        for market in dict.fromkeys(entry.market for entry in entries if entry.market != ALL):
            sources.check_market(market, f"'@{market}'")
            its = [entry for entry in entries if entry.market == market]
            try:
                source = sources.build_one(market, settings, clock, ledger)
                if source.coins is not None:
                    source.coins.know({it.instrument.symbol: it for it in Store(database).known_instruments(market)})
                source.resolve(its)
            except (ProviderUnavailable, ProviderRefused) as error:
                unchecked |= dict.fromkeys(its, f"not checked: {error}")
    return unchecked


def _entry_rows(settings: Settings, changes: Sequence[Change]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("ENTRY", "FROM", "")]
    for it in listed(_of_settings(settings), changes, settings.source, settings.quote):
        if it.change is None:
            rows.append((it.entry, "WATCH", ""))
        else:
            what = "added" if it.watched else "taken off"
            rows.append((it.entry, f"{what} {shown(it.change.changed_at)}", it.change.error or ""))
    return rows


def _symbol_rows(symbols: Sequence[Watched]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("SYMBOL", "MARKET", "ID", "NAME", "NEWEST TICK", "SOURCE")]
    for it in symbols:
        newest = shown(it.newest_at) if it.newest_at else "none yet"
        rows.append((it.symbol, it.market, it.provider_id or "", it.name or "", newest, it.source or ""))
    return rows
