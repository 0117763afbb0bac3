"""What requests give, and how it is read: times, symbols, pages."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import Path, Query
from pydantic import BeforeValidator, WithJsonSchema

from app.api.context import Here
from app.api.problems import Problem, invalid
from app.model import parse_symbol, symbol_of

MOST_POINTS = 10_000
"""That one reply holds."""

LONGEST_KNOWN = timedelta(days=7)
"""That what was known at a time may span: all ticks of it have to be read."""

_FIRST = datetime.min.replace(tzinfo=UTC)
_NO_CURSOR = "should be the `next` of an earlier reply"

_DAY = (
    r"(?:19|20)\d\d-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
)
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
_OFFSET = r"(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)"
TIME_PATTERN = f"^{_DAY}(?:[T ]{_TIME}{_OFFSET}?)?$"
"""The times that are understood; and these in quotes, with UTC behind, or an offset whose + became a space."""

_LENIENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(?P<zone>z|utc|[+\- ]\d\d(?::?\d\d)?)?)?",
    re.IGNORECASE | re.ASCII,
)
_QUOTES = "\"'\u2018\u2019\u201c\u201d"


def parse_moment(text: str) -> datetime:
    """A time in ISO 8601 as people paste it, UTC unless it says otherwise. Raises ValueError with what is allowed."""
    match = _LENIENT.fullmatch(text.strip().strip(_QUOTES).strip())
    if match is not None:
        with suppress(ValueError, OverflowError):  # the 30th of February
            return _moment(match["day"], match["time"] or "00:00", match["zone"] or "Z")
    raise ValueError(
        "should be a time in ISO 8601, like 2026-11-22T10:15:00Z or 2026-11-22 (UTC unless it says otherwise)"
    )


def _moment(day: str, time: str, zone: str) -> datetime:
    zone = zone.upper()
    if zone in ("Z", "UTC"):
        zone = "+00:00"
    sign = "+" if zone[0] == " " else zone[0]
    return datetime.fromisoformat(f"{day}T{time}{sign}{zone[1:]}").astimezone(UTC)


def _read(value: object) -> object:
    return parse_moment(value) if isinstance(value, str) else value


Moment = Annotated[
    datetime,
    BeforeValidator(_read),
    WithJsonSchema({"type": "string", "pattern": TIME_PATTERN, "examples": ["2026-11-22T10:15:00Z", "2026-11-22"]}),
]
"""A time that a client gives, aware, UTC."""

From = Annotated[Moment | None, Query(alias="from", description="From then on; else 24 hours before `to`.")]
To = Annotated[Moment | None, Query(description="Up to, not including, then; else now, or `as_of`.")]
AsOf = Annotated[Moment | None, Query(description="Only what was known then; else all that is known now.")]
Limit = Annotated[int, Query(ge=1, le=MOST_POINTS, description="At most so many.")]
Cursor = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,400}$", description="Where the last reply ended: its `next`.")
]
SymbolPath = Annotated[str, Path(min_length=1, max_length=60, description="BTC, BTC-EUR, BTC@kraken", examples=["BTC"])]


def span(
    here: Here, since: datetime | None, until: datetime | None, length: timedelta, as_of: datetime | None = None
) -> tuple[datetime, datetime]:
    """From when to when is asked for: ``until`` is ``as_of`` or now, ``since`` so long before, unless given.

    Problem if reversed; and with ``as_of`` for more than LONGEST_KNOWN.
    """
    if as_of is not None:
        length = min(length, LONGEST_KNOWN)
    end = until or as_of or here.clock.now()
    start = since or max(end, _FIRST + length) - length
    if start >= end:
        raise invalid("query.from" if since else "query.to", "should be a time before `to`")
    if as_of is not None and end - start > LONGEST_KNOWN:
        raise invalid("query.from", "should be at most 7 days before `to` where `as_of` is given")
    return start, end


def cursor_of(*key: str) -> str:
    """The key of the last that was given, for the client to hand back."""
    return urlsafe_b64encode("\n".join(key).encode()).decode().rstrip("=")


def next_in_json(cursor: str | None) -> str:
    """A cursor, in JSON that is not written by an encoder."""
    return "null" if cursor is None else f'"{cursor}"'


def key_of(cursor: str, parts: int) -> list[str]:
    """The key that a cursor stands for. Problem for what is none of ours."""
    try:
        key = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split("\n")
    except ValueError:
        key = []
    if len(key) != parts or not all(part.isprintable() for part in key):
        raise invalid("query.cursor", _NO_CURSOR)
    return key


def time_of(part: str) -> datetime:
    """The time that this part of a cursor's key is. Problem for what is none of ours."""
    try:
        return parse_moment(part)
    except ValueError:
        raise invalid("query.cursor", _NO_CURSOR) from None


def number_of(cursor: str) -> int:
    """The one number that a cursor stands for. Problem for what is none of ours."""
    (text,) = key_of(cursor, 1)
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise invalid("query.cursor", _NO_CURSOR)
    return int(text)


def known_symbol(here: Here, text: str) -> str:
    """The symbol as it is written, of what is or was watched. Problem 404 for any other."""
    parts = parse_symbol(text, default_market=here.settings.source)
    symbol = "" if parts is None else symbol_of(*parts, default_market=here.settings.source)
    demand_known(here, [symbol])
    return symbol


def demand_known(here: Here, symbols: Collection[str]) -> None:
    """That each of these is or was watched, written as we write them. Problem 404 where one was not."""
    known = here.database.query("known_symbols", symbols=list(symbols)) if any(symbols) else []
    if len(known) < len(set(symbols)):
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "No such symbol is or was watched; /api/v1/metric_types/price/metrics lists those that are.",
        )
