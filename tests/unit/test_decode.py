"""Reading published values: every digit, and each value on its own."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decode import MOST_PIECES, Unusable, amount, iso_time, parse, unix_time

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


@pytest.mark.parametrize(
    "text",
    ["2020-01-14T00:27:48Z", "2020-01-14T00:27:48.000Z", "2020-01-14T01:27:48+01:00", "2020-01-13T20:27:48.0-04:00"],
)
def test_an_iso_time_with_a_zone_is_a_utc_time(text: str) -> None:
    time = iso_time(text, NOW)
    assert time == datetime(2020, 1, 14, 0, 27, 48, tzinfo=UTC)
    assert isinstance(time, datetime)
    assert time.tzinfo is UTC


def test_an_iso_time_keeps_its_milliseconds() -> None:
    assert iso_time("2020-01-14T00:27:48.123Z", NOW) == datetime(2020, 1, 14, 0, 27, 48, 123000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Decimal(5), "is a number, not a time"),
        (None, "is null, not a time"),
        (Unusable("is NaN"), "is NaN"),
        ("", "is no ISO 8601 time with a zone"),
        ("yesterday", "is no ISO 8601 time with a zone"),
        ("2020-01-14", "is no ISO 8601 time with a zone"),
        ("2020-01-14T00:27:48", "is no ISO 8601 time with a zone"),
        ("2020-01-14 00:27:48Z", "is no ISO 8601 time with a zone"),
        ("2020-W03-2T00:27:48Z", "is no ISO 8601 time with a zone"),
        ("2020-02-30T00:00:00Z", "is no ISO 8601 time with a zone"),
        ("٢٠٢٠-01-14T00:27:48Z", "is no ISO 8601 time with a zone"),
        ("0001-01-01T00:00:00+01:00", "is no ISO 8601 time with a zone"),
        ("2009-01-02T23:59:59.999Z", "is before 2009-01-03"),
        ("2026-11-22T10:16:00.001Z", "lies in the future"),
        ("9999-12-31T23:59:59Z", "lies in the future"),
    ],
)
def test_what_is_no_iso_time_says_why(value: object, reason: str) -> None:
    assert iso_time(value, NOW) == Unusable(reason)


def test_the_bounds_of_an_iso_time_are_part_of_it() -> None:
    assert iso_time("2009-01-03T00:00:00Z", NOW) == datetime(2009, 1, 3, tzinfo=UTC)
    assert iso_time("2026-11-22T10:16:00Z", NOW) == NOW.replace(minute=16)
