"""The API as the daemon's child: it is started again when it dies, and never outlives its parent."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from app.child import ApiChild
from app.clock import SystemClock
from app.config import Settings, load
from app.errors import AlreadyRunning, ConfigurationError
from tests.ports import free_port

ROOT = Path(__file__).parents[2]


class HastyClock(SystemClock):
    """Waits for a hundredth of a second at most."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return super().wait(event, min(seconds, 0.01))


class LeapingClock(HastyClock):
    """A minute passes whenever it is looked at."""

    def __init__(self) -> None:
        self._looks = 0

    def monotonic(self) -> float:
        self._looks += 1
        return self._looks * 60.0


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return load(env_file=None, data_dir=tmp_path, api_port=free_port())


@contextmanager
def running(child: ApiChild) -> Iterator[list[Any]]:
    """The child's task, and what it logs; at the end it is stopped."""
    stop = threading.Event()
    with capture_logs() as lines:
        task = threading.Thread(target=child.run, args=(stop,))
        task.start()
        try:
            yield lines
        finally:
            stop.set()
            task.join(60)
            assert not task.is_alive()


def wait_for(condition: Callable[[], Any]) -> Any:
    """Until the condition holds: what it gave."""
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def pids(lines: list[Any]) -> list[int]:
    return [line["pid"] for line in lines if line["action"] == "api_started"]


def deaths(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines if line["action"] == "api_died"]


def is_gone(pid: int) -> bool:
    """No such process, or one that is dead and only not yet buried by whoever inherited it.

    With all its threads: while one of them lives, so do the process's files and sockets.
    """
    try:
        states = [_state(task / "stat") for task in Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:
        return True
    return set(states) <= {"Z", "X"}


def _state(stat: Path) -> str:
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # ended while we looked
        return "X"


def program(folder: Path, *lines: str) -> str:
    """A program to run in place of Python."""
    script, path = folder / "program.py", folder / "program"
    script.write_text("\n".join(lines))
    # By way of the shell: the path of Python may hold a space, which a #! line cannot.
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(script))} "$@"\n')
    path.chmod(0o755)
    return str(path)


def healthz(url: str) -> int:
    return requests.get(f"{url}/healthz", timeout=60).status_code


def test_the_child_answers_and_ends_with_its_task(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.child._STOP_SECONDS", 3600.0)  # it ends by itself, and is not killed
    child = ApiChild(settings, SystemClock())
    with running(child) as lines:
        assert healthz(child.url) == 200
        (pid,) = pids(lines)
        # Of its own, so that the terminal's Ctrl-C does not reach it.
        assert os.getsid(pid) == pid
    assert is_gone(pid)
    assert deaths(lines) == []
    with pytest.raises(requests.ConnectionError):
        healthz(child.url)


def test_a_killed_child_is_replaced_and_no_client_is_refused(settings: Settings) -> None:
    child = ApiChild(settings, SystemClock())
    with running(child) as lines:
        assert healthz(child.url) == 200
        first = pids(lines)[0]
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: is_gone(first))
        assert healthz(child.url) == 200
        second = pids(lines)[1]
    assert second != first
    assert deaths(lines) == ["The API process was ended by signal 9; it is started again in 0.5 s."]
    assert is_gone(second)


def test_a_child_does_not_outlive_a_parent_that_is_killed(settings: Settings) -> None:
    code = (
        "import threading; from app import config, log; from app.child import ApiChild; from app.clock import *;"
        "log.configure(); ApiChild(config.load(env_file=None), SystemClock()).run(threading.Event())"
    )
    environment = {**os.environ, "DATA_DIR": str(settings.data_dir), "API_PORT": str(settings.api_port)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr is not None
        said = re.search(r"pid=(\d+)", parent.stderr.readline())
        assert said is not None
        pid = int(said[1])
        try:
            assert healthz(f"http://127.0.0.1:{settings.api_port}") == 200
            parent.kill()
            wait_for(lambda: is_gone(pid))
        finally:
            parent.kill()
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    # Whoever starts the daemon again right away finds the port free.
    child = ApiChild(settings, SystemClock())
    with running(child):
        assert healthz(child.url) == 200


def test_a_child_that_dies_again_and_again_is_started_more_and_more_rarely(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with running(ApiChild(settings, HastyClock())) as lines:
        wait_for(lambda: len(deaths(lines)) >= 8)
    assert [line.rpartition("again in ")[2] for line in deaths(lines)[:8]] == [
        *("0.5 s.", "1 s.", "2 s.", "4 s.", "8 s.", "16 s.", "30 s.", "30 s.")
    ]
    assert deaths(lines)[0].startswith("The API process ended with exit code 1;")


def test_a_child_that_lived_for_a_minute_is_started_again_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with running(ApiChild(settings, LeapingClock())) as lines:
        wait_for(lambda: len(deaths(lines)) >= 3)
    assert {line.rpartition("again in ")[2] for line in deaths(lines)} == {"0.5 s."}


def test_a_child_that_cannot_be_started_is_tried_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with running(ApiChild(settings, HastyClock())) as lines:
        wait_for(lambda: len(deaths(lines)) >= 2)
    assert deaths(lines)[0].startswith("The API process could not be started (No such file or directory);")


def test_a_child_that_does_not_listen_is_killed_after_two_seconds(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = tmp_path / "deaf"
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.alarm(60)"
    monkeypatch.setattr(
        sys, "executable", program(tmp_path, ignore, f"open({str(deaf)!r}, 'w').close()", "signal.pause()")
    )
    with running(ApiChild(settings, SystemClock())) as lines:
        wait_for(deaf.exists)
        begin = time.monotonic()
    assert 1.9 < time.monotonic() - begin < 10
    assert is_gone(pids(lines)[0])


def test_the_child_gets_the_settings_of_its_parent_and_secrets_only_in_the_environment(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("postgresql://walter:pink@localhost/prices")
    monkeypatch.setenv("DATABASE_URL_FILE", str(secret))
    theirs = tmp_path / "theirs.json"
    dump = f"import json, os, sys; json.dump([sys.argv, dict(os.environ)], open({str(theirs)!r} + '.new', 'w'))"
    rename = f"os.rename({str(theirs)!r} + '.new', {str(theirs)!r}); sys.stdin.read()"
    monkeypatch.setattr(sys, "executable", program(tmp_path, dump, rename))
    ours = load(env_file=None, **{**settings.model_dump(exclude={"database_url"}), "log_format": "json"})
    with running(ApiChild(ours, SystemClock())):
        wait_for(theirs.exists)
    arguments, environment = json.loads(theirs.read_text())
    assert "pink" not in " ".join(arguments)
    for key in [key for key in os.environ if key != "DATABASE_URL_FILE"]:
        monkeypatch.delenv(key)
    monkeypatch.delenv("DATABASE_URL_FILE")
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert load(env_file=None) == ours
    assert ours.database_url.get_secret_value().endswith("/prices")


def test_a_busy_port_is_said_before_anything_is_started(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.listen._DELAY_SECONDS", 0.0)
    with (
        closing(socket.create_server(("127.0.0.1", settings.api_port))),
        pytest.raises(AlreadyRunning, match=f"port {settings.api_port} .* API_PORT"),
    ):
        ApiChild(settings, SystemClock())


def test_an_address_of_another_machine_is_refused_before_anything_is_started(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="this machine has no such address"):
        ApiChild(settings.model_copy(update={"api_host": "192.0.2.1"}), SystemClock())
