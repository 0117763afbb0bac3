"""Is a reply still what its source was written for? A JSON Schema beside each source says what that is.

Sources read tolerantly, value by value; a schema only tells that a provider has changed its form, and what it sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import fastjsonschema

from app.decode import Unusable
from app.model import SetAside

_LONGEST = 4000  # characters of what is set aside
_LONGEST_LINE = 200
_DEEPEST = 30  # of its lists and objects in one another


class Schema:
    """The schema of a source, ``<source>.schema.json``: each of its ``definitions`` is a part of a reply."""

    def __init__(self, source: str) -> None:
        self._source = source

    def check(self, part: str, place: str, value: object) -> SetAside | None:
        """What breaks the schema first in this value, which stood at ``place`` of the reply; None if nothing does."""
        try:
            self._checks[part](value)
        except fastjsonschema.JsonSchemaValueException as error:
            name = error.name or ""
            reason = error.message.removeprefix(name).strip()
            where = _line(place + name.removeprefix("data"))
            return SetAside(self._source, where, _line(reason), _json(error.value))
        return None

    @cached_property
    def _checks(self) -> Mapping[str, Callable[[object], object]]:
        """What checks each part: compiled to Python, as 5,000 coins a minute are some work; with the first reply."""
        written = json.loads((Path(__file__).parent / f"{self._source}.schema.json").read_text(encoding="utf-8"))
        return {
            part: fastjsonschema.compile(
                {"$ref": f"#/definitions/{part}", **written}, use_default=False, use_formats=False
            )
            for part in written["definitions"]
        }


def _line(text: str) -> str:
    """The start of it, without what no file or log takes: the keys of a reply may hold anything."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST_LINE])


def _json(value: object) -> str:
    """The JSON it was read from: every digit, and as much of it as fits."""
    found, length = [], 0
    for piece in _pieces(value, 0):
        found.append(piece)
        length += len(piece)
        if length > _LONGEST:
            break
    return "".join(found)[:_LONGEST]


def _pieces(value: object, depth: int) -> Iterator[str]:
    if depth > _DEEPEST and isinstance(value, list | dict):
        yield '"..."'
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            yield "," if number else ""
            yield from _pieces(item, depth + 1)
        yield "]"
    elif isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{',' if number else ''}{json.dumps(key)}:"
            yield from _pieces(item, depth + 1)
        yield "}"
    elif isinstance(value, Decimal):
        yield str(value)
    elif isinstance(value, Unusable):  # what it was is not kept
        yield json.dumps(f"({value.reason})")
    else:
        yield json.dumps(value)
