"""Two daemons on one database: one polls, the other takes over when it is gone, frozen, or cut off."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import psycopg2
import pytest

from tests.acceptance.daemon import running, stop, wait_until
from tests.acceptance.scripted import Script, serving
from tests.acceptance.test_recorded_market import made_up
from tests.pace import in_time

pytestmark = pytest.mark.acceptance
TAKEOVER = 10.0


class Pair:
    """Two daemons, each with a provider of its own, so that it shows who polls."""

    def __init__(self, folder: Path, dsn: str, stack: ExitStack) -> None:
        self.dsn, self.folders = dsn, (folder / "a", folder / "b")
        self.scripts = tuple(Script(made_up(5000)) for n in range(2))
        self.urls = [stack.enter_context(serving(script)) for script in self.scripts]
        for own in self.folders:
            own.mkdir()

    @contextmanager
    def daemon(self, number: int) -> Iterator[Popen[str]]:
        settings = {"COINGECKO_BASE_URL": self.urls[number], "TICK_SECONDS": 0.1, "DATABASE_URL": self.dsn}
        with running(self.folders[number], "run", "--no-api", **settings) as process:
            yield process

    def status(self, number: int) -> dict[str, Any]:
        try:
            status: dict[str, Any] = json.loads((self.folders[number] / "data" / "status.json").read_text())
        except (FileNotFoundError, ValueError):
            return {"state": None}
        return status

    def leads(self, number: int) -> bool:
        return self.status(number)["state"] == "running" and self.scripts[number].polls > 0

    def stands_by(self, number: int) -> bool:
        return bool(self.status(number)["state"] == "standing by")

    def output(self, number: int) -> str:
        return (self.folders[number] / "output.txt").read_text()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def seconds_until_polled(self, number: int, process: Popen[str], began: float) -> float:
        before = self.scripts[number].polls
        wait_until(lambda: self.scripts[number].polls > before, process, 60, self.folders[number])
        return time.monotonic() - began


@pytest.fixture
def pair(tmp_path: Path, dsn: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(tmp_path, dsn, stack)


def test_the_second_stands_by_healthy_and_polls_nothing_and_takes_over_from_a_killed_one(pair: Pair) -> None:
    with pair.daemon(0) as a:
        wait_until(lambda: pair.leads(0), a, 60, pair.folders[0])
        with pair.daemon(1) as b:
            wait_until(lambda: pair.stands_by(1), b, 60, pair.folders[1])
            before = pair.scripts[0].polls
            wait_until(lambda: pair.scripts[0].polls > before + 30, a, 60, pair.folders[0])
            assert pair.scripts[1].polls == 0
            assert "Standing by" in pair.output(1)
            began = time.monotonic()
            a.kill()
            assert in_time(pair.seconds_until_polled(1, b, began), TAKEOVER)
            # Who was killed and is started again finds another leading.
            with pair.daemon(0) as again:
                wait_until(lambda: pair.stands_by(0), again, 60, pair.folders[0])
                assert stop(again)[0] == 0
            assert stop(b)[0] == 0


def test_a_frozen_leader_is_followed_and_commits_nothing_when_it_wakes_up(pair: Pair) -> None:
    with pair.daemon(0) as a, pair.daemon(1) as b:
        wait_until(lambda: any(map(pair.leads, range(2))), a, 60, pair.folders[0])
        old = 0 if pair.leads(0) else 1
        new = 1 - old
        processes = (a, b)
        wait_until(lambda: pair.stands_by(new), processes[new], 60, pair.folders[new])
        began = time.monotonic()
        processes[old].send_signal(signal.SIGSTOP)
        try:
            assert in_time(pair.seconds_until_polled(new, processes[new], began), TAKEOVER)
            old_ticks = "SELECT count(*) FROM ticker_data WHERE fetched_at > now() - interval '1 hour'"
            epoch = pair.ask("SELECT epoch FROM leader")
            assert pair.ask(old_ticks)
            polls = pair.scripts[old].polls
        finally:
            processes[old].send_signal(signal.SIGCONT)
        wait_until(lambda: pair.stands_by(old), processes[old], 60, pair.folders[old])
        assert pair.scripts[old].polls <= polls + 1, "at most the one that was under way"
        assert pair.ask("SELECT epoch FROM leader") == epoch
        assert [stop(process)[0] for process in processes] == [0, 0]


def test_the_next_leads_at_once_when_the_leader_is_stopped_as_one_should(pair: Pair) -> None:
    with pair.daemon(0) as a:
        wait_until(lambda: pair.leads(0), a, 60, pair.folders[0])
        with pair.daemon(1) as b:
            wait_until(lambda: pair.stands_by(1), b, 60, pair.folders[1])
            assert stop(a)[0] == 0
            began = time.monotonic()
            assert in_time(pair.seconds_until_polled(1, b, began), 5)
            assert stop(b)[0] == 0


def test_a_leader_that_was_killed_leads_again_at_once_when_it_is_started_again(pair: Pair) -> None:
    with pair.daemon(0) as a:
        wait_until(lambda: pair.leads(0), a, 60, pair.folders[0])
        a.kill()
    with pair.daemon(0) as a:
        wait_until(lambda: pair.leads(0) and pair.status(0)["pid"] == a.pid, a, 60, pair.folders[0])
        assert "Standing by" not in pair.output(0)
        assert stop(a)[0] == 0
    assert pair.ask("SELECT epoch FROM leader") == [(2,)]
