"""How replies are written: JSON with every digit, times in UTC, and a tag by which a client asks what is new."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from pydantic import WithJsonSchema
from starlette.responses import Response

_encoder = msgspec.json.Encoder(decimal_format="number")

Number = Annotated[Decimal, WithJsonSchema({"type": "number"})]
"""A number as it was published, in what a reply holds: written with every digit."""


@dataclass(frozen=True, slots=True)
class Final:
    """For how many seconds nobody needs to ask again, as it is not going to change; 0: ask each time."""

    seconds: int


ASK_AGAIN, FINAL = Final(0), Final(3600)
_SETTLED = timedelta(days=2)  # until then late ticks and filled gaps are usual


def keep_up_to(until: datetime | None, now: datetime) -> Final:
    """How long a reply about the time before ``until`` may be kept. None: about the time up to now."""
    return FINAL if until is not None and until < now - _SETTLED else ASK_AGAIN


def reply(value: object, keep: Final = ASK_AGAIN, status: int = 200) -> Response:
    """A dataclass, mapping, or list as JSON: Decimals are numbers, times have to be aware and in UTC.

    A whole number of seconds has no fraction (``2026-11-22T10:15:03Z``), any other has six digits; ``iso_time()`` of
    the database writes them likewise.
    """
    return raw_reply(_encoder.encode(value), keep, status)


def raw_reply(
    content: bytes | str, keep: Final = ASK_AGAIN, status: int = 200, media_type: str = "application/json"
) -> Response:
    """What is written already, by the database, say."""
    body = content.encode() if isinstance(content, str) else content
    # private: what a reader with a token was given is not for others behind the same proxy.
    headers = {"cache-control": f"private, max-age={keep.seconds}" if keep.seconds else "private, no-cache"}
    headers["etag"] = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    return Response(body, status, headers, media_type)


def decoded(content: bytes | str) -> Any:
    """JSON from a client, with every digit. Raises ValueError."""
    return _decoder.decode(content)


_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)


def names_it(asked: str | None, etag: str | None) -> bool:
    """Whether an If-None-Match or If-Match names the tag, or any with ``*``; False where one of them is missing.

    Weak ones too: a tag is weak where the reply was packed, and stands for the same then.
    """
    if asked is None or etag is None:
        return False
    ours = etag.removeprefix("W/")
    return asked.strip() == "*" or ours in re.findall(r'"[^"]*"', asked)
