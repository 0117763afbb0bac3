"""``python -m app backfill``: fill what is missing in the history, from what the providers still have of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app import config, log, sources
from app.calls import of_command
from app.cli.backtest import parse_span, parse_symbols
from app.cli.database import dsn_of, opened
from app.cli.run import stop_on_signals
from app.cli.times import shown
from app.clock import Clock, SystemClock
from app.config import Settings
from app.db import APP, Database
from app.history import backfill
from app.history.backfill import Backfill, OwnSources, Told
from app.history.filling import Filling
from app.history.gaps import Feed, Finder
from app.model import Instrument
from app.tasks import Halt
from app.views import Upkeep
from app.watch import ALL, parse_watch

_SPENDER = "backfill"  # who we are among those who share a provider's limits
_STEPS = 10  # so often does it say how far it is, where there is no terminal
_MOST_SHOWN = 20


@click.command()
@click.option("--from", "since", default="1d", show_default=True, metavar="TIME", help="From then on.")
@click.option("--to", "until", default="now", show_default=True, metavar="TIME", help="Before then.")
@click.option("--symbols", metavar="A,B", help="Only these; else all that are watched.")
@click.option("--again", is_flag=True, help="Try what was given up before, too.")
def command(since: str, until: str, symbols: str | None, again: bool) -> None:
    """Fill holes in the stored history from what the providers still have of it.

    All that is missing of the time is asked for, the newest first, also before a symbol's first tick, within the limits
    of your plan and beside a running daemon. What comes is stored with origin = backfill; what became of each hole is
    in the table gaps. Run again, it goes on where it was, and asks for nothing twice. It causes no alerts.

    TIME is ISO 8601 (a date is its midnight, UTC unless it says otherwise), or of --from a length of time before --to:
    90m, 12h, 7d.
    """
    settings, clock = config.load(), SystemClock()
    log.configure("warning", settings.log_format)
    start, end = parse_span(since, until, clock.now())
    wanted = None if symbols is None else parse_symbols(symbols, settings.source)
    with (
        opened(settings, "backfill") as database,
        # Of its own: a call is not to wait behind what is being stored.
        closing(Database(dsn_of(settings), Halt(), "cryptomonitor calls", APP)) as counter,
        of_command(_SPENDER, counter, clock) as ledger,
    ):
        own = OwnSources(lambda market: sources.build([market], settings, clock, ledger)[market])
        with closing(own):
            job = _Job(settings, database, clock, own, stop_on_signals())
            job.run(wanted, start, end, again=again)


class _Job:
    """One run of the command."""

    def __init__(self, settings: Settings, database: Database, clock: Clock, own: OwnSources, stop: Halt) -> None:
        self._settings, self._database, self._clock, self._own, self._stop = settings, database, clock, own, stop
        self._filling = Filling(database, clock)

    def run(self, wanted: Sequence[str] | None, since: datetime, until: datetime, *, again: bool) -> None:
        """Raises what kept it from filling all, and click.Abort when told to stop."""
        instruments = self._instruments(wanted)
        symbols = [instrument.symbol for instrument in instruments]
        if again:
            self._filling.reopen(symbols, since, until)
        self._find(instruments, since, until)
        filler = Backfill(self._filling, self._own, self._clock, self._stop)
        with _progress() as told:
            done = filler.fill(instruments, since, until, told)
        if done.ticks:
            Upkeep(self._database, self._clock).refresh()
        self._report(symbols, since, until, done)
        if self._stop.is_set():
            raise click.Abort
        for error in filler.troubles.values():
            raise error

    def _instruments(self, wanted: Sequence[str] | None) -> list[Instrument]:
        """What is asked for; of what nobody has watched yet, the providers are asked what it is."""
        if wanted is None:
            entries = parse_watch(
                self._settings.watch, default_market=self._settings.source, default_quote=self._settings.quote
            )
            if watched := self._filling.watched([entry.market for entry in entries if entry.market != ALL]):
                return watched
        else:
            known = self._filling.instruments(wanted)
            missing = sorted(set(wanted) - {instrument.symbol for instrument in known})
            if not missing:
                return known
            entries = parse_watch(",".join(missing), default_market=self._settings.source, default_quote="USD")
        new = [
            instrument
            for market in dict.fromkeys(entry.market for entry in entries if entry.market != ALL)
            for instrument in self._own(market).resolve([entry for entry in entries if entry.market == market])
        ]
        self._filling.know(new)
        return new if wanted is None else [*known, *new]

    def _find(self, instruments: Sequence[Instrument], since: datetime, until: datetime) -> None:
        finder = Finder(self._database)
        for market, of_market in _by_market(instruments).items():
            source = self._own(market)
            interval = source.interval(self._settings.tick_seconds, len(source.chunks(of_market)))
            feed = Feed(market, [instrument.symbol for instrument in of_market], interval)
            for holes in finder.missing(feed, since, until):
                self._filling.record(holes)

    def _report(self, symbols: Sequence[str], since: datetime, until: datetime, done: backfill.Progress) -> None:
        gaps = self._filling.gaps(symbols, since, until)
        states = Counter(gap.state for gap in gaps)
        click.echo(
            f"{shown(since)} to {shown(until)}: {done.ticks:,} ticks added with {done.calls:,} calls."
            f" Holes: {states['filled']} filled, {states['open']} open, {states['unrecoverable']} unrecoverable."
        )
        left = [gap for gap in gaps if gap.state != "filled"]
        for gap in left[:_MOST_SHOWN]:
            click.echo(f"{gap.symbol} {shown(gap.begins_at)} to {shown(gap.ends_at)} {gap.state}: {gap.why}")
        if len(left) > _MOST_SHOWN:
            click.echo(f"... and {len(left) - _MOST_SHOWN} more, in the table gaps")


def _by_market(instruments: Sequence[Instrument]) -> Mapping[str, list[Instrument]]:
    found: dict[str, list[Instrument]] = {}
    for instrument in instruments:
        found.setdefault(instrument.market, []).append(instrument)
    return found


@contextmanager
def _progress() -> Iterator[Told]:
    """How to say how far it is: a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=1.0)

        def move(progress: backfill.Progress) -> None:
            bar.update(task, completed=progress.share, description=_text(progress))

        yield move


def _lines() -> Callable[[backfill.Progress], None]:
    said = 0

    def say(progress: backfill.Progress) -> None:
        nonlocal said
        if int(progress.share * _STEPS) > said:
            said = int(progress.share * _STEPS)
            click.echo(f"{progress.share:.0%}: {_text(progress)}", err=True)

    return say


def _text(progress: backfill.Progress) -> str:
    at = "" if progress.at is None else f" {progress.at:%Y-%m-%d %H:%M}"
    waits = f", waiting {progress.waits:.0f} s" if progress.waits else ""
    return f"{progress.symbol}{at}  {progress.ticks:,} ticks{waits}"
