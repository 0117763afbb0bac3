"""Reads the rules file (docs/rules.md), and rules that are kept elsewhere: whole and good, or refused with reasons."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from app.alerts import toml_places
from app.alerts.definition import Known, plain, read_channels, read_rule, unknown_key
from app.alerts.place import line_and_column
from app.alerts.rules import SEVERITIES, Rule, RuleSet
from app.errors import ConfigurationError

SHIPPED = Path(__file__).with_name("shipped.toml")
"""The rules as they are shipped, whatever somebody has made of alerts/rules.toml."""

_MOST_BYTES = 1_000_000
_MOST_RULES = 1000

_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path, *, channels: Collection[str] | None = None, default_market: str) -> RuleSet:
    """The rules of a file. Raises ConfigurationError, see ``parse``, and for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode("utf-8-sig")  # some editors put a mark at the beginning
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: there is no such file; RULES_FILE names the one with the rules, an empty one has none"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); RULES_FILE names it") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from None
    if len(data) > _MOST_BYTES:
        raise ConfigurationError(f"{path}: has more than {_MOST_BYTES // 10**6} MB, and is no rules file")
    return parse(text, str(path), channels=channels, default_market=default_market)


def parse(text: str, name: str, *, channels: Collection[str] | None = None, default_market: str) -> RuleSet:
    """The rules in the text of a file of that name.

    ``channels``: the names that rules may send to, None for any. ``default_market``: that of symbols which name none.
    Raises ConfigurationError: a line for each thing that is wrong, beginning with ``name:line:column:``.
    """
    text = text.replace("\r\n", "\n")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name}:{_toml_reason(str(error), text)}") from None
    except ValueError as error:
        # Of what Python makes of a value: a whole number of thousands of digits.
        raise ConfigurationError(f"{name}: a value in it cannot be read: {str(error).partition(';')[0]}") from None
    except RecursionError:
        raise ConfigurationError(f"{name}: is nested too deeply") from None
    reading = _Reading(text, Known(channels, default_market))
    rules = reading.read(document)
    if reading.found:
        wrong = [(line_and_column(text, offset), reason) for offset, reason in sorted(reading.found)]
        raise ConfigurationError("\n".join(f"{name}:{line}:{column}: {reason}" for (line, column), reason in wrong))
    return rules


def rule_from(definition: Mapping[str, Any], *, channels: Collection[str] | None = None, default_market: str) -> Rule:
    """A rule that is kept elsewhere, under the same keys as in a file. Raises ConfigurationError, a line for each."""
    rule, problems = read_rule(definition, Known(channels, default_market))
    if rule is None:
        label = _label(definition, "")
        raise ConfigurationError("\n".join(f"{label}{problem.sentence()}" for problem in problems))
    return rule


class _Reading:
    """Goes through a document. ``found``: what is wrong with it, and the offset in the text."""

    def __init__(self, text: str, known: Known) -> None:
        self._places = toml_places.Places(text)
        self._text, self._known = text, known
        self.found: list[tuple[int, str]] = []

    def read(self, document: Mapping[str, Any]) -> RuleSet:
        for key in document:
            if key not in ("rule", "severity"):
                self._refuse((key,), f"{plain(key)}: {unknown_key(key, ('rule', 'severity'))}")
        return RuleSet(self._rules(document.get("rule", [])), self._routes(document.get("severity", {})))

    def _rules(self, tables: object) -> tuple[Rule, ...]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._refuse(("rule",), "rule: should be tables: each rule begins with a line [[rule]], in two brackets")
            return ()
        if len(tables) > _MOST_RULES:
            self._refuse(("rule", _MOST_RULES), f"rule: there are {len(tables)}, and at most {_MOST_RULES} may be")
            return ()
        rules: dict[str, Rule] = {}
        lines: dict[str, int] = {}
        for number, table in enumerate(tables):
            rule = self._rule(number, table)
            name = table.get("name")
            if isinstance(name, str) and name in lines:
                self._refuse(
                    ("rule", number, "name"), f"rule {plain(name)}: another of this name is in line {lines[name]}"
                )
            elif isinstance(name, str):
                lines[name], _ = line_and_column(self._text, self._places.of(("rule", number, "name")))
            if rule is not None:
                rules[rule.name] = rule
        return tuple(rules.values())

    def _rule(self, number: int, table: Mapping[str, Any]) -> Rule | None:
        rule, problems = read_rule(table, self._known)
        for problem in problems:
            label = _label(table, f"rule {number + 1}: ")
            path: toml_places.Path = ("rule", number) if problem.key is None else ("rule", number, problem.key)
            place = self._places.within(path, problem.error.offset) if problem.error else None
            if place is None:
                self._refuse(path, label + problem.sentence())
            else:
                self.found.append((place, label + problem.sentence(placed=True)))
        return rule

    def _routes(self, tables: object) -> dict[str, tuple[str, ...]]:
        if not isinstance(tables, dict):
            self._refuse(("severity",), "severity: should be tables, such as [severity.critical]")
            return {}
        routes = {}
        for severity, table in tables.items():
            path = ("severity", severity)
            if severity not in SEVERITIES:
                self._refuse(path, f"severity {plain(severity)}: {unknown_key(severity, SEVERITIES)}")
            elif not isinstance(table, dict) or "channels" not in table:
                self._refuse(path, f'severity {severity}: should have channels = ["name"]')
            else:
                for key in table.keys() - {"channels"}:
                    self._refuse((*path, key), f"severity {severity}: {plain(key)}: {unknown_key(key, ['channels'])}")
                try:
                    routes[severity] = read_channels(table["channels"], self._known)
                except ValueError as error:
                    self._refuse((*path, "channels"), f"severity {severity}: channels: {error}")
        return routes

    def _refuse(self, path: toml_places.Path, reason: str) -> None:
        self.found.append((self._places.of(path), reason))


def _label(definition: Mapping[str, Any], otherwise: str) -> str:
    """Which rule is talked about."""
    name = definition.get("name")
    return f"rule {plain(name)}: " if isinstance(name, str) and name else otherwise


def _toml_reason(message: str, text: str) -> str:
    """``12:19: is not TOML: ...`` from what tomllib says."""
    match = _TOML_PLACE.search(message)
    if match is None:
        return f" is not TOML: {message}"
    line, column = (match[1], match[2]) if match[1] else line_and_column(text, len(text))
    return f"{line}:{column}: is not TOML: {message[: match.start()]}"
