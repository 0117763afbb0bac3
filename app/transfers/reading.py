"""Transactions as people send them, JSON or CSV, read without losing a digit; every mistake by its place."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from app.clock import microseconds
from app.transfers.transaction import FIELDS, MOST, REQUIRED, Mistake, Transaction, TransactionsRefused

_MOST_MISTAKES = 20
_LONGEST_NAME = 300
_SMALLEST, _LARGEST = Decimal("1e-36"), Decimal("1e36")
_LONGEST_NUMBER = 100  # characters

_EARLIEST = microseconds(datetime(2009, 1, 3, tzinfo=UTC))  # the first Bitcoin block
_MILLISECONDS_FROM = 100_000_000_000  # as seconds this is in the year 5138, as milliseconds in 1973
_AMOUNT = re.compile(r"[ \d.eE+-]+", re.ASCII)
_NUMBER = re.compile(r"\d{9,14}(\.\d{1,9})?", re.ASCII)
_PASTED = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)([T ]+(?P<clock>\d\d:\d\d(:\d\d([.,]\d{1,9})?)?))?"
    r" ?(?P<zone>Z|UTC|GMT|[+-]\d\d(:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_TIME = "should be a time like 2026-11-22T10:15:00Z (UTC unless it says otherwise), or Unix seconds or milliseconds"
_SHAPE = f"should be a list [{', '.join(FIELDS)}] or an object with these keys, of which asset and fee may be left out"


def from_json(text: str | bytes) -> list[Transaction]:
    """A list of transactions, or ``{"transactions": [...]}``. Raises TransactionsRefused."""
    found = parse(text)
    if isinstance(found, dict):
        if set(found) != {"transactions"}:
            raise _refused("the whole", 'should be a list, or an object with the one key "transactions"')
        found = found["transactions"]
    return from_values(found)


def from_csv(text: str) -> list[Transaction]:
    """A line each, under a heading that names the columns. Raises TransactionsRefused."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True, skipinitialspace=True)
    try:
        head = [name.strip() for name in rows.fieldnames or ()]
        if missing := [name for name in FIELDS[:REQUIRED] if name not in head]:
            raise _refused("the first line", f"should name the columns; {', '.join(missing)} is missing")
        if len(set(head)) < len(head) or not set(head) <= set(FIELDS):
            raise _refused("the first line", f"should name each column once, and no other than {', '.join(FIELDS)}")
        rows.fieldnames = head
        # An empty field is as good as none. What is too much in a line stands under None.
        return from_values([{key: text for key, text in row.items() if text} for row in rows])
    except csv.Error as error:
        raise _refused(f"after line {rows.line_num}", f"is no CSV ({error})") from None


