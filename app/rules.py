"""Keeps the rules in effect up to date while the daemon runs: from the file and from the database to the checker."""

from __future__ import annotations

import threading
from collections.abc import Hashable

from app import log
from app.alerts.rules import RuleSet
from app.errors import DatabaseRefused, DatabaseUnavailable, Deposed, Stopping
from app.intake import Intake
from app.rulebook import Rulebook, difference
from app.rules_store import RuleStore
from app.store import Store


class Rules:
    """Safe to use from several threads. ``history`` is where the windows of new rules are read back from."""

    def __init__(self, book: Rulebook, kept: RuleStore, history: Store) -> None:
        self._book, self._kept, self._history = book, kept, history
        self._lock = threading.Lock()
        self._version: Hashable = None
        self._due = False
        self._log = log.get(__name__)

    @property
    def trouble(self) -> str | None:
        """Why the file as it is now is not in effect."""
        return self._book.trouble

    def begin(self, epoch: int) -> RuleSet:
        """The rules to lead with. Raises DatabaseUnavailable, Deposed."""
        with self._lock:
            self._due = False
            return self._read(epoch)

    def step(self, intake: Intake | None) -> None:
        """Look for other rules, and have them in effect from the next batch on; without an intake, when it starts."""
        with self._lock:
            self._due |= self._book.look()
            if intake is None:
                return
            try:
                if self._due or self._kept.rules_version() != self._version:
                    self._due = True
                    self._change(intake)
            except (DatabaseUnavailable, DatabaseRefused) as error:
                if self._due and not isinstance(error, Stopping):
                    self._log.warning(f"New rules wait for the database: {error}.", action="rules_wait")
            except Deposed:
                pass  # its end is seen to elsewhere; the next term begins with the rules as they are then

    def _change(self, intake: Intake) -> None:
        rules = self._read(intake.epoch)
        before = intake.rules
        if rules != before:
            if not intake.change_rules(rules, self._history):
                return  # still due
            if intake.rules == rules:
                self._log.info(f"The rules have changed. {difference(before, rules)}.", action="rules_changed")
        self._due = False

    def _read(self, epoch: int) -> RuleSet:
        """All rules as they are now. The database is told which the file's are, and which of its own are none."""
        version = self._kept.rules_version()
        kept = self._kept.api_rules()
        rules, refused = self._book.together(kept)
        for name, _ in kept:
            if name in refused:
                self._log.error(f"The rule {name} of the database is left out: {refused[name]}.", action="rule_refused")
            self._kept.api_rule_failed(name, refused.get(name))
        of_file = [(rule.name, rule.definition, rule.digest) for rule in self._book.file.rules]
        self._kept.file_rules_are(of_file, epoch)
        self._version = version
        return rules
