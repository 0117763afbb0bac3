"""The named queries of ``sql/queries``: SQL lives there, values are only ever bound."""

from __future__ import annotations

import re
from pathlib import Path

SQL_DIR = Path(__file__).resolve().parent.parent / "sql"


def _load(folder: Path) -> dict[str, str]:
    queries: dict[str, str] = {}
    for file in sorted(folder.glob("*.sql")):
        for part in re.split(r"^-- name: ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name, _, text = part.partition("\n")
            if name in queries:
                raise ValueError(f"{file}: there are two queries named {name}")
            # Comments are for readers of the file; a % in one would be taken for a parameter.
            queries[name] = re.sub(r"^\s*--.*\n", "", text, flags=re.MULTILINE).strip()
    return queries


QUERIES = _load(SQL_DIR / "queries")
