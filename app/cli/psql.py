"""``python -m app psql``: a psql on the running database."""

from __future__ import annotations

import os
import shutil

import click
from psycopg2.extensions import make_dsn, parse_dsn

from app import config
from app.embedded import psql_command
from app.errors import ConfigurationError


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(options: tuple[str, ...]) -> None:
    """Open psql on the running database.

    OPTIONS go to psql as they are, as in: python -m app psql -c 'SELECT * FROM daily_ohlcv'
    """
    settings = config.load()
    url = settings.database_url.get_secret_value()
    environment = dict(os.environ)
    if url:
        program = shutil.which("psql")
        if program is None:
            raise ConfigurationError(
                "psql is not installed here; DATABASE_URL can be used from any machine that has it"
            )
        parts = parse_dsn(url)
        if "password" in parts:
            # Everybody can read the list of processes; nobody else can read this one's environment.
            environment["PGPASSWORD"] = parts.pop("password")
        if "sslpassword" in parts:
            raise ConfigurationError("DATABASE_URL: sslpassword cannot be handed to psql unseen; use a key without one")
        url = make_dsn(**parts)
    else:
        program, url = psql_command(settings.data_dir)
    os.execve(program, [program, f"--dbname={url}", *options], environment)  # noqa: S606  (as asked for)
