"""Where in a TOML text its values stand: tomllib reads them, and does not say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
    (?P<nothing> [ \t]+ | \#[^\n]* )
    | (?P<text> \"\"\"(?:\\.|[^\\])*?\"{3,5} | '''.*?'{3,5} | "(?:\\.|[^"\\])*" | '[^']*' )
    | (?P<sign> [\[\]{}=,.\n] )
    | (?P<bare> [^\s\[\]{}=,."'#]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_PIECE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|[ \t]*\n\s*|.)|.", re.DOTALL)

Path = tuple[str | int, ...]
"""("rule", 0, "when"): keys, and numbers in arrays of tables, from 0 on."""


class Places:
    """Of a text that is TOML, with ``\\n`` at the ends of its lines."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._keys: dict[Path, int] = {(): 0}
        self._values: dict[Path, int] = {}
        tables: Counter[Path] = Counter()
        table: Path = ()
        for statement in _statements(text):
            signs = [token[0] for token in statement]
            if signs[0] == "[":
                is_array = signs[1] == "["
                table = _names(statement)
                if is_array:
                    tables[table] += 1
                    table = (*table, tables[table] - 1)
                self._keys.setdefault(table, statement[0].start())
            elif "=" in signs[:-1]:
                equals = signs.index("=")
                path = (*table, *_names(statement[:equals]))
                self._keys[path] = statement[0].start()
                self._values[path] = statement[equals + 1].start()

    def of(self, path: Path) -> int:
        """Where a table's header or a key begins; where that is not known, what it is in."""
        while path not in self._keys:
            path = path[:-1]
        return self._keys[path]

    def within(self, path: Path, offset: int) -> int | None:
        """Where a character of a key's value stands, whose value is text. None where that is not known."""
        if path not in self._values:
            return None
        start = self._values[path]
        token = _TOKEN.match(self._text, start)
        return start + _raw_offset(token["text"], offset) if token and token["text"] else None


def _statements(text: str) -> Iterator[list[re.Match[str]]]:
    """The tokens of each header and of each key with its value."""
    statement: list[re.Match[str]] = []
    depth = 0
    for token in _TOKEN.finditer(text):
        sign = token["sign"]
        depth += (sign in ("[", "{")) - (sign in ("]", "}"))
        if sign == "\n":
            if depth == 0 and statement:
                yield statement
                statement = []
        elif not token["nothing"]:
            statement.append(token)
    if statement:
        yield statement


def _names(tokens: list[re.Match[str]]) -> Path:
    return tuple(token[0].strip("\"'") for token in tokens if token["text"] or token["bare"])


def _raw_offset(raw: str, offset: int) -> int:
    """Where in a text as it is written, quotes and escapes included, a character of its value stands."""
    quotes = 3 if raw[:3] in ('"""', "'''") else 1
    start = quotes + (quotes == 3 and raw[3] == "\n")
    if raw[0] == "'":
        return start + offset
    for piece in _PIECE.finditer(raw, start, len(raw) - quotes):
        if piece[0][0] == "\\" and "\n" in piece[0]:
            continue  # a line that goes on in the next: it stands for nothing
        if offset == 0:
            return piece.start()
        offset -= 1
    return len(raw) - quotes
