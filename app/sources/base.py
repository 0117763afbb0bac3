"""What a source is: the code that asks one provider. A new one is a file here, a line in the registry, and a test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from app import log
from app.errors import OutOfReach, ProviderRefused, ProviderUnavailable
from app.limits import MINUTE, CallBudget, PlanFacts
from app.model import Batch, Instrument, Page
from app.sources.coins import Coins
from app.watch import Entry


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a provider may be asked; 0 = no limit.

    ``floor_seconds``: the provider renews its answers no faster, so asking sooner only returns the same one.
    """

    floor_seconds: float = 0.0
    calls_per_minute: int = 0
    calls_per_month: int = 0

    def unless_set(self, per_minute: int | None, per_month: int | None) -> Limits:
        """These, but for what the settings say, which holds everywhere; None: they say nothing."""
        return Limits(
            self.floor_seconds,
            self.calls_per_minute if per_minute is None else per_minute,
            self.calls_per_month if per_month is None else per_month,
        )


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
    coins: Coins | None = None
    """Of an aggregator: who is who among its coins. Exchanges have pairs."""

    def interval(self, tick_seconds: float, calls: int) -> float:
        """Seconds from one round of so many calls to the next: no faster than asked, renewed, or allowed."""
        per_minute = self.budget.per_minute
        return max(
            tick_seconds,
            self.limits.floor_seconds,
            calls * MINUTE / per_minute if per_minute else 0.0,
            self.budget.pace(calls),
        )

    def learn_plan(self) -> None:
        """Keep to what the provider says of our plan; it is asked now and then. That it does not say is no failure."""
        if not self.budget.wants_plan():
            return
        try:
            self.budget.learn(self.plan())
        except (ProviderUnavailable, ProviderRefused) as error:
            log.get(__name__).debug(f"{self.name} does not say what the plan is: {error}", action="plan_unknown")

    def plan(self) -> PlanFacts:
        """What the provider says of our plan, but for what the settings say; nothing where it cannot be asked."""
        return PlanFacts()

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

    def history(self, instrument: Instrument, begin: datetime, end: datetime) -> Page:  # noqa: ARG002
        """One call: the newest part of the time from ``begin`` to before ``end`` that one call gives.

        Who wants more goes on with the time before ``Page.begin``. Raises OutOfReach where the provider has none.
        """
        raise OutOfReach(f"{self.name} has no history to ask for")

    @abstractmethod
    def ping(self) -> str:
        """Ask the provider whether it is there, outside its prices; a sentence for ``doctor``."""

    def close(self) -> None:  # noqa: B027  (not every source keeps something open)
        """Let go of connections. The source can be used again."""


def explain(source: Source, tick_seconds: float, calls: int) -> str | None:
    """Why rounds of so many calls are further apart than TICK_SECONDS asks for; None where they are not."""
    interval, budget = source.interval(tick_seconds, calls), source.budget
    if interval <= tick_seconds:
        return None
    floor, per_minute = source.limits.floor_seconds, budget.per_minute
    sooner = max(tick_seconds, floor, calls * MINUTE / per_minute if per_minute else 0.0)
    reasons = []
    if floor > tick_seconds:
        reasons.append(f"it renews its prices every {floor:g} s")
    if sooner > max(tick_seconds, floor):
        reasons.append(f"{_calls(calls)} a round have to fit into {per_minute} a minute")
    if interval > sooner and not budget.left_this_month:
        reasons.append(f"this month's {budget.per_month} credits are spent")
    elif interval > sooner:
        reasons.append(
            f"the {budget.left_this_month} credits left of {budget.per_month} last until the month ends with a round"
            f" every {interval:.0f} s"
        )
    return f"{source.name}: a tick every {interval:.0f} s instead of {tick_seconds:g} s, as {', and '.join(reasons)}."


def _calls(number: int) -> str:
    return f"{number} call{'' if number == 1 else 's'}"
