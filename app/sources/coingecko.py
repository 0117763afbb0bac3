"""CoinGecko: prices, volumes and caps of coins, averaged over many exchanges, in 63 currencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from app import decode
from app.clock import Clock
from app.config import Settings
from app.decode import MISSING, Unusable
from app.errors import ConfigurationError, ProviderUnavailable
from app.http import Http, Refusal, Reply
from app.limits import CallBudget, Ledger, PlanFacts, account_of
from app.model import Batch, Instrument, Lost, Page, SetAside, Tick
from app.sources.base import Limits, Source
from app.sources.coingecko_coins import CoinGeckoCoins
from app.sources.coingecko_history import FREE_REACH, History
from app.sources.coingecko_key import read_key
from app.sources.schema import Schema
from app.watch import Entry

_LONGEST_URL = 4000  # characters; some hundred ids


@dataclass(frozen=True, slots=True)
class Plan:
    """What a CoinGecko plan means: where to ask, how to show the key, how often."""

    root: str
    key_header: str | None
    limits: Limits


# Floors: what the replies say of the edge cache (s-maxage=60, recorded 2026-06-24), and for paid plans the docs (20 s).
PLANS: Mapping[str, Plan] = {
    # By IP address, shared with whoever has the same, unpublished; an older text says 5 to 15 a minute
    # (github.com/heyajohnny/cryptoinfo/issues/45). No count per month.
    "keyless": Plan("https://api.coingecko.com/api/v3", None, Limits(60, 5, 0)),
    # docs.coingecko.com/docs/errors-and-rate-limits says 100 a minute by now; 30, the older figure, is safe with both.
    # 10,000 credits a month: the pricing page, 2026-09-16.
    "demo": Plan("https://api.coingecko.com/api/v3", "x-cg-demo-api-key", Limits(60, 30, 10_000)),
    # The smallest paid plan (api-evangelist/coingecko, 2026-05); larger ones say theirs with COINGECKO_CALLS_PER_*.
    "pro": Plan("https://pro-api.coingecko.com/api/v3", "x-cg-pro-api-key", Limits(20, 250, 100_000)),
}
_OWN_HOSTS = frozenset(urlsplit(plan.root).hostname for plan in PLANS.values())

_SCHEMA = Schema("coingecko")

_ASK_FOR = {
    "include_market_cap": "true",
    "include_24hr_vol": "true",
    "include_last_updated_at": "true",
    "precision": "full",
}

# docs.coingecko.com/docs/errors-and-rate-limits; they come with 400, 401 or 403.
_ADVICE: Mapping[Decimal | int | None, str] = {
    10002: "the API key is missing or wrong; check COINGECKO_API_KEY",
    10005: "this is not part of your plan; check COINGECKO_PLAN, or change the plan",
    10010: "the key is one of a pro plan; set COINGECKO_PLAN=pro, and look at COINGECKO_BASE_URL",
    10011: "the key is one of the demo plan; set COINGECKO_PLAN=demo, and look at COINGECKO_BASE_URL",
    10012: "the time range is longer than your plan allows; shorten it, or change the plan",
}


def build(settings: Settings, clock: Clock, ledger: Ledger) -> CoinGecko:
    """The source that the settings describe. Raises ConfigurationError for a key that no header can carry."""
    plan = PLANS[settings.coingecko_plan]
    key = settings.coingecko_api_key.get_secret_value()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError("COINGECKO_API_KEY=********: has characters that no key has")
    root = (settings.coingecko_base_url or plan.root).rstrip("/")
    is_own, is_paid = urlsplit(root).hostname in _OWN_HOSTS, settings.coingecko_plan == "pro"
    limits = (plan.limits if is_own else Limits()).unless_set(
        settings.coingecko_calls_per_minute, settings.coingecko_calls_per_month
    )
    http = Http(
        CoinGecko.name,
        root,
        clock,
        secret_headers={plan.key_header: key} if plan.key_header else {},
        refusal=_refusal_of(settings.coingecko_plan),
    )
    budget = CallBudget.shared(
        CoinGecko.name,
        limits.calls_per_minute,
        limits.calls_per_month,
        clock,
        ledger,
        account=account_of(key, None if is_own else root),
        pace=settings.pace,
    )
    past = History(CoinGecko.name, clock, FREE_REACH if is_own and not is_paid else None)
    told = partial(read_key, settings=settings) if is_own and is_paid else None
    return CoinGecko(http, limits, budget, settings.source, past, told)


class CoinGecko(Source):
    """Asks /simple/price: any number of coins in any number of quotes with one call."""

    name: ClassVar[str] = "coingecko"
    coins: CoinGeckoCoins

    def __init__(
        self,
        http: Http,
        limits: Limits,
        budget: CallBudget,
        default_market: str,
        past: History | None = None,
        told: Callable[[Any], PlanFacts] | None = None,
    ) -> None:
        self._http, self._past, self._told = http, past, told
        self.limits, self.budget = limits, budget
        self.coins = CoinGeckoCoins(default_market, lambda path, query: self._get(path, query).data)

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        return self.coins.resolve(entries)

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        """By the length of the address; the quotes of a coin stay together, as its id is written once."""
        by_coin: dict[str | None, list[Instrument]] = {}
        for instrument in instruments:
            by_coin.setdefault(instrument.provider_id, []).append(instrument)
        chunks: list[list[Instrument]] = []
        length, quotes = 0, set[str]()
        for id_, coin in by_coin.items():
            more = len(quote(id_ or "", safe="")) + 1
            quotes |= {instrument.quote for instrument in coin}
            length += more
            if not chunks or length + sum(len(name) + 1 for name in quotes) > _LONGEST_URL:
                chunks.append([])
                quotes = {instrument.quote for instrument in coin}
                length = len(self._http.url("/simple/price", _query(()))) + more
            chunks[-1] += coin
        return [tuple(chunk) for chunk in chunks]

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        return read_prices(self._get("/simple/price", _query(chunk)), chunk)

    def history(self, instrument: Instrument, begin: datetime, end: datetime) -> Page:
        if self._past is None:
            return super().history(instrument, begin, end)
        return self._past.page(self._get_past, instrument, begin, end)

    def plan(self) -> PlanFacts:
        if self._told is None:
            return PlanFacts()
        with self.budget.call(0):
            return self._told(self._http.get("/key").data)

    def ping(self) -> str:
        said = self._get("/ping").data
        if not isinstance(said, dict) or not isinstance(said.get("gecko_says"), str):
            raise ProviderUnavailable(f"{self.name}: something answers at {self._http.root}, but it is no CoinGecko")
        return f"{self.name} answers at {self._http.root}"

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        with self.budget.call():
            return self._http.get(path, query)

    def _get_past(self, path: str, query: Mapping[str, str]) -> Reply:
        with self.budget.call(backfill=True):
            return self._http.get(path, query)


def read_prices(reply: Reply, chunk: Sequence[Instrument]) -> Batch:
    """The ticks of a /simple/price reply, each value on its own. Raises ProviderUnavailable if it is no such reply."""
    if not isinstance(reply.data, dict):
        raise ProviderUnavailable(f"{CoinGecko.name}: /simple/price should be an object, and is none")
    ticks: list[Tick] = []
    lost: list[Lost] = []
    for instrument in chunk:
        coin = reply.data.get(instrument.provider_id, MISSING)
        tick = _tick(instrument, coin, reply, lost)
        if tick is not None:
            ticks.append(tick)
    ticks.sort(key=lambda tick: (tick.timestamp, tick.symbol))
    return Batch(CoinGecko.name, reply.received_at, tuple(ticks), tuple(lost), set_aside=_set_aside(reply.data, chunk))


def _set_aside(coins: Mapping[str, Any], chunk: Sequence[Instrument]) -> tuple[SetAside, ...]:
    """What CoinGecko never published in this form before, of the coins that were asked for."""
    asked = dict.fromkeys(instrument.provider_id or "" for instrument in chunk)
    violations = (_SCHEMA.check("coin", id_, coins[id_]) for id_ in asked if id_ in coins)
    return tuple(violation for violation in violations if violation is not None)


def _tick(instrument: Instrument, coin: Any, reply: Reply, lost: list[Lost]) -> Tick | None:
    symbol, key = instrument.symbol, instrument.quote.lower()
    if not isinstance(coin, dict):
        reason = coin.reason if isinstance(coin, Unusable) else "is no object"
        lost.append(Lost(symbol, "price", f"the coin {reason}"))
        return None

    def usable(field: str, value: Decimal | Unusable) -> Decimal | None:
        if isinstance(value, Unusable):
            lost.append(Lost(symbol, field, f"it {value.reason}"))
            return None
        return value

    price = usable("price", decode.amount(coin.get(key, MISSING)))
    time = _time(coin.get("last_updated_at"), reply)
    if isinstance(time, Unusable):
        lost.append(Lost(symbol, "timestamp", f"it {time.reason}"))
        return None
    if price is None:
        return None
    return Tick(
        symbol,
        time,
        price,
        usable("volume_24h", decode.amount(coin.get(f"{key}_24h_vol", MISSING))),
        usable("market_cap", decode.amount(coin.get(f"{key}_market_cap", MISSING))),
        reply.received_at,
        CoinGecko.name,
    )


def _time(published: object, reply: Reply) -> datetime | Unusable:
    return reply.received_at if published is None else decode.unix_time(published, reply.now)


def _query(chunk: Sequence[Instrument]) -> dict[str, str]:
    """No spaces: CoinGecko drops, silently, what stands behind one."""
    ids = dict.fromkeys(instrument.provider_id or "" for instrument in chunk)
    quotes = dict.fromkeys(instrument.quote.lower() for instrument in chunk)
    return {"ids": ",".join(ids), "vs_currencies": ",".join(quotes), **_ASK_FOR}


def _refusal_of(plan: str) -> Refusal:
    def advice(status: int, body: bytes) -> str | None:
        if known := _ADVICE.get(_error_code(body)):
            return known
        if status not in (401, 403):
            return None
        if plan == "keyless":
            return "calls without a key are not taken from here; get a free key, set COINGECKO_PLAN=demo and the key"
        return "check COINGECKO_API_KEY and COINGECKO_PLAN, and whether CoinGecko blocks your address"

    return advice


def _error_code(body: bytes) -> Decimal | None:
    """The ``error_code``, which stands at the top, in ``status``, or in ``status`` in ``error``."""
    try:
        place = decode.parse(body)
    except ValueError:
        return None
    while isinstance(place, dict):
        if isinstance(place.get("error_code"), Decimal):
            return Decimal(place["error_code"])
        place = place.get("error", place.get("status"))
    return None
