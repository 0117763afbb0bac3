"""The sources, one file a provider, in one explicit registry; every other market is an exchange."""

from __future__ import annotations

from collections.abc import Callable, Collection

from app.clock import Clock
from app.config import Settings
from app.errors import ConfigurationError
from app.limits import Ledger
from app.sources import coingecko, coinmarketcap, exchange
from app.sources.base import Source
from app.watch import ALL, parse_watch

Builder = Callable[[Settings, Clock, Ledger], Source]

SOURCES: dict[str, Builder] = {
    "coingecko": coingecko.build,
    "coinmarketcap": coinmarketcap.build,
}
"""Each market that has a source of its own and what makes it."""


def check(settings: Settings) -> None:
    """Raises ConfigurationError for a market of the settings that no source serves."""
    entries = parse_watch(settings.watch, default_market=settings.source, default_quote=settings.quote)
    markets = {entry.market: f"WATCH: {f'@{entry.market}'!r}" for entry in entries}
    markets |= {market: f"STREAM={market}" for market in settings.streams}
    markets |= {market: f"FALLBACK={market}" for market in settings.fallbacks}
    markets[settings.source] = f"SOURCE={settings.source}"
    for market, where in markets.items():
        if market != ALL:
            check_market(market, where)
    for market in settings.streams:
        if market in SOURCES:
            raise ConfigurationError(f"STREAM={market}: is no exchange, so there is nothing to listen to")


def build(markets: Collection[str], settings: Settings, clock: Clock, ledger: Ledger) -> dict[str, Source]:
    """The sources of these markets. Raises ConfigurationError for a market that none serves."""
    return {market: build_one(market, settings, clock, ledger) for market in dict.fromkeys(markets) if market != ALL}


def build_one(market: str, settings: Settings, clock: Clock, ledger: Ledger) -> Source:
    """A source of this market, for one thread at a time. Raises ConfigurationError where none serves it."""
    if market in SOURCES:
        return SOURCES[market](settings, clock, ledger)
    return exchange.build(market, settings, clock, ledger)


def check_market(market: str, where: str) -> None:
    """Raises ConfigurationError, beginning with ``where``, for a market that no source serves."""
    if market in SOURCES:
        return
    if (reason := exchange.refusal(market)) is not None:
        raise ConfigurationError(f"{where}: {reason}")
