"""Transfers: 100,000 transactions, from JSON to the answer as JSON. ``python -m bench.transfers``

First as people have them: a year in 12 wallets and 10 assets, many amounts round, some with a fee, one in five without
a counterpart; and the same in a month with a tolerance. Then what was made to take long: one amount only, in one window
or at one time, between two wallets or all over three. ``CPU`` is what the thread itself used: on a machine that others
use too, less than the wall shows.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from decimal import Decimal

import psutil

from app.transfers.collector import resting
from app.transfers.document import document
from app.transfers.matching import detect
from app.transfers.reading import from_json
from app.transfers.transaction import Terms

_COUNT, _LIMIT = 100_000, 5.0
_NOW, _HOUR, _DAY = 1_790_000_000, 3600, 86_400

Rows = list[list[object]]


def as_people_have_them(days: int) -> Rows:
    """Transfers that take up to an hour, of which one end or the other may be missing."""
    chance, rows = random.Random(6), Rows()
    for number in range(_COUNT * 5 // 9):  # a tenth of the outs is missing, and of the ins
        source, target = chance.sample(range(12), 2)
        left = _NOW + chance.randrange(days * _DAY)
        cents = chance.choice((100, 5_000, 100_000)) if chance.random() < 0.2 else int(10 ** chance.uniform(2, 8))
        asset, fee = f"A{chance.randrange(10)}", 10 * (cents > 100 and chance.random() < 0.3)
        kept = chance.random()
        if kept > 0.1:
            rows.append([f"o{number}", f"w{source}", left, "out", f"{cents / 100:.2f}", asset, fee / 100])
        if kept < 0.9:
            came = left + chance.randrange(_HOUR)
            rows.append([f"i{number}", f"w{target}", came, "in", f"{(cents - fee) / 100:.2f}", asset])
    chance.shuffle(rows)
    return rows[:_COUNT]


def of_one_amount(wallet: Callable[[random.Random, bool], str], seconds: int) -> Rows:
    """Half of them outs, all within so many seconds."""
    chance, rows = random.Random(6), Rows()
    for number in range(_COUNT):
        out = number % 2 == 0
        at = _NOW + chance.randrange(seconds)
        rows.append([f"t{number}", wallet(chance, out), at, "out" if out else "in", 5])
    return rows


def _measure(title: str, rows: Rows, terms: Terms | None = None) -> None:
    text = json.dumps(rows)
    wall, cpu = time.perf_counter(), time.thread_time()
    with resting():
        found = detect(from_json(text), terms or Terms())
        size = len(json.dumps(document(found)))
    wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
    print(
        f"  {title:<44} {wall:5.2f} s, CPU {cpu:5.2f} s, {cpu / _LIMIT:4.2f} of the limit;"
        f" {len(found.transfers):,} transfers, {len(found.ambiguous):,} ambiguous, {len(found.left_over):,} left over,"
        f" {size / 1e6:.1f} MB"
    )


def main() -> None:
    """Print a line each."""
    print(f"Transfers among {_COUNT:,} transactions; the limit is {_LIMIT:.0f} s")
    _measure("a year of transfers", as_people_have_them(365))
    _measure("a month, tolerance 0.5 %", as_people_have_them(30), Terms(tolerance=Decimal("0.005")))
    _measure("one amount, a day, from A to B", of_one_amount(lambda _, out: "A" if out else "B", _DAY))
    _measure("one amount, one second, from A to B", of_one_amount(lambda _, out: "A" if out else "B", 1))
    _measure("one amount, a day, among A, B and C", of_one_amount(lambda chance, _: chance.choice("ABC"), _DAY))
    print(f"  resident at the end: {psutil.Process().memory_info().rss / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
