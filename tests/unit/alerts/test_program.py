"""Conditions, compiled: the same for one symbol and for many, and what a plain reading of the tree says."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
)
from app.alerts.language import parse
from app.alerts.program import Program
from tests.conditions import conditions, money, ratios

FALSE, UNKNOWN, TRUE = 0, 1, 2

floats = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 100.0, 102.0, 1e-300, 1e300, 5e-324, math.nan, math.inf, -math.inf]), st.floats()
)


def judge(text: str, *values: float) -> int:
    """The truth of a condition at a symbol's first tick, given the values of its atoms in the order written."""
    program = Program([parse(text)])
    assert len(program.atoms) == len(values)
    truths, _ = program.one(values, [UNKNOWN] * program.sides)
    return truths[0]


# A plain reading of the tree: None is unknown, and so is whatever comes out infinite.

_SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_COMPARISONS = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne
}  # fmt: skip


def number(node: Node, values: Mapping[Atom, float]) -> float | None:
    found = _number(node, values)
    return found if found is not None and math.isfinite(found) else None


def _number(node: Node, values: Mapping[Atom, float]) -> float | None:
    if isinstance(node, Number):
        return node.number
    if isinstance(node, Duration):
        return float(node.seconds)
    if isinstance(node, Field):
        return values[node] or None
    if isinstance(node, Age | Windowed):
        return values[node]
    of = [number(part, values) for part in node.parts]
    if None in of:
        return None
    known = [value for value in of if value is not None]
    if isinstance(node, Abs):
        return abs(known[0])
    if isinstance(node, Negative):
        return -known[0]
    if isinstance(node, Change):
        return known[0] / known[1] - 1 if known[1] else None
    if isinstance(node, ZScore):
        return (known[0] - known[1]) / known[2] if known[2] else None
    assert isinstance(node, Arithmetic)
    return None if node.sign == "/" and not known[1] else _SIGNS[node.sign](*known)


def truth(node: Node, values: Mapping[Atom, float], before: Mapping[Crosses, int]) -> bool | None:
    if isinstance(node, Comparison):
        left, right = number(node.left, values), number(node.right, values)
        if left is None or right is None:
            return None
        return _COMPARISONS[node.sign](left, left if math.isclose(left, right, rel_tol=1e-12) else right)
    if isinstance(node, Crosses):
        side = truth(Comparison(node.of, ">=", node.level), values, before)
        was = {FALSE: False, UNKNOWN: None, TRUE: True}[before[node]]
        return None if side is None or was is None else side is not was
    sides = [truth(part, values, before) for part in node.parts]
    if isinstance(node, Not):
        return None if sides[0] is None else not sides[0]
    assert isinstance(node, Logical)
    decisive = node.word == "or"
    return decisive if decisive in sides else None if None in sides else not decisive


@settings(max_examples=60, deadline=None)
@given(st.lists(conditions, min_size=1, max_size=3), st.data())
def test_one_and_many_say_what_a_plain_reading_of_the_tree_says(
    rules: Sequence[Condition], data: st.DataObject
) -> None:
    program = Program(rules)
    columns = data.draw(st.integers(1, 4))
    values = [data.draw(st.lists(floats, min_size=columns, max_size=columns)) for _ in program.atoms]
    sides = [data.draw(st.lists(st.integers(0, 2), min_size=columns, max_size=columns)) for _ in program.crossings]
    before = np.array(sides, np.int8).reshape(program.sides, columns)
    truths, after = program.many([np.array(row) for row in values], before)
    assert [row.dtype for row in truths] == [np.int8] * len(rules)
    assert after.dtype == np.int8
    for i in range(columns):
        one, side = program.one([row[i] for row in values], before[:, i].tolist())
        assert list(one) == [row[i] for row in truths]
        assert list(side) == after[:, i].tolist()
        known = dict(zip(program.atoms, (row[i] for row in values), strict=True))
        was = dict(zip(program.crossings, before[:, i].tolist(), strict=True))
        plain = [truth(rule, known, was) for rule in rules]
        assert list(one) == [{False: FALSE, None: UNKNOWN, True: TRUE}[t] for t in plain]


@settings(max_examples=40, deadline=None)
@given(st.one_of(money, ratios), st.data())
def test_a_terms_value_is_the_one_that_conditions_see(value: Node, data: st.DataObject) -> None:
    for term in value.terms():
        values = {atom: data.draw(floats) for atom in term.atoms()}
        found = term.value(values)
        plain = number(term, values)
        assert found == plain or (plain is None and not math.isfinite(found))


# Truth in three values. A volume of 0 is unknown.

_OPERANDS = {"price > 1": TRUE, "price < 1": FALSE, "volume > 1": UNKNOWN}


@pytest.mark.parametrize(
    ("word", "left", "right", "result"),
    [
        ("and", TRUE, TRUE, TRUE), ("and", TRUE, FALSE, FALSE), ("and", TRUE, UNKNOWN, UNKNOWN),
        ("and", UNKNOWN, TRUE, UNKNOWN), ("and", FALSE, UNKNOWN, FALSE), ("and", UNKNOWN, FALSE, FALSE),
        ("and", UNKNOWN, UNKNOWN, UNKNOWN), ("and", FALSE, FALSE, FALSE),
        ("or", FALSE, FALSE, FALSE), ("or", FALSE, TRUE, TRUE), ("or", TRUE, UNKNOWN, TRUE),
        ("or", UNKNOWN, TRUE, TRUE), ("or", FALSE, UNKNOWN, UNKNOWN), ("or", UNKNOWN, FALSE, UNKNOWN),
        ("or", UNKNOWN, UNKNOWN, UNKNOWN), ("or", TRUE, TRUE, TRUE),
    ],
)  # fmt: skip
def test_and_or_are_three_valued_as_in_sql(word: str, left: int, right: int, result: int) -> None:
    texts = {truth: text for text, truth in _OPERANDS.items()}
    program = Program([parse(f"{texts[left]} {word} {texts[right]}")])
    values = [{"price": 5.0, "volume": 0.0}[str(atom)] for atom in program.atoms]
    assert program.one(values, ())[0] == (result,)


