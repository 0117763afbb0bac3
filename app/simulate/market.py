"""What the server asks of a market, whether its prices were recorded or invented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from app.simulate.digits import Digits


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin as CoinGecko lists it; supplies in coins, None where they are not known."""

    id: str
    symbol: str
    name: str
    supply: float | None = None
    max_supply: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What was observed of a coin at ``timestamp`` (UNIX seconds), in one currency; None where nothing is known."""

    timestamp: int
    price: Digits
    volume_24h: Digits | None
    market_cap: Digits | None


class Market(Protocol):
    """Prices as a function of market time (UNIX seconds). Safe to use from several threads."""

    @property
    def label(self) -> str:
        """What every reply says about where its prices come from: ``synthetic seed=7``, ``recording FILE``."""
        ...

    @property
    def title(self) -> str:
        """The same in words, for people."""
        ...

    @property
    def coins(self) -> Mapping[str, Coin]:
        """The coins by id, in the alphabetical order of their ids."""
        ...

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies prices can be asked in: ``usd`` first."""
        ...

    @property
    def end(self) -> int | None:
        """The market time of the last observation there will ever be, None where there is always a next."""
        ...

    def at(self, coin_id: str, currency: str, time: int) -> Observation | None:
        """The newest observation at that time, None before a coin's first."""
        ...

    def extremes(self, coin_id: str, currency: str, start: int, end: int) -> tuple[Digits, Digits] | None:
        """The lowest and the highest price from start to end, both included; None where nothing was observed."""
        ...
