"""Where every rule stands for every symbol, and the lines that are written when that changes.

Rows are those of the symbols that are watched. What remains of others is the last episode of each rule that was ever
true for them, some hundred bytes each, as in the database: one that begins anew has to come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from app.alerts.expression import Atom, Field, Term
from app.alerts.rules import Rule, RuleSet
from app.alerts.states import ALERTING, TRUE, UNKNOWN, Episode, Key, Outcome, ended, step
from app.model import Alert, State, Tick

_MARKS = {State.PENDING: 1, State.FIRING: 2, State.RECOVERING: 3}
PENDING, FIRING, RECOVERING = _MARKS.values()

Terms = Callable[[Rule], tuple[tuple[str, str], ...]]
"""The terms of a rule with their values as text, made when a line is due."""


class Standing:
    """The episodes of all rules. ``marks`` says of each (row, rule) in a byte where it stands, 0: inactive.

    ``selected`` says whether the rule is held against the row's symbol at all: not where it is watched no more.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.episodes: dict[Key, Episode] = {}
        self.past: dict[Key, Episode] = {}
        """The last one of those that have none now."""
        self.marks = np.zeros((0, len(rules.rules)), np.int8)
        self.selected = np.zeros((0, len(rules.rules)), np.bool_)
        self.busy: list[int] = []
        """For each row, how many rules are not inactive."""
        self._rows: dict[str, int] = {}
        self._places = {rule.name: i for i, rule in enumerate(rules.rules)}

    @property
    def firing(self) -> int:
        """How many rules fire now, counted over all symbols."""
        # A copy, made in one step: other threads ask while this one's checks go on.
        return sum(episode.state in ALERTING for episode in list(self.episodes.values()))

    def add(self, row: int, symbol: str, *, is_watched: bool) -> None:
        """This row is the symbol's from now on."""
        if row >= len(self.marks):
            room = max(64, row)
            self.marks = np.vstack([self.marks, np.zeros((room, self.marks.shape[1]), np.int8)])
            self.selected = np.vstack([self.selected, np.zeros((room, self.selected.shape[1]), np.bool_)])
        self.busy += [0] * (row + 1 - len(self.busy))
        self._rows[symbol] = row
        self.watch(row, symbol, is_watched=is_watched)
        for i, rule in enumerate(self.rules.rules):
            if (episode := self.episodes.get((rule.name, symbol))) is not None:
                self._mark(row, i, episode)

    def watch(self, row: int, symbol: str, *, is_watched: bool) -> None:
        """Whether rules are held against the row's symbol from now on."""
        self.selected[row] = [is_watched and rule.selects(symbol) for rule in self.rules.rules]

    def forget(self, symbol: str) -> None:
        """A symbol has no row any more. (Its episodes have ended.)"""
        row = self._rows.pop(symbol)
        self.marks[row], self.selected[row], self.busy[row] = 0, False, 0

    def move(
        self, i: int, row: int, symbol: str, time: datetime, when: int, over: int, terms: Terms, outcome: Outcome
    ) -> None:
        """Hold the i-th rule's truth against where it stands for a symbol (row -1: one that is no row)."""
        rule = self.rules.rules[i]
        key = (rule.name, symbol)
        before = self.episodes.get(key)
        after = step(rule, symbol, before, time, when, over)
        if after is None or after is before:
            return
        after = _later(after, before or self.past.get(key))
        self._set(key, after, outcome)
        if after.state is State.INACTIVE:
            if before is not None and before.state in ALERTING:
                outcome.alerts.append(self._alert(rule, symbol, State.RESOLVED, before.id, time, terms(rule)))
        elif after.lines > (before.lines if before else 0):
            number = "" if after.lines == 1 else f".{after.lines}"
            outcome.alerts.append(self._alert(rule, symbol, State.FIRING, after.id + number, time, terms(rule)))
        if row >= 0:
            self._mark(row, i, after)

    def inherit(self, episodes: Mapping[Key, Episode], now: datetime, outcome: Outcome) -> None:
        """Go on from episodes of an earlier run, or of the rules before these.

        Those of rules that are gone, are others now, or are not held against their symbol any more, end.
        """
        for key, episode in episodes.items():
            name, symbol = key
            i = self._places.get(name)
            rule = None if i is None else self.rules.rules[i]
            if episode.state is State.INACTIVE:
                self.past[key] = episode
            elif i is None or rule is None:
                self.end(key, episode, "removed", now, outcome)
            elif not _concerns(rule, symbol) or episode.digest not in ("", rule.digest):
                self.end(key, episode, "changed", now, outcome)
            else:
                self.episodes[key] = episode
                if not episode.digest:  # of an older version
                    self._set(key, _later(replace(episode, digest=rule.digest), episode), outcome)
                if symbol in self._rows:
                    self._mark(self._rows[symbol], i, episode)

    def end(self, key: Key, episode: Episode, reason: str, now: datetime, outcome: Outcome) -> None:
        """It is over, and not because of a tick."""
        name, symbol = key
        self._set(key, ended(episode), outcome)
        i = self._places.get(name)
        if i is not None and symbol in self._rows:
            self._mark(self._rows[symbol], i, self.past[key])
        if episode.state in ALERTING:
            rule = name if i is None else self.rules.rules[i]
            alert = self._alert(rule, symbol, State.RESOLVED, episode.id, now, (("reason", reason),))
            outcome.alerts.append(alert)

    def shift(self, by: timedelta) -> None:
        """The clock was set, by which the rules that look at it are judged: their times are others now."""
        on_clock = {rule.name for rule in self.rules.rules if rule.on_clock}
        for key, episode in self.episodes.items():
            if key[0] in on_clock:
                last, recovering = episode.last_line_at, episode.recovering_since
                self.episodes[key] = replace(
                    episode,
                    since=episode.since + by,
                    last_line_at=last and last + by,
                    recovering_since=recovering and recovering + by,
                )

    def _set(self, key: Key, episode: Episode, outcome: Outcome) -> None:
        outcome.episodes[key] = episode
        if episode.state is State.INACTIVE:
            self.episodes.pop(key, None)
            self.past[key] = episode
        else:
            self.episodes[key] = episode
            self.past.pop(key, None)

    def _mark(self, row: int, i: int, episode: Episode) -> None:
        mark = _MARKS.get(episode.state, 0)
        self.busy[row] += bool(mark) - bool(self.marks[row, i])
        self.marks[row, i] = mark

    def _alert(
        self, rule: Rule | str, symbol: str, state: State, id_: str, time: datetime, terms: tuple[tuple[str, str], ...]
    ) -> Alert:
        if isinstance(rule, str):  # one that there is no more: who heard of its beginning hears of its end
            return Alert(id_, state, time, symbol, rule, terms)
        return Alert(id_, state, time, symbol, rule.name, terms, rule.severity, self.rules.channels(rule))


