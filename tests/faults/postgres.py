"""A real PostgreSQL that can be killed, stopped, frozen and annoyed. It keeps every commit: nothing is made faster."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from tests.servers import Installed, prepared

_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "40",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_checkpoints": "off",
    "restart_after_crash": "off",  # after a kill -9 we say when it comes back
}
_numbers = itertools.count()


class Postgres:
    """A server in a folder of its own; ``dsn`` names its first database, ``database()`` makes further ones."""

    def __init__(self, folder: Path, installed: Installed) -> None:
        folder.mkdir(parents=True)
        access = folder / "hba.conf"
        access.write_text("local all all trust\n")
        access.chmod(0o644)  # the server may run as another user, when we are root
        self._server = prepared(folder, installed, {**_SETTINGS, "hba_file": str(access)})
        self._data = folder / "postgres"
        self.dsn = self._server.dsn
        self.installed = installed

    def __enter__(self) -> Postgres:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self._server.stop()

    def database(self) -> str:
        """A new, empty database; its DSN."""
        name = f"faults_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return str(make_dsn(**{**parse_dsn(self.dsn), "dbname": name}))

    def start(self) -> None:
        """Start it again; returns when it answers."""
        self._server.start()

    def stop(self) -> None:
        """As an administrator stops it: all connections are cut, everything is on disk."""
        self._server.stop()

    def kill(self) -> None:
        """kill -9 of the postmaster and of every backend. ``start`` recovers what was committed."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._server._child is not None:
            self._server._child.wait(30)

    def freeze(self) -> None:
        """SIGSTOP to all its processes: connections stand, nobody answers."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to all its processes."""
        self._send(signal.SIGCONT)

    def processes(self) -> list[int]:
        """The postmaster, and its children; none if it does not run."""
        with suppress(FileNotFoundError, ValueError, IndexError):
            postmaster = int((self._data / "postmaster.pid").read_text().splitlines()[0])
            if Path(f"/proc/{postmaster}").exists():
                return [postmaster, *_children(postmaster)]
        return []

    def execute(self, statement: str, *values: object, dsn: str | None = None) -> list[tuple[Any, ...]]:
        """One statement, committed; its rows."""
        with closing(psycopg2.connect(dsn or self.dsn, application_name="faults")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SET default_transaction_read_only = off")
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """As a standby, or a server whose disk is full: what is read is answered, what is written is refused."""
        self._configure("ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            yield
        finally:
            self._configure("ALTER SYSTEM RESET default_transaction_read_only")

    @contextmanager
    def full(self) -> Iterator[None]:
        """Every connection taken, the superuser's reserve too, and those that the daemon had."""
        held: list[psycopg2.extensions.connection] = []
        try:
            for _ in range(10):
                with suppress(psycopg2.OperationalError):
                    while len(held) < 60:
                        held.append(psycopg2.connect(self.dsn, application_name="faults"))
                with held[0].cursor() as cursor:
                    cursor.execute(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                        " WHERE backend_type = 'client backend' AND application_name <> 'faults'"
                    )
                    cut = cursor.fetchone()
                held[0].commit()
                if cut == (0,):
                    break
                time.sleep(0.05)
            yield
        finally:
            for connection in held:
                connection.close()

    @contextmanager
    def locked(self, dsn: str, table: str = "ticker_data") -> Iterator[None]:
        """Somebody holds the table, so that every statement on it waits, and times out."""
        with closing(psycopg2.connect(dsn, application_name="faults")) as connection, connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
            connection.rollback()

    def rename(self, name: str, new: str) -> None:
        """Another name for a database, from which everybody is thrown out first."""
        self.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        self.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", name)
        self.execute(f"ALTER DATABASE {name} RENAME TO {new}")
        self.execute(f"ALTER DATABASE {new} ALLOW_CONNECTIONS true")

    def signal_daemons(self, function: str, name: str = "%") -> int:
        """pg_terminate_backend or pg_cancel_backend for every connection of this daemon, or of all; how many."""
        return len(
            self.execute(
                f"SELECT {function}(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND application_name <> 'faults' AND application_name LIKE %s",
                name,
            )
        )

    def _configure(self, statement: str) -> None:
        self.execute(statement)
        self.execute("SELECT pg_reload_conf()")

    def _send(self, number: signal.Signals) -> None:
        # The postmaster first, so that it makes no more of them.
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _children(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            # pid (name) state parent ...; the name may hold anything
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(folder.name))
    return found
