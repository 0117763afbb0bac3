"""Short, read-only questions to the database, which may be away: then the API says so and goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from psycopg2 import extensions as pg

from app import log
from app.db import READER, connect, execute, translated
from app.errors import DatabaseRefused, DatabaseUnavailable

T = TypeVar("T")

_CONNECTIONS = 4
_PATIENCE_SECONDS = 2.0


class Reader:
    """Opens a connection for each question, never more than a few at once. For any number of threads.

    ``address`` gives the connection string, looked up anew each time, None while there is no server to connect to.
    """

    def __init__(self, address: Callable[[], str | None]) -> None:
        self._address = address
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._trouble: str | None = None

    def ask(self, work: Callable[[pg.cursor], T]) -> T:
        """Do the work in one read-only transaction of two seconds a statement.

        Raises DatabaseUnavailable or DatabaseRefused with a sentence that may be shown to anybody: what the server
        itself said (it names hosts and users) goes to the log, once until it changes.
        """
        try:
            answer = self._attempt(work)
        except DatabaseUnavailable as error:
            self._note(str(error))
            raise DatabaseUnavailable("the database does not answer") from error
        except DatabaseRefused as error:
            self._note(str(error))
            raise DatabaseRefused("the database refuses the question; the API's log says why") from error
        self._note(None)
        return answer

    def trouble(self) -> str | None:
        """Why the database cannot be asked now, a sentence; None: it answers."""
        try:
            self.ask(lambda cursor: execute(cursor, "answers"))
        except (DatabaseUnavailable, DatabaseRefused) as error:
            return str(error)
        return None

    def _attempt(self, work: Callable[[pg.cursor], T]) -> T:
        address = self._address()
        if address is None:
            raise DatabaseUnavailable("the embedded database does not run")
        if not self._places.acquire(timeout=_PATIENCE_SECONDS):
            raise DatabaseUnavailable(f"all {_CONNECTIONS} connections of the API wait for an answer")
        try:
            with (
                closing(connect(address, "cryptomonitor-api", role=READER)) as connection,
                translated(),
                connection,
                connection.cursor() as cursor,
            ):
                execute(cursor, "short_question")
                return work(cursor)
        finally:
            self._places.release()

    def _note(self, trouble: str | None) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble is None:
            log.get(__name__).info("The database answers the API again.", action="database_back")
        else:
            log.get(__name__).warning(f"The database does not answer the API: {trouble}.", action="database_away")
