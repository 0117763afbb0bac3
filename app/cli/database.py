"""Where commands other than ``run`` find the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from app import embedded
from app.cli.run import stop_on_signals
from app.config import Settings
from app.db import APP, Database
from app.errors import DatabaseRefused, DatabaseUnavailable
from app.migrations import applied_versions, known


def dsn_of(settings: Settings) -> str:
    """DATABASE_URL, or the address of the embedded server. Raises DatabaseUnavailable where that does not run."""
    dsn = settings.database_url.get_secret_value() or embedded.address(settings.data_dir)
    if dsn is None:
        raise DatabaseUnavailable(
            f"DATABASE_URL is empty, and no embedded PostgreSQL runs for DATA_DIR={settings.data_dir}:"
            " start one with `make run`, or set DATABASE_URL"
        )
    return dsn


@contextmanager
def opened(settings: Settings, purpose: str) -> Iterator[Database]:
    """The database, if it has the schema that this program knows. Raises DatabaseUnavailable or DatabaseRefused."""
    with closing(Database(dsn_of(settings), stop_on_signals(), f"cryptomonitor {purpose}", APP)) as database:
        found, needed = max(database.once(applied_versions), default=0), known()[-1].version
        if not found:
            raise DatabaseRefused("the database is empty: `python -m app run` makes the tables, or `migrate` alone")
        if found != needed:
            raise DatabaseRefused(
                f"the database has schema version {found}, this program has {needed}:"
                + (" `python -m app migrate` sees to it" if found < needed else " use the newer program")
            )
        yield database
