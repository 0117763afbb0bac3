"""A real Prometheus beside a running daemon and its API; our alerts and our dashboard asked of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import monitoring
from tests.acceptance.daemon import running, wait_until
from tests.acceptance.scripted import Script, serving
from tests.acceptance.test_recorded_market import made_up
from tests.conftest import new_database
from tests.ports import free_port
from tests.servers import Installed, available

PROGRAMS = ("prometheus", "promtool")

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="no prometheus and promtool on the PATH"),
]

CONFIGURATION = """\
global: {{scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}}
rule_files: ['{rules}']
scrape_configs:
  - job_name: cryptomonitor
    static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"""


@dataclass(frozen=True)
class Watched:
    """Where the API and the Prometheus that scrapes it answer."""

    api: str
    prometheus: str
    until: Callable[[Callable[[], bool]], None]
    """Waits for something while the daemon lives."""

    def ask(self, path: str, **parameters: str) -> Any:
        reply = requests.get(f"{self.prometheus}/api/v1/{path}", parameters, timeout=60)
        assert reply.status_code == 200, (parameters, reply.text)
        return reply.json()["data"]

    def query(self, expression: str) -> list[Any]:
        return list(self.ask("query", query=expression)["result"])

    def page(self) -> str:
        return requests.get(f"{self.api}/metrics", timeout=60).text


@contextmanager
def prometheus(folder: Path, api_port: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Prometheus with our rules, over the API on that port; its address. What it says goes to output.txt there."""
    address = f"127.0.0.1:{free_port()}"
    (folder / "prometheus.yml").write_text(CONFIGURATION.format(rules=monitoring.ALERTS, port=api_port))
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield f"http://{address}", process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def watched(
    servers: Callable[[Installed], str],
    templates: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    """Once Prometheus has the newest tick of every symbol."""
    ours, theirs, port = tmp_path_factory.mktemp("daemon"), tmp_path_factory.mktemp("prometheus"), free_port()
    server = servers(available()[0])
    now = datetime.now(UTC)
    script = Script([[replace(row, time=now) for row in made_up(1)[0]]])
    with (
        new_database(server, templates(server)) as dsn,
        serving(script) as url,
        running(ours, "run", COINGECKO_BASE_URL=url, TICK_SECONDS=0.5, DATABASE_URL=dsn, API_PORT=port) as daemon,
        prometheus(theirs, port) as (address, process),
    ):
        wait_until(lambda: _ready(address), process, 120, theirs)
        found = Watched(f"http://127.0.0.1:{port}", address, lambda it: wait_until(it, daemon, 120, ours))
        found.until(lambda: len(found.query("cryptomonitor_symbol_lag_seconds")) == 3)
        yield found


def _ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/-/ready", timeout=60).status_code == 200
    except requests.ConnectionError:
        return False


def test_prometheus_gets_what_the_daemon_and_the_database_say(watched: Watched) -> None:
    def value(expression: str) -> float:
        (found,) = watched.query(expression)
        return float(found["value"][1])

    assert value('up{job="cryptomonitor"}') == 1
    assert value("cryptomonitor_daemon_running") == 1
    assert value("cryptomonitor_data_fresh") == 1
    assert value("cryptomonitor_database_up") == 1
    assert value("cryptomonitor_ticks_stored_total") == 3
    assert value("cryptomonitor_database_size_bytes") > 1_000_000
    assert value('cryptomonitor_source_state{source="coingecko", state="ok"}') == 1
    lags = {
        found["metric"]["symbol"]: float(found["value"][1])
        for found in watched.query("cryptomonitor_symbol_lag_seconds")
    }
    assert lags.keys() == {"BTC", "ETH", "ZEC"}
    assert all(0 <= lag < 600 for lag in lags.values())


def test_the_page_follows_the_conventions(watched: Watched) -> None:
    promtool("check", "metrics", given=watched.page())


def test_the_alerts_do_what_their_tests_say() -> None:
    promtool("check", "rules", str(monitoring.ALERTS))
    promtool("test", "rules", monitoring.ALERTS_TEST.name)


def test_the_alerts_can_be_evaluated_and_none_fires_while_all_is_well(watched: Watched) -> None:
    def rules() -> list[dict[str, Any]]:
        (group,) = watched.ask("rules")["groups"]
        return list(group["rules"])

    watched.until(lambda: all(rule["health"] != "unknown" for rule in rules()))
    assert {rule["name"]: rule.get("lastError", "") for rule in rules()} == dict.fromkeys(monitoring.alerts(), "")
    assert [rule["name"] for rule in rules() if rule["state"] == "firing"] == []


def test_every_expression_of_the_dashboard_is_understood(watched: Watched) -> None:
    for expression in monitoring.dashboard():
        watched.query(expression)


def test_alerts_and_dashboard_ask_only_for_what_this_api_serves(watched: Watched) -> None:
    asked = set().union(*map(monitoring.names, [*monitoring.alerts().values(), *monitoring.dashboard()]))
    assert asked - monitoring.ITS_OWN - monitoring.served(watched.page()) == set()


def promtool(*arguments: str, given: str = "") -> None:
    """Run it beside the alerts; it has to be content, without a word of advice."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=monitoring.FOLDER, input=given, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
