"""Short questions to the database, which may be away: then the API says so and goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg2
from psycopg2 import errors
from psycopg2 import extensions as pg

from app import log
from app.db import APP, READER, connect, execute, translated, was_left
from app.errors import DatabaseRefused, DatabaseUnavailable

T = TypeVar("T")

_QUESTION_SECONDS = 2.0  # that a statement may take
_GRACE_SECONDS = 1.0  # for the way there and back
_WAIT_SECONDS = 0.5  # for a connection, while others have them all


class Busy(DatabaseUnavailable):
    """All connections are in use, and stay so: the client should come again in a moment."""


class TooSlow(DatabaseUnavailable):
    """The server is there, but the statement took longer than it may: the client should ask for less."""


class _Pool:
    """A few connections, opened when they are needed and kept. For any number of threads.

    ``address`` gives the connection string, looked up anew each time, None while there is no server to connect to.
    """

    def __init__(self, address: Callable[[], str | None], role: str, connections: int, *, read_only: bool) -> None:
        self._address, self._role, self._read_only = address, role, read_only
        self._connections = connections
        self._places = threading.BoundedSemaphore(connections)
        self._lock = threading.Lock()
        self._idle: list[tuple[str, pg.connection]] = []
        self._trouble: str | None = None

    def ask(
        self, work: Callable[[pg.cursor], T], seconds: float = _QUESTION_SECONDS, *, is_one_statement: bool = False
    ) -> T:
        """Do the work in one transaction, of at most so many seconds a statement.

        ``is_one_statement``: it needs no BEGIN and COMMIT around it, which is two ways there and back less.

        Raises Busy, TooSlow, DatabaseUnavailable or DatabaseRefused with a sentence that may be shown to anybody: what
        the server itself said (it names hosts and users) goes to the log, once until it changes. DataRefused, where
        the server will not take a value, is for the caller, who knows which.
        """
        try:
            answer = self._attempt(work, seconds, is_one_statement)
        except Busy:
            raise
        except TooSlow:
            self._note(None)
            raise
        except DatabaseUnavailable as error:
            self._note(str(error))
            raise DatabaseUnavailable("the database does not answer") from error
        except DatabaseRefused as error:
            self._note(str(error))
            raise DatabaseRefused("the database refuses the question; the API's log says why") from error
        self._note(None)
        return answer

    def once(self, work: Callable[[pg.cursor], T], *, patience: float = _QUESTION_SECONDS) -> T:
        """The same, for what stands on ``app.db.Asked``."""
        return self.ask(work, patience)

    def query(self, name: str, /, **values: object) -> list[tuple[Any, ...]]:
        """One named query in a transaction of its own; its rows. Raises as ``ask`` does."""
        return self.ask(lambda cursor: execute(cursor, name, **values), is_one_statement=True)

    def connection(self) -> pg.connection:
        """One more, beside those of the pool, for whoever keeps it, and closes it. Raises as ``db.connect`` does."""
        address = self._address()
        if address is None:
            raise DatabaseUnavailable("the embedded database does not run")
        return self._open(address)

    def trouble(self) -> str | None:
        """Why the database cannot be asked now, a sentence; None: it answers."""
        try:
            self.query("answers")
        except (DatabaseUnavailable, DatabaseRefused) as error:
            return str(error)
        return None

    def _attempt(self, work: Callable[[pg.cursor], T], seconds: float, is_one_statement: bool) -> T:
        address = self._address()
        if address is None:
            raise DatabaseUnavailable("the embedded database does not run")
        if not self._places.acquire(timeout=_WAIT_SECONDS):
            raise Busy(f"all {self._connections} connections of the API wait for an answer")
        try:
            connection = self._take(address) or self._open(address)
            try:
                connection.autocommit = is_one_statement and seconds == _QUESTION_SECONDS
                return self._do(connection, work, seconds)
            finally:
                self._give_back(address, connection)
        finally:
            self._places.release()

    def _do(self, connection: pg.connection, work: Callable[[pg.cursor], T], seconds: float) -> T:
        connection.patience = seconds + _GRACE_SECONDS  # type: ignore[attr-defined]
        with translated(), _timed(seconds), connection.cursor() as cursor:
            if seconds != _QUESTION_SECONDS:
                execute(cursor, "allow_seconds", seconds=f"{seconds:g}s")
            answer = work(cursor)
            connection.commit()
        return answer

    def _take(self, address: str) -> pg.connection | None:
        """The connection that was used last, if the server has not left it and is still the one to ask."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                its_address, connection = self._idle.pop()
            if its_address == address and not was_left(connection):
                return connection
            _close(connection)

    def _give_back(self, address: str, connection: pg.connection) -> None:
        # Whatever the work came to, a broken connection and an open transaction are nobody else's.
        with suppress(psycopg2.Error):
            connection.rollback()
        if not connection.closed:
            with self._lock:
                self._idle.append((address, connection))

    def _open(self, address: str) -> pg.connection:
        connection = connect(address, "cryptomonitor-api", role=self._role)
        with translated(), connection.cursor() as cursor:
            execute(cursor, "short_questions", seconds=f"{_QUESTION_SECONDS:g}s", read_only=self._read_only)
            connection.commit()
        return connection

    def _note(self, trouble: str | None) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble is None:
            log.get(__name__).info("The database answers the API again.", action="database_back")
        else:
            log.get(__name__).warning(f"The database does not answer the API: {trouble}.", action="database_away")


class Reader(_Pool):
    """Asks as somebody who may read and nothing else, in read-only transactions."""

    def __init__(self, address: Callable[[], str | None]) -> None:
        super().__init__(address, READER, 8, read_only=True)


class Writer(_Pool):
    """Writes what people ask for: rules, silences, the watch list; with the rights of the daemon."""

    def __init__(self, address: Callable[[], str | None]) -> None:
        super().__init__(address, APP, 2, read_only=False)


@contextmanager
def _timed(seconds: float) -> Iterator[None]:
    """Tell a statement that the server ended for its time from a server that is away."""
    try:
        yield
    except errors.QueryCanceled as error:
        log.get(__name__).warning(f"The database did not answer a question in {seconds:g} s.", action="too_slow")
        raise TooSlow("the question takes the database too long: ask for less, or again later") from error


def _close(connection: pg.connection) -> None:
    # What is broken already: there is nothing left to do about it.
    with suppress(psycopg2.Error):
        connection.close()
