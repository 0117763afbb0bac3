"""The grammar of WATCH: symbols, ``*@kraken``, ``top:250``, ``WIF=dogwifcoin``, ``BTC@all``, ``-USDT``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.errors import ConfigurationError
from app.model import parse_symbol, symbol_of

ALL = "all"
"""The market of composites, which nobody is asked for."""

_TOP = re.compile(r"top:(?P<count>\d{1,5})(@(?P<market>[a-z0-9_]{1,40}))?", re.ASCII)
_EVERY = re.compile(r"\*@(?P<market>[a-z0-9_]{1,40})", re.ASCII)
_PROVIDER_ID = re.compile(r"\S{1,200}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One symbol; ``provider_id`` where the user says which coin is meant."""

    base: str
    quote: str
    market: str
    symbol: str
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Top:
    """The so many largest by market cap."""

    count: int
    quote: str
    market: str


@dataclass(frozen=True, slots=True)
class EveryPair:
    """Every active pair of a market."""

    market: str


@dataclass(frozen=True, slots=True)
class Composite:
    """The mean over all watched markets of a pair: ``BTC@all``."""

    base: str
    quote: str
    symbol: str
    market: ClassVar[str] = ALL


@dataclass(frozen=True, slots=True)
class Without:
    """Not this symbol, though another entry means it too: ``-USDT`` beside ``top:250``."""

    symbol: str
    market: str


Entry = Wanted | Top | EveryPair | Composite | Without


def written(entry: Entry) -> str:
    """The entry as it is written, the same for all ways to write it."""
    match entry:
        case Wanted(symbol=symbol, provider_id=id_):
            return f"{symbol}={id_}" if id_ else symbol
        case Top(count=count, market=market):
            return f"top:{count}@{market}"
        case EveryPair(market=market):
            return f"*@{market}"
        case Without(symbol=symbol):
            return f"-{symbol}"
    return entry.symbol


def parse_watch(text: str, *, default_market: str, default_quote: str) -> list[Entry]:
    """Read a watch list, in order, without repetitions. Raises ConfigurationError naming the entry that is wrong."""
    items = split(text)
    if not items:
        raise ConfigurationError("WATCH: is empty; name at least one symbol, as in WATCH=BTC,ETH")
    entries = list(dict.fromkeys(parse_entry(item, default_market, default_quote) for item in items))
    _refuse_two_coins(entries)
    return entries


def split(text: str) -> list[str]:
    """The entries of a list, as they are written."""
    return [item.strip() for item in text.split(",") if item.strip()]


def parse_entry(item: str, market: str, quote: str) -> Entry:
    """Read one entry. Raises ConfigurationError naming it."""
    if match := _EVERY.fullmatch(item.lower()):
        _refuse_all(item, match["market"])
        return EveryPair(match["market"])
    if match := _TOP.fullmatch(item.lower()):
        if int(match["count"]) == 0:
            raise ConfigurationError(f"WATCH: {item!r}: should be at least top:1")
        _refuse_all(item, match["market"])
        return Top(int(match["count"]), quote, match["market"] or market)
    if item.startswith("-"):
        return _without(item, market, quote)
    name, equals, provider_id = item.partition("=")
    parts = parse_symbol(name, default_market=market, default_quote=quote)
    if parts is None or (equals and not _PROVIDER_ID.fullmatch(provider_id)):
        raise ConfigurationError(
            f"WATCH: {item!r}: should be a symbol like BTC, BTC-EUR, BTC@kraken, or *@kraken, top:250, WIF=dogwifcoin,"
            " BTC@all"
        )
    symbol = symbol_of(*parts, default_market=market)
    if parts[2] == ALL:
        if provider_id:
            raise ConfigurationError(f"WATCH: {item!r}: no provider is asked for @all, so it takes no id")
        return Composite(parts[0], parts[1], symbol)
    return Wanted(*parts, symbol, provider_id or None)


def _without(item: str, market: str, quote: str) -> Without:
    entry = parse_entry(item[1:].strip(), market, quote)
    if not isinstance(entry, Wanted | Composite) or "=" in item:
        raise ConfigurationError(f"WATCH: {item!r}: what is left out is a symbol, as in -USDT")
    return Without(entry.symbol, entry.market)


def _refuse_all(item: str, market: str | None) -> None:
    if market == ALL:
        raise ConfigurationError(f"WATCH: {item!r}: @all is the mean over the markets of one pair; write it as BTC@all")


def _refuse_two_coins(entries: Sequence[Entry]) -> None:
    ids: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, Wanted) and entry.provider_id:
            first = ids.setdefault(entry.symbol, entry.provider_id)
            if first != entry.provider_id:
                raise ConfigurationError(
                    f"WATCH: {entry.symbol!r}: stands for both {first} and {entry.provider_id};"
                    " write one of them under another symbol"
                )
