"""A process that never says that it has started: how long it is waited for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import channels, config, main
from app.channels.sending import Sending
from app.clock import SystemClock
from app.errors import AlreadyRunning, ChannelUnavailable, Stopping
from app.instance import instance_lock
from app.tasks import Halt
from tests.acceptance.daemon import SHIPPED_FILE


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that were started, each in the place of app.sender; they say nothing."""
    made: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        made.append(
            subprocess.Popen(
                [sys.executable, "-c", "import sys; sys.stdin.read()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
        )
        return made[-1]

    monkeypatch.setattr("app.channels.sending._start", start)
    yield made
    for process in made:
        process.kill()
        process.wait()


def test_a_wish_to_stop_ends_the_wait_of_the_daemons_start(started: list[subprocess.Popen[bytes]]) -> None:
    stop = threading.Event()
    settings = config.load(None, notify_urls="chat=slack://a/b/c")
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopping):
        channels.connect(settings, SystemClock(), stop=stop)
    assert time.monotonic() - began < 5
    assert [process.returncode for process in started] == [-9]


def test_a_daemon_that_may_not_run_here_does_not_wait_for_it_first(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    settings = config.load(
        None, notify_urls="chat=slack://a/b/c", data_dir=tmp_path, rules_file=SHIPPED_FILE, database_url="dbname=x"
    )
    with instance_lock(tmp_path), pytest.raises(AlreadyRunning):
        main.run(settings, Halt(), SystemClock(), reread=threading.Event(), with_api=False)
    assert started == []


def test_without_it_the_wait_has_an_end(started: list[subprocess.Popen[bytes]]) -> None:
    sending = Sending(start_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(ChannelUnavailable, match=r"^the process that sends has not started yet$"):
        sending.ask({})
    assert 0.3 <= time.monotonic() - began < 5
    sending.end()
    assert len(started) == 1
