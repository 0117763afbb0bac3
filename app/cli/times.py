"""Times and lengths of time as commands take and show them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from app.errors import ConfigurationError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time(option: str, text: str) -> datetime:
    """A time in ISO 8601, UTC unless it says otherwise. Raises ConfigurationError, naming the option."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{option}={text}: should be a time in ISO 8601, like 2026-11-22T10:15:00Z (UTC unless it says otherwise)"
        ) from None


def parse_length(option: str, text: str) -> timedelta:
    """A length of time as rules have it, not zero. Raises ConfigurationError, naming the option."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    length = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if not length:
        raise ConfigurationError(f"{option}={text}: should be a length of time, like 30s, 90m, 2h or 7d")
    return length


def shown(time: datetime) -> str:
    """To the second, UTC."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
