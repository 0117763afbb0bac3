"""``python -m app.embedded pg_dump ...``: a program of PostgreSQL, on the embedded database, running or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from psycopg2.extensions import parse_dsn

from app import config
from app.embedded import EmbeddedPostgres, address
from app.embedded.process import installed_programs
from app.errors import ConfigurationError, CryptoMonitorError
from app.instance import instance_lock


def main(arguments: list[str]) -> int:
    """Run a program (pg_dump, pg_restore, psql, vacuumdb, ...) and give its exit code."""
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m app.embedded PROGRAM [ARGUMENT...]\n")
        return 64
    data_dir = config.load().data_dir
    url = address(data_dir)
    if url is not None:
        return _run(arguments, url)
    with instance_lock(data_dir), EmbeddedPostgres(data_dir) as postgres:
        return _run(arguments, postgres.dsn)


def _run(arguments: list[str], url: str) -> int:
    program = installed_programs() / Path(arguments[0]).name
    if not program.exists():
        raise ConfigurationError(
            f"the embedded PostgreSQL has no program {program.name}; it has those in {program.parent}"
        )
    where = parse_dsn(url)
    known = {"PGHOST": where["host"], "PGPORT": where["port"], "PGUSER": where["user"], "PGDATABASE": where["dbname"]}
    return subprocess.run([program, *arguments[1:]], env={**os.environ, **known}, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CryptoMonitorError as error:
        sys.stderr.write(f"cryptomonitor: {error}\n")
        sys.exit(error.exit_code)
