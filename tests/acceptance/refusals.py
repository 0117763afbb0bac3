"""What Schemathesis is told beside the document: texts of forms of our own, and which refusals are right.

422 is the answer to what no schema can forbid, too: a time that is not before another one, a cursor that nobody was
given. So it is let pass for what is right by its form, but for these reasons alone: any other means that the document
promises what the API does not take.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis import Case, CheckContext, Response

_NUMBERS = strategies.decimals(0, 10**9, places=4).map(str)
_CONDITIONS = strategies.sampled_from(
    ["price > {}", "not (volume <= {} or age > 5m)", "abs(price / avg(price, 5m) - 1) > {}%", "zscore(price, 1h) > {}"]
)
schemathesis.openapi.format("rule-condition", strategies.builds(str.format, _CONDITIONS, _NUMBERS))
schemathesis.openapi.format("channel-name", strategies.just("ops"))

REASONS = re.compile(
    r"should be a time before `\w+`"
    r"|should be at most 7 days before `to`"
    r"|is so long ago that it would be over already"
    r"|there is a rule of this name before it"
    r"|should be a time that is over, and from before to"
    r"|should be a time to come, and after from"
    r"|is before 2009-01-03, when there was no market"
    r"|should be the `next` of an earlier reply"
    r"|should be as in the address"
    r"|should be a symbol"
    r"|without zero bytes"
)
# What stands in texts of theirs, or in several of them together.
TRANSACTIONS = ("query.transactions", "body.transactions[")


@schemathesis.check
def refused_for_a_reason_that_no_schema_can_say(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Of requests that are right by the document."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 422:
        return
    for error in response.json()["errors"]:
        is_right = REASONS.search(error["problem"]) or error["where"].startswith(TRANSACTIONS)
        assert is_right, f"{error['where']} {error['problem']}"
