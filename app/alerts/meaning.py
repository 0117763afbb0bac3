"""From what was written to what it means: each part of a condition, judged where it stands."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from lark import Token
from lark.visitors import Transformer_NonRecursive, v_args

from app.alerts.expression import (
    Abs,
    Age,
    Arithmetic,
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
    Value,
    Windowed,
    ZScore,
    seconds_of,
)
from app.alerts.place import RuleError
from app.alerts.units import MONEY, PLAIN, RATIO, TIME, Unit, of_product
from app.alerts.windows import FIELDS, Statistic

DEEPEST = 50
SHORTEST_WINDOW, LONGEST_WINDOW = 10, 7 * 86400  # seconds

TERMS = (*FIELDS, "age")
FUNCTIONS = {
    **{statistic.value: f"{statistic.value}(price, 5m)" for statistic in Statistic},
    "change": "change(price, 1h)",
    "zscore": "zscore(price, 1h)",
    "abs": "abs(change(price, 1h))",
    "crosses": "crosses(price, 70000)",
}
"""Each with an example."""

_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_NUMBER = re.compile(rf"(?P<number>(?:{_DIGITS}(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?)(?P<percent>%?)")
_DIVIDE = "; divide first, as in price / avg(price, 5m) - 1 > 2%"
_MULTIPLY = "; 2% of the price is 2% * price"


@dataclass(frozen=True, slots=True)
class Part:
    """What stands from ``start`` up to ``end`` of the text. ``unit``: of a number. ``depth``: levels inside it."""

    node: Node
    unit: Unit | None
    start: int
    end: int
    depth: int = 0


@v_args(inline=True)
class Meaning(Transformer_NonRecursive[Token, Part]):
    """Builds the node of each rule of the grammar out of those of its parts. Raises RuleError."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def condition(self, part: Part) -> Condition:
        """The whole, which has to be true or false."""
        return self._truth(part)

    # The rules of grammar.lark, by their names.

    def either(self, left: Part, word: Token, right: Part) -> Part:  # noqa: ARG002
        return self._joined(Logical(self._truth(left), "or", self._truth(right)), PLAIN, left, right)

    def both(self, left: Part, word: Token, right: Part) -> Part:  # noqa: ARG002
        return self._joined(Logical(self._truth(left), "and", self._truth(right)), PLAIN, left, right)

    def negated(self, word: Token, of: Part) -> Part:
        return self._joined(Not(self._truth(of)), PLAIN, word, of)

    def compared(self, left: Part, sign: Any, right: Part, *more: Any) -> Part:
        if more:
            first, then, last = self._shown(left), self._shown(right), self._shown(more[1])
            self._refuse(
                more[0].start_pos, f"compares twice: write {first} {sign} {then} and {then} {more[0]} {last} instead"
            )
        for part in (left, right):
            if isinstance(part.node, Condition):
                self._refuse(
                    part.start, f"{self._shown(part)} is true or false: it is not compared, but joined by and, or, not"
                )
        self._same_unit(left, right, "compared", _DIVIDE)
        node = Comparison(self._number(left), sign.value, self._number(right))
        return self._joined(node, PLAIN, left, right)

    def sum(self, left: Part, sign: Any, right: Part) -> Part:
        node = Arithmetic(self._number(left), sign.value, self._number(right))
        self._same_unit(left, right, "added" if sign == "+" else "subtracted", _MULTIPLY)
        return self._joined(node, right.unit if left.unit is PLAIN else left.unit, left, right)

    def product(self, left: Part, sign: Any, right: Part) -> Part:
        node = Arithmetic(self._number(left), sign.value, self._number(right))
        return self._joined(node, of_product(left.unit, right.unit, 1 if sign == "*" else -1), left, right)

    def signed(self, minus: Token, of: Part) -> Part:
        return self._joined(Negative(self._number(of)), of.unit, minus, of)

    def brackets(self, left: Token, of: Part, right: Token) -> Part:
        return self._joined(of.node, of.unit, left, of, right)

    def literal(self, token: Token) -> Part:
        node, unit = self._literal(token)
        return self._joined(node, unit, token)

    def name(self, name: Token) -> Part:
        if name in FIELDS:
            return self._joined(Field(str(name)), MONEY, name)
        if name in FUNCTIONS:
            self._refuse(_start(name), f"{name} is a function, as in {FUNCTIONS[str(name)]}")
        if name not in TERMS:
            self._unknown(name, TERMS)
        return self._joined(Age(), TIME, name)

    def call(self, name: Token, *rest: Token | Part) -> Part:
        if name in TERMS:
            self._refuse(_start(name), f"{name} is no function: it stands without brackets")
        if name not in FUNCTIONS:
            self._unknown(name, FUNCTIONS)
        arguments = [part for part in rest if isinstance(part, Part)]
        wanted = 1 if name == "abs" else 2
        if len(arguments) != wanted:
            given = len(arguments) or "none"
            wants = f"takes {wanted} argument{'s' if wanted > 1 else ''}, as in {FUNCTIONS[str(name)]}"
            self._refuse(_start(name), f"{name} {wants}; here {'is' if given == 1 else 'are'} {given}")
        node, unit = self._applied(str(name), *arguments)
        return self._joined(node, unit, name, *rest)

    # What the rules are made of.

    def _applied(self, name: str, first: Part, *others: Part) -> tuple[Node, Unit | None]:
        if name == "abs":
            return Abs(self._number(first)), first.unit
        second = others[0]
        if name == "crosses":
            node = Crosses(self._number(first), self._number(second))
            self._same_unit(first, second, "compared", _DIVIDE)
            return node, PLAIN
        field, seconds = self._field(name, first), self._window(name, second)
        if name == "change":
            return Change(field, seconds), RATIO
        if name == "zscore":
            return ZScore(field, seconds), PLAIN
        return Windowed(Statistic(name), field, seconds), PLAIN if name == "count" else MONEY

    def _field(self, name: str, part: Part) -> str:
        if not isinstance(part.node, Field):
            self._refuse(part.start, f"{name} is of {_listed(FIELDS)}, not of {self._shown(part)}")
        return part.node.name

    def _window(self, name: str, part: Part) -> int:
        if not isinstance(part.node, Duration):
            self._refuse(
                part.start, f"{self._shown(part)} is no length of time: {name} wants one such as 5m, its window"
            )
        if not SHORTEST_WINDOW <= part.node.seconds <= LONGEST_WINDOW:
            self._refuse(part.start, f"{self._shown(part)}: a window is at least 10s and at most 7d long")
        return part.node.seconds

    def _literal(self, token: Token) -> tuple[Node, Unit | None]:
        seconds = seconds_of(token)
        if seconds is not None:
            return Duration(seconds), TIME
        match = _NUMBER.fullmatch(token)
        if match is None:
            self._refuse(
                _start(token),
                f"{_cut(token)} is neither a number (70000, 0.5), nor a ratio (2%), nor a length of time, which is a"
                " whole number and s, m, h or d (30s, 5m, 1h, 7d)",
            )
        exact = Decimal(match["number"])
        number = float(exact.scaleb(-2) if match["percent"] else exact)
        if number == math.inf:
            self._refuse(_start(token), f"{_cut(token)} is too large")
        return Number(number), RATIO if match["percent"] else PLAIN

    def _number(self, part: Part) -> Value:
        if not isinstance(part.node, Value):
            self._refuse(part.start, f"{self._shown(part)} is true or false: a number is wanted here")
        return part.node

    def _truth(self, part: Part) -> Condition:
        if not isinstance(part.node, Condition):
            shown = self._shown(part)
            self._refuse(part.start, f"{shown} is a number: a comparison is wanted here, as in {shown} > 1")
        return part.node

    def _same_unit(self, left: Part, right: Part, verb: str, hint: str) -> None:
        if left.unit is PLAIN or right.unit is PLAIN or left.unit == right.unit:
            return
        texts = f"{self._shown(right)} is {right.unit}, {self._shown(left)} is {left.unit}: they cannot be {verb}"
        self._refuse(right.start, texts + (hint if {left.unit, right.unit} == {MONEY, RATIO} else ""))

    def _joined(self, node: Node, unit: Unit | None, *pieces: Token | Part) -> Part:
        start, end = _start(pieces[0]), _end(pieces[-1])
        depth = 1 + max((piece.depth for piece in pieces if isinstance(piece, Part)), default=0)
        if depth > DEEPEST:
            self._refuse(start, f"is nested or chained more than {DEEPEST} levels deep: make several rules of it")
        return Part(node, unit, start, end, depth)

    def _unknown(self, name: Token, known: Collection[str]) -> NoReturn:
        near = [*difflib.get_close_matches(name.lower(), known, 1), *difflib.get_close_matches(name, FUNCTIONS, 1)]
        advice = f"did you mean {near[0]}?" if near else f"there are {_listed([*TERMS, *FUNCTIONS])}"
        self._refuse(_start(name), f"{_cut(name)} is unknown; {advice}")

    def _shown(self, part: Part) -> str:
        return _cut(" ".join(self._text[part.start : part.end].split()))

    def _refuse(self, offset: int, reason: str) -> NoReturn:
        raise RuleError(reason, self._text, offset)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _start(piece: Token | Part) -> int:
    return piece.start if isinstance(piece, Part) else piece.start_pos or 0


def _end(piece: Token | Part) -> int:
    return piece.end if isinstance(piece, Part) else piece.end_pos or 0


def _listed(names: Collection[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}"
