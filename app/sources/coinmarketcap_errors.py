"""What CoinMarketCap's refusals mean. Each body has a ``status``, also one that comes with HTTP 200.

Codes and texts: coinmarketcap.com/api/documentation, errors and rate limits; and what users of it were answered.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app.errors import ProviderRefused, ProviderUnavailable, RateLimited
from app.sources.coinmarketcap_replies import whole

MINUTE_LIMIT, DAY_LIMIT, MONTH_LIMIT, ADDRESS_LIMIT = 1008, 1009, 1010, 1011
_MINUTE = 60.0  # seconds after which a minute's limit is over, where no Retry-After says it

_ADVICE: Mapping[int, str] = {
    1001: "the API key is not valid; check COINMARKETCAP_API_KEY",
    1002: "the API key is missing; set COINMARKETCAP_API_KEY",
    1003: "the API key's plan has yet to be paid or activated; do that in your CoinMarketCap account",
    1004: "the API key's plan has expired; renew it in your CoinMarketCap account",
    1005: "calls without a key are not taken for this; get a free key and set COINMARKETCAP_API_KEY",
    1006: "this is not part of the API key's plan; change the plan",
    1007: "the API key is disabled; ask CoinMarketCap's support, or set another COINMARKETCAP_API_KEY",
    401: "check COINMARKETCAP_API_KEY",
    402: "the API key's plan is not paid; look into your CoinMarketCap account",
    403: "check COINMARKETCAP_API_KEY and its plan, and whether CoinMarketCap blocks your address",
}
_LIMITS: Mapping[int, str] = {
    MINUTE_LIMIT: "too many calls in this minute",
    DAY_LIMIT: "the credits of this day are spent",
    MONTH_LIMIT: "the credits of this month are spent",
    ADDRESS_LIMIT: "too many calls from this address",
    429: "too many calls",
}
_INVALID = re.compile(r'Invalid values? for "(?P<what>\w+)"(: "(?P<values>[^"]*)")?')
_ONE_QUOTE = re.compile(r"limited to \d+ convert")

Refusal = ProviderUnavailable | ProviderRefused


class CreditsSpent(RateLimited):
    """No credit is left until the day or the month ends: asking earlier makes no sense at all."""

    of_month = False


class OneQuote(ProviderUnavailable):
    """The plan takes one currency a call: the free one, and the calls without a key."""


class UnknownTickers(ProviderUnavailable):
    """Some of the tickers that were asked for are nobody's; which, if the reply says it."""

    def __init__(self, message: str, tickers: Collection[str]) -> None:
        super().__init__(message)
        self.tickers = frozenset(tickers)


@dataclass(frozen=True, slots=True)
class Status:
    """The ``status`` of a reply; ``code`` is 0 where nothing is wrong, ``credits`` its cost, if it says so."""

    code: int = 0
    message: str = ""
    credits: int | None = None


def status_of(document: object) -> Status:
    """Tolerant: codes come as numbers and as strings ("0"), or are null."""
    said = document.get("status") if isinstance(document, dict) else None
    if not isinstance(said, dict):
        return Status()
    code, message = said.get("error_code"), said.get("error_message")
    if isinstance(code, str) and re.fullmatch(r"[0-9]{1,9}", code):
        code = Decimal(code)
    return Status(whole(code) or 0, message if isinstance(message, str) else "", whole(said.get("credit_count")))


def error_of(status: Status, said: str, shown: str, wait: float | None, now: datetime) -> Refusal | None:
    """The error that a status means, None for one that says nothing more than its HTTP status.

    ``said`` begins its text, ``shown`` ends it; ``wait`` are the seconds of a Retry-After header.
    """
    code = status.code
    if code in _LIMITS:
        return _limit(code, f"{said}, {_LIMITS[code]}", shown, wait, now)
    if _ONE_QUOTE.search(status.message):
        return OneQuote(f"{said}, the plan takes one currency a call{shown}")
    if code in _ADVICE:
        return ProviderRefused(f"{said}, refused: {_ADVICE[code]}{shown}")
    if match := _INVALID.search(status.message):
        if match["what"] == "convert":
            return ProviderRefused(f"{said}, refused: change the quote in WATCH, or QUOTE{shown}")
        if match["what"] == "symbol":
            return UnknownTickers(f"{said}{shown}", (match["values"] or "").upper().split(","))
    return None


def _limit(code: int, text: str, shown: str, wait: float | None, now: datetime) -> RateLimited:
    if code not in (DAY_LIMIT, MONTH_LIMIT):
        return RateLimited(f"{text}{shown}", _MINUTE if wait is None and code != 429 else wait)
    # By the calendar in UTC, as for the free plan. Paid months begin when they were bought, which /v1/key/info tells.
    end = end_of_month(now) if code == MONTH_LIMIT else _midnight(now) + timedelta(days=1)
    seconds = max(wait or 0.0, (end - now).total_seconds())
    error = CreditsSpent(f"{text}; new ones come in {seconds / 3600:.1f} hours{shown}", seconds)
    error.of_month = code == MONTH_LIMIT
    return error


def end_of_month(now: datetime) -> datetime:
    """When the calendar's month ends, in UTC."""
    return (_midnight(now).replace(day=1) + timedelta(days=32)).replace(day=1)


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
