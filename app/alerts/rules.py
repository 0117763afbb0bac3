"""What a rule is: a condition over one symbol, how long it has to hold, and where its alerts go."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from app.alerts.expression import Age, Condition, Term, Windowed, duration

SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Rule:
    """``when`` is held against every new tick of the symbols it selects. All times are seconds of tick time.

    ``hold`` (``for``): how long it has to be true before the rule fires. ``clear``: what ends an alert, None: that
    ``when`` is false. ``keep`` (``keep_firing_for``): how long that has to last. ``repeat``: after which a line is
    written again while it still fires, None for never. ``symbols``: patterns, none: every symbol. ``channels``: where
    its alerts go, None: where those of its severity do.
    """

    name: str
    when: Condition
    hold: float = 0.0
    repeat: float | None = None
    clear: Condition | None = None
    keep: float = 0.0
    symbols: tuple[str, ...] = ()
    channels: tuple[str, ...] | None = None
    severity: str = "warning"

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return (self.when,) if self.clear is None else (self.when, self.clear)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The distinct terms of the condition, in the order written."""
        return tuple(dict.fromkeys(self.when.terms()))

    @property
    def on_clock(self) -> bool:
        """Whether it looks at ``age``, and so has to be held against the clock too."""
        return any(isinstance(atom, Age) for condition in self.conditions for atom in condition.atoms())

    @property
    def reach(self) -> float:
        """Seconds that its longest window reaches back."""
        atoms = (atom for condition in self.conditions for atom in condition.atoms())
        return max((atom.seconds for atom in atoms if isinstance(atom, Windowed)), default=0)

    @property
    def digest(self) -> str:
        """The same for rules that put every symbol into the same states: channels, repeats and names left out."""
        parts = (str(self.when), str(self.clear), f"{self.hold}", f"{self.keep}")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def definition(self) -> dict[str, object]:
        """As it is written in a rules file, what is as usual left out."""
        written: dict[str, object] = {"name": self.name, "when": str(self.when)}
        written |= {"clear": str(self.clear)} if self.clear is not None else {}
        for key, seconds in (("for", self.hold), ("keep_firing_for", self.keep), ("repeat", self.repeat)):
            if seconds is not None and (seconds or key == "repeat"):
                written[key] = duration(int(seconds))
        written |= {"symbols": list(self.symbols)} if self.symbols else {}
        written |= {"channels": list(self.channels)} if self.channels is not None else {}
        return written | {"severity": self.severity}

    def selects(self, symbol: str) -> bool:
        """Whether it is held against this symbol. A pattern is ``PAIR[@MARKET]``, without a market that of symbols
        which name none; ``*`` stands for any text, and alone for every symbol."""
        pair, _, market = symbol.partition("@")
        for pattern in self.symbols:
            its_pair, _, its_market = pattern.partition("@")
            if pattern == "*" or (fnmatchcase(pair, its_pair) and fnmatchcase(market, its_market)):
                return True
        return not self.symbols


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules with distinct names, in the order written. ``routes``: the channels of a severity, where it has its own."""

    rules: tuple[Rule, ...] = ()
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def channels(self, rule: Rule) -> tuple[str, ...] | None:
        """Where a rule's alerts go; None: to every channel."""
        return rule.channels if rule.channels is not None else self.routes.get(rule.severity)
