"""Alerts and dashboard for Prometheus: made of names that there are, tested, and explained."""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise

import pytest
import yaml
from prometheus_client import generate_latest

from app.api.prometheus import Scrape
from app.api.status import DatabaseStatus, LatestTick, OutboxStatus
from app.status import Reading
from tests import monitoring
from tests.statuses import NOW, a_status

DATABASE = DatabaseStatus(True, None, "17.0", 1, 2, {"BTC": LatestTick(NOW, 5.0)}, {"ops": OutboxStatus(1, NOW, 2)})
SERVED = monitoring.served(generate_latest(Scrape(Reading(a_status(), True, ()), DATABASE)).decode())
EXPRESSIONS = [*monitoring.alerts().values(), *monitoring.dashboard()]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_only_for_what_is_served(expression: str) -> None:
    names = monitoring.names(expression)
    assert names
    assert names <= SERVED | monitoring.ITS_OWN


def test_a_name_that_is_not_served_would_be_found() -> None:
    wrong = 'sum by (job) (rate(cryptomonitor_tick_stored_total{a="up"}[5m])) > 2 and on (job) crypto_up == 1'
    assert monitoring.names(wrong) == {"cryptomonitor_tick_stored_total", "crypto_up"}


def test_every_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load(monitoring.ALERTS_TEST.read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for fires in (True, False):
        assert {case["alertname"] for case in cases if bool(case["exp_alerts"]) == fires} == set(monitoring.alerts())


def test_every_alert_is_explained_and_none_that_is_gone() -> None:
    readme = (monitoring.FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(CryptoMonitor\w+)` \| .{20,} \|$", readme, flags=re.MULTILINE) == list(
        monitoring.alerts()
    )


# Grafana.


def test_the_dashboard_names_no_data_source_of_its_own() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in monitoring.panels():
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [chosen] * (
            1 + len(panel["targets"])
        )
    first = monitoring.DASHBOARD["templating"]["list"][0]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")


def test_every_variable_that_is_used_is_there() -> None:
    defined = {variable["name"] for variable in monitoring.DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(monitoring.DASHBOARD)))
    assert used - {"__rate_interval", "__all"} == defined


def test_no_panel_lies_over_another_or_beyond_the_edge() -> None:
    every = monitoring.DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    places = [panel["gridPos"] for panel in every]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_every_row_has_panels() -> None:
    kinds = [panel["type"] for panel in monitoring.DASHBOARD["panels"]]
    assert kinds[0] == "row"
    assert kinds[-1] != "row"
    assert ("row", "row") not in pairwise(kinds)


def test_colours_are_those_of_the_theme() -> None:
    assert not re.findall(r'"#[0-9a-fA-F]{3,8}"|rgba?\(', json.dumps(monitoring.DASHBOARD))
