"""``/api/v1/alerts``: what was alerted, what became of it on each channel, and who has taken note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Path, Query, Request
from psycopg2 import extensions as pg
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.alerts.definition import canonical_pattern
from app.api.context import Here
from app.api.fields import STRICT, Line, NamePattern, SymbolPattern
from app.api.gate import caller
from app.api.params import Cursor, Moment, cursor_of, next_in_json, number_of
from app.api.problems import Problem, invalid
from app.api.replies import raw_reply, reply
from app.db import execute

_MOST = 1000
_SECONDS = 5.0  # that looking for alerts may take

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who has taken note of an episode, when, and what else there is to say: no channel hears of its repeats since."""

    at: datetime
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a line on a channel: it waits while it is neither delivered nor given up.

    ``failed_tries``: messages that it went out in and that failed. ``last_error``: why the last of them did.
    """

    channel: str
    queued_at: datetime
    delivered_at: datetime | None
    given_up_at: datetime | None
    failed_tries: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class AlertReply:
    """A line of alerts.txt. ``terms`` in the order written, each value as text, with every digit.

    ``episode`` is the id that its lines share: repeats append .2, .3 to it. ``timestamp`` is the tick's. ``severity``
    is empty where an old version wrote the line. ``silenced_by``: the silence that kept a FIRING from the channels.
    """

    id: str
    episode: str
    state: Literal["FIRING", "RESOLVED"]
    timestamp: datetime
    symbol: str
    rule: str
    severity: str
    terms: Mapping[str, str]
    recorded_at: datetime
    silenced_by: int | None
    acknowledged: Acknowledgement | None
    deliveries: list[Delivery]


@dataclass(frozen=True, slots=True)
class AlertsReply:
    """Alerts, the newest first; ``next`` is the cursor of those before them, null after the last."""

    alerts: list[AlertReply]
    next: str | None


@dataclass(frozen=True, slots=True)
class EpisodeReply:
    """All lines of an episode, the first one first; ``next`` is the cursor of those that follow.

    ``began_at`` and ``resolved_at`` are times of ticks; ``firing``: whether it goes on.
    """

    episode: str
    rule: str
    symbol: str
    severity: str
    began_at: datetime | None
    resolved_at: datetime | None
    firing: bool
    acknowledged: Acknowledgement | None
    lines: list[AlertReply]
    next: str | None


class Note(BaseModel):
    """What is to be said of taking note; `by` is the token's name unless given."""

    model_config = STRICT

    by: Line | None = Field(None, description="Who takes note.")
    note: Line | None = Field(None, description="For those who wonder.")


IdPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9.]{1,60}$", description="Of any line of the episode.")]
_Limit = Annotated[int, Query(ge=1, le=_MOST, description="At most so many.")]


