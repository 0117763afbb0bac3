"""CoinGecko's history: points in five minutes for a day, in an hour for ninety, and a year of it for free."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import median
from urllib.parse import quote

from app import decode
from app.clock import Clock
from app.decode import AHEAD, EARLIEST, Unusable
from app.errors import OutOfReach, ProviderRefused, ProviderUnavailable, RateLimited
from app.http import Reply
from app.model import Instrument, Page, Tick

Ask = Callable[[str, Mapping[str, str]], Reply]
"""Makes one call: a path, and its parameters."""

FREE_REACH = timedelta(days=365)
"""How far back those without a paid plan may ask."""

_FINE, _COARSE, _COARSEST = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
_FINE_FOR, _COARSE_FOR = timedelta(days=1), timedelta(days=90)
_MARGIN = timedelta(minutes=10)  # at the end of what is to be had: a call takes time, and clocks differ
_FEW = 4  # points
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What will not be there another time either. All else may be: a wrong plan is a 400, and so is much that others say.
_NO_SUCH = re.compile(r"HTTP 404\b.*\bcoin not found\b|HTTP 400\b.*\binvalid vs_currency\b")
_TOO_LONG_AGO = re.compile(r'"error_code":\s*10012\b')


class History:
    """Asks /market_chart for the last day, /market_chart/range for what is older.

    ``reach``: how far back the plan lets one ask, None without a limit. (Asking further costs a call and is refused.)
    """

    def __init__(self, source: str, clock: Clock, reach: timedelta | None) -> None:
        self._source, self._clock, self._reach = source, clock, reach

    def page(self, ask: Ask, instrument: Instrument, begin: datetime, end: datetime) -> Page:
        """What one call tells of the newest part of that time. Raises as ``Source.history`` does."""
        now = self._clock.now()
        if self._reach is not None:
            oldest = now - self._reach + _MARGIN
            if end <= oldest:
                raise OutOfReach(f"{self._source} shows {self._reach.days} days to those without a paid plan")
            begin = max(begin, oldest)
        path = f"/coins/{quote(instrument.provider_id or '', safe='')}/market_chart"
        query = {"vs_currency": instrument.quote.lower(), "precision": "full"}
        if end > now - _FINE_FOR + _MARGIN:
            begin, usual = max(begin, now - _FINE_FOR), _FINE
            reply = self._get(ask, path, {**query, "days": "1"})
        else:
            begin, usual = max(begin, end - _COARSE_FOR), _COARSE
            span = {"from": str(int(begin.timestamp())), "to": str(int(end.timestamp()))}
            reply = self._get(ask, f"{path}/range", {**query, **span})
        return read_chart(reply, instrument, self._source, begin, end, usual)

    def _get(self, ask: Ask, path: str, query: Mapping[str, str]) -> Reply:
        try:
            return ask(path, query)
        except RateLimited:
            raise
        except ProviderRefused as error:
            if _TOO_LONG_AGO.search(str(error)):
                raise OutOfReach(str(error)) from None
            raise
        except ProviderUnavailable as error:
            if _NO_SUCH.search(str(error)) or _TOO_LONG_AGO.search(str(error)):
                raise OutOfReach(str(error)) from None
            raise


def read_chart(
    reply: Reply, instrument: Instrument, source: str, begin: datetime, end: datetime, usual: timedelta
) -> Page:
    """The points of a market_chart within that time; ``usual`` is their distance where they are too few to tell.

    Their last one is "now", off the grid, and may come after one that is newer. Raises ProviderUnavailable if it is no
    such reply.
    """
    data = reply.data
    if not isinstance(data, dict) or not isinstance(data.get("prices"), list):
        raise ProviderUnavailable(f"{source}: market_chart should be an object with prices, and is none")
    prices, volumes, caps = (_points(data.get(key), reply) for key in ("prices", "total_volumes", "market_caps"))
    times = sorted(prices)
    resolution = _resolution(times) or usual
    # It may not know the newest yet.
    known = min(end, max(begin, times[-1] + resolution)) if times else end
    ticks = [
        Tick(
            instrument.symbol,
            time,
            prices[time],
            volumes.get(time),
            caps.get(time),
            reply.received_at,
            source,
            origin="backfill",
        )
        for time in times
        if begin <= time < end
    ]
    return Page(tuple(ticks), begin, known, resolution)


def _resolution(times: Sequence[datetime]) -> timedelta | None:
    """That of CoinGecko's three which the points come nearest to; they jitter. None where they are too few to tell."""
    if len(times) < _FEW:
        return None
    typical = timedelta(seconds=median((later - earlier).total_seconds() for earlier, later in pairwise(times)))
    return min((_FINE, _COARSE, _COARSEST), key=lambda each: max(each / typical, typical / each))


def _points(values: object, reply: Reply) -> dict[datetime, Decimal]:
    """The values that can be used, by their times; of two at the same time the first."""
    found: dict[datetime, Decimal] = {}
    for point in values if isinstance(values, list) else []:
        if not isinstance(point, list) or len(point) != 2:
            continue
        time, amount = _time(point[0], reply.now), decode.amount(point[1])
        if time is not None and not isinstance(amount, Unusable):
            found.setdefault(time, amount)
    return found


def _time(value: object, now: datetime) -> datetime | None:
    """UNIX milliseconds as an aware UTC time; None for what is none, or lies before 2009 or after the reply."""
    if not isinstance(value, Decimal) or not value.is_finite() or value != value.to_integral_value():
        return None
    earliest, latest = ((time - _EPOCH) // _MILLISECOND for time in (EARLIEST, now + AHEAD))
    return _EPOCH + int(value) * _MILLISECOND if earliest <= value <= latest else None
