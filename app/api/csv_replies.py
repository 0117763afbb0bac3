"""Replies in CSV (RFC 4180): whether one is wanted, and how it is sent, however long it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

from starlette.requests import Request
from starlette.responses import StreamingResponse

from app.api.replies import Final

MEDIA_TYPE = "text/csv; charset=utf-8; header=present"

_RANGE = re.compile(r"\s*([a-z*]+/[a-z*+.-]+)\s*(?:;.*?q\s*=\s*(0(?:\.\d*)?|1(?:\.0*)?))?.*", re.IGNORECASE)


def preferred(request: Request) -> Literal["json", "csv"]:
    """What the Accept header asks for: CSV where it names text/csv, and JSON not as much."""
    weights: dict[str, float] = {}
    for part in request.headers.get("accept", "").split(","):
        if match := _RANGE.fullmatch(part):
            weights[match[1].lower()] = float(match[2] or 1)
    csv = weights.get("text/csv", 0.0)
    return "csv" if csv > weights.get("application/json", 0.0) and csv >= weights.get("*/*", 0.0) else "json"


def reply(request: Request, name: str, columns: Sequence[str], pages: Iterator[str], keep: Final) -> StreamingResponse:
    """A header line and the lines of the pages, each asked for when the one before is sent: memory stays flat.

    The first is asked for at once: what is wrong with the question, or the database, is a problem as anywhere else.
    Later an error breaks the connection off, which a client takes for what it is. ``name``: the file's, for people who
    save it. No cell may begin like a formula, as spreadsheets run those: numbers and times of ours never do.
    """
    header = ",".join(columns) + "\r\n"
    headers = {
        "cache-control": f"private, max-age={keep.seconds}" if keep.seconds else "private, no-cache",
        "content-disposition": f'attachment; filename="{_plain(name)}"',
        "vary": "Accept",
    }
    begin = header + next(pages, "")
    # Nobody reads the body that HEAD has: it is not worth years of questions.
    body: Iterator[str] = iter(()) if request.scope.get("asked_with") == "HEAD" else chain([begin], pages)
    return StreamingResponse(body, headers=headers, media_type=MEDIA_TYPE)


def _plain(name: str) -> str:
    """What every system takes for a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)
