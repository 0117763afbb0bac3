"""The sources, one file a provider, in one explicit registry."""

from __future__ import annotations

from collections.abc import Callable, Collection

from app.clock import Clock
from app.config import Settings
from app.errors import ConfigurationError
from app.limits import Ledger
from app.sources import coingecko
from app.sources.base import Source
from app.watch import parse_watch

Builder = Callable[[Settings, Clock, Ledger], Source]

SOURCES: dict[str, Builder] = {
    "coingecko": coingecko.build,
}
"""Each market and what makes its source."""


def check(settings: Settings) -> None:
    """Raises ConfigurationError for a market on the watch list that no source serves."""
    entries = parse_watch(settings.watch, default_market=settings.source, default_quote=settings.quote)
    _refuse_unknown([entry.market for entry in entries], settings)


def build(markets: Collection[str], settings: Settings, clock: Clock, ledger: Ledger) -> dict[str, Source]:
    """The sources of these markets. Raises ConfigurationError for a market that none serves."""
    _refuse_unknown(markets, settings)
    return {market: SOURCES[market](settings, clock, ledger) for market in dict.fromkeys(markets)}


def _refuse_unknown(markets: Collection[str], settings: Settings) -> None:
    for market in markets:
        if market not in SOURCES:
            where = f"SOURCE={market}" if market == settings.source else f"WATCH: {f'@{market}'!r}"
            raise ConfigurationError(f"{where}: no such market; known are {', '.join(sorted(SOURCES))}")
