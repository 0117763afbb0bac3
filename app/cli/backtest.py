"""``python -m app backtest``: what rules would have fired, had they been there then."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app import config, log
from app.alerts import rules_file
from app.cli import parent
from app.cli.database import dsn_of
from app.cli.times import parse_length, parse_time, shown
from app.errors import ConfigurationError
from app.history.backtest import Step, Summary, run
from app.history.recorded import recorded
from app.model import Alert, parse_symbol, symbol_of

_LENGTH = re.compile(r"\d+[a-z]", re.ASCII)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # nothing arrived before, by any clock
_STEPS, _STEPS_OF_BAR = 10, 1000  # so often does it say how far it is

Write = Callable[[str], None]
"""Writes a line of the result, without its newline."""


@click.command()
@click.option("--rules", type=click.Path(path_type=Path), help="A rules file; else RULES_FILE.")
@click.option(
    "--from", "since", default="1d", show_default=True, metavar="TIME", help="Ticks that arrived from then on."
)
@click.option("--to", "until", default="now", show_default=True, metavar="TIME", help="Ticks that arrived before.")
@click.option("--symbols", metavar="A,B", help="Only these symbols.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Print at most so many alerts; all are counted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@click.option("--parent-fd", type=int, hidden=True, help="a pipe whose other end the parent holds")
def command(
    rules: Path | None,
    since: str,
    until: str,
    symbols: str | None,
    limit: int | None,
    as_json: bool,
    parent_fd: int | None,
) -> None:
    """Run rules over stored ticks and print what would have fired.

    First the lines as alerts.txt would have them, then, behind #, how many fired a day and a rule, and the symbols for
    which most did. TIME is ISO 8601 (a date is its midnight, UTC unless it says otherwise), or of --from a length of
    time before --to: 90m, 12h, 7d. Nothing is written, nobody is notified.
    """
    if sys.platform != "win32":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who pipes us into head is done when head is
    if parent_fd is not None:
        parent.serve(parent_fd)
    # A parent hands its settings on in the environment.
    settings = config.load() if parent_fd is None else config.load(env_file=None)
    log.configure("warning", settings.log_format)
    start, end = parse_span(since, until, datetime.now(UTC))
    chosen = None if symbols is None else parse_symbols(symbols, settings.source)
    held = rules_file.load(rules or settings.rules_file, default_market=settings.source)
    summary = Summary(tuple(rule.name for rule in held.rules))
    with recorded(dsn_of(settings), start, end, chosen) as recording, _progress(start, end) as (write, advance):
        alerts = _first(limit, _watched(run(held, recording, settings.source), summary, advance))
        if as_json:
            _print_json(write, alerts, summary, start, end, limit)
        else:
            _print_lines(write, alerts, summary, start, end)


def _watched(steps: Iterator[Step], summary: Summary, advance: Callable[[Step], None]) -> Iterator[Alert]:
    """The alerts of the steps; those are counted meanwhile."""
    for step in steps:
        summary.add(step)
        advance(step)
        yield from step.alerts


def _first(limit: int | None, alerts: Iterator[Alert]) -> Iterator[Alert]:
    """So many of the alerts; the others come about all the same."""
    yield from islice(alerts, limit)
    for _ in alerts:
        pass


# What was asked for.


def parse_span(since: str, until: str, now: datetime) -> tuple[datetime, datetime]:
    """From when to when, none of it to come. Raises ConfigurationError, naming the option and what is allowed."""
    end = now if until == "now" else min(parse_time("--to", until), now)
    if _LENGTH.fullmatch(since):
        start = end - min(parse_length("--from", since), end - _BEGINNING)
    else:
        start = max(parse_time("--from", since), _BEGINNING)
    if start >= end:
        raise ConfigurationError(f"--from={since}: should be before --to, which is {shown(end)}")
    return start, end


def parse_symbols(text: str, market: str) -> list[str]:
    """The symbols of a list with commas or spaces between. Raises ConfigurationError for what is none."""
    symbols = []
    for entry in re.split(r"[,\s]+", text.strip(", \t\n")):
        parts = parse_symbol(entry, default_market=market)
        if parts is None:
            raise ConfigurationError(f"--symbols={text}: {entry!r} is no symbol; one looks like BTC or ETH-EUR@kraken")
        symbols.append(symbol_of(*parts, default_market=market))
    return symbols


# What came of it.


def _print_lines(write: Write, alerts: Iterator[Alert], summary: Summary, since: datetime, until: datetime) -> None:
    for alert in alerts:
        write(alert.line)
    write(f"# {_text(since)} to {_text(until)}: {summary.ticks:,} ticks")
    write(f"# {summary.fired:,} fired, {summary.resolved:,} resolved")
    _print_counts(write, "a day", [(day.isoformat(), count) for day, count in summary.days])
    _print_counts(write, "a rule", summary.by_rule)
    _print_counts(write, "noisiest symbols", summary.noisiest)


def _print_counts(write: Write, title: str, counts: list[tuple[str, int]]) -> None:
    if counts:
        write(f"# {title}:")
        width = max(len(name) for name, _ in counts)
        for name, count in counts:
            write(f"#   {name:<{width}} {count:>9,}")


def _print_json(
    write: Write, alerts: Iterator[Alert], summary: Summary, since: datetime, until: datetime, limit: int | None
) -> None:
    """One document, written as it comes about: a rule that repeats itself can have more alerts than fit in memory."""
    head = {"from": _text(since), "to": _text(until), "rules": summary.rules}
    write(json.dumps(head)[:-1] + ', "alerts": [')
    comma = ""
    for alert in alerts:
        write(comma + json.dumps(_document(alert)))
        comma = ","
    tail = {
        "truncated": limit is not None and summary.fired + summary.resolved > limit,
        "ticks": summary.ticks,
        "per_day": {day.isoformat(): count for day, count in summary.days},
        "per_rule": dict(summary.by_rule),
        "noisiest": [{"symbol": symbol, "fired": count} for symbol, count in summary.noisiest],
    }
    write("], " + json.dumps(tail)[1:])


def _document(alert: Alert) -> dict[str, object]:
    return {
        "time": _text(alert.timestamp, "milliseconds"),
        "state": alert.state,
        "symbol": alert.symbol,
        "rule": alert.rule,
        "severity": alert.severity,
        "terms": dict(alert.terms),
        "id": alert.id,
    }


def _text(time: datetime, precision: str = "auto") -> str:
    return time.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


# How far it is.


@contextmanager
def _progress(since: datetime, until: datetime) -> Iterator[tuple[Write, Callable[[Step], None]]]:
    """How to write a line, and how to say how far we are: a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield click.echo, _Now(since, until, _STEPS, _say).look
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=1.0)

        def move(at: datetime, share: float, ticks: int) -> None:
            bar.update(task, completed=share, description=f"{at:%Y-%m-%d %H:%M}  {ticks:,} ticks")

        write: Write = click.echo
        if sys.stdout.isatty():  # the same terminal: the bar has to step aside
            write = partial(bar.console.print, markup=False, highlight=False, soft_wrap=True)
        yield write, _Now(since, until, _STEPS_OF_BAR, move).look


def _say(at: datetime, share: float, ticks: int) -> None:
    click.echo(f"{shown(at)}: {share:.0%}, {ticks:,} ticks", err=True)


class _Now:
    """Tells now and then, after equal parts of the time, when we are, how far that is, and after how many ticks."""

    def __init__(
        self, since: datetime, until: datetime, parts: int, tell: Callable[[datetime, float, int], None]
    ) -> None:
        self._since, self._parts, self._tell = since, parts, tell
        self._part = (until - since) / parts
        self._next, self._ticks = since + self._part, 0

    def look(self, step: Step) -> None:
        self._ticks += step.ticks
        if step.at >= self._next:
            done = (step.at - self._since) // self._part
            self._tell(step.at, done / self._parts, self._ticks)
            self._next = self._since + (done + 1) * self._part
