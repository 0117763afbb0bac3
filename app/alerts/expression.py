"""Rule conditions as trees: what they are made of, and how they are written. (app/alerts/language.py reads them,
app/alerts/program.py evaluates them.)

Numbers are floats, and NaN is *unknown*. Each class is one kind of node.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from app.alerts.windows import Statistic

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _MINUS, _WHOLE = range(8)
"""How tightly a node holds its parts together: one that does so less than its place asks for stands in brackets."""


class Node(ABC):
    """A part of a condition. Its text is canonical: reading it gives an equal node again."""

    __slots__ = ()

    @property
    def parts(self) -> tuple[Node, ...]:
        """What it is made of, in the order written."""
        return ()

    @property
    def tightness(self) -> int:
        """Among _OR to _WHOLE."""
        return _WHOLE

    def atoms(self) -> Iterator[Atom]:
        """What has to be supplied to evaluate it, repetitions included."""
        for part in self.parts:
            yield from part.atoms()

    def terms(self) -> Iterator[Term]:
        """What stands in a line of alerts.txt with its value, in the order written, repetitions included."""
        for part in self.parts:
            yield from part.terms()

    @abstractmethod
    def __str__(self) -> str: ...

    def _place(self, part: Node, tightness: int) -> str:
        return str(part) if part.tightness >= tightness else f"({part})"


class Value(Node):
    """A node that yields a number."""

    __slots__ = ()


class Condition(Node):
    """A node that yields true, false or unknown."""

    __slots__ = ()


class Term(Value):
    """A number that is looked at in a symbol's ticks."""

    __slots__ = ()

    def terms(self) -> Iterator[Term]:
        yield self

    @abstractmethod
    def value(self, values: Mapping[Atom, float]) -> float:
        """Its value, given those of its atoms; NaN where it is unknown."""


class Atom(Term):
    """A term that is supplied from outside."""

    __slots__ = ()

    def atoms(self) -> Iterator[Atom]:
        yield self

    def value(self, values: Mapping[Atom, float]) -> float:
        return values[self]


@dataclass(frozen=True, slots=True)
class Field(Atom):
    """``price``, ``volume``, ``market_cap`` of the tick. Zero is what providers send for "not known": unknown."""

    name: str

    def value(self, values: Mapping[Atom, float]) -> float:
        return values[self] or math.nan

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Age(Atom):
    """``age``: seconds since the symbol's last new tick arrived."""

    def __str__(self) -> str:
        return "age"


@dataclass(frozen=True, slots=True)
class Windowed(Atom):
    """``avg(price,5m)``: a statistic of a field over the window that ends just before the tick."""

    statistic: Statistic
    field: str
    seconds: int

    def __str__(self) -> str:
        return f"{self.statistic.value}({self.field},{duration(self.seconds)})"


@dataclass(frozen=True, slots=True)
class Change(Term):
    """``change(price,1h)``: by which share a field differs from what it was. ``x / ago(x, W) - 1``."""

    field: str
    seconds: int

    @property
    def parts(self) -> tuple[Field, Windowed]:
        return Field(self.field), Windowed(Statistic.AGO, self.field, self.seconds)

    def value(self, values: Mapping[Atom, float]) -> float:
        now, then = (part.value(values) for part in self.parts)
        return divide(now, then) - 1

    def __str__(self) -> str:
        return f"change({self.field},{duration(self.seconds)})"


@dataclass(frozen=True, slots=True)
class ZScore(Term):
    """``zscore(price,1h)``: how many standard deviations a field is above its mean, below it negative.

    ``(x - avg(x, W)) / stddev(x, W)``.
    """

    field: str
    seconds: int

    @property
    def parts(self) -> tuple[Field, Windowed, Windowed]:
        mean, deviation = (Windowed(of, self.field, self.seconds) for of in (Statistic.AVG, Statistic.STDDEV))
        return Field(self.field), mean, deviation

    def value(self, values: Mapping[Atom, float]) -> float:
        now, mean, deviation = (part.value(values) for part in self.parts)
        return divide(now - mean, deviation)

    def __str__(self) -> str:
        return f"zscore({self.field},{duration(self.seconds)})"


