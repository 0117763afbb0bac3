"""A batch as bytes and back: every digit, every microsecond, whatever fields its dataclasses have.

Decimals are their own text, times ISO 8601, enums their value; what a field holds is known from its type. A field that
an older version did not write takes its default; one that this version does not know makes the document unreadable to
it (SchemaTooNew), as leaving it out would lose what a newer version found worth keeping.
"""

from __future__ import annotations

import json
import types
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from app.alerts.states import Outcome
from app.errors import SchemaTooNew
from app.model import Tick
from app.quarantine import Held

_FAST = 1  # zlib's level: the others take several times as long for a tenth less

_AS_IT_IS = (str, int, bool, float)


@dataclass(frozen=True, slots=True)
class _Document:
    ticks: tuple[Tick, ...]
    outcome: Outcome
    held: tuple[Held, ...] = ()


def encode(ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held] = ()) -> bytes:
    """The batch as compressed JSON."""
    text = json.dumps(_plain(_Document(tuple(ticks), outcome, tuple(held))), separators=(",", ":"))
    return zlib.compress(text.encode(), _FAST)


def decode(data: bytes) -> tuple[tuple[Tick, ...], Outcome, tuple[Held, ...]]:
    """The inverse. Raises SchemaTooNew for a newer version's document, ValueError for what is none at all."""
    try:
        document = _reader(_Document)(json.loads(zlib.decompress(data)))
    except (zlib.error, TypeError, AttributeError, InvalidOperation) as error:
        raise ValueError(f"not a batch: {error}") from error
    return document.ticks, document.outcome, document.held


def _plain(value: object) -> Any:
    """What JSON can hold of it. The usual kinds first: a batch has thousands of values."""
    kind: Any = type(value)
    if value is None or kind in _AS_IT_IS:
        return value
    if kind is Decimal:
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {name: _plain(getattr(value, name)) for name in _names(kind)}


@cache
def _names(kind: type) -> tuple[str, ...]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is not kept in a document")
    return tuple(field.name for field in fields(kind))


@cache
def _reader(hint: Any) -> Callable[[Any], Any]:
    """What makes a value of this type out of what JSON made of it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (some,) = (argument for argument in arguments if argument is not types.NoneType)
        return _optional(_reader(some))
    if origin is dict:
        key, item = map(_reader, arguments)
        return lambda found: {key(k): item(v) for k, v in found}
    if origin is list or (origin is tuple and arguments[1:] == (...,)):
        each = _reader(arguments[0])
        return lambda found: origin(map(each, found))
    if origin is tuple:
        readers = tuple(map(_reader, arguments))
        return lambda found: tuple(read(item) for read, item in zip(readers, found, strict=True))
    if is_dataclass(hint):
        return _dataclass(hint)
    if hint is datetime:
        return datetime.fromisoformat
    if issubclass(hint, Decimal | Enum):
        make: Callable[[Any], Any] = hint
        return make
    if hint in _AS_IT_IS:
        return lambda found: found
    raise TypeError(f"{hint} is not kept in a document")


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda found: None if found is None else read(found)


def _dataclass(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}

    def read(found: dict[str, Any]) -> Any:
        if unknown := sorted(found.keys() - readers.keys()):
            raise SchemaTooNew(f"a {kind.__name__} with {', '.join(unknown)} was kept by a newer version; run that one")
        return kind(**{name: readers[name](value) for name, value in found.items()})

    return read
