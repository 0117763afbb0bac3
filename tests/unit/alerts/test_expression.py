"""What conditions mean: arithmetic, and truth in three values."""

from __future__ import annotations

import pytest

from app.alerts.expression import (
    Abs,
    And,
    Arithmetic,
    Comparison,
    Condition,
    Field,
    Not,
    Number,
    Or,
    Windowed,
    duration,
)
from app.alerts.rules import DEFAULT_RULES
from app.alerts.windows import Statistic


class Reading:
    """A tick of price 10 without volume, with a trailing mean of 8."""

    def field(self, name: str) -> float | None:
        return {"price": 10.0, "volume": None, "market_cap": 0.0}[name]

    def statistic(self, statistic: Statistic, field: str, seconds: float) -> float | None:
        return {"price": 8.0, "volume": None}[field]


TRUE = Comparison(Number(1), "<", Number(2))
FALSE = Comparison(Number(2), "<", Number(1))
UNKNOWN = Comparison(Field("volume"), ">", Number(1))


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        (And(TRUE, TRUE), True), (And(TRUE, FALSE), False), (And(TRUE, UNKNOWN), None), (And(UNKNOWN, TRUE), None),
        (And(FALSE, UNKNOWN), False), (And(UNKNOWN, FALSE), False), (And(UNKNOWN, UNKNOWN), None),
        (Or(FALSE, FALSE), False), (Or(FALSE, TRUE), True), (Or(TRUE, UNKNOWN), True), (Or(UNKNOWN, TRUE), True),
        (Or(FALSE, UNKNOWN), None), (Or(UNKNOWN, FALSE), None),
        (Not(TRUE), False), (Not(FALSE), True), (Not(UNKNOWN), None),
    ],
)  # fmt: skip
def test_and_or_not_are_three_valued_as_in_sql(condition: Condition, truth: bool | None) -> None:
    assert condition.holds(Reading()) is truth


@pytest.mark.parametrize(
    ("sign", "truth"), [("<", False), ("<=", False), (">", True), (">=", True), ("==", False), ("!=", True)]
)
def test_comparisons(sign: str, truth: bool) -> None:
    assert Comparison(Field("price"), sign, Windowed(Statistic.AVG, "price", 300)).holds(Reading()) is truth


@pytest.mark.parametrize(("sign", "value"), [("+", 12.0), ("-", 8.0), ("*", 20.0), ("/", 5.0)])
def test_arithmetic(sign: str, value: float) -> None:
    assert Arithmetic(Field("price"), sign, Number(2)).value(Reading()) == value


def test_dividing_by_zero_is_unknown() -> None:
    assert Arithmetic(Number(1), "/", Number(0)).value(Reading()) is None


def test_a_field_of_zero_is_one_the_provider_does_not_know() -> None:
    assert Field("market_cap").value(Reading()) is None


def test_the_unknown_spreads_through_arithmetic() -> None:
    assert Abs(Arithmetic(Number(1), "-", Field("volume"))).value(Reading()) is None


def test_abs() -> None:
    assert Abs(Arithmetic(Number(1), "-", Field("price"))).value(Reading()) == 9


def test_terms_are_distinct_and_in_the_order_written() -> None:
    assert [str(term) for term in DEFAULT_RULES[0].terms] == ["price", "avg(price,5m)"]
    assert [str(term) for term in DEFAULT_RULES[1].terms] == ["volume", "avg(volume,5m)"]
    both = And(DEFAULT_RULES[0].when, Or(Not(DEFAULT_RULES[1].when), DEFAULT_RULES[0].when))
    assert [str(t) for t in dict.fromkeys(both.terms())] == ["price", "avg(price,5m)", "volume", "avg(volume,5m)"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(30, "30s"), (90, "90s"), (300, "5m"), (3600, "1h"), (5400, "90m"), (604800, "7d")]
)
def test_a_duration_is_written_as_rules_write_it(seconds: int, text: str) -> None:
    assert duration(seconds) == text
