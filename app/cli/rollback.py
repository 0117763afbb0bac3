"""``python -m app rollback``: set the history back to what was known at a time, and undo that."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from app import config, log
from app.cli.database import dsn_of, opened
from app.cli.run import stop_on_signals
from app.cli.table import show
from app.cli.times import parse_time
from app.clock import SystemClock
from app.config import Settings
from app.db import Database
from app.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable
from app.history.rollback import Came, History, Rollback, Told
from app.views import Upkeep

_STEPS = 10  # so often does it say how far it is, where there is no terminal
_MOST_SHOWN = 50


@click.command()
@click.option("--to", "text", metavar="TIME", help="Back to what was known then, ISO 8601 (UTC unless it says so).")
@click.option("--undo", is_flag=True, help="Put back what the latest rollback removed.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask before doing it.")
def command(text: str | None, undo: bool, dry_run: bool, yes: bool) -> None:
    """Set ticks, candles, alerts and gaps back to what was known at TIME.

    What came later is removed, and kept: --undo puts it back exactly, the latest rollback first. Each is done whole or
    not at all. Stop the daemon before: it has in memory what is to be removed. alerts.txt, the watch list, rules and
    silences stay as they are. docs/rollback.md tells what counts as known.
    """
    if (text is None) != undo:
        raise click.UsageError("give either --to TIME or --undo")
    settings = config.load()
    log.configure("warning", settings.log_format)
    if text is None:
        _undo(settings, dry_run=dry_run, yes=yes)
    else:
        _roll_back(settings, _past("--to", text), dry_run=dry_run, yes=yes)


def _roll_back(settings: Settings, to_time: datetime, *, dry_run: bool, yes: bool) -> None:
    with opened(settings, "rollback") as database:
        came = History(database).came_since(to_time)
    if not came:
        click.echo(f"nothing came after {_exact(to_time)}: there is nothing to set back")
        return
    _print(came, to_time)
    if dry_run:
        return
    _demand_consent("Remove it?", yes=yes)
    with _as_owner(settings) as history, _progress() as told:
        done = history.roll_back(to_time, told)
    click.echo(
        f"rollback {done.id}: all is as it was known at {_exact(to_time)}; removed: {_counts(done)}."
        " `rollback --undo` puts it back"
    )
    click.echo("alerts.txt has its lines still; what waits in the spool of a DATA_DIR is stored when its daemon starts")


def _undo(settings: Settings, *, dry_run: bool, yes: bool) -> None:
    with opened(settings, "rollback") as database:
        last = History(database).last()
    if last is None:
        raise ConfigurationError("--undo: there is no rollback that is not undone")
    click.echo(
        f"rollback {last.id} to {_exact(last.to_time)}, done on {_exact(last.done_at)}, has removed: {_counts(last)}"
    )
    if dry_run:
        return
    _demand_consent("Put it back?", yes=yes)
    with _as_owner(settings) as history, _progress() as told:
        history.undo(last, told)
    click.echo(f"rollback {last.id} is undone: all that it removed is where it was")


@contextmanager
def _as_owner(settings: Settings) -> Iterator[History]:
    """The history, of which whoever owns the tables may take something away; afterwards daily_ohlcv tells of it."""
    stop = stop_on_signals()
    with closing(Database(dsn_of(settings), stop, "cryptomonitor rollback")) as database:
        try:
            yield History(database)
        except DatabaseUnavailable:
            if stop.is_set():
                raise click.Abort from None  # and it has not been done
            raise
        try:
            Upkeep(database, SystemClock()).refresh()
        except (DatabaseUnavailable, DatabaseRefused) as error:
            click.echo(f"daily_ohlcv could not be refreshed ({error}); the daemon will do that", err=True)


def _demand_consent(question: str, *, yes: bool) -> None:
    """Raises click.Abort where somebody says no, ConfigurationError where there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError("this is no terminal, so nobody can be asked: give --yes to have it done")
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        signal.signal(number, handler)  # nothing is under way that they would have to end
    click.confirm(question, abort=True)


def _past(option: str, text: str) -> datetime:
    time = parse_time(option, text)
    if time >= SystemClock().now():
        raise ConfigurationError(f"{option}={text}: is not in the past; what is known now is what there is")
    return time


def _print(came: Came, to_time: datetime) -> None:
    rows = [("SYMBOL", "DAY", "TICKS"), *((symbol, f"{day}", f"{count:,}") for symbol, day, count in came.days)]
    if came.days:
        show(rows[: _MOST_SHOWN + 1])
    if len(came.days) > _MOST_SHOWN:
        click.echo(f"... and {len(came.days) - _MOST_SHOWN} more")
    click.echo(
        f"Since {_exact(to_time)}: {came.ticks:,} ticks came"
        + (f" ({came.released:,} of them out of quarantine)" if came.released else "")
        + f", {came.alerts:,} alerts were recorded, {came.gaps:,} gaps and {came.quarantined:,} rows of quarantine"
        " are new or changed."
        + (f" {came.held:,} ticks that were held by hand since would be back." if came.held else "")
    )


def _counts(done: Rollback) -> str:
    return f"{done.ticks:,} ticks, {done.alerts:,} alerts; {done.gaps:,} gaps, {done.held:,} rows of quarantine changed"


@contextmanager
def _progress() -> Iterator[Told]:
    """How to say how far it is: a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda text, share: bar.update(task, completed=share, description=text)


def _lines() -> Callable[[str, float], None]:
    said: tuple[str, int] = ("", 0)

    def say(text: str, share: float) -> None:
        nonlocal said
        if (text, int(share * _STEPS)) != said:
            said = (text, int(share * _STEPS))
            click.echo(f"{text} {share:.0%}" if share else text, err=True)

    return say


def _exact(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
