"""What a source is: the code that asks one provider. A new one is a file here, a line in the registry, and a test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.limits import MINUTE, CallBudget
from app.model import Batch, Instrument
from app.watch import Entry


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a provider may be asked; 0 = no limit.

    ``floor_seconds``: the provider renews its answers no faster, so asking sooner only returns the same one.
    """

    floor_seconds: float = 0.0
    calls_per_minute: int = 0
    calls_per_month: int = 0


class Source(ABC):
    """Asks one provider, and gives its answers as ticks.

    Times are aware UTC datetimes; prices, volumes and caps are Decimals with every published digit. One unusable value
    costs that value (``Batch.lost``), never its batch. Any method that calls the provider may raise
    ProviderUnavailable (ask again later), RateLimited (ask again later, it may say when) or ProviderRefused (a person
    has to change something; the text says what).
    """

    name: ClassVar[str]
    """The market it serves and the ``source`` of its ticks: ``coingecko``."""

    limits: Limits
    budget: CallBudget

    def interval(self, tick_seconds: float, calls: int) -> float:
        """Seconds from one round of so many calls to the next: no faster than asked, renewed, or allowed."""
        per_minute = self.budget.per_minute
        return max(
            tick_seconds,
            self.limits.floor_seconds,
            calls * MINUTE / per_minute if per_minute else 0.0,
            calls * self.budget.pace(),
        )

    @abstractmethod
    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        """The instruments that the watch list entries of this market mean, with the provider's ids.

        Calls the provider only for what no table of ours knows. Raises ConfigurationError, naming the entry, for
        what the provider does not know or knows several of.
        """

    @abstractmethod
    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        """The instruments, split into what one call can ask for."""

    @abstractmethod
    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        """One call: the ticks of these instruments. An instrument that the reply leaves out is in ``Batch.lost``."""

    @abstractmethod
    def ping(self) -> str:
        """Ask the provider whether it is there, outside its prices; a sentence for ``doctor``."""

    def close(self) -> None:  # noqa: B027  (not every source keeps something open)
        """Let go of connections. The source can be used again."""
