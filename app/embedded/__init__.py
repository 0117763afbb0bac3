"""The embedded PostgreSQL: the programs of a wheel, started and stopped by ourselves, with its data in DATA_DIR.

Only the daemon owns the server; every other command asks ``address`` where it is. The caller of ``EmbeddedPostgres``
holds the lock of DATA_DIR, so a server that runs there already is one that a killed daemon has left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from urllib.parse import quote

import psycopg2

from app import log
from app.embedded import data, identity
from app.embedded.process import Programs, end, installed_programs, running, wait
from app.errors import AlreadyRunning, CannotWrite, DatabaseUnavailable, Stopping

_log = log.get(__name__)

_PORT = 5432  # only a part of the socket's name: no port is opened
_LONGEST_TEMPORARY = 55  # bytes; a socket's whole path ends at 103 on some systems
_START_SECONDS = 120.0  # a crash may leave much to recover
_LOG_BYTES = 1_000_000
_LOG_LINES_QUOTED = 5


class EmbeddedPostgres:
    """The server of one DATA_DIR: its data in ``postgres/``, and ``postgres.log`` and ``postgres.lock`` beside it.

    Every process of the server inherits the lock, so that it is free exactly when all of them are gone, whoever was
    killed. ``programs`` and ``settings`` (of a new server) are for servers other than the embedded one. A start ends
    with DatabaseUnavailable as soon as ``give_up`` says so. Safe to use from several threads.
    """

    def __init__(
        self,
        data_dir: Path,
        programs: Path | None = None,
        settings: Mapping[str, str] = data.SMALL,
        *,
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._home = data_dir.absolute()
        self._data = self._home / "postgres"
        self._log_file = self._home / "postgres.log"
        self._sockets = _socket_folder(self._home)
        self._programs, self._settings, self._give_up = programs, settings, give_up
        self._child: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._mutex = threading.RLock()

    @property
    def dsn(self) -> str:
        """The URL of the database, for libpq and psycopg2; the same at every start."""
        return _url(str(self._sockets), data.NAME)

    def start(self) -> str:
        """Start the server, make it first where it does not exist, and give its ``dsn`` when it answers.

        Raises ConfigurationError (not installed, or the data is of another version), CannotWrite, AlreadyRunning, or
        DatabaseUnavailable with the last lines of postgres.log.
        """
        self._wanted = True
        with self._mutex:
            try:
                begin = self._launch(self._programs or installed_programs())
                self._wait_until_ready(begin)
                self._make_database()
            except BaseException:  # Ctrl-C too: nothing stays behind
                self._halt()
                raise
            return self.dsn

    def stop(self) -> None:
        """Stop the server: in a tenth of a second as a rule, in 5 s at most. A start in another thread gives up."""
        self._wanted = False
        with self._mutex:
            self._halt()

    def revive(self) -> bool:
        """Start the server again if it ended without being asked to; whether it had. Raises what ``start`` does."""
        with self._mutex:
            if not self._wanted or (self._child and self._child.poll() is None):
                return False
            self.start()
            return True

    def end_left_over(self) -> None:
        """End the server that a killed daemon left behind, if there is one, and start none. Raises CannotWrite."""
        if (self._home / "postgres.lock").exists():
            with self._mutex, self._writing(), self._alone():
                pass

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, folder: Path) -> int:
        """Start the server's process; the position in the log where its words begin."""
        with self._writing():
            self._home.mkdir(parents=True, exist_ok=True)
            user = identity.choose(folder, self._home, self._data)
        with self._writing(), self._alone() as lock, self._open_log() as output:
            begin = output.tell()
            programs = Programs(folder, user, output, lock)
            if not data.make(programs, self._data, self._settings):
                raise DatabaseUnavailable(self._failed("could not be made", begin))
            data.check_version(programs, self._data)
            user.own(self._data)
            data.let_in(programs, self._data)
            self._make_socket_folder(programs)
            options = {
                "listen_addresses": "",
                "unix_socket_directories": str(self._sockets),
                "unix_socket_permissions": "0700",
                "port": str(_PORT),
            }
            begin = output.tell()
            self._child = programs.start("postgres", "-D", str(self._data), *(f"--{k}={v}" for k, v in options.items()))
            return begin

    def _halt(self) -> None:
        child, self._child = self._child, None
        if child:
            end(child.pid, gone=lambda: child.poll() is not None)
            shutil.rmtree(self._sockets, ignore_errors=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(
                f"DATA_DIR={self._home}: {error.filename or self._home}: {error.strerror or error}; make it writable"
                f" for {identity.account_name(os.geteuid())}, or set another DATA_DIR"
            ) from None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the lock, having ended the server that a killed daemon left behind. Gives the lock's descriptor."""
        with _open_private(self._home / "postgres.lock") as lock:
            left = running(self._data)
            if not _try_lock(lock):
                _log.info("A database server is left from a run that was killed; stopping it first.", action="orphan")
                if not end(left.pid if left else None, gone=lambda: _try_lock(lock)):
                    raise AlreadyRunning(f"the database server of an earlier run does not end: {self._data}")
            elif left and left.answers():
                raise AlreadyRunning(
                    f"{self._data} is used by a PostgreSQL server that was started by hand (process {left.pid})"
                )
            # The server is gone, and its number may be another process's by now, which PostgreSQL would mistake for it.
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            yield lock.fileno()

    def _open_log(self) -> BinaryIO:
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_BYTES:
            self._log_file.replace(self._log_file.with_name("postgres.log.1"))
        return _open_private(self._log_file)

    def _make_socket_folder(self, programs: Programs) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._sockets)  # of a server that was killed; what lies in it would stand in the way
        self._sockets.mkdir(mode=0o700)
        programs.user.own(self._sockets)

    def _wait_until_ready(self, begin: int) -> None:
        def ready() -> bool:
            if self._child is None or self._child.poll() is not None:
                raise DatabaseUnavailable(self._failed("does not start", begin))
            if self._give_up() or not self._wanted:
                raise Stopping("the embedded PostgreSQL was stopped while it started")
            server = running(self._data)
            return server is not None and server.ready and server.pid == self._child.pid

        if not wait(ready, _START_SECONDS):
            raise DatabaseUnavailable(self._failed(f"is not ready after {_START_SECONDS:.0f} s", begin))

    def _make_database(self) -> None:
        try:
            with contextlib.closing(psycopg2.connect(_url(str(self._sockets), "postgres"))) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (data.NAME,))
                    if not cursor.fetchone():
                        cursor.execute(f"CREATE DATABASE {data.NAME}")
        except psycopg2.Error as error:
            raise DatabaseUnavailable(f"the embedded PostgreSQL started, but: {str(error).strip()}") from None

    def _failed(self, what: str, begin: int) -> str:
        with self._log_file.open("rb") as file:
            file.seek(begin)
            lines = file.read().decode(errors="replace").strip().splitlines()
        said = "".join(f"\n  {line}" for line in lines[-_LOG_LINES_QUOTED:])
        return f"the embedded PostgreSQL {what} ({self._log_file}):{said}"


