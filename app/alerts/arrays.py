"""The ticks of a batch as the rules' programs take them: numbers, and arrays of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from app.alerts.windows import FIELDS
from app.clock import microseconds
from app.model import Tick


def values_of(ticks: Sequence[Tick], fields: Collection[str]) -> NDArray[np.float64]:
    """By (field, tick), NaN where there is none, and of other fields than these."""
    values = np.full((len(FIELDS), len(ticks)), math.nan)
    if "price" in fields:
        values[0] = _floats([tick.price for tick in ticks])
    if "volume" in fields:
        values[1] = _floats([tick.volume_24h for tick in ticks])
    if "market_cap" in fields:
        values[2] = _floats([tick.market_cap for tick in ticks])
    return values


def number_of(value: Decimal | None) -> float:
    return math.nan if value is None else float(value)


def _floats(values: Sequence[Decimal | None]) -> NDArray[np.float64]:
    """As ``number_of`` of each."""
    try:
        return np.fromiter(map(float, values), np.float64, len(values))  # type: ignore[arg-type]
    except TypeError:  # one is None: rare, and looking for it takes long
        return np.fromiter(map(number_of, values), np.float64, len(values))


def times_of(ticks: Sequence[Tick]) -> NDArray[np.int64]:
    """As ``microseconds``, in half of the time, and of a time that all share, in almost none."""
    times = [tick.timestamp for tick in ticks]
    if times.count(times[0]) == len(times):
        return np.full(len(times), microseconds(times[0]))
    # A float of seconds is less than a quarter of a microsecond off, until 2106.
    seconds = np.fromiter(map(datetime.timestamp, times), np.float64, len(times))
    return np.rint(seconds * 1e6).astype(np.int64)


def turns(ticks: Sequence[Tick]) -> Sequence[Sequence[Tick]]:
    """The ticks in turns in each of which a symbol comes but once, in order."""
    turns: list[list[Tick]] = []
    count: dict[str, int] = {}
    for tick in ticks:
        turn = count.get(tick.symbol, 0)
        count[tick.symbol] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(tick)
    return turns
