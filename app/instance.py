"""One daemon a DATA_DIR: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import AlreadyRunning, CannotWrite

LOCK = "lock"


@contextmanager
def instance_lock(data_dir: Path) -> Iterator[None]:
    """Make the folder and hold its lock. Raises AlreadyRunning (with the other's pid) or CannotWrite."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / LOCK).open("a+", encoding="ascii", errors="replace")
    except OSError as error:
        raise CannotWrite(
            f"DATA_DIR={data_dir}: cannot be written ({error.strerror}: {error.filename}); it has to be a folder that"
            " this user may write to"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "?"
            raise AlreadyRunning(
                f"another CryptoMonitor (pid {pid}) uses DATA_DIR={data_dir}: stop it, or set another DATA_DIR"
            ) from None
        except OSError as error:
            raise CannotWrite(f"DATA_DIR={data_dir}: its file system has no locks ({error.strerror})") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