def address(data_dir: Path) -> str | None:
    """The URL of the embedded database of this DATA_DIR, None if its server does not run.

    Raises DatabaseRefused if the server is another user's.
    """
    server = running(data_dir.absolute() / "postgres")
    return _url(server.sockets, data.NAME) if server and server.ready and server.answers() else None


def psql_command(data_dir: Path) -> list[str]:
    """The command that opens a psql on the embedded database. Raises DatabaseUnavailable if it does not run."""
    url = address(data_dir)
    if url is None:
        raise DatabaseUnavailable(f"no embedded PostgreSQL runs for DATA_DIR={data_dir}: start one with `make run`")
    return [str(installed_programs() / "psql"), url]


def _socket_folder(home: Path) -> Path:
    """A short path; the same at every start, so that what a killed server leaves does not pile up."""
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) > _LONGEST_TEMPORARY:
        base = "/tmp"  # noqa: S108  (what is made there is private, or refused)
    key = hashlib.sha256(b"%d %s" % (os.geteuid(), os.fsencode(home.resolve()))).hexdigest()
    return Path(base, f"cryptomonitor-{key[:12]}")


def _url(sockets: str, database: str) -> str:
    return f"postgresql://{data.NAME}@/{database}?host={quote(sockets, safe='/')}&port={_PORT}"


def _open_private(file: Path) -> BinaryIO:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
