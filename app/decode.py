"""Reads what providers publish: JSON with every digit, and of each value whether it can be used, and why not.

A value that cannot be used is an ``Unusable``, never an exception: it costs itself, not its neighbours.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

EARLIEST = datetime(2009, 1, 3, tzinfo=UTC)
"""The day of the first Bitcoin block: no market is older."""

AHEAD = timedelta(seconds=60)
"""How far a time may lie ahead of the provider's own clock: theirs are many machines, and not quite together."""

# Everything that was ever priced lies far within; what lies outside is an error that would poison every average.
SMALLEST, LARGEST = Decimal("1e-36"), Decimal("1e36")
MOST_DIGITS = 100
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST = 400  # characters of a number: far more than any in range needs, and cheap to read

MOST_PIECES = 200_000
"""In one body: values, names, lists, objects. In memory they take a hundred times their text; the largest list that we
ask for, of all coins, has 125,000."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands where a value should be. The reason ("is zero") never holds the value, so equal causes read the same."""

    reason: str


MISSING = Unusable("is missing")


def parse(body: bytes) -> Any:
    """Read JSON; every number is a Decimal. Raises ValueError, with what is wrong, where the whole is no JSON.

    NaN and Infinity, a number too long to be one, and the value of a key that is there twice become Unusable.
    """
    # What stands before each piece; those within texts do not matter.
    if sum(map(body.count, (b",", b":", b"[", b"{"))) > MOST_PIECES:
        raise ValueError("the body has far too many values")
    try:
        return json.loads(
            body.decode("utf-8-sig"),
            parse_float=_number,
            parse_int=_number,
            parse_constant=lambda name: Unusable(f"is {name}"),
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        what = "the body is empty" if not body.strip() else f"the body is no JSON ({error})"
        raise ValueError(what) from None


def amount(value: object) -> Decimal | Unusable:
    """A price, volume or market cap, as published. Zero is what providers write for "unknown", so it is Unusable."""
    if not isinstance(value, Decimal):
        return _no_number(value)
    if value == 0:
        return Unusable("is zero")
    if value < 0:
        return Unusable("is negative")
    if not SMALLEST <= value <= LARGEST:
        return Unusable("is out of range")
    if len(value.as_tuple().digits) > MOST_DIGITS:
        return Unusable("has too many digits")
    return value


def unix_time(value: object, now: datetime) -> datetime | Unusable:
    """UNIX seconds as an aware UTC time; Unusable before 2009 and more than a minute after the provider's ``now``."""
    if not isinstance(value, Decimal):
        return _no_number(value)
    if value < 0:
        return Unusable("is negative")
    if value < int(EARLIEST.timestamp()):
        return Unusable("is before 2009-01-03")
    # Compared as numbers, as a far too large one is no date at all.
    if value > Decimal(int(now.timestamp())) + int(AHEAD.total_seconds()):
        return Unusable("lies in the future")
    if value != int(value):
        return Unusable("is not a whole number of seconds")
    return datetime.fromtimestamp(int(value), UTC)


def iso_time(value: object, now: datetime) -> datetime | Unusable:
    """An ISO 8601 time with a zone as an aware UTC time; the rules are those of ``unix_time``."""
    if not isinstance(value, str):
        return value if isinstance(value, Unusable) else Unusable(f"is {_kind(value)}, not a time")
    if not _ISO_TIME.fullmatch(value):
        return Unusable("is no ISO 8601 time with a zone")
    try:
        time = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):  # the 30th of February, or a year that has no UTC
        return Unusable("is no ISO 8601 time with a zone")
    if time < EARLIEST:
        return Unusable("is before 2009-01-03")
    if time > now + AHEAD:
        return Unusable("lies in the future")
    return time


def _number(text: str) -> Decimal | Unusable:
    if len(text) > _LONGEST:
        return Unusable("has too many digits")
    try:
        return Decimal(text)
    except InvalidOperation:
        return Unusable("is out of range")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        # Nobody can say which of the two is meant.
        found.update((key, Unusable("is there twice")) for key in found if times[key] > 1)
    return found


_KINDS = {
    type(None): "null",
    bool: "true or false",
    str: "a string",
    Decimal: "a number",
    list: "a list",
    dict: "an object",
}


def _no_number(value: object) -> Unusable:
    if isinstance(value, Unusable):
        return value
    return Unusable(f"is {_kind(value)}, not a number")


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)