@pytest.mark.parametrize(("text", "value", "result"), [
    ("not price > 1", 5.0, FALSE), ("not price > 1", 0.5, TRUE), ("not price > 1", math.nan, UNKNOWN),
])  # fmt: skip
def test_not(text: str, value: float, result: int) -> None:
    assert judge(text, value) == result


@pytest.mark.parametrize(
    ("sign", "below", "same", "above"),
    [
        ("<", TRUE, FALSE, FALSE), ("<=", TRUE, TRUE, FALSE), (">", FALSE, FALSE, TRUE), (">=", FALSE, TRUE, TRUE),
        ("==", FALSE, TRUE, FALSE), ("!=", TRUE, FALSE, TRUE),
    ],
)  # fmt: skip
def test_comparisons_take_what_differs_by_a_billionth_of_a_thousandth_for_equal(
    sign: str, below: int, same: int, above: int
) -> None:
    text = f"price {sign} 1000"
    assert [judge(text, p) for p in (999.0, 1000 * (1 - 2e-12))] == [below, below]
    assert [judge(text, p) for p in (1000 * (1 - 5e-13), 1000.0, 1000 * (1 + 5e-13))] == [same, same, same]
    assert [judge(text, p) for p in (1000 * (1 + 2e-12), 1e300)] == [above, above]
    assert [judge(text, p) for p in (math.nan, math.inf, -math.inf, 0.0)] == [UNKNOWN] * 4


def test_exactly_two_percent_is_not_more_than_two_percent() -> None:
    assert 102 / 100 - 1 > 0.02
    assert judge("price / avg(price, 5m) - 1 > 2%", 102.0, 100.0) == FALSE
    assert judge("price / avg(price, 5m) - 1 >= 2%", 102.0, 100.0) == TRUE
    assert judge("price / avg(price, 5m) - 1 > 2%", 102.001, 100.0) == TRUE


@pytest.mark.parametrize(
    "text", ["price / (volume - 5) > 0", "0 < price / (volume - 5)", "not price / (volume - 5) > 0"]
)
def test_dividing_by_zero_is_unknown(text: str) -> None:
    assert judge(text, 1.0, 5.0) == UNKNOWN


def test_a_zero_is_unknown_as_a_field_and_a_value_in_a_window() -> None:
    assert judge("volume < 1", 0.0) == UNKNOWN
    assert judge("avg(volume, 5m) < 1", 0.0) == TRUE
    assert judge("age < 1s", 0.0) == TRUE


def test_what_grows_beyond_all_bounds_is_unknown_and_stays_so() -> None:
    assert judge("price * 1e300 > 1", 1e300) == UNKNOWN
    assert judge("1 / (price * 1e300) < 1", 1e300) == UNKNOWN
    assert judge("price * 1e300 > 1 or price > 1", 1e300) == TRUE


def test_a_condition_of_literals_alone_has_its_truth_for_every_symbol() -> None:
    program = Program([parse("1 / 3 < 1 / 2"), parse("1 / 0 > 1"), parse("crosses(2, 1)")])
    assert program.atoms == ()
    truths, after = program.many([], np.array([[0, 1, 2]], np.int8))
    assert [row.tolist() for row in truths] == [[2, 2, 2], [1, 1, 1], [2, 1, 0]]
    assert after.tolist() == [[2, 2, 2]]
    assert program.one((), [0]) == ((2, 1, 2), (2,))


def test_conditions_share_what_they_look_at() -> None:
    program = Program([parse("price > avg(price, 5m)"), parse("avg(price, 300s) > 1 and price > 2")])
    assert [str(atom) for atom in program.atoms] == ["price", "avg(price,5m)"]


def test_no_condition_at_all_is_a_program_too() -> None:
    program = Program([])
    assert program.one((), ()) == ((), ())
    truths, after = program.many([], np.empty((0, 3), np.int8))
    assert truths == []
    assert after.shape == (0, 3)


def test_a_crossing_is_seen_once_at_the_tick_that_makes_it() -> None:
    program = Program([parse("crosses(price, 100)")])
    side: Sequence[int] = [UNKNOWN]
    seen = []
    for price in (99.0, 99.5, 101.0, 102.0, 100.0, 99.0, 98.0, math.nan, 103.0, 104.0):
        truths, side = program.one([price], side)
        seen.append(truths[0])
    #               first    below  up    above  on it  down  below  unknown  and after it  above
    assert seen == [UNKNOWN, FALSE, TRUE, FALSE, FALSE, TRUE, FALSE, UNKNOWN, UNKNOWN, FALSE]


def test_the_same_crossing_in_two_conditions_has_one_side() -> None:
    program = Program([parse("crosses(price, 100)"), parse("crosses(price, 100) and volume > 1 or crosses(price, 5)")])
    assert [str(crossing) for crossing in program.crossings] == ["crosses(price, 100)", "crosses(price, 5)"]
    assert program.sides == 2


def test_many_rules_are_one_program() -> None:
    program = Program([parse(f"abs(price / avg(price, {w}s) - 1) > {w}%") for w in range(10, 210)])
    truths, _ = program.one([100.0] + [90.0] * 200, ())
    # 11.1 % off the mean.
    assert list(truths) == [TRUE] * 2 + [FALSE] * 198
