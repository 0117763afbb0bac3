"""Connections to PostgreSQL: opened patiently, re-opened when they break, errors translated in one place."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Protocol, TypeVar

import psycopg2
from psycopg2 import extensions as pg
from retry.api import retry_call

from app import log
from app.errors import CryptoMonitorError, DatabaseRefused, DatabaseUnavailable, DataRefused, Stopping
from app.queries import QUERIES

T = TypeVar("T")

_CONNECT_SECONDS = 3.0
_PATIENCE_SECONDS = 15.0
_STOP_SECONDS = 1.5  # for what is under way when we are told to stop
_LOOK_SECONDS = 0.2  # how soon a wish to stop is noticed

OLDEST_SERVER = 15

APP = "cryptomonitor_app"
"""The role that may do what the daemon does, and nothing else."""
READER = "cryptomonitor_reader"
"""The role that may read."""

# What a server, or libpq before it asks one, says when we will never get in like this. There is no error code then.
_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "fe_sendauth",
    "peer authentication failed",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects connection",
    "is not permitted to log in",
    "permission denied for database",
    "root certificate file",
    "certificate verify failed",
    "does not match host name",
    "server does not support SSL",
)
_CONNECT = {
    "client_encoding": "UTF8",
    "application_name": "cryptomonitor",
    "gssencmode": "disable",  # a Kerberos ticket that happens to lie here would take the place of TLS
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": "8000",
}
# Set after connecting rather than by `options`, which connection poolers refuse. (A pooler must not share a session
# between clients: these settings would be another's.)
_SESSION = """
    SET timezone = 'UTC'; SET search_path = public; SET synchronous_commit = on;
    SET statement_timeout = '10s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s';
    SET plan_cache_mode = force_generic_plan;
