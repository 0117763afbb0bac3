"""A command that another process of ours runs for somebody: it ends with that one, and has everybody else go first."""

from __future__ import annotations

import os
import threading


def serve(fd: int) -> None:
    """Be its child: end when the other end of a pipe is closed, and leave the processor to the daemon above all."""
    os.nice(10)

    def end() -> None:
        os.read(fd, 1)  # nothing is ever written to it: this returns when the parent has closed it, or has died
        os._exit(0)

    threading.Thread(target=end, name="parent", daemon=True).start()
