"""A small daemon that only writes alerts, and is meant to be killed.

``python -m tests.faults.alerts_child`` forks one for each line ``FOLDER ALERTS ROTATE_EVERY [stopped]`` on standard
input. A run tells its process id, then each alert that it accepted (that is committed, and handed over), and after it
``end`` is told, with its signal or 0. Its database is a file with the numbers of the committed alerts. A ``stopped``
run waits for SIGCONT before it touches a file, so that it can be traced from its first step on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from app import log
from app.alerts.file import AlertsFile
from app.clock import SystemClock
from tests.alert_files import alert, rotate

_PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)


def committed(database: Path) -> list[int]:
    """The numbers in the database; half a number that a kill left is not committed."""
    data = database.read_bytes() if database.exists() else b""
    return [int(line) for line in data[: data.rfind(b"\n") + 1].split()]


def run(folder: Path, total: int, rotate_every: int) -> None:
    """Go on where the last run was killed, up to ``total`` alerts; rotate now and then, with and without a new file."""
    path, database = folder / "alerts" / "alerts.txt", folder / "database"
    done = committed(database)
    database.write_text("".join(f"{number}\n" for number in done))
    commits = os.open(database, os.O_WRONLY | os.O_APPEND)
    file = AlertsFile(path, folder / "data" / "alerts.sqlite", SystemClock())
    file.open()
    file.catch_up(alert(number) for number in done)
    first = len(done)
    while first < total:
        batch = range(first, min(total, first + 1 + first % 3))
        os.write(commits, "".join(f"{number}\n" for number in batch).encode())
        file.write([alert(number) for number in batch])
        _tell(str(batch[-1]))
        first = batch[-1] + 1
        if rotate_every and first // rotate_every > batch[0] // rotate_every:
            rotate(path, create=first % 2 == 0)
    file.close()


def serve() -> None:
    """A forked run for each line."""
    log.configure("error")
    for order in sys.stdin:
        folder, total, rotate_every, *stopped = order.split()
        pid = os.fork()
        if pid == 0:
            _tell(f"pid {os.getpid()}")
            if stopped:
                # Some systems let only a parent trace, unless one agrees.
                ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
                os.kill(os.getpid(), signal.SIGSTOP)
            run(Path(folder), int(total), int(rotate_every))
            os._exit(0)
        _tell(f"end {os.WTERMSIG(os.waitpid(pid, 0)[1])}")


def _tell(text: str) -> None:
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    serve()
