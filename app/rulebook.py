"""The rules in effect: those of RULES_FILE, which may change at any time, and those that the database keeps."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from app import log
from app.alerts import rules_file
from app.alerts.rules import Rule, RuleSet
from app.errors import ConfigurationError

_Stamp = tuple[int, int, int]


class Rulebook:
    """Reads the file, and reads it again when it changes or ``reread`` is set. For one thread at a time.

    ``channels``: the names that rules may send to. ``market``: that of symbols which name none.
    """

    def __init__(self, path: Path, channels: Collection[str], market: str, reread: threading.Event) -> None:
        self.path, self._channels, self._market, self._reread = path, channels, market, reread
        self._stamp: _Stamp | None = None  # of the file that was read
        self._seen: _Stamp | None = None  # at the last look
        self._log = log.get(__name__)
        self.file = RuleSet()
        """Those of the file as it last was good."""
        self.trouble: str | None = None
        """Why the file as it is now is not in effect."""

    def open(self) -> None:
        """Read the file for the first time. Raises ConfigurationError."""
        self._stamp = self._seen = self._look()
        self.file = rules_file.load(self.path, channels=self._channels, default_market=self._market)

    def look(self) -> bool:
        """Read the file again if it is another one now; whether there are other rules. A bad one changes nothing."""
        asked = self._reread.is_set()
        if asked:
            self._reread.clear()
        stamp = self._look()
        settled, self._seen = stamp == self._seen, stamp
        # One that changed between two looks may still be being written, and half a file may be a good one.
        if not asked and (stamp == self._stamp or not settled):
            return False
        try:
            found = rules_file.load(self.path, channels=self._channels, default_market=self._market)
            if self._look() != stamp:
                return False
            self._stamp = stamp
        except ConfigurationError as error:
            self._stamp, self.trouble = stamp, str(error)
            self._log.error(f"The rules stay as they are: {error}", action="rules_refused")
            return False
        self.trouble = None
        is_another = found != self.file
        self.file = found
        if not is_another:
            self._log.info(f"{self.path} has no other rules than before.", action="rules_same")
        return is_another

    def together(self, kept: Iterable[tuple[str, str]]) -> tuple[RuleSet, dict[str, str]]:
        """The rules of the file and, after them, those of the database, (name, definition as JSON) each; and by name
        why some of these are no rules."""
        rules = {rule.name: rule for rule in self.file.rules}
        refused: dict[str, str] = {}
        for name, definition in kept:
            if name in rules:
                refused[name] = f"{self.path} has a rule of this name, which is the one in effect"
                continue
            try:
                rules[name] = self._kept(name, json.loads(definition))
            except ConfigurationError as error:
                refused[name] = str(error)
            except (ValueError, RecursionError):
                refused[name] = "its definition is beyond reason"
        return RuleSet(tuple(rules.values()), self.file.routes), refused

    def _kept(self, name: str, definition: Mapping[str, Any]) -> Rule:
        return rules_file.rule_from({**definition, "name": name}, channels=self._channels, default_market=self._market)

    def _look(self) -> _Stamp | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def difference(before: RuleSet, after: RuleSet) -> str:
    """What is another in these rules, for the log: one sentence."""
    old, new = ({rule.name: rule for rule in rules.rules} for rules in (before, after))
    parts = {
        "new": [name for name in new if name not in old],
        "gone": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and new[name] != old[name]],
    }
    said = [f"{what}: {', '.join(names)}" for what, names in parts.items() if names]
    same = sum(new[name] == old.get(name) for name in new)
    return "; ".join([*said, f"as before: {same}"])
