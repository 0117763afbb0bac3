"""The table of rules: those of the file are shown there, those that the API makes are read from it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from psycopg2 import extensions as pg

from app.db import Database, execute
from app.store import demand_lead

_PATIENCE_SECONDS = 2.0


class RuleStore:
    """The leading daemon's side of it. For one thread at a time, like the Database it stands on.

    Whatever is asked is done now or not at all: raises DatabaseUnavailable or DatabaseRefused, and waits for nobody.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def file_rules_are(self, rules: Sequence[tuple[str, Mapping[str, object], str]], epoch: int) -> None:
        """Show these rules of the file, (name, definition, digest) each, and no others. Raises Deposed.

        A definition is what JSON can say; if it has a ``name``, that is the rule's.
        """
        values = {
            "name": [name for name, _, _ in rules],
            "definition": [json.dumps(definition) for _, definition, _ in rules],
            "digest": [digest for _, _, digest in rules],
        }

        def work(cursor: pg.cursor) -> None:
            demand_lead(cursor, epoch)
            execute(cursor, "mirror_rules", **values)

        self._database.once(work, patience=_PATIENCE_SECONDS)

    def api_rules(self) -> list[tuple[str, str]]:
        """(name, definition as JSON) of every rule that the API made: bad ones too, and those that the file has too."""
        return [(name, definition) for name, definition in self._query("api_rules")]

    def rules_version(self) -> Hashable:
        """Another one as soon as the API has made, changed or deleted a rule. Cheap enough to be asked every second."""
        return self._query("rules_version")[0]

    def api_rule_failed(self, name: str, error: str | None) -> None:
        """Say why a rule that the API made is not used; None: it is."""
        self._query("api_rule_failed", name=name, error=error)

    def _query(self, query: str, /, **values: object) -> list[tuple[Any, ...]]:
        return self._database.once(lambda cursor: execute(cursor, query, **values), patience=_PATIENCE_SECONDS)
