"""Transactions as people send them, and what is said of those that cannot be used."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.clock import microseconds
from app.transfers.reading import from_csv, from_json
from app.transfers.transaction import MOST, TransactionsRefused, parse_length, parse_share

GOOD = ["t", "w", "2026-01-01T00:00:00Z", "out", 1]
NEW_YEAR = microseconds(datetime(2026, 1, 1, tzinfo=UTC))


def mistakes(text: str | bytes) -> list[tuple[str, str]]:
    with pytest.raises(TransactionsRefused) as caught:
        from_json(text)
    return [(where, problem) for where, problem in caught.value.mistakes]


def with_field(place: int, value: object) -> str:
    one = [*GOOD, "BTC", 0]
    one[place] = value
    return json.dumps([one])


def test_lists_objects_and_csv_say_the_same() -> None:
    lists = from_json(
        '[["t", "w", "2026-01-01T00:00:00Z", "OUT", 5.30, "btc", 0.1], ["u", "v", "2026-01-01", "in", "5.2"]]'
    )
    objects = from_json(
        '{"transactions": [{"fee": 0.1, "asset": "BTC", "amount": "5.30", "direction": "out", "tx_id": "t",'
        ' "wallet_id": "w", "time": 1767225600}, {"tx_id": "u", "wallet_id": "v", "time": 1767225600000,'
        ' "direction": "in", "amount": 5.2, "fee": null}]}'
    )
    lines = from_csv(
        '\ufefftx_id,wallet_id,direction,time,amount,asset,fee\r\nt,w,out,"2026-01-01 00:00:00",5.30,BTC,0.1\r\n\r\n'
        "u,v,in,2026-01-01,5.2,,\r\n"
    )
    assert lists == objects == lines
    assert str(lists[0].amount) == "5.30"
    assert (lists[1].asset, lists[1].fee, lists[1].time) == ("", 0, NEW_YEAR)


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01 00:00:00 UTC",
        "2026-01-01 00:00:00",
        "2026-01-01T00:00",
        "2026-01-01",
        "'2026-01-01T02:00:00+02:00'",
        '"2025-12-31 19:00:00 -0500"',
        "2026-01-01T00:00:00.000000000Z",
        "1767225600",
        1767225600,
        1767225600.0,
        1767225600000,
        "1767225600000",
    ],
)
def test_times_are_understood_as_people_paste_them(time: object) -> None:
    assert from_json(with_field(2, time))[0].time == NEW_YEAR


def test_fractions_of_a_second_are_kept_to_the_microsecond() -> None:
    assert from_json(with_field(2, "2026-01-01 00:00:00,123456789"))[0].time == NEW_YEAR + 123456
    assert from_json('[["t", "w", 1767225600.123456, "in", 1]]')[0].time == NEW_YEAR + 123456


def test_every_digit_of_an_amount_is_read() -> None:
    digits = "12345678901234567890.123456789012345678"
    assert from_json(f'[["t", "w", "2026-01-01", "in", {digits}]]')[0].amount == Decimal(digits)
    assert from_json('[["t", "w", "2026-01-01", "in", "1e-8"]]')[0].amount == Decimal("0.00000001")


def test_ids_that_are_numbers_are_texts() -> None:
    (one,) = from_json('[[17, 4, "2026-01-01", "in", 1]]')
    assert (one.tx_id, one.wallet_id) == ("17", "4")


@pytest.mark.parametrize("value", ["", " ", "a\nb", "x" * 301, None, True, 1.5, [], {}])
@pytest.mark.parametrize(("place", "field"), [(0, "tx_id"), (1, "wallet_id")])
def test_a_bad_name_is_told_with_its_place(place: int, field: str, value: object) -> None:
    ((where, problem),) = mistakes(with_field(place, value))
    assert where == f"transactions[0].{field}"
    assert problem == "should be a text of one line, of at most 300 characters, or a whole number"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "2026-02-30",
        "2026-01-01T25:00",
        "01/02/2026",
        "20260101",
        None,
        True,
        [],
        -1,
        1e30,
        "2026-01-01T00:00:00 CET",
    ],
)
def test_a_bad_time_is_told_with_its_place(value: object) -> None:
    ((where, problem),) = mistakes(with_field(2, value))
    assert where == "transactions[0].time"
    assert problem.startswith("should be a time like 2026-11-22T10:15:00Z")


@pytest.mark.parametrize("value", ["2009-01-02", 20200101, "0001-01-01T00:00:00+14:00"])
def test_a_time_before_there_was_anything_is_refused(value: object) -> None:
    ((where, problem),) = mistakes(with_field(2, value))
    assert where == "transactions[0].time"
    assert "2009-01-03" in problem or problem.startswith("should be a time")


@pytest.mark.parametrize(
    "value", [0, -5, "0", "five", "", "1,5", None, True, [], "nan", "inf", "1e99", "1e-99", "1" * 500]
)
def test_a_bad_amount_is_told_with_its_place(value: object) -> None:
    ((where, problem),) = mistakes(with_field(4, value))
    assert (where, problem) == ("transactions[0].amount", "should be a number greater than 0, like 5.3")


def test_a_bad_fee_direction_and_asset_are_told_with_their_place() -> None:
    assert mistakes(with_field(6, -1)) == [("transactions[0].fee", "should be a number of at least 0, like 5.3")]
    assert mistakes(with_field(3, "up")) == [("transactions[0].direction", 'should be "in" or "out"')]
    assert mistakes(with_field(5, ""))[0][0] == "transactions[0].asset"


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("", "the whole", "is no JSON"),
        ("[", "the whole", "is no JSON"),
        ("[NaN]", "the whole", "NaN is no number"),
        ('[{"tx_id": 1, "tx_id": 2}]', "the whole", "a key of an object is there twice"),
        ("[1e999999999999999999999]", "the whole", "a number is out of range"),
        ("[" + "1" * 5000 + "]", "the whole", "a number has too many digits"),
        ("[" * 100_000, "the whole", "is nested too deeply"),
        (b"\xff", "the whole", "is not UTF-8"),
        ("7", "transactions", "should be a list of transactions"),
        ('{"transaction": []}', "the whole", 'should be a list, or an object with the one key "transactions"'),
        ("[7]", "transactions[0]", "should be a list [tx_id, wallet_id, time, direction, amount, asset, fee] or"),
        ("[[1, 2]]", "transactions[0]", "has 2 elements; it should be a list"),
        ("[[1, 2, 3, 4, 5, 6, 7, 8]]", "transactions[0]", "has 8 elements"),
        ('[{"tx_id": 1}]', "transactions[0]", "has no wallet_id, time, direction, amount; it should be"),
    ],
)
def test_what_is_no_list_of_transactions_is_refused(text: str | bytes, where: str, problem: str) -> None:
    ((found, said),) = mistakes(text)
    assert found == where
    assert problem in said


def test_a_key_that_nobody_knows_is_refused() -> None:
    one = dict(zip(("tx_id", "wallet_id", "time", "direction", "amount"), GOOD, strict=True))
    assert mistakes(json.dumps([{**one, "fees": 1}]))[0][1].startswith("has more than is known")


def test_a_transaction_that_is_there_twice_names_both() -> None:
    text = json.dumps([GOOD, [*GOOD[:3], "in", 1], ["t", "other", *GOOD[2:]], [*GOOD, "BTC"], GOOD])
    assert mistakes(text) == [
        ("transactions[4].tx_id", 'is that of transactions[0] too, "out" in the same wallet; it should be unique')
    ]


def test_of_many_mistakes_the_first_are_told_and_the_others_counted() -> None:
    told = mistakes(json.dumps([[]] * 50))
    assert len(told) == 21
    assert told[-1] == ("transactions", "have 30 more mistakes")


def test_more_than_are_taken_are_refused() -> None:
    assert mistakes("[" + ",".join(["0"] * (MOST + 1)) + "]") == [
        ("transactions", "are 100,001; at most 100,000 are taken")
    ]


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("", "the first line", "should name the columns; tx_id, wallet_id, time, direction, amount is missing"),
        ("tx_id,wallet_id,time,direction\n", "the first line", "should name the columns; amount is missing"),
        ("tx_id,wallet_id,time,direction,amount,note\n", "the first line", "no other than"),
        ("tx_id,wallet_id,time,direction,amount,amount\n", "the first line", "each column once"),
        ("tx_id,wallet_id,time,direction,amount\na,b\n", "transactions[0]", "has no time, direction, amount"),
        ("tx_id,wallet_id,time,direction,amount\na,b,2026-01-01,in,1,2\n", "transactions[0]", "has more than is known"),
        ('tx_id,wallet_id,time,direction,amount\n"a', "after line 1", "is no CSV"),
    ],
)
def test_a_bad_csv_is_told_where(text: str, where: str, problem: str) -> None:
    with pytest.raises(TransactionsRefused) as caught:
        from_csv(text)
    ((found, said),) = caught.value.mistakes
    assert found == where
    assert problem in said


@pytest.mark.parametrize("text", ["", "5", "1w", "-1h", "1.5h", "367d", "9999999s", "٣h"])
def test_a_bad_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be a length of time like 30s, 90m, 24h or 7d, at most 366d"):
        parse_length(text)


def test_shares_are_exact() -> None:
    assert parse_share("0.5%") == Decimal("0.005")
    for text in ("", "0.5", "100%", "-1%", "1e1%", "%"):
        with pytest.raises(ValueError, match=r"should be a share like .* less than 100%"):
            parse_share(text)
