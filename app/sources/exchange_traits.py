"""What differs from exchange to exchange, and what ccxt does not know of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Traits:
    """How one exchange is asked.

    ``by_name``: up to so many pairs are asked for by name, more by asking for all there are. ``all_at_once``: whether
    that is possible; else each pair is a call. ``kept_bars``: of each length only so many are kept, infinity for all;
    None where nobody knows.
    """

    id: str
    calls_per_minute: int
    all_at_once: bool = True
    by_name: int = 20
    kept_bars: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    for_pairs: Mapping[str, str] = field(default_factory=dict)
    """What is added to the call for the list of pairs."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """The common codes of assets that ccxt takes for others."""
    unknown_pair: str | None = None
    """What its errors contain where it does not know a pair, and ccxt does not know that it means that."""


CCXT_IDS: Mapping[str, str] = {
    # By that name ccxt means the broker's API, which wants a key.
    "coinbase": "coinbaseexchange",
}
"""The markets whose name is not ccxt's."""

_KNOWN: Mapping[str, Traits] = {
    # One call a second, with short bursts. An address with hundreds of pairs is answered with 520
    # (github.com/home-assistant/core/issues/142910), and a single unknown pair fails a call.
    "kraken": Traits(
        "kraken", 60, kept_bars=720, unknown_pair="EQuery:Unknown asset pair",
        codes={"XREP": "REPV1"},  # REP is what Kraken calls REPV2
    ),
    # 10 calls a second, bursts of 15. What it tells of all pairs at once (spark lines) are the closes of hours.
    "coinbaseexchange": Traits(
        "coinbaseexchange", 600, all_at_once=False, kept_bars=math.inf, unknown_pair="NotFound"
    ),
    # 6,000 of weight a minute: 2 for up to 20 pairs, 40 for up to 100, 80 for all. The list of pairs is far longer with
    # the names of all account groups that may trade each.
    "binance": Traits(
        "binance", 60, by_name=100, kept_bars=math.inf,
        options={"fetchCurrencies": False},
        for_pairs={"showPermissionSets": "false"},
    ),
}  # fmt: skip


def traits_of(api: Any) -> Traits:
    """Those of the exchange that ccxt's object ``api`` is for; of one we do not know, what ccxt says of it."""
    known = _KNOWN.get(api.id)
    if known is not None:
        return known
    per_minute = math.ceil(60_000 / api.rateLimit) if api.rateLimit else 60
    return Traits(api.id, min(per_minute, 600), all_at_once=bool(api.has.get("fetchTickers")))
