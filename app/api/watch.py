"""``/api/v1/watch``: what is watched, and changes of that while the daemon runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Path, Query
from pydantic import BaseModel, Field, WithJsonSchema
from starlette.responses import Response

from app.api.context import Here
from app.api.fields import STRICT
from app.api.params import MOST_POINTS, Cursor, cursor_of, key_of
from app.api.problems import Problem, invalid
from app.api.replies import reply
from app.errors import ConfigurationError
from app.watch import Entry, Without, parse_entry, parse_watch, written
from app.watchlist import Listed, Watched, WatchStore, listed

_MOST_CHANGES = 10_000
_ASSET = r"[A-Za-z0-9][A-Za-z0-9.$_]{0,39}"
_MARKET = r"(?:@[A-Za-z0-9_]{1,40})"
_ID = r"(?:=[!-+.-~-]{1,200})"  # neither spaces nor commas, which part entries in WATCH
_PATTERN = rf"(?:{_ASSET}(?:-{_ASSET})?{_MARKET}?{_ID}?|[Tt][Oo][Pp]:[1-9][0-9]{{0,4}}{_MARKET}?|\*{_MARKET})"
_MOST_LETTERS = 300


class NewEntry(BaseModel):
    """One entry of the watch list, in the grammar of WATCH."""

    model_config = STRICT

    entry: Annotated[
        str,
        Field(max_length=_MOST_LETTERS),
        WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$", "examples": ["WIF=dogwifcoin"]}),
    ] = Field(description="BTC, BTC-EUR@kraken, *@kraken, top:250, WIF=dogwifcoin, BTC@all")


@dataclass(frozen=True, slots=True)
class EntryReply:
    """An entry in effect. ``origin``: the setting WATCH, or said at run time, at ``changed_at``.

    ``watched``: false where it was taken off, though WATCH or another entry means it. ``error``: why the daemon cannot
    watch it; null where it can, or has not tried yet.
    """

    entry: str
    origin: Literal["WATCH", "run time"]
    watched: bool
    changed_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class SymbolReply:
    """A symbol that is watched now; time and source of its newest tick are null where it has none yet."""

    symbol: str
    market: str
    provider_id: str | None
    name: str | None
    added_at: datetime
    newest_at: datetime | None
    source: str | None


@dataclass(frozen=True, slots=True)
class WatchReply:
    """The watch list in effect, and the symbols that it means; ``next`` is the cursor of the symbols that follow."""

    entries: list[EntryReply]
    symbols: list[SymbolReply]
    next: str | None


DESCRIBED: dict[str, Any] = {"responses": {200: {"model": EntryReply, "description": "It is in effect already."}}}
"""What OpenAPI is to say beside."""

EntryPath = Annotated[
    str,
    Path(
        max_length=_MOST_LETTERS,
        description="The entry as it is listed, percent-encoded.",
        examples=["BTC", "top:250@coingecko"],
        json_schema_extra={"pattern": f"^-?{_PATTERN}$"},
    ),
]


def show_all(
    here: Here,
    limit: Annotated[int, Query(ge=1, le=MOST_POINTS, description="At most so many symbols.")] = 1000,
    cursor: Cursor = None,
) -> Response:
    """What is watched: the entries in effect, and the symbols that they mean."""
    store = WatchStore(here.database)
    market, symbol = key_of(cursor, 2) if cursor else ("", "")
    found = store.page_of_symbols(market, symbol, limit + 1)
    page = found[:limit]
    following = cursor_of(page[-1].market, page[-1].symbol) if len(found) > limit else None
    return reply(WatchReply([_entry(it) for it in _listed(here, store)], [_symbol(it) for it in page], following))


def show(here: Here, entry: EntryPath) -> Response:
    """One entry of the watch list in effect."""
    return reply(_entry(_found(here, WatchStore(here.database), _parsed(here, entry, "path.entry"))))


def add(here: Here, wanted: NewEntry) -> Response:
    """Watch this, too; a running daemon asks for it at its next tick, and says then if it cannot.

    200 where that entry is in effect already. It is not checked here whether its provider knows it.
    """
    entry = _parsed(here, wanted.entry, "body.entry")
    if isinstance(entry, Without):
        raise invalid("body.entry", f"DELETE /api/v1/watch/{entry.symbol} says that")
    store = WatchStore(here.writer)
    before = {it.entry for it in _listed(here, store)}
    is_new = written(entry) not in before
    if is_new:
        if len(store.changes()) >= _MOST_CHANGES:
            raise Problem(HTTPStatus.CONFLICT, f"The watch list has been changed in {_MOST_CHANGES:,} places already.")
        store.change([entry], watched=True)
    response = reply(_entry(_found(here, store, entry)), status=201 if is_new else 200)
    response.headers["location"] = f"/api/v1/watch/{quote(written(entry), safe='')}"
    return response


def remove(here: Here, entry: EntryPath) -> Response:
    """Watch this no more, also where WATCH names it, or another entry means it too; its history stays."""
    unwanted = _parsed(here, entry, "path.entry")
    if isinstance(unwanted, Without):
        raise invalid("path.entry", f"is taken off already; POST {unwanted.symbol} to watch it again")
    store = WatchStore(here.writer)
    if not store.has(unwanted, _settled(here), here.settings.source, here.settings.quote):
        raise Problem(HTTPStatus.NOT_FOUND, "This is not watched; /api/v1/watch lists what is.")
    store.change([unwanted], watched=False)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _parsed(here: Here, text: str, where: str) -> Entry:
    try:
        entry = parse_entry(text, here.settings.source, here.settings.quote)
    except ConfigurationError as error:
        raise invalid(where, str(error).removeprefix("WATCH: ")) from None
    if not re.fullmatch(f"-?{_PATTERN}", text, re.ASCII):
        raise invalid(where, "should be one entry, without commas and spaces, in ASCII")
    return entry


def _settled(here: Here) -> list[Entry]:
    settings = here.settings
    return parse_watch(settings.watch, default_market=settings.source, default_quote=settings.quote)


def _listed(here: Here, store: WatchStore) -> list[Listed]:
    return listed(_settled(here), store.changes(), here.settings.source, here.settings.quote)


def _found(here: Here, store: WatchStore, entry: Entry) -> Listed:
    for it in _listed(here, store):
        if it.entry == written(entry):
            return it
    raise Problem(HTTPStatus.NOT_FOUND, "This entry is not in effect; /api/v1/watch lists those that are.")


def _entry(it: Listed) -> EntryReply:
    if it.change is None:
        return EntryReply(it.entry, "WATCH", it.watched, None, None)
    return EntryReply(it.entry, "run time", it.watched, it.change.changed_at.astimezone(UTC), it.change.error)


def _symbol(it: Watched) -> SymbolReply:
    newest = it.newest_at and it.newest_at.astimezone(UTC)
    return SymbolReply(it.symbol, it.market, it.provider_id, it.name, it.added_at.astimezone(UTC), newest, it.source)
