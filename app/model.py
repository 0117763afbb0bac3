"""What the program talks about: symbols, instruments, ticks, batches, history, alerts (the words of the contract)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

_ASSET = r"[A-Z0-9][A-Z0-9.$_]{0,39}"
_SYMBOL = re.compile(rf"(?P<base>{_ASSET})(-(?P<quote>{_ASSET}))?(@(?P<market>[a-z0-9_]{{1,40}}))?", re.ASCII)

USD = "USD"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A base asset priced in a quote currency on a market, and the id its provider knows it by."""

    base: str
    quote: str
    market: str
    symbol: str
    provider_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A symbol that is or was watched, with the coin that it means.

    ``former_ids``: by which its provider knew the coin before. ``delisted_at``: since when the provider lists it no
    more, None where it does; ``looked_up_at``: when its list was last looked through for it.
    """

    instrument: Instrument
    watched: bool = True
    former_ids: frozenset[str] = frozenset()
    delisted_at: datetime | None = None
    looked_up_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about a symbol's coin.

    ``why``: ``renamed`` where its provider may know it by another id now, ``chosen`` where the watch list may mean
    another coin.
    """

    symbol: str
    provider_id: str
    name: str | None = None
    is_delisted: bool = False
    why: Literal["renamed", "chosen"] = "renamed"


def symbol_of(base: str, quote: str, market: str, default_market: str) -> str:
    """The one text key: ``BASE[-QUOTE][@MARKET]``, without the quote for USD and the market for the default one."""
    text = base if quote == USD else f"{base}-{quote}"
    return text if market == default_market else f"{text}@{market}"


def parse_symbol(text: str, *, default_market: str, default_quote: str = USD) -> tuple[str, str, str] | None:
    """Split a symbol, written in any case, into base, quote and market. None if it is not a symbol."""
    pair, at, market = text.strip().partition("@")
    match = _SYMBOL.fullmatch(pair.upper() + at + market.lower())
    # Outside ASCII there are letters that become one of ours in another case, such as the long s.
    if match is None or not text.isascii():
        return None
    return match["base"], match["quote"] or default_quote, match["market"] or default_market


@dataclass(slots=True, unsafe_hash=True)  # never changed all the same; frozen would take thrice as long to make
class Tick:
    """One observation of one symbol, exactly as the source published it.

    ``timestamp`` is the time the source gives the observation, the fetch time where it gives none; ``fetched_at`` is
    when the reply was complete here. Both aware, UTC. ``price``, ``volume_24h`` (a gauge: the rolling 24-hour volume)
    and ``market_cap`` are in the quote currency, None where the source published nothing usable. ``markets``: how many
    markets are in a composite, None for what one market published.
    """

    symbol: str
    timestamp: datetime
    price: Decimal
    volume_24h: Decimal | None
    market_cap: Decimal | None
    fetched_at: datetime
    source: str
    origin: str = "live"
    markets: int | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """One published value that could not be used, and why. The rest of its batch stands."""

    symbol: str
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """A part of a reply that breaks the schema of its source: where it stood, why (without the value), its JSON.

    Its text is what a provider wrote, which may be anything: it is shown nowhere by itself.
    """

    source: str
    place: str
    reason: str
    text: str = field(repr=False)


Facts = Mapping[str, object]
"""What a provider says of an instrument beside its prices: names, ids, ranks, supplies; as JSON can hold it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The ticks that came in together in one reply, sorted by (timestamp, symbol), and the values that were lost.

    ``facts`` are by symbol.
    """

    source: str
    fetched_at: datetime
    ticks: tuple[Tick, ...]
    lost: tuple[Lost, ...] = ()
    facts: Mapping[str, Facts] = field(default_factory=dict)
    set_aside: tuple[SetAside, ...] = ()


def joined(batches: Sequence[Batch]) -> Batch:
    """Several replies of one source as one batch, complete when the last of them was."""
    if len(batches) == 1:
        return batches[0]
    return Batch(
        batches[-1].source,
        batches[-1].fetched_at,
        tuple(sorted((tick for batch in batches for tick in batch.ticks), key=lambda t: (t.timestamp, t.symbol))),
        tuple(value for batch in batches for value in batch.lost),
        {symbol: facts for batch in batches for symbol, facts in batch.facts.items()},
        tuple(part for batch in batches for part in batch.set_aside),
    )


@dataclass(frozen=True, slots=True)
class Page:
    """One call's worth of history: all that a provider knows of the time from ``begin`` to before ``end``.

    Its ticks have ``origin="backfill"``, distinct times for a symbol, and are sorted by (timestamp, symbol);
    ``resolution`` is the usual time from one point of the provider to the next.
    """

    ticks: tuple[Tick, ...]
    begin: datetime
    end: datetime
    resolution: timedelta


class State(StrEnum):
    """Where a rule stands for one symbol. Only FIRING and RESOLVED are written to alerts.txt."""

    INACTIVE = "INACTIVE"
    PENDING = "PENDING"  # true, but not yet for long enough
    FIRING = "FIRING"
    RECOVERING = "RECOVERING"  # not true any more, but not yet for long enough
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class Alert:
    """One line of alerts.txt: a rule began or ceased to fire for a symbol (or repeats itself while firing).

    ``terms`` are the distinct terms of the rule with their values as text, in the order written. ``id`` is shared by
    FIRING and RESOLVED of an episode; repeats append ``.2``, ``.3``. The pair (state, id) is unique for ever.
    ``channels``: the names of those it goes to beside alerts.txt, None for all.
    """

    id: str
    state: State
    timestamp: datetime
    symbol: str
    rule: str
    terms: tuple[tuple[str, str], ...]
    severity: str = ""
    channels: tuple[str, ...] | None = None

    @property
    def line(self) -> str:
        """The line as it stands in alerts.txt, without its newline."""
        time = self.timestamp.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        terms = [f"{term}={value}" for term, value in self.terms]
        return " ".join([time, self.state.value, self.symbol, self.rule, *terms, f"id={self.id}"])
