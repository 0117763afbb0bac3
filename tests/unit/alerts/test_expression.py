"""What conditions are made of, and how they are written."""

from __future__ import annotations

import math

import pytest

from app.alerts.expression import (
    Age,
    Arithmetic,
    Change,
    Comparison,
    Field,
    Logical,
    Negative,
    Not,
    Number,
    Value,
    Windowed,
    ZScore,
    divide,
    duration,
    seconds_of,
)
from app.alerts.language import parse
from app.alerts.windows import Statistic

PRICE, VOLUME = Field("price"), Field("volume")
MEAN, DEVIATION, AN_HOUR_AGO = (Windowed(of, "price", 3600) for of in (Statistic.AVG, Statistic.STDDEV, Statistic.AGO))


def texts(nodes: object) -> list[str]:
    return [str(node) for node in nodes]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (PRICE, "price"),
        (Age(), "age"),
        (MEAN, "avg(price,1h)"),
        (Change("volume", 300), "change(volume,5m)"),
        (ZScore("market_cap", 90), "zscore(market_cap,90s)"),
        (Number(0.02), "0.02"),
        (Number(70000), "70000"),
        (Number(1e30), "1e+30"),
    ],
)
def test_a_term_and_a_number_are_written_without_a_space(node: Value, text: str) -> None:
    assert str(node) == text


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Arithmetic(Arithmetic(PRICE, "-", VOLUME), "-", MEAN), "price - volume - avg(price,1h)"),
        (Arithmetic(PRICE, "-", Arithmetic(VOLUME, "-", MEAN)), "price - (volume - avg(price,1h))"),
        (Arithmetic(PRICE, "+", Arithmetic(VOLUME, "*", MEAN)), "price + volume * avg(price,1h)"),
        (Arithmetic(Arithmetic(PRICE, "+", VOLUME), "*", MEAN), "(price + volume) * avg(price,1h)"),
        (Arithmetic(PRICE, "/", Arithmetic(VOLUME, "*", MEAN)), "price / (volume * avg(price,1h))"),
        (Negative(Arithmetic(PRICE, "*", VOLUME)), "-(price * volume)"),
        (Arithmetic(Negative(PRICE), "*", VOLUME), "-price * volume"),
    ],
)
def test_brackets_stand_only_where_they_mean_something(node: Value, text: str) -> None:
    assert str(node) == text


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    a, b, c = (Comparison(PRICE, ">", Number(n)) for n in (1, 2, 3))
    assert str(Logical(a, "or", Logical(b, "and", c))) == "price > 1 or price > 2 and price > 3"
    assert str(Logical(Logical(a, "or", b), "and", c)) == "(price > 1 or price > 2) and price > 3"
    assert str(Logical(a, "and", Logical(b, "and", c))) == "price > 1 and (price > 2 and price > 3)"
    assert str(Not(Logical(a, "and", b))) == "not (price > 1 and price > 2)"
    assert str(Logical(Not(a), "and", b)) == "not price > 1 and price > 2"


def test_terms_are_in_the_order_written_and_what_a_term_is_made_of_is_none() -> None:
    condition = parse("abs(change(volume,1h)) > 2% and price > avg(price,5m) or crosses(zscore(price,1h), 3)")
    assert texts(condition.terms()) == ["change(volume,1h)", "price", "avg(price,5m)", "zscore(price,1h)"]


def test_atoms_are_what_has_to_be_supplied() -> None:
    condition = parse("not change(volume,1h) > 2% and zscore(price,5m) > age / 1m")
    wanted = ["volume", "ago(volume,1h)", "price", "avg(price,5m)", "stddev(price,5m)", "age"]
    assert texts(condition.atoms()) == wanted


def test_a_field_of_zero_is_one_the_provider_does_not_know() -> None:
    assert math.isnan(PRICE.value({PRICE: 0.0}))
    assert PRICE.value({PRICE: 5.0}) == 5


def test_a_change_is_a_share_of_what_was() -> None:
    assert Change("price", 3600).value({PRICE: 110.0, AN_HOUR_AGO: 100.0}) == pytest.approx(0.1)
    assert math.isnan(Change("price", 3600).value({PRICE: 110.0, AN_HOUR_AGO: 0.0}))
    assert math.isnan(Change("price", 3600).value({PRICE: 110.0, AN_HOUR_AGO: math.nan}))


def test_a_z_score_counts_standard_deviations_from_the_mean() -> None:
    assert ZScore("price", 3600).value({PRICE: 94.0, MEAN: 100.0, DEVIATION: 2.0}) == -3
    assert math.isnan(ZScore("price", 3600).value({PRICE: 94.0, MEAN: 94.0, DEVIATION: 0.0}))


@pytest.mark.parametrize("divisor", [0.0, -0.0, math.nan, math.inf, -math.inf])
def test_dividing_by_zero_or_by_what_is_unknown_is_unknown(divisor: float) -> None:
    assert math.isnan(divide(1, divisor))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (30, "30s"), (90, "90s"), (300, "5m"), (3600, "1h"), (5400, "90m"), (604800, "7d")]
)
def test_a_duration_is_written_as_rules_write_it(seconds: int, text: str) -> None:
    assert duration(seconds) == text
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5", "5M", "5 m", "1.5h", "-5m", "٣m", "5min", "²s", "9999999999s"])
def test_what_is_no_length_of_time(text: str) -> None:
    assert seconds_of(text) is None
