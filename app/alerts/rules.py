"""The rules: a name, a condition, and how long it has to hold."""

from __future__ import annotations

from dataclasses import dataclass

from app.alerts.expression import Abs, Arithmetic, Comparison, Condition, Field, Number, Term, Windowed
from app.alerts.windows import Statistic


@dataclass(frozen=True, slots=True)
class Rule:
    """``when`` is held against every new tick of every symbol.

    ``hold``: seconds of tick time for which it has to be true before the rule fires. ``repeat``: seconds after which
    a line is written again while it still fires, None for never.
    """

    name: str
    when: Condition
    hold: float = 0.0
    repeat: float | None = None

    @property
    def terms(self) -> tuple[Term, ...]:
        """The distinct terms of the condition, in the order written."""
        return tuple(dict.fromkeys(self.when.terms()))

    @property
    def reach(self) -> float:
        """Seconds that its longest window reaches back."""
        return max((term.seconds for term in self.terms if isinstance(term, Windowed)), default=0)


def off_the_mean(field: str, share: float, seconds: int) -> Condition:
    """``abs(field / avg(field, window) - 1) > share``: the value left its trailing average, up or down."""
    mean = Windowed(Statistic.AVG, field, seconds)
    return Comparison(Abs(Arithmetic(Arithmetic(Field(field), "/", mean), "-", Number(1))), ">", Number(share))


DEFAULT_RULES = (
    Rule("price-2pct-5m", off_the_mean("price", 0.02, 300)),
    Rule("volume-2pct-5m", off_the_mean("volume", 0.02, 300)),
)
"""abs(price / avg(price, 5m) - 1) > 2%, and the same of volume."""