def parse(text: str | bytes) -> Any:
    """JSON in which every number is a Decimal. Raises TransactionsRefused."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(
            text, parse_float=_number, parse_int=_number, parse_constant=_constant, object_pairs_hook=_object
        )
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except RecursionError:
        problem = "is nested too deeply"
    except ValueError as error:
        problem = f"is no JSON ({error})"
    raise _refused("the whole", problem)


def from_values(values: object) -> list[Transaction]:
    """Transactions out of lists and objects, numbers as Decimals. Raises TransactionsRefused, with all mistakes."""
    if not isinstance(values, list):
        raise _refused("transactions", "should be a list of transactions")
    if len(values) > MOST:
        raise _refused("transactions", f"are {len(values):,}; at most {MOST:,} are taken")
    found: list[Transaction] = []
    mistakes: list[Mistake] = []
    for index, value in enumerate(values):
        try:
            found.append(_transaction(index, value))
        except _Wrong as wrong:
            field, problem = wrong.args
            mistakes.append(Mistake(f"transactions[{index}]" + (f".{field}" if field else ""), problem))
    mistakes += _duplicates(found)
    if mistakes:
        left_off = len(mistakes) - _MOST_MISTAKES
        more = [Mistake("transactions", f"have {left_off:,} more mistakes")] if left_off > 0 else []
        raise TransactionsRefused(mistakes[:_MOST_MISTAKES] + more)
    return found


class _Wrong(Exception):
    """Which field, and what is wrong with it."""


def _refused(where: str, problem: str) -> TransactionsRefused:
    return TransactionsRefused([Mistake(where, problem)])


def _transaction(index: int, value: object) -> Transaction:
    if isinstance(value, list):
        if not REQUIRED <= len(value) <= len(FIELDS):
            raise _Wrong("", f"has {len(value)} elements; it {_SHAPE}")
        given: Mapping[str, object] = dict(zip(FIELDS, value, strict=False))
    elif isinstance(value, dict):
        given = value
        if missing := [name for name in FIELDS[:REQUIRED] if name not in given]:
            raise _Wrong("", f"has no {', '.join(missing)}; it {_SHAPE}")
        if not set(given) <= set(FIELDS):
            raise _Wrong("", f"has more than is known; it {_SHAPE}")
    else:
        raise _Wrong("", _SHAPE)
    asset, fee = given.get("asset"), given.get("fee")
    return Transaction(
        index,
        _name("tx_id", given["tx_id"]),
        _name("wallet_id", given["wallet_id"]),
        _time(given["time"]),
        _direction(given["direction"]),
        _amount("amount", given["amount"]),
        "" if asset is None else _name("asset", asset).upper(),
        Decimal(0) if fee is None else _amount("fee", fee, or_zero=True),
    )


def _name(field: str, value: object) -> str:
    if isinstance(value, str):
        name = value.strip()
        if 0 < len(name) <= _LONGEST_NAME and name.isprintable():
            return name
    elif isinstance(value, Decimal) and value == value.to_integral_value() and abs(value) < _LARGEST:
        return f"{value:f}"  # of a program that counts its transactions
    raise _Wrong(field, f"should be a text of one line, of at most {_LONGEST_NAME} characters, or a whole number")


def _direction(value: object) -> Literal["in", "out"]:
    match value.strip().lower() if isinstance(value, str) else value:
        case "in":
            return "in"
        case "out":
            return "out"
    raise _Wrong("direction", 'should be "in" or "out"')


def _amount(field: str, value: object, *, or_zero: bool = False) -> Decimal:
    number = value
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _AMOUNT.fullmatch(value):
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            number = None
    if isinstance(number, Decimal) and number.is_finite():
        if or_zero and number == 0:
            return Decimal(0)
        if _SMALLEST <= number <= _LARGEST:
            return number
    raise _Wrong(field, f"should be a number {'of at least' if or_zero else 'greater than'} 0, like 5.3")


def _time(value: object) -> int:
    if isinstance(value, str):
        text = value.strip(" \"'")
        time = _unix(Decimal(text)) if _NUMBER.fullmatch(text) else _pasted(text)
    else:
        time = _unix(value) if isinstance(value, Decimal) else None
    if time is None:
        raise _Wrong("time", _TIME)
    if time < _EARLIEST:
        raise _Wrong("time", "is before 2009-01-03, when there was no market")
    return time


def _unix(number: Decimal) -> int | None:
    if not 0 <= number < _MILLISECONDS_FROM * 2500:
        return None
    return int(number * (1_000 if number >= _MILLISECONDS_FROM else 1_000_000))


def _pasted(text: str) -> int | None:
    match = _PASTED.fullmatch(text)
    if match is None:
        return None
    zone = (match["zone"] or "Z").upper()
    clock = (match["clock"] or "00:00").replace(",", ".")
    try:
        time = datetime.fromisoformat(f"{match['date']}T{clock}{'Z' if zone in ('UTC', 'GMT') else zone}")
        return microseconds(time)
    except (ValueError, OverflowError):  # the 30th of February, or a year that has no UTC
        return None


def _duplicates(transactions: Iterable[Transaction]) -> list[Mistake]:
    """A transaction is in a wallet once; only with another asset may it be there again."""
    first: dict[tuple[str, str, str, str], int] = {}
    mistakes = []
    for one in transactions:
        before = first.setdefault((one.wallet_id, one.direction, one.tx_id, one.asset), one.index)
        if before != one.index:
            problem = (
                f'is that of transactions[{before}] too, "{one.direction}" in the same wallet; it should be unique'
            )
            mistakes.append(Mistake(f"transactions[{one.index}].tx_id", problem))
    return mistakes


def _number(text: str) -> Decimal:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number has too many digits")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number is out of range") from None


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key of an object is there twice")
    return found
