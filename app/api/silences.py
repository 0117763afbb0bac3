"""``/api/v1/silences``: which alerts no channel hears of, for how long, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from app import silences
from app.alerts.expression import seconds_of
from app.alerts.rules import SEVERITIES
from app.api.context import Here
from app.api.fields import STRICT, Length, Line, NamePattern, SymbolPattern, given
from app.api.params import Cursor, Moment, cursor_of, number_of
from app.api.problems import Problem, invalid
from app.api.replies import reply
from app.errors import DataRefused
from app.silences import Silence, Silences, TooMany

_Severities = Annotated[str, StringConstraints(pattern=rf"^(?:{'|'.join(SEVERITIES)}|[a-z]*\*[a-z*]*)$", max_length=60)]

_UNTIL = "should be a time to come, and after from"

Stage = Literal["to come", "in force", "over"]


class NewSilence(BaseModel):
    """What is to be silenced: alerts that match each pattern given, of which there is at least one.

    `for` so long (30s, 90m, 2h, 7d) or `until` a time, from now on or `from` a time on. By the times of ticks.
    """

    model_config = ConfigDict(
        **STRICT,
        json_schema_extra={
            "allOf": [
                {"anyOf": [given(key) for key in ("rule", "symbol", "severity")]},
                {"oneOf": [given(key) for key in ("for", "until")]},
            ],
            "examples": [{"symbol": "BTC", "rule": "price-*", "for": "2h", "why": "the exchange moves house"}],
        },
    )

    rule: NamePattern | None = Field(None, description="Which rules; * stands for any text.")
    symbol: SymbolPattern | None = Field(None, description="Which symbols, as rules say it: BTC, BTC@*, *@kraken.")
    severity: _Severities | None = Field(None, description="Which severities, likewise.")
    length: Length | None = Field(None, alias="for", description="For how long: 30s, 90m, 2h, 7d.")
    until: Moment | None = Field(None, description="Until then; instead of for.")
    since: Moment | None = Field(None, alias="from", description="From then on; else from now on.")
    why: Line = Field(description="For those who wonder.")


@dataclass(frozen=True, slots=True)
class SilenceReply:
    """A silence: alerts that match all three patterns reach no channel, from ``starts_at`` to before ``ends_at``, or
    ``ended_at`` where somebody ended it earlier, by the times of their ticks."""

    id: int
    rule: str
    symbol: str
    severity: str
    starts_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    why: str
    created_at: datetime
    state: Stage


@dataclass(frozen=True, slots=True)
class SilencesReply:
    """Silences, the latest made first; ``next`` is the cursor of those that follow, null after the last."""

    silences: list[SilenceReply]
    next: str | None


SilencePath = Annotated[int, Path(ge=1, le=2**63 - 1)]


def show_all(
    here: Here,
    over_too: Annotated[bool, Query(alias="all", description="Those that are over, too.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 1000,
    cursor: Cursor = None,
) -> Response:
    """The silences that are in force or to come."""
    before = number_of(cursor) if cursor else None
    found = Silences(here.database).page(over_too=over_too, before=before, limit=limit + 1)
    page = [_shown(silence) for silence in found[:limit]]
    return reply(SilencesReply(page, cursor_of(str(page[-1].id)) if len(found) > limit else None))


def show(here: Here, id: SilencePath) -> Response:
    """One silence."""
    return reply(_shown(_known(Silences(here.database).find(id))))


def create(here: Here, wanted: NewSilence) -> Response:
    """Have the channels not hear of some alerts for a while; alerts.txt has them all the same."""
    if wanted.rule is None and wanted.symbol is None and wanted.severity is None:
        raise invalid("body", "names nothing that is to be silenced: give rule, symbol or severity (* stands for all)")
    matcher: dict[str, Any] = {
        "rule": _read("rule", silences.read_pattern, wanted.rule),
        "symbol": _read("symbol", lambda text: silences.read_symbols(text, here.settings.source), wanted.symbol),
        "severity": _read("severity", silences.read_severity, wanted.severity),
        "why": _read("why", silences.read_line, wanted.why),
    }
    times = _times(here, wanted)
    try:
        made = _shown(Silences(here.writer).add(**matcher, **times))
    except DataRefused:  # by the database's clock it is over already
        raise invalid("body.until", _UNTIL) from None
    except TooMany as error:
        raise Problem(HTTPStatus.CONFLICT, str(error)) from None
    response = reply(made, status=201)
    response.headers["location"] = f"/api/v1/silences/{made.id}"
    return response


def end(here: Here, id: SilencePath) -> Response:
    """End a silence now, or call it off; one that is over stays as it is. None is ever deleted."""
    kept = Silences(here.writer)
    return reply(_shown(_known(kept.end(id) or kept.find(id))))


def _read(key: str, read: Callable[[str], str], text: str | None) -> str:
    try:
        return "*" if text is None else read(text)
    except ValueError as error:
        raise invalid(f"body.{key}", str(error)) from None


def _times(here: Here, wanted: NewSilence) -> dict[str, Any]:
    """From when on, and for how long or until when."""
    length = None if wanted.length is None else timedelta(seconds=seconds_of(wanted.length) or 0)
    if (length is None) == (wanted.until is None):
        raise invalid("body", "should have one of for and until")
    now = here.clock.now()
    start = wanted.since or now
    if wanted.until is not None and wanted.until <= max(start, now):
        raise invalid("body.until", _UNTIL)
    try:
        silences.demand_an_end(start, length or (wanted.until or start) - start, now)
    except ValueError as error:
        where = "until" if wanted.until else "from" if wanted.since else "for"
        raise invalid(f"body.{where}", str(error)) from None
    return {"length": length, "until": wanted.until, "starts_at": wanted.since}


def _known(silence: Silence | None) -> Silence:
    if silence is None:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such silence; /api/v1/silences?all=true lists all.")
    return silence


def _shown(silence: Silence) -> SilenceReply:
    return SilenceReply(
        silence.id,
        silence.rule,
        silence.symbol,
        silence.severity,
        silence.starts_at.astimezone(UTC),
        silence.ends_at.astimezone(UTC),
        silence.ended_at and silence.ended_at.astimezone(UTC),
        silence.why,
        silence.created_at.astimezone(UTC),
        silence.stage,
    )
