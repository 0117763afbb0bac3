"""Conditions of every kind, as hypothesis strategies: units fit, so that each can be written and read."""

from __future__ import annotations

from hypothesis import strategies as st

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
    Not,
    Number,
    Value,
    Windowed,
    ZScore,
)
from app.alerts.windows import FIELDS, Statistic

_Values = st.SearchStrategy[Value]

fields = st.sampled_from(FIELDS)
windows = st.integers(10, 7 * 86400)
plain = st.builds(
    Number, st.one_of(st.sampled_from([0.0, 1.0, 0.02, 3.0, 70000.0]), st.floats(0, allow_infinity=False))
)


def _windowed(*statistics: Statistic) -> _Values:
    return st.builds(Windowed, st.sampled_from(statistics), fields, windows)


def _grown(values: _Values) -> _Values:
    """What has their unit too."""
    return st.one_of(
        st.builds(Abs, values),
        st.builds(Negative, values),
        st.builds(Arithmetic, values, st.sampled_from(["+", "-"]), st.one_of(values, plain)),
        st.builds(Arithmetic, values, st.sampled_from(["*", "/"]), plain),
    )


money = st.recursive(
    st.one_of(st.builds(Field, fields), _windowed(*(s for s in Statistic if s is not Statistic.COUNT))),
    _grown,
    max_leaves=4,
)
times = st.recursive(st.one_of(st.just(Age()), st.builds(Duration, st.integers(0, 10**8))), _grown, max_leaves=3)
counts = st.recursive(
    st.one_of(plain, st.builds(ZScore, fields, windows), _windowed(Statistic.COUNT)), _grown, max_leaves=4
)
ratios = st.recursive(
    st.one_of(st.builds(Change, fields, windows), st.builds(Arithmetic, money, st.just("/"), money)),
    _grown,
    max_leaves=3,
)
_pairs = st.one_of(*(st.tuples(values, st.one_of(values, counts)) for values in (money, times, counts, ratios)))
_signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])

conditions: st.SearchStrategy[Condition] = st.recursive(
    st.one_of(
        st.builds(lambda pair, sign: Comparison(pair[0], sign, pair[1]), _pairs, _signs),
        st.builds(lambda pair: Crosses(*pair), _pairs),
    ),
    lambda inner: st.one_of(st.builds(Not, inner), st.builds(Logical, inner, st.sampled_from(["and", "or"]), inner)),
    max_leaves=5,
)
