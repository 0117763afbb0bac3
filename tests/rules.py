"""Rules for tests: those that are shipped, and any that a test writes down."""

from __future__ import annotations

from typing import Any

from app.alerts import rules_file
from app.alerts.rules import RuleSet
from tests.acceptance.daemon import SHIPPED_FILE


def shipped() -> RuleSet:
    """Those of alerts/rules.toml."""
    return rules_file.load(SHIPPED_FILE, channels=None, default_market="coingecko")


def rules(*definitions: dict[str, Any], **routes: tuple[str, ...]) -> RuleSet:
    """Rules as a file or the API defines them; ``routes``: the channels of severities."""
    made = [rules_file.rule_from(d, channels=None, default_market="coingecko") for d in definitions]
    return RuleSet(tuple(made), routes)


def rule(when: str, name: str = "high", **options: Any) -> RuleSet:
    """One rule; ``hold`` is its ``for``, a word that Python keeps for itself."""
    if "hold" in options:
        options["for"] = options.pop("hold")
    return rules({"name": name, "when": when, **options})
