"""``python -m app doctor``: the settings in effect, and whether everything they name can be used."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import click

from app import channels, config, embedded, log, migrations, sources, status
from app.alerts import rules_file
from app.calls import CallLedger, of_command
from app.clock import SystemClock
from app.config import Settings
from app.db import Database, connect, execute, translated
from app.embedded.process import installed_programs
from app.errors import (
    CannotWrite,
    ConfigurationError,
    CryptoMonitorError,
    DatabaseRefused,
    DatabaseUnavailable,
    SchemaTooNew,
)
from app.sources.base import Source
from app.watch import parse_watch

_CLOCK_SECONDS = 5.0  # how far our clock may be off: ticks from more than 60 s ahead of it would be refused


@click.command()
def command() -> None:
    """Print the settings and check what they name.

    Secrets are masked. Files, database, provider and clock are each ok, or it says what to do. The exit code is 0, or
    that of the first that is not ok.
    """
    settings = config.load()
    log.configure("error")
    for key, value, meaning in config.describe(settings):
        click.echo(f"{key:<27} {value or '-':<24} {meaning}")
    click.echo()
    codes = [_report(name, check, settings) for name, check in CHECKS.items()]
    sys.exit(next((code for code in codes if code), 0))


def _report(name: str, check: Callable[[Settings], str], settings: Settings) -> int:
    try:
        click.echo(f"{name:<9} ok: {check(settings)}")
    except CryptoMonitorError as error:
        click.echo(f"{name:<9} NOT OK: {error}")
        return error.exit_code
    return 0


def _files(settings: Settings) -> str:
    _can_write("DATA_DIR", settings.data_dir)
    if settings.alerts_file.is_dir():
        raise CannotWrite(f"ALERTS_FILE={settings.alerts_file}: is a folder; name a file in it")
    if not os.path.exists(settings.alerts_file):  # noqa: PTH110  (see below)
        _can_write("ALERTS_FILE", settings.alerts_file.parent)
    elif not os.access(settings.alerts_file, os.W_OK):
        raise CannotWrite(f"ALERTS_FILE={settings.alerts_file}: is not yours to write; change its owner or its mode")
    return f"{settings.data_dir} and {settings.alerts_file} can be written"


def _rules(settings: Settings) -> str:
    names = list(channels.kinds(settings))
    rules = rules_file.load(settings.rules_file, channels=names, default_market=settings.source).rules
    return f"{len(rules)} in {settings.rules_file}"


def _channels(settings: Settings) -> str:
    connected = channels.connect(settings, SystemClock())
    if not connected:
        return "none but alerts.txt"
    return f"{', '.join(connected)}; `python -m app channels test` sends to them"


def _can_write(key: str, folder: Path) -> None:
    """Raises CannotWrite unless files can be made in the folder, and the folder itself where it is not there."""
    # os.path.exists() says no to what may not be looked at; Path.exists() raises.
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.exists(path))  # noqa: PTH110
    if not nearest.is_dir():
        raise CannotWrite(f"{key}: {nearest} is a file, and should be a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise CannotWrite(f"{key}: this user may not write to {nearest}; change its owner or its mode")


def _database(settings: Settings) -> str:
    dsn = _running_dsn(settings)
    if dsn is None:
        installed_programs()
        return f"embedded, in {settings.data_dir}; it runs while `run` does, and it does not now"
    try:
        version, size, _, schema = _look(dsn)
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(f"{error}; start the server, or check DATABASE_URL") from error
    ours = max(migration.version for migration in migrations.known())
    if schema > ours:
        raise SchemaTooNew(
            f"the database has schema version {schema}, this program knows up to {ours}: "
            "it was used by a newer CryptoMonitor; start that one"
        )
    return f"PostgreSQL {version}, {size}" + ("" if schema else "; it is empty, `run` makes the tables")


def _look(dsn: str) -> tuple[str, str, datetime, int]:
    """The server's version, the database's size, the server's clock, the schema's version (0 where there is none)."""
    with closing(connect(dsn, "cryptomonitor doctor")) as connection, connection.cursor() as cursor, translated():
        version, size, time = execute(cursor, "look_at_server")[0]
        return version, size, time, max(migrations.applied_versions(cursor), default=0)


def _provider(settings: Settings) -> str:
    with _sources(settings) as (asked, ledger):
        return " ".join(f"{source.ping()}{_budget(source, ledger)}." for source in asked.values())


def _budget(source: Source, ledger: CallLedger) -> str:
    """What the limits leave, after the call that was just made."""
    source.learn_plan()
    budget = source.budget
    per_minute, of_plan = budget.per_minute, budget.per_minute_of_plan
    parts = [f"{of_plan} calls a minute"] if of_plan else []
    if per_minute < of_plan:
        parts.append(f"{per_minute} for now, after a 429")
    if budget.per_month and not ledger.is_shared:
        parts.append(f"{budget.per_month} credits a month; how many are spent, the database knows")
    elif budget.per_month:
        parts.append(
            f"{budget.spent_this_month} of {budget.per_month} credits spent this month, {budget.left_this_month} left"
            f" ({budget.left_for_backfill} of them for backfill)"
        )
        parts.append(f"PACE={budget.mode}" + (f", a credit in {pace:.0f} s" if (pace := budget.pace()) else ""))
    return "".join(f"; {part}" for part in parts)


def _clock(settings: Settings) -> str:
    here = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    dsn = _running_dsn(settings)
    try:
        theirs = _look(dsn)[2] if dsn else None
    except (DatabaseRefused, DatabaseUnavailable):
        theirs = None  # why, is said of the database
    if theirs is None:
        return f"{here}; there is no database now to compare it with"
    off = (datetime.now(UTC) - theirs).total_seconds()
    if abs(off) > _CLOCK_SECONDS:
        raise ConfigurationError(f"this clock is {off:+.0f} s off the database's: set both by a time service (NTP)")
    return f"{here}, as the database's"


def _daemon(settings: Settings) -> str:
    reading = status.read(settings.data_dir, datetime.now(UTC))
    if not reading.running:
        return "none runs here now"
    return "; ".join(reading.reasons) or "runs, and new ticks arrive"


def _running_dsn(settings: Settings) -> str | None:
    return settings.database_url.get_secret_value() or embedded.address(settings.data_dir)


@contextmanager
def _sources(settings: Settings) -> Iterator[tuple[dict[str, Source], CallLedger]]:
    """What is asked counts, where a database has the counts; a look at the provider's door must work without one."""
    entries = parse_watch(settings.watch, default_market=settings.source, default_quote=settings.quote)
    clock = SystemClock()
    dsn = _running_dsn(settings) or "host=/none dbname=none"
    with (
        closing(Database(dsn, Event(), "cryptomonitor doctor")) as database,
        of_command("doctor", database, clock) as ledger,
    ):
        yield sources.build([entry.market for entry in entries], settings, clock, ledger), ledger


CHECKS: dict[str, Callable[[Settings], str]] = {
    "files": _files,
    "rules": _rules,
    "channels": _channels,
    "database": _database,
    "provider": _provider,
    "clock": _clock,
    "daemon": _daemon,
}