@dataclass(frozen=True, slots=True)
class Number(Value):
    """``1``, ``0.5``, and ``2%``, which is 0.02. Finite, not negative."""

    number: float

    def __str__(self) -> str:
        return repr(self.number).removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Duration(Value):
    """``5m``: a length of time; its value is in seconds."""

    seconds: int

    def __str__(self) -> str:
        return duration(self.seconds)


@dataclass(frozen=True, slots=True)
class Abs(Value):
    """The absolute value."""

    of: Value

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.of,)

    def __str__(self) -> str:
        return f"abs({self.of})"


@dataclass(frozen=True, slots=True)
class Negative(Value):
    """``-x``."""

    of: Value

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.of,)

    @property
    def tightness(self) -> int:
        return _MINUS

    def __str__(self) -> str:
        return f"-{self._place(self.of, _MINUS)}"


@dataclass(frozen=True, slots=True)
class Arithmetic(Value):
    """``+ - * /``; dividing by zero is unknown."""

    left: Value
    sign: Literal["+", "-", "*", "/"]
    right: Value

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.left, self.right

    @property
    def tightness(self) -> int:
        return _SUM if self.sign in "+-" else _PRODUCT

    def __str__(self) -> str:
        left, right = self._place(self.left, self.tightness), self._place(self.right, self.tightness + 1)
        return f"{left} {self.sign} {right}"


@dataclass(frozen=True, slots=True)
class Comparison(Condition):
    """``< <= > >= == !=``; unknown where a side is."""

    left: Value
    sign: Literal["<", "<=", ">", ">=", "==", "!="]
    right: Value

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.left, self.right

    @property
    def tightness(self) -> int:
        return _COMPARE

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


@dataclass(frozen=True, slots=True)
class Crosses(Condition):
    """``crosses(x, level)``: ``x >= level`` is now what it was not at the symbol's new tick before, up or down.

    Unknown where it is unknown at one of the two.
    """

    of: Value
    level: Value

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.of, self.level

    def __str__(self) -> str:
        return f"crosses({self.of}, {self.level})"


@dataclass(frozen=True, slots=True)
class Logical(Condition):
    """``and``: false where a side is, else unknown where a side is. ``or``: the same with true."""

    left: Condition
    word: Literal["and", "or"]
    right: Condition

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.left, self.right

    @property
    def tightness(self) -> int:
        return _AND if self.word == "and" else _OR

    def __str__(self) -> str:
        left, right = self._place(self.left, self.tightness), self._place(self.right, self.tightness + 1)
        return f"{left} {self.word} {right}"


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """Unknown stays unknown."""

    of: Condition

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.of,)

    @property
    def tightness(self) -> int:
        return _NOT

    def __str__(self) -> str:
        return f"not {self._place(self.of, _NOT)}"


def divide(left: float, right: float) -> float:
    """NaN where the divisor is zero, and where it is infinite: from an unknown number nothing known may come."""
    return left / right if right and right - right == 0 else math.nan


_LENGTHS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def duration(seconds: int) -> str:
    """A length of time as rules write it: 30s, 5m, 1h, 7d."""
    unit = next(unit for unit, length in _LENGTHS.items() if seconds % length == 0 and (seconds or unit == "s"))
    return f"{seconds // _LENGTHS[unit]}{unit}"


def seconds_of(text: str) -> int | None:
    """What ``duration`` writes, read again: a whole number and its unit. None if it is not a length of time."""
    number, unit = text[:-1], text[-1:]
    if unit not in _LENGTHS or not unit or not number.isdecimal() or not number.isascii() or len(number) > 9:
        return None
    return int(number) * _LENGTHS[unit]
