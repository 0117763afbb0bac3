"""Rules, as a user of the running daemon sees them: another file, a bad one, SIGHUP; a source that is down."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from tests.acceptance.daemon import environment, running, stop, wait_until
from tests.acceptance.scripted import IDS, Row, Script, serving

pytestmark = pytest.mark.acceptance

HIGH = '[[rule]]\nname = "high"\nwhen = "price > 100"\n'
LOW = '[[rule]]\nname = "low"\nwhen = "price < 1000"\n'
NEVER = '[[rule]]\nname = "never"\nwhen = "price < 0.1"\n'
SILENT = '[[rule]]\nname = "no-data"\nwhen = "age > 10s"\nsymbols = ["BTC", "ETH"]\n'


class Ticking(Script):
    """Every poll is answered with new ticks of a price, a minute on from the last; or by no good reply."""

    price = "500"
    down = False

    def next(self) -> list[Row] | tuple[int, str]:
        with self.lock:
            self.polls += 1
            if self.down:
                return 500, "{}"
            time = datetime(2021, 4, 18, tzinfo=UTC) + timedelta(minutes=self.polls)
            return [Row(time, symbol, self.price, "1000") for symbol in IDS]


@dataclass
class Stand:
    """A daemon, its rules, its provider, its database."""

    folder: Path
    process: subprocess.Popen[str]
    market: Ticking
    dsn: str

    def write(self, text: str) -> None:
        new = self.folder / "rules.new"
        new.write_text(text)
        new.replace(self.folder / "rules.toml")

    def said(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.output.count(text) >= times, self.process, 60, self.folder)

    def alerted(self, *words: str) -> None:
        def there() -> bool:
            return any(all(word in line.split() for word in words) for line in self.lines)

        wait_until(there, self.process, 60, self.folder)

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    @property
    def lines(self) -> list[str]:
        path = self.folder / "alerts" / "alerts.txt"
        return path.read_text().splitlines() if path.exists() else []

    def run(self, sql: str) -> list[tuple[object, ...]]:
        with closing(psycopg2.connect(self.dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def stand(folder: Path, dsn: str, rules: str) -> Iterator[Stand]:
    (folder / "rules.toml").write_text(rules)
    market = Ticking([])
    with (
        serving(market) as url,
        running(
            folder,
            "run",
            "--no-api",
            COINGECKO_BASE_URL=url,
            TICK_SECONDS=0.1,
            DATABASE_URL=dsn,
            RULES_FILE=folder / "rules.toml",
        ) as process,
    ):
        here = Stand(folder, process, market, dsn)
        wait_until(lambda: market.polls > 3, process, 60, folder)
        yield here
        assert stop(process)[0] == 0, here.output
        assert "Traceback" not in here.output


def test_rules_change_while_the_daemon_runs(tmp_path: Path, dsn: str) -> None:
    with stand(tmp_path, dsn, HIGH) as here:
        here.alerted("FIRING", "BTC", "high")

        here.write(HIGH + LOW)
        here.alerted("FIRING", "ETH", "low")
        assert "new: low; as before: 1" in here.output
        assert not any("RESOLVED" in line for line in here.lines)

        here.write(HIGH + LOW.replace("price", "prise"))
        here.said("The rules stay as they are: ")
        assert "prise" in here.output
        status = tmp_path / "data" / "status.json"
        wait_until(
            lambda: json.loads(status.read_text())["alerts"]["rules_trouble"] is not None,
            here.process,
            20,
            tmp_path,
        )

        here.write(HIGH.replace("100", "200"))
        here.alerted("RESOLVED", "BTC", "low", "reason=removed")
        here.alerted("RESOLVED", "BTC", "high", "reason=changed")
        assert here.run("SELECT name, definition->>'when' FROM rules") == [("high", "price > 200")]

        here.process.send_signal(signal.SIGHUP)
        here.said("has no other rules than before")

        # As the API will: a rule of the database.
        here.run("INSERT INTO rules (name, origin, definition) VALUES ('own', 'api', '{\"when\": \"price > 1\"}')")
        here.alerted("FIRING", "BTC", "own")


def test_a_source_that_is_down_is_one_alert(tmp_path: Path, dsn: str) -> None:
    with stand(tmp_path, dsn, SILENT) as here:
        here.market.down = True
        here.alerted("FIRING", "*@coingecko", "no-data")
        here.market.down = False
        here.alerted("RESOLVED", "*@coingecko", "no-data")
        assert {line.split()[2] for line in here.lines} == {"*@coingecko"}


def test_a_terminal_that_is_closed_ends_the_daemon_and_a_signal_in_it_does_not(tmp_path: Path, dsn: str) -> None:
    (tmp_path / "rules.toml").write_text(NEVER)
    market = Ticking([])
    with serving(market) as url:
        settings = {"COINGECKO_BASE_URL": url, "TICK_SECONDS": 0.1, "DATABASE_URL": dsn, "LOG_FORMAT": "json"}
        order = environment(tmp_path, RULES_FILE=tmp_path / "rules.toml", **settings)
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(tmp_path)
            os.execve(sys.executable, [sys.executable, "-m", "app", "run", "--no-api", "--quiet"], order)
        log = tmp_path / "data" / "cryptomonitor.log"
        try:
            _wait(pid, lambda: market.polls > 3)
            os.kill(pid, signal.SIGHUP)
            _wait(pid, lambda: "has no other rules than before" in log.read_text())
            polls = market.polls
            _wait(pid, lambda: market.polls > polls + 3)
        finally:
            os.close(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0


def _wait(pid: int, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert os.waitpid(pid, os.WNOHANG)[0] == 0, "it has ended"
        assert time.monotonic() < deadline
        time.sleep(0.05)
