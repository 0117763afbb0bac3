"""What CoinGecko says of a paid plan, at ``/key``."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.config import Settings
from app.errors import ProviderUnavailable
from app.limits import PlanFacts


def read_key(said: Any, settings: Settings) -> PlanFacts:
    """What is not set otherwise. A key may have less than its plan: the smaller limit holds, and who has less left.

    Raises ProviderUnavailable where it is no such reply.
    """
    if not isinstance(said, dict) or not (minutes := _limits(said, "rate_limit_request_per_minute")):
        raise ProviderUnavailable("coingecko: /key does not say how many calls a minute there are")
    minute = min(minutes) if settings.coingecko_calls_per_minute is None else None
    if settings.coingecko_calls_per_month is not None:
        return PlanFacts(minute)
    months = [
        (credits - spent, credits, spent)
        for prefix in ("", "api_key_")
        if (credits := _whole(said, f"{prefix}monthly_call_credit"))
        and (spent := _whole(said, f"{prefix}current_total_monthly_calls")) is not None
    ]
    if not months:
        return PlanFacts(minute)
    _, credits, spent = min(months)
    return PlanFacts(minute, credits, spent)


def _limits(said: Mapping[str, Any], name: str) -> list[int]:
    return [limit for prefix in ("", "api_key_") if (limit := _whole(said, f"{prefix}{name}"))]


def _whole(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    return int(value) if isinstance(value, Decimal) and value.is_finite() and 0 <= value < 10**12 else None
