"""A backtest over what was stored says what the live run said, and leaves the database as it was."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg2
import pytest

from app.alerts.checker import Checker
from app.alerts.states import Outcome
from app.db import Database
from app.errors import ConfigurationError
from app.history import recorded as reading
from app.history.backtest import run
from app.history.recorded import recorded
from app.intake import warm
from app.model import Batch, Instrument, Tick
from app.store import Store
from tests.conftest import new_database
from tests.rules import rules

pytestmark = pytest.mark.one_server

NOON = datetime(2021, 4, 18, 12, tzinfo=UTC)
END = NOON + timedelta(minutes=3)
SECOND = timedelta(seconds=1)
SYMBOLS = ("BTC", "ETH", "ZEC", "BTC@kraken")
MIDDLE = 150  # the number of a batch
SILENCE = range(92, 98)  # seconds

RULES = rules(
    {"name": "price", "when": "abs(price / avg(price, 1m) - 1) > 1%"},
    {"name": "volume", "when": "volume > 1.02 * avg(volume, 30s)", "repeat": "10s"},
    {"name": "held", "when": "price > max(price, 20s)", "for": "2s", "symbols": ["BTC", "*@kraken"]},
    {"name": "far", "when": "change(price, 1m) > 1% or crosses(price, 100)", "severity": "critical"},
    {"name": "silent", "when": "age > 2s"},
)


@dataclass
class Run:
    """A run as the daemon makes it, rules first, then the database: its batches, the lines that each caused, and those
    that a daemon wrote that was started before the batch ``MIDDLE``."""

    dsn: str
    batches: list[Batch]
    lines: list[list[str]] = field(default_factory=list)
    lines_of_second: list[str] = field(default_factory=list)

    def next_after(self, number: int) -> datetime:
        """When the batch after one of that number arrives, or the end."""
        return self.batches[number + 1].fetched_at if number + 1 < len(self.batches) else END

    def all_lines(self, until: int | None = None) -> list[str]:
        return [line for its in self.lines[:until] for line in its]


def live(dsn: str) -> Run:
    run_ = Run(dsn, list(market()))
    with closing(Database(dsn, threading.Event(), "test")) as database:
        store = Store(database)
        store.save_instruments("coingecko", [Instrument(s, "USD", "coingecko", s) for s in SYMBOLS[:3]])
        store.save_instruments("kraken", [Instrument("BTC", "USD", "kraken", SYMBOLS[3])])
        first, second = (Checker(RULES, market="coingecko") for _ in range(2))
        for number, batch in enumerate(run_.batches):
            if number == MIDDLE:
                warm(second, SYMBOLS, store, threading.Event())
            seconds = list(seconds_between(batch.fetched_at, run_.next_after(number)))
            if number >= MIDDLE:
                run_.lines_of_second += [*lines(second.check(batch)), *passed(second, seconds)]
            outcome = first.check(batch)
            store.save([*batch.ticks, filled_in(batch)], outcome)
            run_.lines.append([*lines(outcome), *passed(first, seconds)])
    return run_


def lines(outcome: Outcome) -> list[str]:
    return [alert.line for alert in outcome.alerts]


def passed(checker: Checker, seconds: list[datetime]) -> list[str]:
    """The lines of rules that look at the clock."""
    return [line for second in seconds for line in lines(checker.check_ages(second))]


def seconds_between(since: datetime, until: datetime) -> Iterator[datetime]:
    """The whole seconds from the one time on, before the other."""
    second = since if not since.microsecond else since.replace(microsecond=0) + SECOND
    while second < until:
        yield second
        second += SECOND


def filled_in(batch: Batch) -> Tick:
    """A tick that was not seen live, in between; with a price that would alert."""
    first = batch.ticks[-1]
    return replace(first, timestamp=first.timestamp + SECOND / 2, price=Decimal(1), origin="backfill")


@pytest.fixture(scope="module")
def recording(server: str, template: str) -> Iterator[Run]:
    with new_database(server, template) as dsn:
        yield live(dsn)


def market(seconds: int = 110) -> Iterator[Batch]:
    """Three coins and one of an exchange, a reply a second: with ticks that are late or known, volumes that are not,
    and some seconds in which the coins' source says nothing."""
    chance = random.Random(4)
    price = dict.fromkeys(SYMBOLS, 100.0)
    for second in range(seconds):
        at = NOON + second * SECOND + timedelta(milliseconds=chance.randrange(400, 900))
        for source, symbols in (("coingecko", SYMBOLS[:3]), ("kraken", SYMBOLS[3:])):
            if source == "coingecko" and second in SILENCE:
                continue
            ticks = []
            for symbol in symbols:
                price[symbol] *= 1 + chance.gauss(0, 0.002) + (chance.random() < 0.02) * chance.choice((-0.02, 0.02))
                late = timedelta(seconds=chance.choice((3, 20, 50, 4000))) if chance.random() < 0.1 else 0 * SECOND
                time = NOON + second * SECOND - late - (chance.random() < 0.05) * SECOND
                volume = None if chance.random() < 0.1 else Decimal(chance.randrange(10_000, 10_500))
                ticks.append(Tick(symbol, time, Decimal(f"{price[symbol]:.6f}"), volume, None, at, source))
            yield Batch(source, at, tuple(sorted(ticks, key=lambda tick: (tick.timestamp, tick.symbol))))


def backtest(dsn: str, since: datetime = NOON, until: datetime = END, only: list[str] | None = None) -> list[str]:
    with recorded(dsn, since, until, only) as ticks:
        return [alert.line for step in run(RULES, ticks, "coingecko") for alert in step.alerts]


