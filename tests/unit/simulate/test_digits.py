from __future__ import annotations

import json

import pytest

from app.simulate.digits import Digits, digits_of, rounded, to_json


@pytest.mark.parametrize(
    "text", ["60781.97", "3692454343", "0.10", "1.0", "1.432e-05", "0.12345678901234567890123", "1E3"]
)
def test_digits_are_written_as_they_were_given(text: str) -> None:
    assert to_json({"usd": Digits(text)}) == f'{{"usd":{text}}}'


def test_everything_else_is_written_as_json_writes_it() -> None:
    value = {"a": [None, True, 1, 2.5, 'quo"te', "Bitcoín", ("x",)], "b": {}}
    assert json.loads(to_json(value)) == {**value, "a": [*value["a"][:-1], ["x"]]}
    assert to_json({"a": [1, "í"]}) == '{"a":[1,"í"]}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (67187.344, "67187.34"),
        (67187.0, "67187"),
        (20.0, "20.0"),
        (1.0, "1.0"),
        (3.14159265, "3.1416"),
        (0.8588064, "0.8588064"),
        (0.00045452, "0.00045452"),
        (0.00001432, "1.432e-05"),
        (1e11, "100000000000"),
    ],
)
def test_a_synthetic_price_has_the_number_forms_of_coingecko(value: float, text: str) -> None:
    assert digits_of(value) == text
    assert float(json.loads(to_json(digits_of(value)))) == float(text)


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("60781.97", None, "60781.97"),
        ("60781.97", 2, "60781.97"),
        ("60781.97", 18, "60781.97"),
        ("60781.97", 1, "60782.0"),
        ("60781.95", 1, "60782.0"),
        ("0.5", 0, "1"),
        ("1.432e-05", 6, "0.000014"),
        ("3692454343", 0, "3692454343"),
    ],
)
def test_precision_takes_decimals_away_and_never_adds_any(text: str, decimals: int | None, expected: str) -> None:
    assert rounded(Digits(text), decimals) == expected
