"""Rule conditions as trees: what they mean. (How they are written is another matter: a front end builds them.)

Values are floats or None, which is *unknown*; truth is three-valued as in SQL. Each class is one kind of node.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from app.alerts.windows import Statistic


class Reading(Protocol):
    """What a condition is held against: one tick, and the trailing windows that end just before it."""

    def field(self, name: str) -> float | None:
        """The tick's own price, volume or market_cap; None where it has none."""
        ...

    def statistic(self, statistic: Statistic, field: str, seconds: float) -> float | None:
        """A statistic of the symbol's ticks in ``[t - seconds, t)``; None where the window does not tell."""
        ...


class Value(ABC):
    """A node that yields a number."""

    @abstractmethod
    def value(self, reading: Reading) -> float | None: ...

    def terms(self) -> Iterator[Term]:
        """The terms in it, in the order written, repetitions included."""
        yield from ()


class Condition(ABC):
    """A node that yields true, false or None: unknown."""

    @abstractmethod
    def holds(self, reading: Reading) -> bool | None: ...

    @abstractmethod
    def terms(self) -> Iterator[Term]:
        """The terms in it, in the order written, repetitions included."""


@dataclass(frozen=True, slots=True)
class Number(Value):
    """A literal."""

    number: float

    def value(self, reading: Reading) -> float | None:  # noqa: ARG002
        return self.number


@dataclass(frozen=True, slots=True)
class Field(Value):
    """``price``, ``volume``, ``market_cap``. Zero is what providers send for "not known", and taken as such."""

    name: str

    def value(self, reading: Reading) -> float | None:
        return reading.field(self.name) or None

    def terms(self) -> Iterator[Term]:
        yield self

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Windowed(Value):
    """``avg(price,5m)``: a statistic of a field over the window that ends just before the tick."""

    statistic: Statistic
    field: str
    seconds: int

    def value(self, reading: Reading) -> float | None:
        return reading.statistic(self.statistic, self.field, self.seconds)

    def terms(self) -> Iterator[Term]:
        yield self

    def __str__(self) -> str:
        return f"{self.statistic.value}({self.field},{duration(self.seconds)})"


Term = Field | Windowed


@dataclass(frozen=True, slots=True)
class Abs(Value):
    """The absolute value."""

    of: Value

    def value(self, reading: Reading) -> float | None:
        value = self.of.value(reading)
        return None if value is None else abs(value)

    def terms(self) -> Iterator[Term]:
        return self.of.terms()


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


@dataclass(frozen=True, slots=True)
class Arithmetic(Value):
    """``+ - * /``; dividing by zero is unknown."""

    left: Value
    sign: str
    right: Value

    def value(self, reading: Reading) -> float | None:
        left, right = self.left.value(reading), self.right.value(reading)
        if left is None or right is None or (self.sign == "/" and right == 0):
            return None
        return _ARITHMETIC[self.sign](left, right)

    def terms(self) -> Iterator[Term]:
        yield from self.left.terms()
        yield from self.right.terms()


_SAME = 1e-12  # far more than arithmetic errs by, far less than a price can tell

_COMPARISON: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Comparison(Condition):
    """``< <= > >= == !=``; unknown where a side is."""

    left: Value
    sign: str
    right: Value

    def holds(self, reading: Reading) -> bool | None:
        left, right = self.left.value(reading), self.right.value(reading)
        if left is None or right is None:
            return None
        # In binary 102 / 100 - 1 is a little more than 2 %: what differs by no more than that is equal.
        return _COMPARISON[self.sign](left, left if math.isclose(left, right, rel_tol=_SAME) else right)

    def terms(self) -> Iterator[Term]:
        yield from self.left.terms()
        yield from self.right.terms()


@dataclass(frozen=True, slots=True)
class And(Condition):
    """False where a side is false, else unknown where a side is."""

    left: Condition
    right: Condition

    def holds(self, reading: Reading) -> bool | None:
        sides = self.left.holds(reading), self.right.holds(reading)
        return False if False in sides else None if None in sides else True

    def terms(self) -> Iterator[Term]:
        yield from self.left.terms()
        yield from self.right.terms()


@dataclass(frozen=True, slots=True)
class Or(Condition):
    """True where a side is true, else unknown where a side is."""

    left: Condition
    right: Condition

    def holds(self, reading: Reading) -> bool | None:
        sides = self.left.holds(reading), self.right.holds(reading)
        return True if True in sides else None if None in sides else False

    def terms(self) -> Iterator[Term]:
        yield from self.left.terms()
        yield from self.right.terms()


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """Unknown stays unknown."""

    of: Condition

    def holds(self, reading: Reading) -> bool | None:
        truth = self.of.holds(reading)
        return None if truth is None else not truth

    def terms(self) -> Iterator[Term]:
        return self.of.terms()


def duration(seconds: int) -> str:
    """A length of time as rules write it: 30s, 5m, 1h, 7d."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % length == 0 and seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
