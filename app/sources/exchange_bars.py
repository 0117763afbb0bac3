"""The history of an exchange: its bars (OHLC, klines, candles), the finest that it still has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app import decode
from app.bars import bar_ticks
from app.errors import OutOfReach
from app.model import Instrument, Page, Tick
from app.sources.exchange_api import Api
from app.sources.exchange_ticker import number

_LENGTHS = {"1m": timedelta(minutes=1), "5m": timedelta(minutes=5), "1h": timedelta(hours=1)}
"""By ccxt's names, the finest first: what is coarser says too little about an hour."""

_BARS_A_CALL = 100  # where ccxt does not know
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class _Span:
    """Bars of one length that one call can give: from ``begin`` to before ``end``, both between two bars."""

    name: str
    length: timedelta
    begin: datetime
    end: datetime


def page(api: Api, instrument: Instrument, pair: str, begin: datetime, end: datetime) -> Page:
    """As ``Source.history``. Bars that are not finished are none yet; those without a trade tell nothing.

    ``pair``: ccxt's name. Where it is not known how much the exchange keeps, what lies before its first bar is out of
    reach.
    """
    if not api.ccxt.has.get("fetchOHLCV"):
        raise OutOfReach(f"{api.market} has no history to ask for")
    for span in _spans(api, begin, end):
        rows = api.ccxt.fetch_ohlcv(
            pair, span.name, since=(span.begin - _EPOCH) // _MILLISECOND, limit=(span.end - span.begin) // span.length
        )
        until = min(span.end, _floor(api.their_now, span.length))
        bars = [(start, row) for row in rows if span.begin <= (start := _start(row)) < until]
        if not bars and api.traits.kept_bars is None:
            continue
        first = span.begin if api.traits.kept_bars is not None else bars[0][0]
        return _page(api, instrument, span, bars, max(begin, first), max(begin, min(end, until)))
    if _floor(api.their_now, _LENGTHS["1m"]) <= begin:
        return Page((), begin, begin, _LENGTHS["1m"])
    raise OutOfReach(f"{api.market} keeps no bars of {pair} that are so old")


def _spans(api: Api, begin: datetime, end: datetime) -> Iterator[_Span]:
    """What can be asked for, the finest bars first, up to the last finished one."""
    features = (api.ccxt.features or {}).get("spot") or {}
    at_once = int((features.get("fetchOHLCV") or {}).get("limit") or _BARS_A_CALL)
    for name, length in _LENGTHS.items():
        if name not in (api.ccxt.timeframes or {}):
            continue
        now = _floor(api.clock.now(), length)
        last = min(-_floor_down(-(end - _EPOCH), length), now - _EPOCH)
        first = max(_floor_down(begin - _EPOCH, length), last - at_once * length)
        kept = api.traits.kept_bars
        if kept is not None and kept != math.inf:
            first = max(first, now - _EPOCH - (int(kept) - 1) * length)  # the unfinished bar is one of them
        if first < last:
            yield _Span(name, length, _EPOCH + first, _EPOCH + last)


def _page(
    api: Api,
    instrument: Instrument,
    span: _Span,
    bars: Sequence[tuple[datetime, Any]],
    begin: datetime,
    end: datetime,
) -> Page:
    ticks: dict[datetime, Tick] = {}
    for start, row in bars:
        prices = [decode.amount(number(value)) for value in row[1:5]]
        if number(row[5]) == 0 or not all(isinstance(price, Decimal) for price in prices):
            continue
        open_, high, low, close = (price for price in prices if isinstance(price, Decimal))
        for tick in bar_ticks(
            instrument.symbol, start, span.length, open_, high, low, close, api.received_at, api.market
        ):
            if begin <= tick.timestamp < end:
                ticks.setdefault(tick.timestamp, tick)
    return Page(tuple(ticks[time] for time in sorted(ticks)), begin, end, span.length)


def _start(row: Sequence[Any]) -> datetime:
    return _EPOCH + int(row[0]) * _MILLISECOND


def _floor(time: datetime, length: timedelta) -> datetime:
    return _EPOCH + _floor_down(time - _EPOCH, length)


def _floor_down(since: timedelta, length: timedelta) -> timedelta:
    return since // length * length
