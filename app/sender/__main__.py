"""``python -m app.sender``: a request a line on standard input, an answer a line on standard output, both JSON.

It begins with ``{"ready": true}``, and ends when its input does, whatever it is doing then, or when nothing came for a
while. Addresses come this way because everybody can read the arguments of a process.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from app.sender import services
from app.sender.guard import Guard

IDLE_SECONDS = 60.0
_MORE_BYTES = 300_000_000  # than when it is ready: an answer without end must not fill the machine


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # whatever prints must not answer
    # What is imported late would be written as bytecode, and the guard would take that for the message's doing.
    sys.dont_write_bytecode = True
    requests = queue.SimpleQueue[str]()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    services.load()
    guard = Guard()
    services.listen_to_mail(guard)
    _limit_memory()
    guard.install()
    _tell(answers, {"ready": True})
    while True:
        try:
            request = json.loads(requests.get(timeout=IDLE_SECONDS))
        except queue.Empty:
            return
        _tell(answers, services.send(request, guard) if request["do"] == "send" else services.look(request))


def _limit_memory() -> None:
    """Let it take only so much more than it has. Where the system does not say how much that is, there is no limit."""
    with suppress(OSError, ValueError):
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = has + _MORE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))


def _read(requests: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # the daemon is gone, and nobody would hear what became of the message


def _tell(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
