"""What ccxt says of a pair, polled or streamed, read as a tick: the published digits, and the time of the event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from app import decode
from app.decode import AHEAD, EARLIEST, MOST_DIGITS, Unusable
from app.model import Lost, Tick

Ticker = Mapping[str, Any]
"""A ticker as ccxt shapes it: numbers are texts with the published digits; ``info`` is what the exchange sent."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_TIMES = ("timestamp", "time")  # where exchanges that write times as texts have that of an event
_EXACT = Context(prec=MOST_DIGITS)  # a product has the digits of both


def read(
    symbol: str, ticker: Ticker, received_at: datetime, source: str, now: datetime | None = None
) -> tuple[Tick | None, list[Lost]]:
    """The tick, and what of it could not be used. A pair that nobody trades makes no tick, and has lost nothing.

    ``received_at`` stands in for the time of an event that has none. Times are judged by ``now``, the exchange's clock;
    without one by ``received_at``.
    """
    now = now or received_at
    if is_dead(ticker, now):
        return None, []
    price = decode.amount(number(ticker.get("last")))
    if isinstance(price, Unusable):
        return None, [Lost(symbol, "price", f"it {price.reason}")]
    time = _time(ticker) or received_at
    if time < EARLIEST or time > now + AHEAD:
        reason = "is before 2009-01-03" if time < EARLIEST else "lies in the future"
        return None, [Lost(symbol, "timestamp", f"it {reason}")]
    volume = _volume(ticker, price)
    lost = [Lost(symbol, "volume_24h", f"it {volume.reason}")] if isinstance(volume, Unusable) else []
    known = None if isinstance(volume, Unusable) else volume
    return Tick(symbol, time, price, known, None, received_at, source), lost


def is_dead(ticker: Ticker, now: datetime) -> bool:
    """Whether nothing was traded for a day: its last price, if it ever had one, is of an unknown time."""
    if not _given(ticker.get("last")) or 0 in (number(ticker.get("baseVolume")), number(ticker.get("quoteVolume"))):
        return True
    time = _time(ticker)
    return time is not None and EARLIEST <= time < now - _DAY


def number(value: object) -> Decimal | Unusable:
    """A text with the digits of a number, as ccxt hands it on."""
    if value is None:
        return decode.MISSING
    try:
        found = Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except InvalidOperation:
        found = None
    return found if found is not None and found.is_finite() else Unusable("is no number")


def _given(value: object) -> bool:
    """ccxt leaves zeros out: that is how an exchange writes of a pair that was never traded."""
    return value is not None and number(value) != 0


def _volume(ticker: Ticker, price: Decimal) -> Decimal | Unusable | None:
    """In the quote currency: as published, else that in the base times its mean price, else times the last one."""
    published = number(ticker.get("quoteVolume"))
    if published == decode.MISSING:
        base, mean = number(ticker.get("baseVolume")), number(ticker.get("vwap"))
        if base == decode.MISSING:
            return None
        factor = mean if isinstance(mean := decode.amount(mean), Decimal) else price
        base = decode.amount(base)  # each by itself first: a product of any two may be no number at all
        published = _EXACT.multiply(base, factor) if isinstance(base, Decimal) else base
    return decode.amount(published)


def _time(ticker: Ticker) -> datetime | None:
    """That of the event. ccxt cuts it to milliseconds, and for some exchanges leaves it out."""
    info = ticker.get("info")
    texts = [info.get(key) for key in _TIMES] if isinstance(info, Mapping) else []
    exact = next((time for time in map(_written, texts) if time is not None), None)
    milliseconds = ticker.get("timestamp")
    if not isinstance(milliseconds, int):
        return exact
    try:
        rough = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return exact
    return exact if exact is not None and abs(exact - rough) < timedelta(milliseconds=1) else rough


def _written(text: object) -> datetime | None:
    if not isinstance(text, str) or "T" not in text:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
