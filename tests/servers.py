"""Throw-away PostgreSQL servers for the tests: the embedded one, and the machine's own where there are any."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.embedded import EmbeddedPostgres
from app.embedded.process import installed_programs

# Nothing in them outlives the tests, so they need not be safe; and no autovacuum, which would now and then hold a
# template database just when it is to be copied.
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class Installed:
    """A PostgreSQL that can be started: its major version, and the folder of its programs."""

    major: int
    programs: Path

    def __str__(self) -> str:
        return f"postgresql-{self.major}"


def available() -> list[Installed]:
    """The embedded PostgreSQL first, then those that the machine has, oldest first."""
    own = [initdb.parent for initdb in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return [_installed(installed_programs()), *sorted(map(_installed, own), key=lambda found: found.major)]


@contextlib.contextmanager
def started(server: Installed) -> Iterator[str]:
    """A new server in a temporary folder: the URL of its database ``cryptomonitor``, as a superuser.

    Whoever can reach its socket, which is this user and root, may connect as any role, without a password.
    """
    with tempfile.TemporaryDirectory(prefix="cryptomonitor-test-") as folder:
        access = Path(folder, "hba.conf")
        access.write_text("local all all trust\n")
        access.chmod(0o644)  # the server may run as another user, when we are root
        with prepared(Path(folder), server, {**_FAST, "hba_file": str(access)}) as running:
            yield running.dsn


def prepared(folder: Path, server: Installed, settings: Mapping[str, str]) -> EmbeddedPostgres:
    """One that is not started, and whose data is there: a copy, which takes a tenth of the time of initdb."""
    with _making:
        made = Path(_made(server).name)
    shutil.copytree(made / "postgres", folder / "postgres")
    with (folder / "postgres" / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
    return EmbeddedPostgres(folder, server.programs)


_making = threading.Lock()


@cache
def _made(server: Installed) -> tempfile.TemporaryDirectory[str]:
    """A folder with the data of a new server in it, which is gone when this program ends."""
    folder = tempfile.TemporaryDirectory(prefix="cryptomonitor-test-", ignore_cleanup_errors=True)
    with EmbeddedPostgres(Path(folder.name), server.programs, {}):
        return folder


def _installed(programs: Path) -> Installed:
    answer = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return Installed(int(answer.split()[2].split(".")[0]), programs)
