"""What docs/monitoring/ asks Prometheus for, and which names that takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

FOLDER = Path(__file__).parents[1] / "docs" / "monitoring"
ALERTS = FOLDER / "alerts.yml"
ALERTS_TEST = FOLDER / "alerts_test.yml"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))

# What Prometheus itself knows of every target.
ITS_OWN = {"up"}
_WORDS = {"and", "or", "unless", "by", "on", "without", "ignoring"}


def alerts() -> dict[str, str]:
    """The expressions of the alerts, by name."""
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that show something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def dashboard() -> list[str]:
    """The expressions of the dashboard, its variables replaced as Grafana would."""
    its = [target["expr"] for panel in panels() for target in panel["targets"]]
    its += [found[1] for v in _variables() if (found := re.fullmatch(r"label_values\((.*), \w+\)", v["definition"]))]
    return [re.sub(r"\$\w+", ".*", expression.replace("$__rate_interval", "1m")) for expression in its]


def names(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(by|on|without|ignoring) *\([^)]*\)', " ", expression)
    return set(re.findall(r"\b[a-z_]\w*\b(?! *\()", bare)) - _WORDS


def served(page: str) -> set[str]:
    """The names that a page of /metrics offers, also those that have no sample now."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    families = text_string_to_metric_families(page)
    return {f"{family.name}{ending}" for family in families for ending in endings.get(family.type, ("",))}


def _variables() -> list[dict[str, Any]]:
    return [variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
