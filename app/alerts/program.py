"""Conditions, compiled: one Python function for all of them, over floats for one symbol, over arrays for many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.alerts.expression import (
    Abs,
    Age,
    Arithmetic,
    Atom,
    Change,
    Comparison,
    Condition,
    Crosses,
    Duration,
    Field,
    Logical,
    Negative,
    Node,
    Not,
    Number,
    Windowed,
    ZScore,
    divide,
)

Floats = NDArray[np.float64]
Truths = NDArray[np.int8]
"""0 false, 1 unknown, 2 true: so ``and`` is the smaller, ``or`` the greater, ``not x`` 2 - x."""

SAME: Final = 1e-12
"""Sides of a comparison that differ by no more than this share are equal: far more than arithmetic errs by, far less
than a price can tell. In binary 102 / 100 - 1 is a little more than 2 %."""

_COMPARE = {
    ">": "more({0}, {1})",
    "<": "more({1}, {0})",
    "<=": "2 - more({0}, {1})",
    ">=": "2 - more({1}, {0})",
    "==": "equal({0}, {1})",
    "!=": "2 - equal({0}, {1})",
}


class Program:
    """Some conditions, compiled together: what they share is computed once.

    ``atoms``: the distinct ones of all conditions; values are given in this order, NaN (or an infinite one) where
    unknown. ``crossings``: the distinct ``crosses`` in them, each of which has to be told its side at the symbol's tick
    before. ``one`` and ``many`` give the same, bit for bit. May be used by several threads.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        writer = _Writer()
        truths = [writer.name(condition) for condition in conditions]
        self.atoms: tuple[Atom, ...] = tuple(writer.atoms)
        self.crossings: tuple[Crosses, ...] = tuple(writer.crossings)
        code = compile(writer.source(truths), "<rules>", "exec")
        self._one, self._many = _function(code, _SCALARS), _function(code, _ARRAYS)

    @property
    def sides(self) -> int:
        """How many sides are passed on from tick to tick."""
        return len(self.crossings)

    def one(self, values: Sequence[float], before: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
        """For one symbol, from the values of the atoms and the sides at its tick before (at its first: all 1) to the
        truth of each condition, and the sides now."""
        truths, sides = self._one(values, before)
        return truths, sides

    def many(self, values: Sequence[Floats], before: Truths) -> tuple[Sequence[Truths], Truths]:
        """The same for n symbols: values in arrays of n, sides of shape (sides, n)."""
        count = before.shape[1]
        with np.errstate(all="ignore"):
            truths, sides = self._many(values, before)
        after = np.empty((self.sides, count), np.int8)
        for row, side in zip(after, sides, strict=True):
            row[:] = side
        # A condition that looks at nothing is one number, not an array.
        return [t if isinstance(t, np.ndarray) else np.full(count, t, np.int8) for t in truths], after


class _Writer:
    """The text of the function: a line for each distinct computation. Nothing of what a user wrote gets into it."""

    def __init__(self) -> None:
        self.atoms: dict[Atom, str] = {}
        self.crossings: dict[Crosses, str] = {}
        self._sides: list[str] = []
        self._lines: dict[str, str] = {}  # the computation, and the name of its result

    def source(self, truths: Sequence[str]) -> str:
        return "\n    ".join(
            [
                "def run(values, before):",
                f"{_listed(self.atoms.values())} = values",
                f"{_listed(self.crossings.values())} = before",
                *(f"{name} = {text}" for text, name in self._lines.items()),
                f"return {_listed(truths)}, {_listed(self._sides)}",
            ]
        )

    def name(self, node: Node) -> str:
        """What a node's result is called; it is computed by then."""
        match node:
            case Number():
                return repr(node.number)
            case Duration():
                return repr(float(node.seconds))
            case Field():
                return self._let(f"known({self._atom(node)})")
            case Age() | Windowed():
                return self._atom(node)
            case Change():
                now, then = map(self.name, node.parts)
                return self._let(f"{self._let(f'divide({now}, {then})')} - 1.0")
            case ZScore():
                now, mean, deviation = map(self.name, node.parts)
                return self._let(f"divide({self._let(f'{now} - {mean}')}, {deviation})")
            case Crosses():
                return self._crossing(node)
        return self._operation(node, [self.name(part) for part in node.parts])

    def _operation(self, node: Node, of: Sequence[str]) -> str:
        match node:
            case Abs():
                return self._let(f"abs({of[0]})")
            case Negative():
                return self._let(f"-{of[0]}")
            case Arithmetic(sign="/"):
                return self._let(f"divide({of[0]}, {of[1]})")
            case Arithmetic():
                return self._let(f"{of[0]} {node.sign} {of[1]}")
            case Comparison():
                return self._let(_COMPARE[node.sign].format(*of))
            case Logical():
                return self._let(f"{'lesser' if node.word == 'and' else 'greater'}({of[0]}, {of[1]})")
            case Not():
                return self._let(f"2 - {of[0]}")
        raise TypeError(f"no node of a condition: {node!r}")

    def _atom(self, atom: Atom) -> str:
        return self.atoms.setdefault(atom, f"a{len(self.atoms)}")

    def _crossing(self, node: Crosses) -> str:
        side = self._let(_COMPARE[">="].format(self.name(node.of), self.name(node.level)))
        if node not in self.crossings:
            self.crossings[node] = f"s{len(self.crossings)}"
            self._sides.append(side)
        return self._let(f"crossed({side}, {self.crossings[node]})")

    def _let(self, computation: str) -> str:
        return self._lines.setdefault(computation, f"x{len(self._lines)}")


def _listed(names: Iterable[str]) -> str:
    return "(" + "".join(f"{name}, " for name in names) + ")"


# What the function is made of: once over floats, once over arrays (and floats, where a condition has only literals).
# + - and * are the same for both, and raise no error. Through them, once infinite is always infinite or NaN.


def _known(value: float) -> float:
    return value or math.nan


def _known_each(values: Floats) -> Floats:
    return np.where(values == 0, math.nan, values)


def _divide_each(left: Floats, right: Floats) -> Floats:
    # By zero it is infinite or NaN, which is as unknown as NaN. The second part is 0, but NaN where right is infinite.
    return np.divide(left, right) + (right - right)


def _more(left: float, right: float) -> int:
    if left - left + (right - right) != 0:  # NaN, if one of them is NaN or infinite
        return 1
    return 2 if left > right and not math.isclose(left, right, rel_tol=SAME) else 0


def _more_each(left: Floats, right: Floats) -> Truths:
    # What math.isclose looks at. The slack is NaN or infinite where a side is, and then no gap is greater.
    slack = SAME * np.maximum(np.abs(left), np.abs(right))
    return np.int8(2) * (left - right > slack) + ~(slack < math.inf)


def _equal(left: float, right: float) -> int:
    if left - left + (right - right) != 0:
        return 1
    return 2 if math.isclose(left, right, rel_tol=SAME) else 0


def _equal_each(left: Floats, right: Floats) -> Truths:
    slack = SAME * np.maximum(np.abs(left), np.abs(right))
    known = slack < math.inf
    return np.int8(2) * ((np.abs(left - right) <= slack) & known) + ~known


def _lesser(left: int, right: int) -> int:
    return left if left < right else right


def _greater(left: int, right: int) -> int:
    return left if left > right else right


def _crossed(side: int, before: int) -> int:
    return 1 if side == 1 or before == 1 else 2 if side != before else 0


def _crossed_each(side: Truths, before: Truths) -> Truths:
    known = (side != 1) & (before != 1)
    return np.where(known, np.int8(2) * (side != before), np.int8(1))


_SCALARS: Mapping[str, object] = {
    "known": _known,
    "divide": divide,
    "more": _more,
    "equal": _equal,
    "lesser": _lesser,
    "greater": _greater,
    "crossed": _crossed,
}
_ARRAYS: Mapping[str, object] = {
    "known": _known_each,
    "divide": _divide_each,
    "more": _more_each,
    "equal": _equal_each,
    "lesser": np.minimum,
    "greater": np.maximum,
    "crossed": _crossed_each,
}


def _function(code: CodeType, operations: Mapping[str, object]) -> Callable[..., Any]:
    namespace = dict(operations)
    exec(code, namespace)  # noqa: S102  names and numbers that _Writer made up; no text of a user
    run: Callable[..., Any] = namespace["run"]  # type: ignore[assignment]
    return run
