"""A rule as a request writes it, read by the very code that reads rules files."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from app.alerts.definition import Known, read_rule
from app.alerts.definition import Problem as Wrong
from app.alerts.language import LONGEST
from app.alerts.rules import SEVERITIES, Rule
from app.api.context import Here
from app.api.fields import STRICT
from app.api.problems import Problem
from app.db import execute
from app.notify import parse_channels

_MOST_ITEMS = 1000
_LENGTH = (
    r"^(?:[0-9]{1,7}s|[0-9]{1,5}m|(?:[0-9]{1,3}|[1-7][0-9]{3}|8[0-6][0-9]{2}|87[0-5][0-9]|8760)h"
    r"|(?:[0-9]{1,2}|[12][0-9]{2}|3[0-5][0-9]|36[0-5])d)$"
)
_ASSET = r"[A-Za-z0-9*][A-Za-z0-9.$_*]{0,39}"


def _said(**schema: object) -> WithJsonSchema:
    """What only the description says of a text: what is wrong with one, the rules' own code says better."""
    return WithJsonSchema({"type": "string", **schema})


_Name = Annotated[str, Field(max_length=60), _said(pattern=r"^[A-Za-z0-9._-]{1,60}$")]
_Condition = Annotated[
    str,
    Field(max_length=LONGEST),
    _said(format="rule-condition", minLength=1, maxLength=LONGEST, examples=["abs(price / avg(price, 5m) - 1) > 2%"]),
]
_Length = Annotated[str, Field(max_length=10), _said(pattern=_LENGTH, examples=["30s"])]
_Symbols = Annotated[
    str,
    Field(max_length=130),
    _said(pattern=rf"^{_ASSET}(?:-{_ASSET})?(?:@[A-Za-z0-9_*]{{0,40}})?$", examples=["BTC", "*@kraken"]),
]
_Channel = Annotated[
    str, Field(max_length=40), _said(pattern="^[a-z0-9][a-z0-9_-]{0,39}$", format="channel-name", examples=["ops"])
]
_Severity = Annotated[str, Field(max_length=20), _said(enum=list(SEVERITIES))]


class RuleBody(BaseModel):
    """A rule, under the keys of rules.toml; docs/rules.md says what they mean. null is as if it were left out."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"name": "btc-high", "when": "price > 70000"}]}}

    name: _Name
    when: _Condition
    clear: _Condition | None = None
    hold: _Length | None = Field(None, alias="for")
    keep_firing_for: _Length | None = None
    repeat: _Length | None = None
    symbols: list[_Symbols] | None = Field(None, min_length=1, max_length=_MOST_ITEMS)
    channels: list[_Channel] | None = Field(None, max_length=_MOST_ITEMS)
    severity: _Severity | None = None

    @property
    def definition(self) -> dict[str, Any]:
        """As it was written, key by key."""
        return self.model_dump(by_alias=True, exclude_none=True)


def read(here: Here, body: RuleBody, where: str = "body") -> Rule:
    """The rule. Problem 422 with all that is wrong with it; ``where``: where in the request it stands."""
    rule, wrong = read_rule(body.definition, Known(_channels(here) if body.channels else (), here.settings.source))
    if rule is None:
        errors = [_mistake(where, it) for it in wrong]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "This is no rule that can be used.", errors=errors)
    return rule


def _mistake(where: str, wrong: Wrong) -> dict[str, object]:
    place = where if wrong.key is None else f"{where}.{wrong.key}"
    if wrong.error is None:
        return {"where": place, "problem": wrong.reason}
    return {"where": place, "problem": wrong.reason, "line": wrong.error.line, "column": wrong.error.column}


def _channels(here: Here) -> Collection[str]:
    """Those that NOTIFY_URLS names, here or where the daemon runs; that may be elsewhere, with settings of its own."""
    ours = parse_channels(here.settings.notify_urls.get_secret_value())
    known = here.database.ask(lambda cursor: execute(cursor, "known_channels"))
    return dict.fromkeys([*ours, *(name for (name,) in known)])
