"""``/api/v1/detect_transfers``: which of some transactions are the two ends of one transfer."""

from __future__ import annotations

import codecs
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.responses import Response

from app.api.aside import Refused
from app.api.context import Here
from app.api.database import Busy
from app.api.problems import Problem, invalid
from app.api.replies import raw_reply, reply
from app.transfers.collector import resting
from app.transfers.document import document
from app.transfers.matching import detect
from app.transfers.reading import from_json
from app.transfers.transaction import (
    FIELDS,
    LENGTH,
    MOST,
    REQUIRED,
    SHARE,
    Mistake,
    Terms,
    TransactionsRefused,
    parse_length,
    parse_share,
)

MOST_BYTES = 10_000_000
_SMALL = 10_000  # bytes: some hundred transactions, at most 0.2 s of work whatever they are
_TERMS = ("window", "order_slack", "tolerance")
_WAIT_SECONDS = 0.5  # for a place, while others have them

_EXAMPLE = [
    ["tx_1", "kraken", "2026-11-22T10:15:00Z", "out", 5.3],
    ["tx_2", "ledger", "2026-11-22T10:27:12Z", "in", 5.3],
]
_NAME: dict[str, object] = {"type": ["string", "integer"], "minLength": 1, "maxLength": 300}
_TIME: dict[str, object] = {
    "type": ["string", "number"],
    "description": "ISO 8601, UTC unless it says otherwise, or Unix seconds or milliseconds; not before 2009-01-03.",
}
_AMOUNT: dict[str, object] = {"type": ["string", "number"], "exclusiveMinimum": 0, "description": "With every digit."}
_FIELDS: dict[str, dict[str, object]] = {
    "tx_id": {**_NAME, "description": "Unique within a wallet, direction and asset."},
    "wallet_id": _NAME,
    "time": _TIME,
    "direction": {"enum": ["in", "out"]},
    "amount": _AMOUNT,
    "asset": {"type": ["string", "null"], "minLength": 1, "maxLength": 300},
    "fee": {"type": ["string", "number", "null"], "minimum": 0, "description": "In the same asset."},
}
_TRANSACTION = {
    "anyOf": [
        {
            "type": "array",
            "description": f"[{', '.join(FIELDS)}]; the last two may be left out.",
            "prefixItems": [_FIELDS[name] for name in FIELDS],
            "minItems": REQUIRED,
            "maxItems": len(FIELDS),
        },
        {
            "type": "object",
            "properties": _FIELDS,
            "required": list(FIELDS[:REQUIRED]),
            "additionalProperties": False,
        },
    ]
}
_BODY = {
    "type": "object",
    "properties": {"transactions": {"type": "array", "maxItems": MOST, "items": _TRANSACTION}},
    "required": ["transactions"],
    "additionalProperties": False,
}
DESCRIBED: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _BODY, "example": {"transactions": _EXAMPLE}}},
        }
    }
}
"""What the POST takes. It is read here, not by FastAPI, which would make floats of amounts."""


def _terms(
    window: Annotated[
        str, Query(pattern=f"^{LENGTH}$", description="So much later than the out an in may come, at most 366d.")
    ] = "24h",
    order_slack: Annotated[
        str, Query(pattern=f"^{LENGTH}$", description="So much earlier, as clocks differ, at most 366d.")
    ] = "0s",
    tolerance: Annotated[
        str, Query(pattern=f"^{SHARE}$", description="What amounts may differ by, beyond fees, of the out: 0.5%")
    ] = "0%",
) -> Terms:
    return Terms(_length("window", window), _length("order_slack", order_slack), parse_share(tolerance))


def _length(name: str, text: str) -> timedelta:
    try:
        return parse_length(text)
    except ValueError as error:
        raise invalid(f"query.{name}", str(error)) from None


async def _body(request: Request) -> bytes:
    return await request.body()


TheTerms = Annotated[Terms, Depends(_terms)]


def of_query(
    here: Here,
    transactions: Annotated[
        str,
        Query(
            description=f"JSON: a list of [{', '.join(FIELDS)}]; asset and fee may be left out.",
            examples=['[["tx_1","kraken","2026-11-22T10:15:00Z","out",5.3]]'],
        ),
    ],
    terms: TheTerms,
    request: Request,
) -> Response:
    """Which of some transactions are the two ends of one transfer between wallets."""
    return _answer(here, request, "query.transactions", transactions.encode("utf-8", "replace"), terms)


def of_body(here: Here, body: Annotated[bytes, Depends(_body)], terms: TheTerms, request: Request) -> Response:
    """The same of up to 100,000 transactions: `{"transactions": [...]}`. 60 seconds at most.

    Of many transactions one question is answered at a time.
    """
    return _answer(here, request, "body", body, terms)


def _answer(here: Here, request: Request, whole: str, text: bytes, terms: Terms) -> Response:
    try:
        if len(text) <= _SMALL or not _may_be_json(text):
            return _here(here, text, terms)
        return _aside(here, request, text)
    except TransactionsRefused as error:
        wrong = [{"where": _where(whole, where), "problem": problem} for where, problem in error.mistakes]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "These transactions cannot be used.", errors=wrong) from None


def _may_be_json(text: bytes) -> bool:
    """Else it would be CSV to the command; here it is refused with its first character."""
    return text.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"[", b"{")


def _here(here: Here, text: bytes, terms: Terms) -> Response:
    if not here.small_detections.acquire(timeout=_WAIT_SECONDS):
        raise Busy("too many detections of transfers run already")
    try:
        with resting():
            return reply(document(detect(from_json(text), terms)))
    finally:
        here.small_detections.release()


def _aside(here: Here, request: Request, text: bytes) -> Response:
    given = {name: text for name, text in request.query_params.items() if name in _TERMS}
    words = ["detect-transfers", "--json", *(f"--{name.replace('_', '-')}={text}" for name, text in given.items())]
    try:
        return raw_reply(here.detection.run(here.settings, request, text, lambda file: [*words, file]))
    except Refused as refused:
        mistakes = [Mistake(where, problem) for where, _, problem in (line.partition(": ") for line in refused.lines)]
        raise TransactionsRefused(mistakes) from None


def _where(whole: str, where: str) -> str:
    """``body.transactions[3].time``; ``whole`` where it is no place in the list."""
    return f"{whole.partition('.')[0]}.{where}" if where.startswith("transactions") else whole
