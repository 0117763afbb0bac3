"""The language of conditions: what is understood, and what is refused, where and why."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.alerts.expression import Condition, Duration, Number, Windowed
from app.alerts.language import LONGEST, parse
from app.alerts.meaning import FUNCTIONS, TERMS
from app.alerts.place import RuleError
from app.alerts.windows import Statistic
from tests.conditions import conditions


@settings(max_examples=80, deadline=None)
@given(conditions)
def test_the_canonical_text_is_read_as_the_same_condition(condition: Condition) -> None:
    assert parse(str(condition)) == condition


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("abs(price / avg(price, 5m) - 1) > 2%", "abs(price / avg(price,5m) - 1) > 0.02"),
        ("  abs ( ( price/avg( price,300s ) ) - 1 )\n\t>\r\n0.02  ", "abs(price / avg(price,5m) - 1) > 0.02"),
        ("price>70_000", "price > 70000"),
        ("price > 7e4", "price > 70000"),
        (".5%<change(price,1d)", "0.005 < change(price,1d)"),
        ("1e-6-1>price", "1e-06 - 1 > price"),
        ("not not price >= -1", "not not price >= -1"),
        ("price > 1 or volume > 2 and market_cap > 3", "price > 1 or volume > 2 and market_cap > 3"),
        ("(price > 1 or volume > 2) and age < 60m", "(price > 1 or volume > 2) and age < 1h"),
        ("not(price>1)and(((age)<60s))", "not price > 1 and age < 1m"),
        ("1 - 2 - 3 < price * 4 / 5 * 6", "1 - 2 - 3 < price * 4 / 5 * 6"),
        ("crosses(price,ago(price,1h)*2)", "crosses(price, ago(price,1h) * 2)"),
        ("0.1% < change(price,1h)", "0.001 < change(price,1h)"),
    ],
)
def test_what_means_the_same_has_one_text(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "market_cap / volume > 10",
        "market_cap / volume > 1000%",
        "price > 3 * avg(price, 1h)",
        "price * 102% > max(price, 1h)",
        "price - avg(price, 5m) > 2% * price",
        "count(price, 5m) > 10",
        "count(price, 5m) / 5m < 0.1",
        "age / 5m > price / avg(price, 5m)",
        "zscore(price, 1h) > price / 1000",
        "price * price > volume * 2%* price",
        "crosses(price / ago(price, 1d), 101%)",
        "0 < 1 / price",
    ],
)
def test_units_that_fit(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


def test_every_statistic_has_a_function_of_its_name() -> None:
    for statistic in Statistic:
        found = next(parse(f"{statistic.value}(volume, 10s) > 1").atoms())
        assert found == Windowed(statistic, "volume", 10)


@pytest.mark.parametrize("example", FUNCTIONS.values())
def test_the_examples_that_errors_give_are_good(example: str) -> None:
    assert parse(example if example.startswith("crosses") else f"{example} > 1")


MONEY = "is money in the quote currency"

REFUSED = [
    # Units.
    ("price > 5m", 1, 9, f"5m is a length of time, price {MONEY}: they cannot be compared"),
    ("price > 2%", 1, 9, f"2% is a ratio, price {MONEY}: they cannot be compared; divide first"),
    ("price - avg(price,5m) > 2%", 1, 25, f"2% is a ratio, price - avg(price,5m) {MONEY}: they cannot be compared"),
    ("age >\n  2%", 2, 3, "2% is a ratio, age is a length of time: they cannot be compared"),
    ("price + 2% > 3", 1, 9, f"2% is a ratio, price {MONEY}: they cannot be added; 2% of the price is 2% * price"),
    ("price * volume - 5m > 3", 1, 18, "5m is a length of time, price * volume is money^2: they cannot be subtracted"),
    ("price / age > 5m", 1, 15, "5m is a length of time, price / age is money * time^-1: they cannot be compared"),
    ("crosses(price, 2%)", 1, 16, f"2% is a ratio, price {MONEY}: they cannot be compared"),
    # True, false, and numbers.
    ("price", 1, 1, "price is a number: a comparison is wanted here, as in price > 1"),
    ("price > 1 and volume", 1, 15, "volume is a number: a comparison"),
    ("not age", 1, 5, "age is a number: a comparison"),
    ("(price > 1) == (volume > 2)", 1, 1, "(price > 1) is true or false: it is not compared, but joined by and, or"),
    ("crosses(price, 1) > 0", 1, 1, "crosses(price, 1) is true or false: it is not compared"),
    ("abs(price > 1) > 2", 1, 5, "price > 1 is true or false: a number is wanted here"),
    ("1 + (price > 1) > 2", 1, 5, "(price > 1) is true or false: a number is wanted here"),
    ("1 < price < 2", 1, 11, "compares twice: write 1 < price and price < 2 instead"),
    # Names and functions.
    ("prise > 3", 1, 1, "prise is unknown; did you mean price?"),
    ("Price > 3", 1, 1, "Price is unknown; did you mean price?"),
    ("averge(price, 5m) > 1", 1, 1, "averge is unknown; did you mean avg?"),
    ("rsi(price, 5m) > 1", 1, 1, f"rsi is unknown; there are {', '.join([*TERMS, *FUNCTIONS][:-1])} and crosses"),
    ("price(5) > 3", 1, 1, "price is no function"),
    ("avg > 3", 1, 1, "avg is a function, as in avg(price, 5m)"),
    ("avg(price) > 1", 1, 1, "avg takes 2 arguments, as in avg(price, 5m); here is 1"),
    ("avg() > 1", 1, 1, "avg takes 2 arguments, as in avg(price, 5m); here are none"),
    ("abs(price, 5m) > 1", 1, 1, "abs takes 1 argument, as in abs(change(price, 1h)); here are 2"),
    ("avg(price * 2, 5m) > 1", 1, 5, "avg is of price, volume and market_cap, not of price * 2"),
    ("zscore(age, 5m) > 1", 1, 8, "zscore is of price, volume and market_cap, not of age"),
    # Windows and other literals.
    ("avg(price, 5) > 1", 1, 12, "5 is no length of time: avg wants one such as 5m, its window"),
    ("avg(price, 9s) > 1", 1, 12, "9s: a window is at least 10s and at most 7d long"),
    ("avg(price, 169h) > 1", 1, 12, "169h: a window is at least 10s and at most 7d long"),
    ("age > 1.5h", 1, 7, "1.5h is neither a number"),
    ("age > 5M", 1, 7, "5M is neither a number"),
    ("price > 1__0", 1, 9, "1__0 is neither a number"),
    ("price > 1e400", 1, 9, "1e400 is too large"),
    # The order of things.
    ("", 1, 1, "nothing is written here"),
    (" \n ", 1, 1, "nothing is written here"),
    ("price >", 1, 8, "something is missing at the end: a number, or a term"),
    ("price > 1 or\n", 1, 13, "something is missing at the end"),
    ("(price > 1", 1, 11, "a ) is missing at the end"),
    ("avg(price, 5m", 1, 14, "a ) is missing at the end"),
    ("price > 1)", 1, 10, ") closes nothing: there is no ( for it"),
    ("price 5", 1, 7, "5 cannot stand here: an operator is wanted before it, such as > or and"),
    ("price > > 5", 1, 9, "> cannot stand here: a number, a term such as price, or ( is wanted"),
    ("price > not 5", 1, 9, "not cannot stand here: a number"),
    ("price > and", 1, 9, "and cannot stand here: a number"),
    ("price > 1 AND age > 5m", 1, 11, "AND is written in small letters: and"),
    ("avg(price, 5 m) > 1", 1, 14, "m cannot stand here: a length of time has no space in it (5m)"),
    ("price > 1,000", 1, 10, ", cannot stand here: it parts the arguments of a function"),
    ("price = 5", 1, 7, "'=' cannot stand here; equal is =="),
    ("price > 2 %", 1, 11, "'%' cannot stand here; a ratio has no space in it: 2%"),
    ("price > 1 # so", 1, 11, "'#' cannot stand here; there are no comments here"),
    ("price ≥ 1", 1, 7, "'≥' cannot stand here; write >="),
    ("price > 1\x1b[31m", 1, 10, r"'\x1b' cannot stand here"),
    ("ｐrice > 1", 1, 1, "'ｐ' cannot stand here"),
    ("price > ٣", 1, 9, "'٣' cannot stand here"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "reason"), REFUSED)
def test_what_is_wrong_is_said_with_its_place_and_why(text: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text)
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert error.reason.startswith(reason)
    assert str(error) == f"line {line}, column {column}: {error.reason}"
    assert str(error).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "price > " + "-" * 60 + "1",
        "not " * 60 + "price > 1",
        "(" * 900 + "price" + ")" * 900 + " > 1",
        "abs(" * 300 + "price" + ")" * 300 + " > 1",
        " or ".join(["price > 1"] * 60),
        "+".join(["1"] * 900) + " > price",
    ],
)
def test_what_is_nested_too_deeply_is_refused_in_so_many_words(text: str) -> None:
    assert len(text) <= LONGEST
    with pytest.raises(RuleError, match="nested or chained more than 50 levels deep"):
        parse(text)


def test_a_chain_of_forty_is_not_too_deep() -> None:
    condition = parse(" or ".join(["price > 1"] * 40))
    assert parse(str(condition)) == condition


def test_a_text_that_is_too_long_is_refused() -> None:
    parse("price > 1".ljust(LONGEST))
    with pytest.raises(RuleError, match=r"^line 1, column 2001: is longer than 2000 characters"):
        parse("price > 1".ljust(LONGEST + 1))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(["price", "avg", "and", "or", "not", "(", ")", ",", "5m", "2%", "1", "<", ">", "-", "/", "\n"]),
        max_size=12,
    ).map(" ".join)
    | st.text(max_size=20)
)
def test_any_text_is_a_condition_or_refused_at_a_place_in_it(text: str) -> None:
    try:
        assert parse(text)
    except RuleError as error:
        assert 0 <= error.offset <= len(text)
        assert 1 <= error.line <= text.count("\n") + 1


def test_a_percentage_is_the_very_number_that_it_stands_for() -> None:
    for percent in (0.1, 0.3, 0.7, 2, 5.5, 29, 57, 110):
        (number,) = [part for part in parse(f"{percent}% < change(price, 1h)").parts if isinstance(part, Number)]
        assert number.number == float(f"{percent}e-2")


def test_a_length_of_time_stays_one_in_the_canonical_text() -> None:
    # As a bare number, age / 300 would be a time, and could no longer be compared with a ratio.
    condition = parse("age / 5m > change(price, 1h)")
    assert Duration(300) in condition.parts[0].parts
    assert str(condition) == "age / 5m > change(price,1h)"
