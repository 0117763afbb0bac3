"""How fast a backtest is, from rows in PostgreSQL to what would have fired: 20 rules over 5 windows."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime

from app.alerts import rules_file
from app.alerts.rules import RuleSet
from app.db import Database
from app.history.backtest import Summary, run
from app.history.recorded import recorded
from app.migrations import migrate
from tests.servers import available, started

_LIMIT = 500_000  # evaluations a second: of one rule at one tick
_BEGINNING, _END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC)
_MARKETS = ((250, 1600), (3, 20_000))  # symbols, and replies, one a second
_WINDOWS = ("1m", "2m", "5m", "10m", "15m")
_RULES = {
    "means": (
        "abs(price / avg(price, {0}) - 1) > 2%",
        "price < 0.97 * avg(price, {0})",
        "volume > 1.5 * avg(volume, {0})",
        "volume < 0.5 * avg(volume, {0})",
    ),
    "any statistic": (
        "abs(price / avg(price, {0}) - 1) > 2%",
        "volume > 1.5 * avg(volume, {0})",
        "price > 1.02 * max(price, {0})",
        "abs(zscore(price, {0})) > 20",
    ),
}

# As a daemon stores them, reply by reply. Prices wander, jitter, and leap by three percent now and then.
_FILL = """
    SELECT make_partition(%(beginning)s::date);
    INSERT INTO ticker_data ("timestamp", symbol, price, volume_24h, market_cap, fetched_at, source)
    SELECT at, 'S' || symbol, round((100 + 0.1 * sin(reply / 600.0) + 0.01 * random()
               + CASE WHEN random() < 0.0005 THEN 3 ELSE 0 END)::numeric, 4),
           1000000000 + floor(random() * 1000000), 2000000000, at + interval '0.8 s', 'coingecko'
    FROM generate_series(1, %(replies)s) AS reply, generate_series(1, %(symbols)s) AS symbol,
        LATERAL (SELECT %(beginning)s::timestamptz + make_interval(secs => reply)) AS t (at)
    ORDER BY reply, symbol;
"""


def main() -> None:
    """Print evaluations a second as multiples of the limit, and what reading alone takes."""
    with started(available()[0]) as dsn, closing(Database(dsn, threading.Event())) as database:
        migrate(database)
        print(f"backtest: 20 rules over 5 windows, Python {sys.version.split()[0]}")
        for symbols, replies in _MARKETS:
            _fill(database, symbols, replies)
            print(f"  {symbols} symbols a reply; reading alone takes {_reading(dsn):.1f} us a tick")
            for name, conditions in _RULES.items():
                _measure(dsn, name, _rules(conditions))


def _fill(database: Database, symbols: int, replies: int) -> None:
    values = {"beginning": _BEGINNING, "symbols": symbols, "replies": replies}
    database.run(lambda cursor: cursor.execute("TRUNCATE ticker_data"))
    database.run(lambda cursor: cursor.execute("SET LOCAL statement_timeout = 0;" + _FILL, values), patience=600)
    database.run(lambda cursor: cursor.execute("ANALYZE ticker_data"))


def _reading(dsn: str) -> float:
    began = time.perf_counter()
    with recorded(dsn, _BEGINNING, _END) as recording:
        ticks = sum(len(batch.ticks) for batch in recording.batches())
    return 1e6 * (time.perf_counter() - began) / ticks


def _measure(dsn: str, name: str, rules: RuleSet) -> None:
    summary = Summary(tuple(rule.name for rule in rules.rules))
    began, used = time.perf_counter(), time.process_time()
    with recorded(dsn, _BEGINNING, _END) as recording:
        for step in run(rules, recording, "coingecko"):
            summary.add(step)
    took, used = time.perf_counter() - began, time.process_time() - used
    rate = summary.ticks * len(rules.rules) / took
    print(
        f"    {name:14} {rate:9,.0f} evaluations a second, {rate / _LIMIT:5.2f} times the limit of {_LIMIT:,};"
        f" {1e6 * took / summary.ticks:.1f} us a tick, {1e6 * used / summary.ticks:.1f} of them on our CPU;"
        f" {summary.fired:,} fired"
    )


def _rules(conditions: tuple[str, ...]) -> RuleSet:
    text = "".join(
        f'[[rule]]\nname = "rule-{number}-{window}"\nwhen = "{condition.format(window)}"\n'
        for window in _WINDOWS
        for number, condition in enumerate(conditions)
    )
    return rules_file.parse(text, "rules", default_market="coingecko")


if __name__ == "__main__":
    main()