def of_ticks(lines: list[str]) -> list[str]:
    """Without those of rules that look at the clock."""
    return [line for line in lines if line.split()[3] != "silent"]


def test_its_lines_are_those_of_the_live_run(recording: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = recording.all_lines()
    assert {line.split()[3] for line in lines} == {"price", "volume", "held", "far", "silent"}
    assert len(of_ticks(lines)) > 50
    assert {line.split()[2] for line in lines if line.split()[3] == "silent"} == {"ZEC", "BTC@kraken", "*@coingecko"}
    assert backtest(recording.dsn) == lines
    for name, value in {"_PAGE": 7, "_FIRST_SLICE": SECOND, "_LEAST_SLICE": SECOND / 3, "_MANY_ROWS": 2}.items():
        monkeypatch.setattr(reading, name, value)
    assert backtest(recording.dsn) == lines, "however it is read"


def test_one_that_begins_in_the_middle_finds_its_windows_warm(recording: Run) -> None:
    """And finds in them what had arrived by then, not what came late, with an older time."""
    began = recording.batches[MIDDLE].fetched_at
    late = [tick for batch in recording.batches[MIDDLE:] for tick in batch.ticks if tick.timestamp < began - SECOND]
    assert len(late) > 5
    lines = recording.lines_of_second
    assert lines
    assert lines != recording.all_lines()[-len(lines) :], "no rule fires yet where it begins"
    assert backtest(recording.dsn, since=began) == lines


def test_it_ends_before_the_time_it_is_to_end(recording: Run) -> None:
    lines = recording.all_lines(MIDDLE)
    assert 0 < len(lines) < len(recording.all_lines())
    assert backtest(recording.dsn, until=recording.batches[MIDDLE].fetched_at) == lines


def test_of_some_symbols_it_has_their_lines_alone(recording: Run) -> None:
    """Of rules that look at ``age``, a source is what is left of it."""
    only = of_ticks(backtest(recording.dsn, only=["BTC@kraken", "ETH"]))
    assert only == [line for line in of_ticks(recording.all_lines()) if line.split()[2] in ("BTC@kraken", "ETH")]
    assert {line.split()[2] for line in only} == {"BTC@kraken", "ETH"}
    with pytest.raises(ConfigurationError, match="no tick is stored of DOGE, XRP"):
        backtest(recording.dsn, only=["XRP", "BTC", "DOGE"])


def test_it_writes_nothing_and_could_not(recording: Run) -> None:
    before = contents(recording.dsn)
    assert backtest(recording.dsn)
    assert contents(recording.dsn) == before
    with (
        recorded(recording.dsn, NOON, END) as ticks,
        ticks.connection.cursor() as cursor,
        pytest.raises(psycopg2.Error, match="read-only"),
    ):
        cursor.execute("DELETE FROM ticker_data")


def contents(dsn: str) -> dict[str, list[Any]]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        found = {}
        for table in ("ticker_data", "candles", "alerts", "alert_states", "outbox", "instruments", "leader"):
            cursor.execute(f"SELECT count(*), md5(string_agg(t::text, ';' ORDER BY t::text)) FROM {table} AS t")
            found[table] = list(cursor.fetchone() or ())
        return found


def test_silence_is_told_by_the_clock_at_whole_seconds(database: Database, dsn: str) -> None:
    for second in (0, 1, 2, 200, 201):
        at = NOON + second * SECOND
        tick = Tick("BTC", at, Decimal(9), None, None, at + SECOND / 2, "coingecko")
        Store(database).save([tick], Outcome())
    silent = rules({"name": "no-data-2m", "when": "age > 2m"})
    with recorded(dsn, NOON, NOON + 330 * SECOND) as ticks:
        lines = [alert.line for step in run(silent, ticks, "coingecko") for alert in step.alerts]
    assert [line.rpartition(" id=")[0] for line in lines] == [
        "2021-04-18T12:02:03.000Z FIRING BTC no-data-2m age=120.5",
        "2021-04-18T12:03:21.000Z RESOLVED BTC no-data-2m age=0.5",
        "2021-04-18T12:05:22.000Z FIRING BTC no-data-2m age=120.5",
    ]


def test_a_symbol_that_is_watched_and_has_no_tick_yet_is_silent(database: Database, dsn: str) -> None:
    """As to a daemon that starts then: from then on, also where it alone is looked at."""
    store, began = Store(database), NOON + 10 * SECOND
    store.save_instruments("coingecko", [Instrument(s, "USD", "coingecko", s) for s in ("BTC", "ETH", "ZEC")])
    for second in range(0, 300, 2):
        at = NOON + second * SECOND
        symbols = ("BTC", "ETH") if second >= 200 else ("BTC",)
        store.save([Tick(s, at, Decimal(9), None, None, at + SECOND / 2, "coingecko") for s in symbols], Outcome())
    silent = rules({"name": "no-data-2m", "when": "age > 2m"})
    wanted = [
        "2021-04-18T12:02:11.000Z FIRING ETH no-data-2m age=121",
        "2021-04-18T12:02:11.000Z FIRING ZEC no-data-2m age=121",
        "2021-04-18T12:03:21.000Z RESOLVED ETH no-data-2m age=0.5",
    ]
    for only, expected in ((None, wanted), (["ETH"], [wanted[0], wanted[2]])):
        with recorded(dsn, began, NOON + 290 * SECOND, only) as ticks:
            found = [alert.line for step in run(silent, ticks, "coingecko") for alert in step.alerts]
        assert [line.rpartition(" id=")[0] for line in found] == expected
