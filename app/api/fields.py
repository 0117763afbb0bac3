"""What several bodies of requests hold: texts for people, patterns, lengths of time."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, StringConstraints
from pydantic.config import JsonDict

STRICT = ConfigDict(extra="forbid", strict=True)
"""Of a body: nothing beside what is known, and nothing taken for something else."""

_IN_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"
_SHOWN = r"[^\s\x00-\x1f\x7f-\x9f\u2028\u2029]"
_ASSET = r"[A-Za-z0-9*][A-Za-z0-9.$_*]{0,39}"

Line = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=rf"^{_IN_LINE}*{_SHOWN}{_IN_LINE}*$")]
"""A text for people, of one line, with something in it."""

NamePattern = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,60}$")]
"""A pattern of names: ``*`` stands for any text."""

SymbolPattern = Annotated[str, StringConstraints(pattern=rf"^{_ASSET}(?:-{_ASSET})?(?:@[A-Za-z0-9_*]{{0,40}})?$")]
"""A pattern of symbols, as far as a schema can say it: BTC, BTC@*, *-EUR@kraken, *@kraken, *."""

Length = Annotated[str, StringConstraints(pattern=r"^(?:[1-9][0-9]{0,5}[smh]|[1-9][0-9]{0,3}d)$")]
"""A length of time, not zero: 30s, 90m, 2h, 7d."""


def given(key: str) -> JsonDict:
    """As JSON schema: this key is there, and not null, which is as if it were left out."""
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}
