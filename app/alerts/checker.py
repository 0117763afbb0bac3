"""Holds every rule against every new tick, and keeps the states: pending, firing, resolved.

All of it runs on the ticks' own time, however old that is; the clock has no say here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from app.alerts.expression import Field, Term
from app.alerts.rules import Rule
from app.alerts.windows import Arrival, Statistic, Window
from app.model import Alert, Batch, State, Tick

Key = tuple[str, str]
"""(rule, symbol)"""


@dataclass(frozen=True, slots=True)
class Episode:
    """A rule that is PENDING or FIRING for a symbol, or was and is INACTIVE again. ``lines`` counts its FIRING lines.

    ``since``: the time of its first tick, ``as_of``: of the tick that brought it where it is.
    """

    state: State
    id: str
    since: datetime
    as_of: datetime
    last_line_at: datetime | None = None
    lines: int = 0


@dataclass(slots=True)
class Outcome:
    """What a batch caused. ``episodes``: by (rule, symbol) those that changed, INACTIVE where one ended.

    ``epoch`` is that of the lease under which it was found out: the states of an older one are not what stands.
    """

    epoch: int = 0
    alerts: list[Alert] = field(default_factory=list)
    episodes: dict[Key, Episode] = field(default_factory=dict)
    new: int = 0
    late: int = 0
    known: int = 0


class Checker:
    """The rules, the windows they look at, and where each rule stands for each symbol. For one thread at a time."""

    def __init__(self, rules: Sequence[Rule], epoch: int = 0) -> None:
        self._rules, self.epoch = tuple(rules), epoch
        self.reach = max((rule.reach for rule in rules), default=0.0)
        self._windows: dict[str, Window] = {}
        self._episodes: dict[Key, Episode] = {}

    @property
    def firing(self) -> int:
        """How many rules fire now, counted over all symbols."""
        # A copy, made in one step: other threads ask while this one's checks go on.
        return sum(episode.state is State.FIRING for episode in list(self._episodes.values()))

    def warm(
        self,
        ticks: Iterable[tuple[str, datetime, Decimal, Decimal | None, Decimal | None]],
        episodes: Mapping[Key, Episode] | None = None,
    ) -> None:
        """Go on where the last run ended: its recent ticks (symbol, time, price, volume, cap) and its episodes."""
        for symbol, timestamp, price, volume, market_cap in ticks:
            self._window(symbol).add(timestamp, price, volume, market_cap)
        self._episodes.update({key: e for key, e in (episodes or {}).items() if e.state is not State.INACTIVE})

    def check(self, batch: Batch) -> Outcome:
        """Take in a batch: the alerts and changes of state that its new ticks cause."""
        outcome = Outcome(self.epoch)
        for tick in batch.ticks:
            window = self._window(tick.symbol)
            match window.add(tick.timestamp, tick.price, tick.volume_24h, tick.market_cap):
                case Arrival.KNOWN:
                    outcome.known += 1
                case Arrival.LATE:
                    outcome.late += 1
                case Arrival.NEW:
                    outcome.new += 1
                    for rule in self._rules:
                        self._evaluate(rule, _Reading(tick, window), outcome)
        return outcome

    def _window(self, symbol: str) -> Window:
        if symbol not in self._windows:
            self._windows[symbol] = Window(self.reach)
        return self._windows[symbol]

    def _evaluate(self, rule: Rule, reading: _Reading, outcome: Outcome) -> None:
        key = (rule.name, reading.tick.symbol)
        before = self._episodes.get(key)
        after = _next(rule, before, reading, rule.when.holds(reading))
        if after is None or after == before:
            return
        outcome.episodes[key] = after
        if after.state is State.INACTIVE:
            del self._episodes[key]
            if before is not None and before.state is State.FIRING:
                outcome.alerts.append(_alert(rule, reading, State.RESOLVED, before.id))
            return
        self._episodes[key] = after
        if after.state is State.FIRING:
            number = "" if after.lines == 1 else f".{after.lines}"
            outcome.alerts.append(_alert(rule, reading, State.FIRING, after.id + number))


@dataclass(frozen=True, slots=True)
class _Reading:
    """One tick before its trailing windows, as an expression's Reading."""

    tick: Tick
    window: Window

    def published(self, name: str) -> Decimal | None:
        return {"price": self.tick.price, "volume": self.tick.volume_24h, "market_cap": self.tick.market_cap}[name]

    def field(self, name: str) -> float | None:
        value = self.published(name)
        return None if value is None else float(value)

    def statistic(self, statistic: Statistic, field: str, seconds: float) -> float | None:
        return self.window.compute(statistic, field, seconds, self.tick.timestamp)

    def text(self, term: Term) -> str:
        """A term's value for the line: published digits as they came, computed ones with 8 significant digits."""
        if isinstance(term, Field):
            published = self.published(term.name)
            return "unknown" if published is None else f"{published:f}"
        computed = term.value(self)
        return "unknown" if computed is None else _eight_digits(computed)


def _eight_digits(value: float) -> str:
    """Rounded to 8 significant digits, half to even, without an exponent and without zeros that say nothing."""
    # By way of 14 digits, where a binary mean of decimal prices is a decimal again: 53076.1475, and not a bit less.
    exact = Decimal(f"{value:.14g}")
    return f"{Decimal(f'{exact:.8g}').normalize():f}"


def _next(rule: Rule, episode: Episode | None, reading: _Reading, holds: bool | None) -> Episode | None:
    """Where the rule stands after a tick: the state machine, a letter an edge (docs/architecture.md draws it)."""
    time = reading.tick.timestamp
    if holds is None:  # (u) unknown changes nothing
        return episode
    if not holds:  # (c) pending is over, (d) firing resolves
        return episode and replace(episode, state=State.INACTIVE, as_of=time)
    if episode is None:  # (a) true: pending
        episode = Episode(State.PENDING, _id(rule.name, reading.tick.symbol, time), since=time, as_of=time)
    if episode.state is State.PENDING:  # (b) true for long enough: firing
        if time - episode.since < timedelta(seconds=rule.hold):
            return episode
        return replace(episode, state=State.FIRING, as_of=time, last_line_at=time, lines=1)
    due = episode.last_line_at is not None and rule.repeat is not None
    if due and time - (episode.last_line_at or time) >= timedelta(seconds=rule.repeat or 0):  # (r) said again
        return replace(episode, as_of=time, last_line_at=time, lines=episode.lines + 1)
    return episode


def _alert(rule: Rule, reading: _Reading, state: State, id_: str) -> Alert:
    terms = tuple((str(term), reading.text(term)) for term in rule.terms)
    return Alert(id_, state, reading.tick.timestamp, reading.tick.symbol, rule.name, terms)


def _id(rule: str, symbol: str, since: datetime) -> str:
    """The id of an episode: the same from whichever run computes it."""
    return hashlib.sha256("\0".join((rule, symbol, since.isoformat())).encode()).hexdigest()[:12]
