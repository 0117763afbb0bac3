"""What the log says while everything around the daemon fails, again and again: little, and never a traceback."""

from __future__ import annotations

import json
import resource
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app import log
from tests.acceptance.daemon import running, stop, wait_until
from tests.acceptance.scripted import Row, Script, serving
from tests.acceptance.test_backup import alert_lines, lively
from tests.faults.postgres import Postgres
from tests.servers import available

pytestmark = pytest.mark.acceptance

BAD = [(500, "no"), (200, "{"), (200, "[[[["), (502, "<html>")]


def test_foreseen_faults_give_one_message_a_kind_and_minute_and_no_traceback(tmp_path: Path) -> None:
    replies = lively()
    steps: list[list[Row] | tuple[int, str]] = [(429, "")]
    for number, reply in enumerate(replies):
        steps += [reply, BAD[number // 7 % len(BAD)]] if number % 7 == 0 else [reply]
    script, output = Script(steps), tmp_path / "output.txt"
    postgres = Postgres(tmp_path / "server", max(available(), key=lambda found: found.major))
    began = time.monotonic()
    with (
        postgres,
        serving(script) as url,
        running(
            tmp_path,
            "run",
            "--no-api",
            COINGECKO_BASE_URL=url,
            TICK_SECONDS=0.05,
            DATABASE_URL=postgres.dsn,
            LOG_FORMAT="json",
        ) as daemon,
    ):

        def polled(count: int) -> None:
            before = script.polls
            wait_until(lambda: script.polls >= before + count, daemon, 60, tmp_path)

        def alerted() -> None:
            before = len(alert_lines(tmp_path))
            wait_until(lambda: len(alert_lines(tmp_path)) > before, daemon, 60, tmp_path)

        alerted()
        for _ in range(3):
            postgres.stop()
            polled(10)
            postgres.start()
            polled(10)
        for _ in range(2):
            with postgres.read_only():
                polled(10)
            with postgres.full():
                polled(10)
            polled(10)
        for _ in range(3):  # as on a disk that is full, for every file
            size = (tmp_path / "alerts" / "alerts.txt").stat().st_size
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            time.sleep(1)
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            alerted()
        for number in range(3):
            block(tmp_path / "alerts" / "alerts.txt", number)
            polled(30)
            (tmp_path / "alerts" / "alerts.txt").rmdir()
            alerted()
        assert stop(daemon)[0] == 0
    minutes = 1 + int((time.monotonic() - began) / 60)
    text = output.read_text()
    assert "Traceback" not in text
    assert '"exception"' not in text
    complaints = [line for line in said(text) if line["level"] in ("warning", "error")]
    kinds = Counter(kind_of(line) for line in complaints)
    assert {"database_away", "alerts_file_failed", "source_failing"} <= {str(kind[0]) for kind in kinds}, text
    assert {kind: count for kind, count in kinds.items() if count > minutes} == {}, text
    assert len(complaints) <= 20 * minutes, text
    for line in complaints:
        assert len(line["event"]) > 30
        assert line["event"].endswith("."), "a sentence"


def block(path: Path, number: int) -> None:
    """Rotate the file away, and put a folder in its place, before the daemon makes a new one."""
    while not path.is_dir():
        path.rename(f"{path}.{number}")
        with suppress(FileExistsError):
            path.mkdir()


def said(text: str) -> list[dict[str, Any]]:
    """The log's lines; what is printed for people beside them is none."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert all(datetime.fromisoformat(line["timestamp"]).tzinfo for line in lines)
    return lines


def kind_of(line: dict[str, Any]) -> tuple[object, ...]:
    return line["action"], line["level"], *(line.get(name) for name in log._WHOSE)
