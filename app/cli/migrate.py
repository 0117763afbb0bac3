"""``python -m app migrate``: bring the schema up to date, and nothing else."""

from __future__ import annotations

import click

from app import config, log
from app.cli.database import dsn_of
from app.cli.run import stop_on_signals
from app.db import Database
from app.migrations import grant, migrate


@click.command()
def command() -> None:
    """Bring the database's schema up to date, and who may do what there.

    ``run`` does so by itself, where its database user is the one who owns the tables.
    """
    settings = config.load()
    log.configure(settings.log_level, settings.log_format)
    database = Database(dsn_of(settings), stop_on_signals(), "cryptomonitor migrate")
    applied = migrate(database)
    for migration in applied:
        click.echo(f"applied {migration.version:04d} {migration.name}")
    if not applied:
        grant(database)
        click.echo("the schema is up to date")
    database.close()