def show_all(
    here: Here,
    symbol: Annotated[
        SymbolPattern | None, Query(description="A pattern, as rules have it: BTC, BTC@*, *@kraken.")
    ] = None,
    rule: Annotated[NamePattern | None, Query(description="A pattern: * stands for any text.")] = None,
    state: Annotated[Literal["FIRING", "RESOLVED"] | None, Query()] = None,
    severity: Annotated[Severity | None, Query()] = None,
    firing: Annotated[bool, Query(description="Of episodes alone that go on.")] = False,
    acknowledged: Annotated[bool | None, Query(description="Whether somebody has taken note of the episode.")] = None,
    since: Annotated[Moment | None, Query(alias="from", description="Of ticks from then on.")] = None,
    to: Annotated[Moment | None, Query(description="Of ticks before then.")] = None,
    limit: _Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """The latest alerts, newest first, with what became of each on its channels."""
    if since and to and since >= to:
        raise invalid("query.from", "should be a time before `to`")
    wanted = {
        "before": number_of(cursor) if cursor else None,
        "state": state,
        "severity": severity,
        "acknowledged": acknowledged,
        "since": since,
        "until": to,
        "limit": limit + 1,
    }
    patterns = {"firing": firing, "symbol": _symbols(here, symbol), "rule": rule or "*"}
    of_some = firing or patterns["symbol"] != "*" or patterns["rule"] != "*"

    def work(cursor: pg.cursor) -> tuple[list[int], str]:
        query, more = ("page_of_alerts_of", patterns) if of_some else ("page_of_alerts", {})
        numbers = [number for (number,) in execute(cursor, query, **wanted, **more)]
        return numbers, _in_full(cursor, numbers[:limit])

    numbers, text = here.database.ask(work, _SECONDS)
    return raw_reply(f'{{"alerts":[{text}],"next":{_next(numbers, limit)}}}')


def show(here: Here, id: IdPath, limit: _Limit = _MOST, cursor: Cursor = None) -> Response:
    """An episode: all of its lines, and what became of each."""
    episode, after = _episode(id), number_of(cursor) if cursor else 0

    def work(cursor: pg.cursor) -> Response:
        rule, symbol, severity, began_at, resolved_at, firing, first, last = _found(cursor, episode)
        where = {"episode": episode, "rule": rule, "symbol": symbol, "first": first, "last": last, "after": after}
        numbers = [number for (number,) in execute(cursor, "lines_of_episode", **where, limit=limit + 1)]
        known = execute(cursor, "find_acknowledgement", episode=episode)
        head = {
            "episode": episode,
            "rule": rule,
            "symbol": symbol,
            "severity": severity,
            "began_at": began_at and began_at.astimezone(UTC),
            "resolved_at": resolved_at and resolved_at.astimezone(UTC),
            "firing": firing,
            "acknowledged": _acknowledgement(known[0]) if known else None,
        }
        lines = _in_full(cursor, numbers[:limit])
        written = msgspec.json.encode(head).decode()
        return raw_reply(f'{written[:-1]},"lines":[{lines}],"next":{_next(numbers, limit)}}}')

    return here.database.ask(work)


def acknowledge(here: Here, request: Request, id: IdPath, said: Note | None = None) -> Response:
    """Take note of an episode: no channel hears of its repeats any more, only of its end; alerts.txt has them all."""
    episode, token = _episode(id), caller(request).token
    note = said or Note()
    by = note.by or (token.name or token.id if token else "")

    def work(cursor: pg.cursor) -> Acknowledgement:
        _found(cursor, episode)
        return _acknowledgement(execute(cursor, "acknowledge", episode=episode, by=by, note=note.note or "")[0])

    return reply(here.writer.ask(work))


def forget(here: Here, id: IdPath) -> Response:
    """Nobody has taken note of an episode after all: channels hear of its repeats again."""
    if not here.writer.query("forget_acknowledgement", episode=_episode(id)):
        raise Problem(HTTPStatus.NOT_FOUND, "Nobody has taken note of such an alert.")
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _symbols(here: Here, pattern: str | None) -> str:
    try:
        return "*" if pattern is None else canonical_pattern(pattern, here.settings.source)
    except ValueError as error:
        raise invalid("query.symbol", str(error)) from None


def _episode(id_: str) -> str:
    """The id that a line's repeats share."""
    return id_.partition(".")[0]


def _found(cursor: pg.cursor, episode: str) -> tuple[Any, ...]:
    rows = execute(cursor, "find_episode", episode=episode)
    if not rows:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such alert; /api/v1/alerts lists those there are.")
    return rows[0]


def _in_full(cursor: pg.cursor, numbers: Sequence[int]) -> str:
    return ",".join(text for (text,) in execute(cursor, "alerts_in_full", numbers=list(numbers)))


def _acknowledgement(row: tuple[Any, ...]) -> Acknowledgement:
    at, by, note = row
    return Acknowledgement(at.astimezone(UTC), by, note)


def _next(numbers: Sequence[int], limit: int) -> str:
    return next_in_json(cursor_of(str(numbers[limit - 1])) if len(numbers) > limit else None)
