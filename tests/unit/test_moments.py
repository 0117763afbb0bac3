from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from math import isclose

import hypothesis.strategies as st
from hypothesis import given, settings

from app.moments import Sums, ranking

# Close together and far from zero, where sums of squares in floating point have no digit left; and the smallest and
# largest that are stored.
AWKWARD = st.one_of(
    st.integers(0, 5).map(lambda n: Decimal("100000") + n * Decimal("0.000000001")),
    st.decimals("1e-36", "1e36", allow_nan=False, allow_infinity=False),
    st.sampled_from([Decimal("1e-36"), Decimal("1e36"), Decimal("0.1"), Decimal("1." + 99 * "3")]),
)
VALUES = st.lists(AWKWARD, min_size=1, max_size=5)


def sums(values: Sequence[Decimal]) -> Sums:
    with localcontext(Context(prec=2000, traps=[Inexact])):
        return Sums(len(values), sum(values, Decimal(0)), sum((value * value for value in values), Decimal(0)))


def variance(values: Sequence[Decimal]) -> Fraction:
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    return sum((value - mean) ** 2 for value in exact) / len(exact)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("ABCDEF"), VALUES, min_size=1, max_size=4))
def test_deviations_and_ranks_are_those_of_all_values_looked_at_one_by_one(values: dict[str, list[Decimal]]) -> None:
    found = ranking({name: sums(its) for name, its in values.items()}, lambda its: its.variance)
    exact = {name: variance(its) for name, its in values.items()}
    assert found.total == len(values)
    assert found.ranks == {name: 1 + sum(other > its for other in exact.values()) for name, its in exact.items()}
    for name, its in exact.items():
        assert abs(Fraction(found.deviations[name]) ** 2 - its) <= its * Fraction(1, 10**15)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_volatility_is_the_deviation_over_the_mean(values: list[Decimal]) -> None:
    found = ranking({"A": sums(values)}, lambda its: its.relative_variance).deviations["A"]
    mean = sum(Fraction(value) for value in values) / len(values)
    exact = variance(values) / mean**2
    assert abs(Fraction(found) ** 2 - exact) <= exact * Fraction(1, 10**15)


def test_ties_share_a_rank_and_the_next_one_is_as_far_down_as_there_are_before_it() -> None:
    values = {"A": [1, 1], "B": [2, 6], "C": [5, 1, 5, 1], "D": [1, 9], "E": [7]}
    found = ranking({name: sums(list(map(Decimal, its))) for name, its in values.items()}, lambda its: its.variance)
    assert found.ranks == {"D": 1, "B": 2, "C": 2, "A": 4, "E": 4}
    assert found.deviations["B"] == 2


def test_what_is_always_zero_has_no_volatility_and_no_rank_by_it() -> None:
    both = {"A": sums([Decimal(0), Decimal(0)]), "B": sums([Decimal(1), Decimal(3)])}
    found = ranking(both, lambda its: its.relative_variance)
    assert (found.ranks, found.total) == ({"B": 1}, 1)
    assert isclose(found.deviations["B"], 0.5)


def test_no_deviation_is_written_as_zero() -> None:
    found = ranking(
        {"A": sums([Decimal("1.5"), Decimal("1.50")]), "B": sums([Decimal("1e-36")])}, lambda its: its.variance
    )
    assert [*map(str, found.deviations.values())] == ["0", "0"]
