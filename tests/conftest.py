"""Fixtures that all tests share: PostgreSQL servers, databases made from a template, a clock that obeys."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache, partial
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

_LONGEST_SECONDS = 600  # several times what the longest takes
_SAID = "said"
_numbers = count()


# Ctrl-C is ignored in what a shell starts in the background, and in all that is started from there. Ours is not.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", help="only this server, as in --postgres=postgresql-18")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: most of the long tests wait for a server, or a moment."""
    return (os.cpu_count() or 1) + 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--postgres")
        servers = [server for server in available() if wanted in (None, str(server))]
        if any(map(metafunc.definition.get_closest_marker, ("acceptance", "one_server"))):
            servers = servers[:1]  # what differs from server to server, the smaller tests show
        metafunc.parametrize("server", servers, ids=str, scope="session", indirect=True)


@pytest.fixture
def said(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes what is to be read after the tests, though all was well."""
    return partial(record_property, _SAID)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == _SAID and report.when == "call":
                    terminalreporter.write_line(f"\n{report.nodeid}\n{text}")


@pytest.fixture(autouse=True)
def an_end() -> Iterator[None]:
    """What hangs is a test that fails and has a name, and not a run that is cut off without a word."""

    def over(*_: object) -> None:
        pytest.fail(f"it did not end within {_LONGEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(_LONGEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's environment says, a test sees only the settings that it makes itself."""
    for key in [*config.KEYS, *(f"{key}_FILE" for key in config.SECRETS)]:
        monkeypatch.delenv(key, raising=False)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[Installed], str]]:
    """Gives a server's URL, as ``started`` does: started when it is first wanted, and there until the tests end."""
    with ExitStack() as stack:
        yield cache(lambda installed: stack.enter_context(started(installed)))


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, servers: Callable[[Installed], str]) -> str:
    """A PostgreSQL server of its own: the URL of a database on it, as a superuser. Each test runs on each version."""
    installed: Installed = request.param
    return servers(installed)


@pytest.fixture(scope="session")
def templates() -> Callable[[str], str]:
    """Gives the name of a server's database with our schema in it, made when it is first wanted."""
    return cache(_make_template)


@pytest.fixture(scope="session")
def template(server: str, templates: Callable[[str], str]) -> str:
    """The name of a database with our schema in it."""
    return templates(server)


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


def _make_template(server: str) -> str:
    name = "template_cryptomonitor"
    _run(server, f"CREATE DATABASE {name}")
    with closing(Database(_on(server, name), threading.Event())) as database:
        migrate(database)
    return name


def _on(server: str, name: str) -> str:
    parts = urlsplit(server)
    # urlunsplit() drops the empty host of postgresql://user@/name?host=folder.
    return urlunsplit(parts._replace(path=f"/{name}")).replace(f":{parts.scheme}", parts.scheme)


def _run(server: str, statement: str) -> None:
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
