"""The alert engine: 10,000 symbols, 20 rules over 5 windows. ``python -m bench.rules [SECONDS]``

First the steady state, as after a restart: every window full, of a tick a second for an hour and a tick a minute for
the 23 before (read in by ``Windows.load``, as a restart does: one or two minutes of work), and some minutes of batches
in which memory grows to what it needs. Then so many batches more, a second apart, as a daemon has them: from published
digits and times to alerts, and with the garbage collector on. ``CPU`` is what the thread itself used: on a machine that
others use too, less than the wall shows.

Beside it one ``SELECT symbol, avg(price) ... GROUP BY symbol`` a window, on an indexed table of the same ticks in
PostgreSQL. At last, what is resident while every symbol ticks once a second for so many SECONDS (86400: a day, some
half an hour of work) before a window of 24 hours.
"""

from __future__ import annotations

import gc
import io
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import psutil
import psycopg2

from app.alerts import rules_file
from app.alerts.checker import Checker
from app.alerts.rules import RuleSet
from app.alerts.windows import FIELDS, Statistic, Windows
from app.model import Batch, Tick
from tests.servers import available, started

_SYMBOLS = 10_000
_LENGTHS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "24h": 86400}
_BATCHES, _SETTLE = 660, 240  # a second apart: those that are measured, and those before
_HOUR, _DAY = 3600, 86400
_OF_WINDOWS = 120
_LIMIT, _LIMIT_ONE, _TIMES, _LIMIT_RSS = 0.050, 0.0001, 20, 1.5e9
_NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000

# Seconds before now: each minute for an hour, and every ten minutes for the 13 hours before. Kind to SQL: at a tick a
# second it would have sixty times as many rows to read, and the engine none more.
_PAST = np.concatenate([np.arange(14 * 3600, 3600, -600), np.arange(3600, 0, -60)])


@dataclass(frozen=True)
class Window:
    """A statistic of a field over so many seconds."""

    statistic: Statistic
    field: str
    seconds: int