"""


class _Connection(pg.connection):
    """A connection whose every wait can be ended, by the clock and by the wish to stop."""

    patience: float = _CONNECT_SECONDS
    """Seconds that one answer may take. (The server has its own limit, statement_timeout; a frozen one has none.)"""
    stop: threading.Event | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.prepared: set[str] = set()
        """The statements that app.prepared has prepared in it."""
        super().__init__(*args, **kwargs)


def _wait(connection: pg.connection) -> None:
    """Wait for the server: what psycopg2 calls instead of waiting inside libpq, where nothing could end it."""
    now = time.monotonic()
    stop = getattr(connection, "stop", None)
    end = now + getattr(connection, "patience", _PATIENCE_SECONDS)
    stopping = False
    while (state := connection.poll()) != pg.POLL_OK:
        now = time.monotonic()
        if stop is not None and stop.is_set() and not stopping:
            stopping, end = True, min(end, now + _STOP_SECONDS)
        if now >= end:
            raise psycopg2.OperationalError("the server does not answer" + (" in time to stop" if stopping else ""))
        poller = select.poll()
        poller.register(connection, select.POLLIN if state == pg.POLL_READ else select.POLLOUT)
        poller.poll(1000 * min(_LOOK_SECONDS, end - now))


# For every connection of the process: psycopg2 knows no other way.
pg.set_wait_callback(_wait)


class Database:
    """One connection to the database, for one thread at a time.

    It is opened when first used and again after it broke. While nobody answers, the work waits, trying at least every
    two seconds, until ``stop`` is set.
    """

    def __init__(
        self, dsn: str, stop: threading.Event, purpose: str = "cryptomonitor", role: str | None = None
    ) -> None:
        self._dsn, self._stop, self._purpose, self._role = dsn, stop, purpose, role
        self._connection: _Connection | None = None
        self._been_in = False  # has ever been let in: from then on a refusal is a fault that may pass
        self.waiting_because: str | None = None

    def run(self, work: Callable[[pg.cursor], T], *, patience: float = _PATIENCE_SECONDS) -> T:
        """Do the work in one transaction, and again from its start for as long as the database is away.

        The work must be such that doing it twice does no harm: when a connection breaks during COMMIT nobody knows
        whether it happened. ``patience``: seconds that one answer of the server may take. Raises Stopping when ``stop``
        was set meanwhile, DatabaseRefused when the server says no at the very first attempt or to the statement,
        DataRefused for a value it will not take.
        """
        result: T = retry_call(
            self._attempt,
            fargs=[work, patience],
            exceptions=_Again,
            tries=-1,  # until it succeeds, or until stop is set: _attempt looks at it each time
            delay=0.1,
            backoff=2,
            max_delay=1.8,
            jitter=(0, 0.1),
            logger=self,
        )
        if self.waiting_because is not None:
            self.waiting_because = None
            log.get(__name__).info("The database is back.", action="database_back", purpose=self._purpose)
        return result

    def once(self, work: Callable[[pg.cursor], T], *, patience: float = _PATIENCE_SECONDS) -> T:
        """Do the work in one transaction, now or not at all. Raises DatabaseUnavailable where nobody answers.

        Then it is not known whether it was done: the work must be such that doing it twice does no harm.
        """
        try:
            with translated(), _transaction(self._open(patience)) as cursor:
                return work(cursor)
        except DatabaseUnavailable:
            self.close()
            raise

    def query(self, name: str, /, **values: object) -> list[tuple[Any, ...]]:
        """One named query in a transaction of its own; its rows, none where it returns nothing."""
        return self.run(lambda cursor: execute(cursor, name, **values))

    def close(self) -> None:
        """Give the connection back. A later use opens a new one."""
        if self._connection is not None:
            # Closing what is broken already: there is nothing left to do about it.
            with suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def warning(self, _format: str, error: Exception, _delay: float) -> None:
        """What ``retry`` calls on each failed attempt; said once until it changes, not at each attempt."""
        if str(error) != self.waiting_because:
            self.waiting_because = str(error)
            log.get(__name__).warning(
                f"The database does not answer ({error}); waiting for it.",
                action="database_away",
                purpose=self._purpose,
            )

    def _attempt(self, work: Callable[[pg.cursor], T], patience: float) -> T:
        try:
            with translated(), _transaction(self._open(patience)) as cursor:
                return work(cursor)
        except DatabaseUnavailable as error:
            self.close()
            if self._stop.is_set():
                raise Stopping(str(error)) from error
            raise _Again(str(error)) from error

    def _open(self, patience: float) -> pg.connection:
        if self._connection is not None and was_left(self._connection):
            self.close()
        if self._connection is None or self._connection.closed:
            try:
                self._connection = connect(self._dsn, self._purpose, self._stop, self._role)
            except DatabaseRefused as error:
                if not self._been_in:
                    raise
                raise DatabaseUnavailable(str(error)) from error
            self._been_in = True
        self._connection.patience = patience
        return self._connection


class Asked(Protocol):
    """What does work in a transaction, now or not at all: a Database, or the connections of the API."""

    def once(self, work: Callable[[pg.cursor], T], *, patience: float = ...) -> T:
        """As ``Database.once``."""


class _Again(DatabaseUnavailable):
    """Tells ``retry`` that another attempt makes sense."""


def connect(
    dsn: str, purpose: str = "cryptomonitor", stop: threading.Event | None = None, role: str | None = None
) -> _Connection:
    """Open one connection with our session settings. Raises DatabaseUnavailable or DatabaseRefused.

    ``role``: whose rights it has from then on, where the database's user may become that; None: the user's own.
    """
    given = {**_CONNECT, "application_name": purpose, **pg.parse_dsn(dsn)}
    # Known before it is open, so that the wish to stop ends the opening too.
    factory = type("_Stoppable", (_Connection,), {"stop": stop})
    try:
        with translated():
            connection: _Connection = psycopg2.connect(**given, connection_factory=factory)
    except DatabaseRefused as error:
        raise DatabaseRefused(f"{error}; check DATABASE_URL") from error
    with translated():
        connection.patience = _PATIENCE_SECONDS
        try:
            with _transaction(connection) as cursor:
                cursor.execute(_SESSION)
                if role is not None:
                    _become(cursor, role)
        except psycopg2.Error:
            connection.close()
            raise
    if trouble := _unsuitable(connection):
        connection.close()
        raise DatabaseRefused(trouble)
    return connection


def _become(cursor: pg.cursor, role: str) -> None:
    ((done, user),) = execute(cursor, "become", role=role)
    if not done:
        _note_that_it_may_do_more(user, role)


@cache  # said once for each, however many connections there are
def _note_that_it_may_do_more(user: str, role: str) -> None:
    log.get(__name__).warning(
        f"The database user {user} cannot become the role {role}: we work on with all of {user}'s own rights. "
        "Everything works; docs/roles.md says how to give fewer.",
        action="no_role",
        role=role,
    )


def was_left(connection: pg.connection) -> bool:
    """Whether the server has closed a connection that nobody was using: it says so by a last word, or by the end."""
    if connection.closed:
        return True
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(0))


def _unsuitable(connection: pg.connection) -> str | None:
    version, encoding = connection.server_version // 10000, connection.get_parameter_status("server_encoding")
    if version < OLDEST_SERVER:
        return f"the server is PostgreSQL {version}; CryptoMonitor needs {OLDEST_SERVER} or newer"
    if encoding != "UTF8":
        return f"the database's encoding is {encoding}; CryptoMonitor needs UTF8 (CREATE DATABASE ... ENCODING 'UTF8')"
    return None


def execute(cursor: pg.cursor, name: str, /, **values: object) -> list[tuple[Any, ...]]:
    """Run a named query of ``sql/queries`` on a cursor; its rows, none where it returns nothing."""
    cursor.execute(QUERIES[name], values)
    return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg2's errors into ours; the class says whether to try again, to stop, or to skip the row."""
    try:
        yield
    except psycopg2.Error as error:
        raise _translate(error) from error


@contextmanager
def _transaction(connection: pg.connection) -> Iterator[pg.cursor]:
    """Commit at the end, roll back on an error. (A connection's own context hides the error that broke it.)"""
    with connection.cursor() as cursor:
        try:
            yield cursor
            connection.commit()
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise


def _translate(error: psycopg2.Error) -> CryptoMonitorError:
    text = " ".join(str(error).split()) or type(error).__name__
    state = error.pgcode or ""
    if state.startswith(("22", "23")):
        return DataRefused(text)
    if state.startswith(("42", "0A", "28", "3D")) or _is_refusal(text):
        return DatabaseRefused(text)
    return DatabaseUnavailable(text)


def _is_refusal(text: str) -> bool:
    missing = "FATAL" in text and "does not exist" in text and ('database "' in text or 'role "' in text)
    # libpq looks at the options of a connection before it looks for the server.
    return missing or text.startswith("invalid ") or any(refusal in text for refusal in _REFUSALS)
