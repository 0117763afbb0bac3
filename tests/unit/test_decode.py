"""Reading published values: every digit, and each value on its own."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decode import MOST_PIECES, Unusable, amount, parse, unix_time

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "1.0",
        "20.0",
        "60997",
        "0.858806",
        "5.6366E-11",
        "0.00001261",
        "76975.000",
        "1E+36",
        "1E-36",
        f"0.{'1234567890' * 10}",
    ],
)
def test_every_published_digit_of_a_number_is_kept(text: str) -> None:
    assert str(amount(parse(text.encode()))) == text


@given(
    st.builds(
        lambda digits, exponent: Decimal(digits).scaleb(exponent, Context(prec=100)),
        st.integers(min_value=1, max_value=10**40),
        st.integers(min_value=-36, max_value=-5),
    )
)
def test_any_number_in_range_comes_out_as_it_was_written(number: Decimal) -> None:
    read = amount(parse(str(number).encode()))
    assert isinstance(read, Decimal)
    assert read.as_tuple() == number.as_tuple()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("null", "is null, not a number"),
        ('"123"', "is a string, not a number"),
        ("true", "is true or false, not a number"),
        ("[1]", "is a list, not a number"),
        ('{"usd": 1}', "is an object, not a number"),
        ("NaN", "is NaN"),
        ("Infinity", "is Infinity"),
        ("-Infinity", "is -Infinity"),
        ("0", "is zero"),
        ("-0.0", "is zero"),
        ("0e999", "is zero"),
        ("-1.5", "is negative"),
        ("1e308", "is out of range"),
        ("-1e999999999", "is negative"),
        ("1e999999999", "is out of range"),
        ("1e99999999999999999999", "is out of range"),
        ("1e-99999999999999999999", "is out of range"),
        ("1e-37", "is out of range"),
        ("1." + "1" * 100, "has too many digits"),
        ("9" * 1_000_000, "has too many digits"),
    ],
)
def test_what_is_no_amount_says_why(text: str, reason: str) -> None:
    assert amount(parse(text.encode())) == Unusable(reason)


def test_a_key_that_is_there_twice_loses_its_value_and_no_other() -> None:
    found = parse(b'{"usd": 1.5, "eur": 2.5, "usd": 3.5}')
    assert found == {"usd": Unusable("is there twice"), "eur": Decimal("2.5")}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"bitcoin":{"usd":1', "no JSON"),
        (b"<!DOCTYPE html>", "no JSON"),
        (b"{'bitcoin': 1}", "no JSON"),
        (b'{"bitcoin": 1,2}', "no JSON"),
        (b'{"bitcoin": "\xff\xfe"}', "UTF-8"),
        ("{}".encode("utf-16"), "UTF-8"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested"),
    ],
)
def test_a_body_that_is_no_json_is_a_value_error_that_says_so(body: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse(body)


@pytest.mark.parametrize("piece", [b"1,", b"[],", b'{"a":1},'])
def test_a_body_with_more_values_than_memory_is_for_is_not_read(piece: bytes) -> None:
    weight = sum(map(piece.count, (b",", b":", b"[", b"{")))
    few, many = MOST_PIECES // weight - 1, MOST_PIECES // weight + 1
    assert len(parse(b"[" + piece * few + b"1]")) == few + 1
    with pytest.raises(ValueError, match="far too many values"):
        parse(b"[" + piece * many + b"1]")


def test_a_byte_order_mark_does_no_harm() -> None:
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": Decimal(1)}


@given(st.binary() | st.text(alphabet='[]{}":,0123456789.eE+-truefalsnN \\u').map(str.encode))
def test_no_body_raises_anything_but_a_value_error(body: bytes) -> None:
    with suppress(ValueError):
        parse(body)


@pytest.mark.parametrize("text", ["1578961668", "1578961668.0", "1.578961668e9"])
def test_whole_unix_seconds_are_a_utc_time(text: str) -> None:
    assert unix_time(parse(text.encode()), NOW) == datetime(2020, 1, 14, 0, 27, 48, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1578961668", "is a string, not a number"),
        (True, "is true or false, not a number"),
        ([], "is a list, not a number"),
        (-5, "is negative"),
        (0, "is before 2009-01-03"),
        (1230940799, "is before 2009-01-03"),
        (1578961668.5, "is not a whole number of seconds"),
        (1578961668000, "lies in the future"),
        (int(NOW.timestamp()) + 61, "lies in the future"),
        (1e300, "lies in the future"),
    ],
)
def test_what_is_no_time_says_why(value: object, reason: str) -> None:
    assert unix_time(parse(json.dumps(value).encode()), NOW) == Unusable(reason)


def test_the_bounds_of_time_are_part_of_it() -> None:
    assert unix_time(Decimal(1230940800), NOW) == datetime(2009, 1, 3, tzinfo=UTC)
    assert unix_time(Decimal(int(NOW.timestamp()) + 60), NOW) == NOW.replace(minute=16)
