"""The data folder of a server: made in one step, checked before use, open to its own user alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from app.disk import sync_folder
from app.embedded import identity
from app.embedded.process import Programs
from app.errors import ConfigurationError

NAME = "cryptomonitor"
"""Of the database and of the superuser."""

SMALL: Mapping[str, str] = {
    "max_connections": "40",
    "shared_buffers": "32MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "32MB",
    "effective_cache_size": "256MB",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "1",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
"""Settings of a new server: a small tool's share of the machine, and no commit lost."""


def make(programs: Programs, data: Path, settings: Mapping[str, str]) -> bool:
    """Make an empty server beside the place where it belongs, and move it there when it is complete.

    Does nothing where there is something already. False if initdb failed; the log says why. Raises OSError.
    """
    if data.exists() and any(data.iterdir()):
        return True
    fresh = data.with_name(data.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)  # a first start that was killed
    fresh.mkdir(mode=0o700)
    programs.user.own(fresh)
    # A locale of PostgreSQL's own needs none of the system's.
    builtin = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if programs.major() >= 17 else ()
    options = ("--locale=C", *builtin, "--encoding=UTF8", "--data-checksums", f"--username={NAME}", "--auth=peer")
    if not programs.run("initdb", "-D", str(fresh), *options, "--no-instructions", "--no-sync"):
        return False
    with (fresh / "postgresql.conf").open("a", encoding="utf-8") as conf:
        conf.write("\n# Set by CryptoMonitor when it made this server. Yours to change.\n")
        conf.writelines(f"{key} = {_quoted(value)}\n" for key, value in settings.items())
    if not programs.run("initdb", "-D", str(fresh), "--sync-only"):
        return False
    fresh.rename(data)
    sync_folder(data.parent)
    return True


def check_version(programs: Programs, data: Path) -> None:
    """Raises ConfigurationError if these programs cannot work on this data. Changes nothing."""
    try:
        version = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise ConfigurationError(
            f"{data} is neither empty nor a PostgreSQL data folder: move it away, or set another DATA_DIR"
        ) from None
    if version != str(programs.major()):
        raise ConfigurationError(
            f"{data} was written by PostgreSQL {version}, and this is PostgreSQL {programs.major()}. Nothing was"
            ' changed. How to bring the data over: docs/embedded-postgresql.md, "Upgrade"'
        )


def let_in(programs: Programs, data: Path) -> None:
    """Let connect whoever runs the server, and root, as any role. Written anew each time: the user may have changed."""
    roles = "all" if programs.major() >= 16 else NAME  # the older ones take the word for a name
    accounts = sorted({programs.user.client, identity.account_name(0)})
    (data / "pg_hba.conf").write_text(f"# Written at each start.\nlocal all all peer map={NAME}\n")
    lines = [f'{NAME} "{account}" {roles}\n' for account in accounts]
    (data / "pg_ident.conf").write_text("# Written at each start.\n" + "".join(lines))


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
