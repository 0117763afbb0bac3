"""Reads a rule's condition, as people write it (docs/rules.md): ``abs(price / avg(price, 5m) - 1) > 2%``."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

from lark import Lark, UnexpectedCharacters, UnexpectedToken
from lark.exceptions import VisitError

from app.alerts.expression import Condition
from app.alerts.meaning import Meaning
from app.alerts.place import RuleError

LONGEST = 2000
"""Characters of a condition, at most."""

_GRAMMAR = Path(__file__).with_name("grammar.lark")
_INSTEAD = {
    "=": "equal is ==, at least >=",
    "&": "write and",
    "|": "write or",
    "!": "write not, or != for not equal",
    "%": "a ratio has no space in it: 2%",
    "#": "there are no comments here",
    "^": "there are no powers",
    "≥": "write >=",
    "≤": "write <=",
    "≠": "write !=",
    "×": "write *",
    "÷": "write /",
    "−": "write -",
    "[": "write ( and )",
    "{": "write ( and )",
}


@lru_cache(maxsize=2048)  # a file that is read again has mostly the conditions it had
def parse(text: str) -> Condition:
    """The condition that is written there. Raises RuleError: what is wrong, in which line and column."""
    if len(text) > LONGEST:
        raise RuleError(f"is longer than {LONGEST} characters: make several rules of it", text, LONGEST)
    if not text.strip():
        raise RuleError("nothing is written here; a condition is, for instance, price > 70000", text, 0)
    meaning = Meaning(text)
    try:
        return meaning.condition(meaning.transform(_parser().parse(text)))
    except VisitError as error:
        raise error.orig_exc from None
    except (UnexpectedCharacters, UnexpectedToken) as error:
        raise RuleError(*_explained(error, text)) from None


@cache
def _parser() -> Lark:
    # The contextual lexer would take ``and`` for a name, wherever a name may stand and ``and`` may not.
    return Lark(_GRAMMAR.read_text(encoding="utf-8"), parser="lalr", lexer="basic", maybe_placeholders=False)


def _explained(error: UnexpectedCharacters | UnexpectedToken, text: str) -> tuple[str, str, int]:
    """A sentence, the text, and the offset in it."""
    offset = error.pos_in_stream or 0
    if isinstance(error, UnexpectedCharacters):
        character = text[offset]
        advice = f"; {_INSTEAD[character]}" if character in _INSTEAD else ""
        return f"{character!r} cannot stand here{advice}", text, offset
    wants_value = "LITERAL" in error.expected
    if error.token.type == "$END":
        end = len(text.rstrip())
        missing = "something is missing at the end: a number, or a term such as price"
        return missing if wants_value else "a ) is missing at the end", text, end
    return _out_of_place(error.token.type, str(error.token), wants_value), text, offset


def _out_of_place(kind: str, token: str, wants_value: bool) -> str:
    shown = token if len(token) <= 60 else f"{token[:57]}..."
    if wants_value:
        return f"{shown} cannot stand here: a number, a term such as price, or ( is wanted"
    match kind:
        case "RIGHT":
            return ") closes nothing: there is no ( for it"
        case "COMMA":
            return ", cannot stand here: it parts the arguments of a function, and numbers have none (70000)"
        case "NAME" if token.lower() in ("and", "or", "not"):
            return f"{token} is written in small letters: {token.lower()}"
        case "NAME" if token in ("s", "m", "h", "d"):
            return f"{token} cannot stand here: a length of time has no space in it (5m)"
    return f"{shown} cannot stand here: an operator is wanted before it, such as > or and"