class _Collections:
    """How long the garbage collector works meanwhile."""

    def __init__(self) -> None:
        self.worst, self.hit = 0.0, 0
        self._took = self._began = 0.0
        gc.callbacks.append(self._heard)

    def begin(self) -> None:
        """Something begins."""
        self._took = 0.0

    def end(self) -> None:
        """It has ended."""
        self.worst = max(self.worst, self._took)
        self.hit += self._took > 0

    def _heard(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._took += time.perf_counter() - self._began


def main(seconds: int = 900) -> None:
    """Print the times as shares of their limits, and what is resident."""
    rng = np.random.default_rng(4)
    past = 100 + rng.random((_SYMBOLS, len(_PAST))).round(4)
    print(f"alert engine: {_SYMBOLS:,} symbols, 20 rules over {len(_LENGTHS)} windows, Python {sys.version.split()[0]}")
    _whole(rng)
    engine = _windows(past, rng)
    print(f"  the windows alone, an average each: median {1000 * engine:7.2f} ms")
    sql = _sql(past)
    for name, took in sql.items():
        print(f"    SQL, {name:>3}: {1000 * took:7.0f} ms")
    times = sum(sql.values()) / engine
    print(f"    SQL takes {times:,.0f} times as long, {times / _TIMES:.1f} times the limit of {_TIMES} times")
    _one(rng)
    _memory(seconds)


def _whole(rng: np.random.Generator) -> None:
    """The whole evaluation of a batch, and its worst ones."""
    symbols = [f"S{n}" for n in range(_SYMBOLS)]
    checker = Checker(_rules())
    checker.watch(symbols)
    began = time.perf_counter()
    _fill(checker._windows, rng)
    print(f"  filling the windows took {time.perf_counter() - began:.0f} s")
    # The same prices come again: to write down new digits takes longer than to evaluate them.
    pool = [_batch(symbols, _NOW, 100 + rng.random(_SYMBOLS).round(4)) for _ in range(20)]
    wall, cpu, collected = [], [], _Collections()
    for n in range(-_SETTLE, _BATCHES):
        now = _NOW + timedelta(seconds=n)
        batch = Batch("coingecko", now, tuple(replace(tick, timestamp=now) for tick in pool[n % len(pool)].ticks))
        collected.begin()
        used = time.thread_time()
        took = _timed(lambda batch=batch: checker.check(batch))
        if n >= 0:
            cpu.append(time.thread_time() - used)
            wall.append(took)
            collected.end()
    _report("a whole evaluation", wall, _LIMIT, 1000, "ms")
    _report("a whole evaluation, CPU", cpu, _LIMIT, 1000, "ms")
    print(f"    of it the garbage collector at most {1000 * collected.worst:.1f} ms in one, in {collected.hit} of them")


def _fill(windows: Windows, rng: np.random.Generator) -> None:
    """A day of every symbol's ticks, up to where the batches begin."""
    ago = _SETTLE + np.concatenate([np.arange(_DAY, _HOUR, -60), np.arange(_HOUR, 0, -1)])
    times = _microseconds(_NOW) - ago * _SECOND
    for row in windows.rows.values():
        prices = 100 + rng.random(len(times)).round(4)
        windows.load(row, times, np.array([prices, np.full(len(times), 1e9), np.full(len(times), 2e9)]))


def _windows(past: np.ndarray, rng: np.random.Generator) -> float:
    """The median time in which the engine gives every symbol's averages, and takes in a tick of each."""
    windows = Windows([Window(Statistic.AVG, "price", seconds) for seconds in _LENGTHS.values()])
    rows = np.array([windows.row(f"S{n}") for n in range(_SYMBOLS)])
    times = _microseconds(_NOW) - _PAST * _SECOND
    began = time.perf_counter()
    for row, prices in zip(rows.tolist(), past, strict=True):
        windows.load(row, times, np.array([prices, prices, prices]))
    print(f"  loading {past.size:,} ticks of history takes {time.perf_counter() - began:.1f} s")
    took = []
    for n in range(_OF_WINDOWS):
        values = 100 + rng.random((len(FIELDS), _SYMBOLS)).round(4)
        now = np.full(_SYMBOLS, _microseconds(_NOW) + n * _SECOND)
        took.append(_timed(lambda now=now, values=values: windows.take(rows, now, values)))
    return statistics.median(took)


def _sql(past: np.ndarray) -> dict[str, float]:
    """The best of three times of one query a window."""
    text = io.StringIO()
    stamps = [(_NOW - timedelta(seconds=at)).isoformat() for at in _PAST.tolist()]
    for stamp, prices in zip(stamps, past.T.tolist(), strict=True):
        text.writelines(f"{stamp}\tS{n}\t{price}\n" for n, price in enumerate(prices))
    text.seek(0)
    took = {}
    with started(available()[0]) as dsn, closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE ticks (at timestamptz, symbol text, price double precision)")
        cursor.copy_expert("COPY ticks FROM STDIN", text)
        cursor.execute("ALTER TABLE ticks ADD PRIMARY KEY (symbol, at); CREATE INDEX ON ticks (at); ANALYZE ticks")
        for name, seconds in _LENGTHS.items():
            query = "SELECT symbol, avg(price) FROM ticks WHERE at >= %s AND at < %s GROUP BY symbol"
            values = (_NOW - timedelta(seconds=seconds), _NOW)
            took[name] = min(_timed(lambda q=query, v=values: _fetched(cursor, q, v)) for _ in range(3))
    return took


def _fetched(cursor: psycopg2.extensions.cursor, query: str, values: Sequence[datetime]) -> None:
    cursor.execute(query, values)
    assert len(cursor.fetchall()) == _SYMBOLS


def _one(rng: np.random.Generator) -> None:
    """A tick of one symbol by itself."""
    checker = Checker(_rules())
    checker.watch(["BTC"])
    _fill(checker._windows, rng)
    wall, cpu = [], []
    for n, price in enumerate(100 + rng.random(_SETTLE + 3600).round(4), start=-_SETTLE):
        batch = _batch(["BTC"], _NOW + timedelta(seconds=n), [price])
        used = time.thread_time()
        wall.append(_timed(lambda batch=batch: checker.check(batch)))
        cpu.append(time.thread_time() - used)
    _report("a tick of one symbol", wall[_SETTLE:], _LIMIT_ONE, 1e6, "us")
    _report("a tick of one symbol, CPU", cpu[_SETTLE:], _LIMIT_ONE, 1e6, "us")


def _report(what: str, took: Sequence[float], limit: float, scale: float, unit: str) -> None:
    median, worst, most = (float(np.percentile(took, of)) for of in (50, 99, 100))
    print(f"  {what}: median {scale * median:.2f} {unit}, p99 {scale * worst:.2f}, most {scale * most:.2f}", end="; ")
    print(f"{median / limit:.2f} and {worst / limit:.2f} of the limit of {scale * limit:.0f} {unit}")


def _memory(seconds: int) -> None:
    """What a process of its own has resident, in which every symbol ticks every second."""
    print(f"  a tick a second for {seconds:,} s, a window of 24 hours:")
    process = multiprocessing.get_context("spawn").Process(target=_grow, args=(seconds,))
    process.start()
    process.join()


def _grow(seconds: int) -> None:
    windows = Windows([Window(Statistic.AVG, "price", 86400)])
    rows = np.array([windows.row(f"S{n}") for n in range(_SYMBOLS)])
    rng, process, begin = np.random.default_rng(5), psutil.Process(), _microseconds(_NOW)
    for n in range(seconds):
        values = rng.random((len(FIELDS), _SYMBOLS))
        windows.take(rows, np.full(_SYMBOLS, begin + n * _SECOND), values)
        if (n + 1) % max(1, seconds // 8) == 0:
            rss = process.memory_info().rss
            share = rss / _LIMIT_RSS
            print(f"    after {n + 1:6,} s: {rss / 1e6:6.0f} MB, {share:.2f} of the limit of 1,500 MB", flush=True)


def _batch(symbols: Sequence[str], at: datetime, prices: Sequence[float] | np.ndarray) -> Batch:
    volume, cap = Decimal(1_000_000_000), Decimal(2_000_000_000)
    ticks = (
        Tick(symbol, at, Decimal(f"{price:.4f}"), volume, cap, at, "coingecko")
        for symbol, price in zip(symbols, prices, strict=True)
    )
    return Batch("coingecko", at, tuple(ticks))


def _rules() -> RuleSet:
    conditions = (
        "abs(price / avg(price, {0}) - 1) > 2%",
        "volume > 1.5 * avg(volume, {0})",
        "price > 1.02 * max(price, {0})",
        "abs(zscore(price, {0})) > 20",
    )
    text = "".join(
        f'[[rule]]\nname = "rule-{n}-{window}"\nwhen = "{when.format(window)}"\n'
        for window in _LENGTHS
        for n, when in enumerate(conditions)
    )
    return rules_file.parse(text, "rules", default_market="coingecko")


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
