"""Where commands other than ``run`` find the database."""

from __future__ import annotations

from app import embedded
from app.config import Settings
from app.errors import DatabaseUnavailable


def dsn_of(settings: Settings) -> str:
    """DATABASE_URL, or the address of the embedded server. Raises DatabaseUnavailable where that does not run."""
    dsn = settings.database_url.get_secret_value() or embedded.address(settings.data_dir)
    if dsn is None:
        raise DatabaseUnavailable(
            f"DATABASE_URL is empty, and no embedded PostgreSQL runs for DATA_DIR={settings.data_dir}:"
            " start one with `make run`, or set DATABASE_URL"
        )
    return dsn
