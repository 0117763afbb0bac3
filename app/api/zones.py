"""Time zones by name, and when their clocks change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from fastapi import Query
from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
_NO_PLACES = re.compile(r"(?:posix|right)/.*|Factory|localtime|posixrules")
"""What lies among the zones and is none, or counts leap seconds."""

_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time from ``begin`` to before ``end`` in which local time is UTC and this offset."""

    begin: datetime
    end: datetime
    offset: timedelta


def zone_named(text: str) -> ZoneInfo:
    """The zone, as the IANA database names it. Raises ValueError with the nearest name."""
    name = text.strip().replace(" ", "+")  # Etc/GMT+5, whose + a query turns into a space
    if len(name) <= 40 and _NAME.fullmatch(name) and not _NO_PLACES.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # not there, no such file, a folder
            pass
    raise ValueError(f"should be a time zone like Europe/Berlin{_suggestion(name)}")


def stretches(zone: ZoneInfo, begin: datetime, end: datetime) -> list[Stretch]:
    """The time from ``begin`` to before ``end``, parted where the clocks of the zone change."""
    found, since, offset = [], begin, _offset(zone, begin)
    for year in range(begin.year, end.year + 1):
        for at in _changes(zone, year):
            if since < at < end:
                found.append(Stretch(since, at, offset))
                since, offset = at, _offset(zone, at)
    return [*found, Stretch(since, end, offset)]


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)


@lru_cache(maxsize=1024)
def _changes(zone: ZoneInfo, year: int) -> list[datetime]:
    """The moments of a UTC year, and the day after, at which the zone's clocks change, to the second."""
    days = [datetime(year, 1, 1, tzinfo=UTC) + number * _DAY for number in range(367)]
    offsets = [_offset(zone, day) for day in days]
    together = zip(days, offsets, days[1:], offsets[1:], strict=False)
    return [_change(zone, before, after) for before, old, after, new in together if old != new]


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The one change between these two."""
    old = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    return after


@cache
def _names() -> list[str]:
    # Half a second of looking through files: only once somebody needs the list.
    return sorted(name for name in available_timezones() if not _NO_PLACES.fullmatch(name))


def _suggestion(name: str) -> str:
    by_fold = {known.casefold(): known for known in _names()}
    by_fold.update({known.rpartition("/")[2].casefold(): known for known in _names() if "/" in known})
    near = get_close_matches(name.casefold(), by_fold, n=1)
    return f"; do you mean {by_fold[near[0]]}?" if near else ""


class _Names:
    """In the OpenAPI document: each name there is."""

    def __get_pydantic_json_schema__(self, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": _names()}


def _read(value: object) -> object:
    return zone_named(value) if isinstance(value, str) else value


Zone = Annotated[
    ZoneInfo,
    BeforeValidator(_read),
    PlainSerializer(str),
    _Names(),
    Query(alias="tz", description="Whose days and full hours candles follow; UTC unless given."),
]
"""A time zone that a client names."""
