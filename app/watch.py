"""The grammar of WATCH: symbols, ``*@kraken``, ``top:250``, ``WIF=dogwifcoin``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.errors import ConfigurationError
from app.model import parse_symbol, symbol_of

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


Entry = Wanted | Top | EveryPair


def parse_watch(text: str, *, default_market: str, default_quote: str) -> list[Entry]:
    """Read a watch list, in order, without repetitions. Raises ConfigurationError naming the entry that is wrong."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        raise ConfigurationError("WATCH: is empty; name at least one symbol, as in WATCH=BTC,ETH")
    entries = list(dict.fromkeys(_entry(item, default_market, default_quote) for item in items))
    _refuse_two_coins(entries)
    return entries


def _entry(item: str, market: str, quote: str) -> Entry:
    if match := _EVERY.fullmatch(item.lower()):
        return EveryPair(match["market"])
    if match := _TOP.fullmatch(item.lower()):
        if int(match["count"]) == 0:
            raise ConfigurationError(f"WATCH: {item!r}: should be at least top:1")
        return Top(int(match["count"]), quote, match["market"] or market)
    name, equals, provider_id = item.partition("=")
    parts = parse_symbol(name, default_market=market, default_quote=quote)
    if parts is None or (equals and not _PROVIDER_ID.fullmatch(provider_id)):
        raise ConfigurationError(
            f"WATCH: {item!r}: should be a symbol like BTC, BTC-EUR, BTC@kraken, or *@kraken, top:250, WIF=dogwifcoin"
        )
    return Wanted(*parts, symbol_of(*parts, default_market=market), provider_id or None)


def _refuse_two_coins(entries: list[Entry]) -> None:
    ids: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, Wanted) and entry.provider_id:
            first = ids.setdefault(entry.symbol, entry.provider_id)
            if first != entry.provider_id:
                raise ConfigurationError(
                    f"WATCH: {entry.symbol!r}: stands for both {first} and {entry.provider_id};"
                    " write one of them under another symbol"
                )
