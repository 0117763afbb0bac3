"""``/api/v1/rules/backtest``: what rules would have fired, by ``python -m app backtest`` in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.alerts.rules import Rule
from app.api.aside import Refused
from app.api.context import Here
from app.api.fields import STRICT, given
from app.api.params import Moment, parse_moment
from app.api.problems import Problem, invalid
from app.api.replies import decoded, reply
from app.api.rule_body import RuleBody, read
from app.model import parse_symbol, symbol_of

MOST_ALERTS = 1000
"""That one reply holds; all are counted."""

_MOST_RULES = 100
_DAY = timedelta(days=1)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # nothing arrived before, by any clock


class BacktestBody(BaseModel):
    """Which rules are to run over which ticks: `rule`, or several `rules`; those that arrived from `from` to before
    `to` (the last 24 hours), of all symbols or of these."""

    model_config = {
        **STRICT,
        "json_schema_extra": {"oneOf": [given("rule"), given("rules")]},
    }

    rule: RuleBody | None = None
    rules: Annotated[list[RuleBody] | None, Field(min_length=1, max_length=_MOST_RULES)] = None
    since: Moment | None = Field(None, alias="from")
    to: Moment | None = None
    symbols: list[Annotated[str, Field(min_length=1, max_length=130)]] | None = Field(
        None, min_length=1, max_length=1000, examples=[["BTC", "ETH"]]
    )


@dataclass(frozen=True, slots=True)
class BacktestAlert:
    """A line that alerts.txt would have; ``terms`` in the order written, each value with every digit."""

    timestamp: datetime
    state: Literal["FIRING", "RESOLVED"]
    symbol: str
    rule: str
    severity: str
    terms: Mapping[str, str]
    id: str


@dataclass(frozen=True, slots=True)
class Noisy:
    """A symbol, and how often rules fired for it."""

    symbol: str
    fired: int


@dataclass(frozen=True, slots=True)
class BacktestReply:
    """What would have fired. ``alerts``: the first thousand at most, ``truncated``: whether there are more.

    The counts are of all FIRING lines, repeats included: ``fired`` together, ``per_day`` (UTC), ``per_rule``, and of
    the ten ``noisiest`` symbols. ``ticks``: how many the rules ran over, ``from`` then to before ``to``.
    """

    since: Annotated[datetime, Field(serialization_alias="from")]
    to: datetime
    ticks: int
    fired: int
    per_day: Mapping[str, int]
    per_rule: Mapping[str, int]
    noisiest: list[Noisy]
    alerts: list[BacktestAlert]
    truncated: bool


def run(here: Here, request: Request, body: BacktestBody) -> Response:
    """What rules would have fired, had they been there then: the daemon's own engine over stored ticks.

    Nothing is written and nobody is notified. One at a time, and 60 seconds at most.
    """
    rules = _rules(here, body)
    since, until = _span(here, body)
    options = ["backtest", "--json", f"--limit={MOST_ALERTS}", "--from", since.isoformat(), "--to", until.isoformat()]
    if body.symbols is not None:
        options += ["--symbols", ",".join(_symbols(here, body.symbols))]
    try:
        printed = here.backtest.run(here.settings, request, _as_toml(rules), lambda file: [*options, f"--rules={file}"])
    except Refused as refused:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"The backtest was refused: {refused.lines[-1]}") from None
    return reply(_named(_read(printed)))


# What is asked for.


def _span(here: Here, body: BacktestBody) -> tuple[datetime, datetime]:
    """From when to when, none of it to come."""
    now = here.clock.now()
    until = min(body.to or now, now)
    since = max(body.since or until - _DAY, _BEGINNING)
    if since >= until:
        raise invalid("body.from" if body.since else "body.to", "should be a time that is over, and from before to")
    return since, until


def _rules(here: Here, body: BacktestBody) -> list[Rule]:
    if (body.rule is None) == (body.rules is None):
        raise invalid("body", "should have one of rule and rules")
    if body.rules is None:
        return [read(here, body.rule, "body.rule")] if body.rule is not None else []
    rules: dict[str, Rule] = {}
    for number, its in enumerate(body.rules):
        if its.name in rules:
            raise invalid(f"body.rules.{number}.name", "should be another one: there is a rule of this name before it")
        rules[its.name] = read(here, its, f"body.rules.{number}")
    return list(rules.values())


def _symbols(here: Here, given: Sequence[str]) -> list[str]:
    market = here.settings.source
    parsed = [parse_symbol(text, default_market=market) for text in given]
    symbols = [parts and symbol_of(*parts, default_market=market) for parts in parsed]
    wanted = [symbol for symbol in symbols if symbol]
    known = {symbol for (symbol,) in here.database.query("symbols_with_ticks", symbols=wanted)}
    for number, symbol in enumerate(symbols):
        if symbol not in known:
            raise invalid(f"body.symbols.{number}", "should be a symbol of which ticks are stored, like BTC")
    return wanted


def _as_toml(rules: Sequence[Rule]) -> bytes:
    """As a rules file. Canonical form is ASCII without control characters, which JSON and TOML write alike."""
    tables = ("\n".join(f"{key} = {json.dumps(value)}" for key, value in rule.definition.items()) for rule in rules)
    return "".join(f"[[rule]]\n{table}\n" for table in tables).encode()


def _read(printed: bytes) -> BacktestReply:
    found: Mapping[str, Any] = decoded(printed)
    alerts = [BacktestAlert(parse_moment(alert.pop("time")), **alert) for alert in found["alerts"]]
    return BacktestReply(
        since=parse_moment(found["from"]),
        to=parse_moment(found["to"]),
        ticks=found["ticks"],
        fired=sum(found["per_rule"].values()),
        per_day=found["per_day"],
        per_rule=found["per_rule"],
        noisiest=[Noisy(**noisy) for noisy in found["noisiest"]],
        alerts=alerts,
        truncated=found["truncated"],
    )


def _named(found: BacktestReply) -> dict[str, object]:
    """Under the names that the request has; ``from`` cannot be one of Python's."""
    return {"from" if its.name == "since" else its.name: getattr(found, its.name) for its in fields(found)}