def _later(episode: Episode, before: Episode | None) -> Episode:
    """What is newer has the greater ``as_of``: also where a clock was set back, or a rule no longer goes by it."""
    if before is None or episode.as_of > before.as_of:
        return episode
    return replace(episode, as_of=before.as_of + timedelta(microseconds=1))


def _concerns(rule: Rule, symbol: str) -> bool:
    return rule.selects(symbol) or (rule.on_clock and is_source(symbol))


def is_source(symbol: str) -> bool:
    """Whether it stands for a whole source, ``*@coingecko``, and not for an instrument."""
    return symbol.startswith("*@")


def text(term: Term, tick: Tick | None, values: Mapping[Atom, float]) -> str:
    """A term's value for the line: published digits as they came, computed ones with 8 significant digits."""
    if isinstance(term, Field):
        published = None if tick is None else _published(tick, term.name)
        return "unknown" if published is None else f"{published:f}"
    computed = term.value(values)
    return "unknown" if computed != computed else eight_digits(computed)


def eight_digits(value: float) -> str:
    """Rounded to 8 significant digits, half to even, without an exponent and without zeros that say nothing."""
    # By way of 14 digits, where a binary mean of decimal prices is a decimal again: 53076.1475, and not a bit less.
    exact = Decimal(f"{value:.14g}")
    return f"{Decimal(f'{exact:.8g}').normalize():f}"


def _published(tick: Tick, name: str) -> Decimal | None:
    return {"price": tick.price, "volume": tick.volume_24h, "market_cap": tick.market_cap}[name]


def needs_a_look(
    marks: NDArray[np.int8], whens: NDArray[np.int8], overs: NDArray[np.int8], repeats: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Where (symbols, rules) a state may change; everywhere else ``step`` would return what it was given."""
    true = whens == TRUE
    look: NDArray[np.bool_] = (marks == 0) & true
    if marks.any():
        look |= (marks == PENDING) & (whens != UNKNOWN)
        look |= (marks == FIRING) & ((overs == TRUE) | (true & repeats))
        look |= (marks == RECOVERING) & (overs != UNKNOWN)
    return look
