"""What is asked for has to be understood whole: a parameter that nobody knows is a mistake, not something to skip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches

from starlette.requests import Request

from app.api.problems import invalid

_NUL = "\x00"


def demand_known(request: Request, known: Mapping[str, bool], *, lenient: bool = False) -> None:
    """Problem 422 for a query parameter that is not known, or given twice, or holds what is no text.

    ``known``: the names, and whether it may be given several times. ``lenient``: unknown ones are passed over.
    """
    given = request.query_params.multi_items()
    for name, times in Counter(name for name, _ in given).items():
        if name not in known and not lenient:
            raise invalid(f"query.{_shown(name)}", _unknown(name, known))
        if times > 1 and not known.get(name, lenient):
            raise invalid(f"query.{_shown(name)}", "should be given once")
    if any(_NUL in name or _NUL in value for name, value in given):
        raise invalid("query", "should be text, without zero bytes")
    if any(_NUL in str(value) for value in request.path_params.values()):
        raise invalid("path", "should be text, without zero bytes")


def _shown(name: str) -> str:
    return name if name.replace("_", "").isalnum() and name.isascii() and len(name) < 40 else "?"


def _unknown(name: str, known: Mapping[str, bool]) -> str:
    near = get_close_matches(name.lower(), known, 1)
    if near:
        return f"is no parameter of this address; it takes {near[0]}"
    return f"is no parameter of this address; it takes {', '.join(sorted(known)) or 'none'}"
