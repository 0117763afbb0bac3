"""The daemon's own checker over recorded ticks: what rules would have fired, had they been there then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from app.alerts.checker import Checker
from app.alerts.rules import RuleSet
from app.history.recorded import Recording
from app.model import Alert, State

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Step:
    """A batch, or a second that passed: how far we are, its ticks, and the alerts in the order of their lines."""

    at: datetime
    ticks: int
    alerts: list[Alert]


def run(rules: RuleSet, recording: Recording, market: str) -> Iterator[Step]:
    """Let the rules run over a recording, as a daemon would that starts at its beginning with warm windows.

    No rule fires yet at the beginning. Rules that look at ``age`` are held against each whole second, after what
    arrived up to then; the daemon is taken to have run all the time. ``market``: of symbols that name none.
    """
    checker = Checker(rules, market=market)
    # The years before the first tick of all are no silence.
    at = recording.since if recording.warm(checker) else recording.until
    for batch in recording.batches():
        if checker.looks_at_clock:
            yield from _pass_time(checker, at, batch.fetched_at)
        yield Step(batch.fetched_at, len(batch.ticks), checker.check(batch).alerts)
        at = batch.fetched_at
    if checker.looks_at_clock:
        yield from _pass_time(checker, at, recording.until)


def _pass_time(checker: Checker, since: datetime, until: datetime) -> Iterator[Step]:
    """Every whole second from the one time on, before the other."""
    second = since.replace(microsecond=0)
    if second < since:
        second += _SECOND
    while second < until:
        yield Step(second, 0, checker.check_ages(second).alerts)
        second += _SECOND


@dataclass(slots=True)
class Summary:
    """What a backtest came to. The counts are of FIRING lines, repeats included."""

    rules: tuple[str, ...]
    ticks: int = 0
    resolved: int = 0
    per_day: Counter[date] = field(default_factory=Counter)
    per_rule: Counter[str] = field(default_factory=Counter)
    per_symbol: Counter[str] = field(default_factory=Counter)

    def add(self, step: Step) -> None:
        self.ticks += step.ticks
        for alert in step.alerts:
            if alert.state is State.FIRING:
                self.per_day[alert.timestamp.astimezone(UTC).date()] += 1
                self.per_rule[alert.rule] += 1
                self.per_symbol[alert.symbol] += 1
            else:
                self.resolved += 1

    @property
    def fired(self) -> int:
        return self.per_rule.total()

    @property
    def days(self) -> list[tuple[date, int]]:
        """The days on which anything fired (UTC), in order."""
        return sorted(self.per_day.items())

    @property
    def by_rule(self) -> list[tuple[str, int]]:
        """Every rule, in the order written, also those that never fired."""
        return [(rule, self.per_rule[rule]) for rule in self.rules]

    @property
    def noisiest(self) -> list[tuple[str, int]]:
        """The ten symbols for which most fired."""
        return sorted(self.per_symbol.items(), key=lambda item: (-item[1], item[0]))[:10]
