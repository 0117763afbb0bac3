"""Bars of an exchange as ticks: what a candle of theirs says, put where a candle of ours takes the same from it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from app.model import Tick

_LAST = timedelta(milliseconds=1)


def bar_ticks(
    symbol: str,
    begin: datetime,
    length: timedelta,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    fetched_at: datetime,
    source: str,
) -> list[Tick]:
    """A bar over ``[begin, begin + length)`` as ticks inside it, sorted by time; a flat one is a single tick.

    The open stands at the beginning, the close a millisecond before the end, high and low at a third and two thirds
    (the low first where the bar rises): whatever of our candles hold the whole bar have its open, high, low and close.
    The times of high and low are not known, these are a guess. A bar's volume is no ``volume_24h``, so that is None.
    """
    first, second = (low, high) if close > open else (high, low)
    points = [
        (begin, open),
        (begin + length / 3, first),
        (begin + length * 2 / 3, second),
        (begin + length - _LAST, close),
    ]
    if open == high == low == close:
        del points[1:]
    return [Tick(symbol, time, price, None, None, fetched_at, source, origin="backfill") for time, price in points]
