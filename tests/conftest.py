"""Fixtures that all tests share: PostgreSQL servers, databases made from a template, a clock that obeys."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from app import config, log
from app.clock import SystemClock
from app.db import Database
from app.migrations import migrate
from tests.servers import Installed, available, started

SHARED = Path(__file__).parents[1].parent / "shared"
"""Recorded replies and prices, where the tests run beside them."""

_numbers = count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", help="only this server, as in --postgres=postgresql-18")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--postgres")
        servers = [server for server in available() if wanted in (None, str(server))]
        if any(map(metafunc.definition.get_closest_marker, ("acceptance", "one_server"))):
            servers = servers[:1]  # what differs from server to server, the smaller tests show
        metafunc.parametrize("server", servers, ids=str, scope="session", indirect=True)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's environment says, a test sees only the settings that it makes itself."""
    for key in [*config.KEYS, *(f"{key}_FILE" for key in config.SECRETS)]:
        monkeypatch.delenv(key, raising=False)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A PostgreSQL server of its own: the URL of a database on it, as a superuser. Each test runs on each version."""
    installed: Installed = request.param
    with started(installed) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """The name of a database with our schema in it."""
    _run(server, "CREATE DATABASE template_cryptomonitor")
    with closing(Database(_on(server, "template_cryptomonitor"), threading.Event())) as database:
        migrate(database)
    return "template_cryptomonitor"


@pytest.fixture
def dsn(server: str, template: str) -> Iterator[str]:
    """A new database with our schema."""
    with new_database(server, template) as dsn:
        yield dsn


@pytest.fixture
def empty_dsn(server: str) -> Iterator[str]:
    """A new database with nothing in it."""
    with new_database(server) as dsn:
        yield dsn


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    """Our own connection to a new database with our schema."""
    with closing(Database(dsn, threading.Event(), "test")) as connection:
        yield connection


class Logged(io.StringIO):
    """The log as people see it on standard error."""

    def read_new(self) -> str:
        """What has been logged since the last look."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class _Leaping(SystemClock):
    """Goes on by a minute with every look: so that nothing is left out of the log for having just been said."""

    def __init__(self) -> None:
        self._looks = count()

    def monotonic(self) -> float:
        return 61.0 * next(self._looks)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logged]:
    """Catches the log. (pytest's own capture changes streams between set-up and test.)"""
    stream = Logged()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        log.configure("debug", clock=_Leaping())
    yield stream
    log.silence()


@contextmanager
def new_database(server: str, template: str = "template1") -> Iterator[str]:
    """The URL of a database that is there for as long as this lasts."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _run(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield _on(server, name)
    finally:
        _run(server, f"DROP DATABASE {name} WITH (FORCE)")


def _on(server: str, name: str) -> str:
    parts = urlsplit(server)
    # urlunsplit() drops the empty host of postgresql://user@/name?host=folder.
    return urlunsplit(parts._replace(path=f"/{name}")).replace(f":{parts.scheme}", parts.scheme)


def _run(server: str, statement: str) -> None:
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
