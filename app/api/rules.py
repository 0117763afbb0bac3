"""``/api/v1/rules``: the rules there are; those that stand in the database can be made, changed and deleted here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Header, Path
from psycopg2 import extensions as pg
from starlette.responses import Response

from app.alerts.rules import Rule
from app.api.context import Here
from app.api.problems import Problem, ProblemReply, invalid
from app.api.replies import names_it, reply
from app.api.rule_body import RuleBody, read
from app.db import execute

MOST_RULES = 1000
"""That the database keeps: as many as a file may have."""

_ANY = "*"
_KEYS = tuple(field.alias or name for name, field in RuleBody.model_fields.items())


@dataclass(frozen=True, slots=True)
class RuleReply:
    """A rule, and where it is from: ``file`` (RULES_FILE: it is changed there) or ``api``.

    ``definition``: as it is written, under the keys of rules.toml. ``state`` is ``error`` where the daemon cannot use
    it, and ``error`` says why. ``digest``: changes when its meaning does; empty where nobody has told.
    """

    name: str
    origin: Literal["file", "api"]
    state: Literal["in use", "error"]
    error: str | None
    definition: Mapping[str, Any]
    digest: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RulesReply:
    """All rules, by name. Where two have one name, that of the file counts, and the other says so in ``error``."""

    rules: list[RuleReply]


_PROBLEM = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{ProblemReply.__name__}"}}}
MATCHED: dict[str, Any] = {
    "responses": {
        int(HTTPStatus.PRECONDITION_FAILED): {
            "model": ProblemReply,
            "description": "If-Match names another state of the rule than it is in.",
            "content": _PROBLEM,
        }
    }
}
"""What OpenAPI is to say of routes that take If-Match."""

NamePath = Annotated[str, Path(min_length=1, max_length=60, description="The name of a rule.")]
IfMatch = Annotated[
    str,
    Header(
        max_length=1000,
        description="Only where its ETag still is one of these: nothing of others is overwritten. *: in any case.",
    ),
]


def show_all(here: Here) -> Response:
    """All rules, those of the file and those that were made here."""
    return reply(RulesReply([_shown(row) for row in here.database.query("list_rules")]))


def show(here: Here, name: NamePath) -> Response:
    """One rule; where both the file and the database have it, the file's."""
    return reply(_shown(_in_effect(here.database.query("find_rules", name=name))))


def create(here: Here, body: RuleBody) -> Response:
    """Make a rule; a running daemon has it in effect within some seconds, unless `error` says why not."""
    rule = read(here, body)

    def work(cursor: pg.cursor) -> RuleReply:
        ((count,),) = execute(cursor, "lock_rules")
        if found := execute(cursor, "find_rules", name=rule.name):
            _demand_not_of_file(found)
            raise Problem(HTTPStatus.CONFLICT, "There is a rule of this name; PUT replaces it.")
        if count >= MOST_RULES:
            raise Problem(HTTPStatus.CONFLICT, f"There are {MOST_RULES:,} rules, and at most that many may be.")
        return _put(cursor, rule, body)

    response = reply(here.writer.ask(work), status=201)
    response.headers["location"] = f"/api/v1/rules/{quote(rule.name, safe='')}"
    return response


def replace(here: Here, name: NamePath, body: RuleBody, if_match: IfMatch = _ANY) -> Response:
    """Put another rule of the same name in place of one. Where its meaning changes, its alerts end with that reason."""
    if body.name != name:
        raise invalid("body.name", "should be as in the address; under another name, make a new rule, and delete this")
    rule = read(here, body)

    def work(cursor: pg.cursor) -> RuleReply:
        _demand_it(cursor, name, if_match)
        return _put(cursor, rule, body)

    return reply(here.writer.ask(work))


def delete(here: Here, name: NamePath, if_match: IfMatch = _ANY) -> Response:
    """Delete a rule that was made here; its alerts end with that reason."""

    def work(cursor: pg.cursor) -> None:
        _demand_it(cursor, name, if_match, beside_file=True)
        execute(cursor, "delete_rule", name=name)

    here.writer.ask(work)
    return Response(status_code=HTTPStatus.NO_CONTENT)


_Row = tuple[Any, ...]


def _in_effect(rows: list[_Row]) -> _Row:
    if not rows:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such rule; /api/v1/rules lists those there are.")
    return rows[0]


def _demand_it(cursor: pg.cursor, name: str, if_match: str, *, beside_file: bool = False) -> None:
    """That there is such a rule of ours, in the state that the client knows. Nobody else changes it meanwhile.

    ``beside_file``: also where the file has one of this name too.
    """
    execute(cursor, "lock_rules")
    rows = execute(cursor, "find_rules", name=name)
    _in_effect(rows)
    ours = [row for row in rows if row[1] == "api"]
    if not (ours and beside_file):
        _demand_not_of_file(rows)
    if not names_it(if_match, reply(_shown(ours[0])).headers["etag"]):
        detail = "The rule is not as it was: somebody else has changed it. Read it again."
        raise Problem(HTTPStatus.PRECONDITION_FAILED, detail)


def _demand_not_of_file(rows: list[_Row]) -> None:
    if any(row[1] == "file" for row in rows):
        detail = "The rule stands in RULES_FILE, and cannot be changed here: change that file, which is read again."
        raise Problem(HTTPStatus.CONFLICT, detail)


def _put(cursor: pg.cursor, rule: Rule, body: RuleBody) -> RuleReply:
    definition = json.dumps(body.definition)
    return _shown(execute(cursor, "put_rule", name=rule.name, definition=definition, digest=rule.digest)[0])


def _shown(row: _Row) -> RuleReply:
    name, origin, definition, digest, updated_at, error = row
    ordered = {key: definition[key] for key in (*_KEYS, *definition) if key in definition}
    return RuleReply(
        name,
        origin,
        "error" if error else "in use",
        error,
        {"name": name, **ordered},
        digest,
        updated_at.astimezone(UTC),
    )
