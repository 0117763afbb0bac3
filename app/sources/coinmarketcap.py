"""CoinMarketCap: prices, volumes and caps of coins, averaged over many exchanges, in currencies and other coins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from app import decode, log
from app.clock import Clock
from app.config import Settings
from app.errors import ConfigurationError, ProviderRefused, ProviderUnavailable, RateLimited
from app.http import Http, Reply, retry_after
from app.limits import CallBudget, Ledger, PlanFacts, account_of
from app.model import Batch, Instrument, Lost, joined
from app.sources.base import Limits, Source
from app.sources.coinmarketcap_coins import CoinMarketCapCoins
from app.sources.coinmarketcap_errors import CreditsSpent, OneQuote, end_of_month, error_of, status_of
from app.sources.coinmarketcap_replies import NAME, KeyInfo, key_info, read_quotes, whole
from app.watch import Entry

ROOT = "https://pro-api.coinmarketcap.com"
KEYLESS = "/public-api"  # stands before each path of a call without a key
_QUOTES = "/v3/cryptocurrency/quotes/latest"
_KEY_INFO = "/v1/key/info"
_COINS_A_CALL = 100  # for one credit
_PRICES_A_CALL = 2000  # what the coins make in all quotes: a reply of one and a half megabytes

# Quotes are renewed every 60 s. The free plan: 30 calls a minute; 10,000 credits a month in the older texts, 15,000 in
# newer ones; a larger plan says its limits at /v1/key/info. Calls without a key are limited by address, unpublished.
_WITH_KEY = Limits(60, 30, 10_000)
_KEYLESS = Limits(60, 5, 0)

_log = log.get(__name__)


def build(settings: Settings, clock: Clock, ledger: Ledger) -> CoinMarketCap:
    """The source that the settings describe. Raises ConfigurationError for a key that no header can carry."""
    key = settings.coinmarketcap_api_key.get_secret_value()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError("COINMARKETCAP_API_KEY=********: has characters that no key has")
    root = settings.base_url(NAME) or ROOT
    is_own = urlsplit(root).hostname == urlsplit(ROOT).hostname
    if is_own and not key and not root.endswith(KEYLESS):
        root += KEYLESS
    own = (_WITH_KEY if key else _KEYLESS) if is_own else Limits()
    limits = own.unless_set(settings.coinmarketcap_calls_per_minute, settings.coinmarketcap_credits_per_month)
    budget = CallBudget.shared(
        NAME,
        limits.calls_per_minute,
        limits.calls_per_month,
        clock,
        ledger,
        account=account_of(key, None if is_own else root),
        pace=settings.pace,
    )
    return CoinMarketCap(_Http(root, clock, key), limits, budget, clock, settings, is_own=is_own)


class CoinMarketCap(Source):
    """Asks quotes/latest for up to a hundred coins in all their quotes with one call, where the plan allows that."""

    name: ClassVar[str] = NAME
    coins: CoinMarketCapCoins

    def __init__(
        self, http: _Http, limits: Limits, budget: CallBudget, clock: Clock, settings: Settings, *, is_own: bool
    ) -> None:
        self._http, self._clock, self._settings = http, clock, settings
        self.limits, self.budget = limits, budget
        self._has_key, self._is_own = bool(settings.coinmarketcap_api_key.get_secret_value()), is_own
        self.coins = CoinMarketCapCoins(settings.source, self._data)
        self._one_quote = False
        self._spent_until: datetime | None = None
        self._round = (0, 0)  # calls with one quote each, and credits, that all chunks take

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        return self.coins.resolve(entries)

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        """A hundred coins each, those with the same quotes together: a call is paid for all coins in all quotes."""
        by_coin: dict[str | None, list[Instrument]] = {}
        for instrument in instruments:
            by_coin.setdefault(instrument.provider_id, []).append(instrument)
        chunks: list[list[Instrument]] = []
        for coin in sorted(by_coin.values(), key=_quotes):
            if not chunks or not _fits([*chunks[-1], *coin]):
                chunks.append([])
            chunks[-1] += coin
        self._round = sum(len(_quotes(chunk)) for chunk in chunks), sum(_credits(chunk) for chunk in chunks)
        return [tuple(chunk) for chunk in chunks]

    def interval(self, tick_seconds: float, calls: int) -> float:
        """As for every source, and no faster than the credits last: a call may cost several."""
        with_one_quote, credits = self._round
        if self._one_quote:
            calls = max(calls, with_one_quote)
        return max(super().interval(tick_seconds, calls), self.budget.pace(max(calls, credits)))

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        if len(_quotes(chunk)) > 1 and not self._one_quote:
            try:
                return self._ask(chunk)
            except OneQuote:
                self._one_quote = True
                _log.info(
                    "The CoinMarketCap plan takes one currency a call: each has a call of its own from now on.",
                    action="one_quote",
                )
        return self._ask_each_quote(chunk)

    def ping(self) -> str:
        where = f"{self.name} answers at {self._http.root}"
        if self._has_key:
            info = self._key_info()
            return (
                f"{where}; the plan has {info.per_minute} calls a minute and {info.per_month} credits a month, of which"
                f" {info.spent} are spent"
            )
        rows = self._data("/v1/cryptocurrency/map", {"limit": "1", "aux": "is_active"})
        if not (isinstance(rows, list) and rows and isinstance(rows[0], dict) and whole(rows[0].get("id"))):
            raise ProviderUnavailable(
                f"{self.name}: something answers at {self._http.root}, but it is no CoinMarketCap"
            )
        return where

    def plan(self) -> PlanFacts:
        """What the provider says of the key's plan, but for what the settings say; nothing without a key.

        Nor under another address, where the settings alone decide: a sandbox tells of plans, too.
        """
        if not (self._has_key and self._is_own):
            return PlanFacts()
        info, settings = self._key_info(), self._settings
        return PlanFacts(
            info.per_minute if settings.coinmarketcap_calls_per_minute is None else None,
            info.per_month if settings.coinmarketcap_credits_per_month is None else None,
            # Paid months begin when they were bought: what is spent in one is not what is spent in the calendar's.
            info.spent if info.ends in (None, end_of_month(self._clock.now())) else None,
        )

    def close(self) -> None:
        self._http.close()

    def _ask(self, chunk: Sequence[Instrument]) -> Batch:
        """One call, for these instruments in all their quotes."""
        query = {
            "id": ",".join(dict.fromkeys(instrument.provider_id or "" for instrument in chunk)),
            "convert": ",".join(_quotes(chunk)),
            "skip_invalid": "true",
        }
        return read_quotes(self._get(_QUOTES, query, _credits(chunk)), chunk)

    def _ask_each_quote(self, chunk: Sequence[Instrument]) -> Batch:
        """One call a quote. What has come before one fails is kept, and the instruments of that one are lost."""
        batches: list[Batch] = []
        lost: list[Lost] = []
        for quote in _quotes(chunk):
            part = [instrument for instrument in chunk if instrument.quote == quote]
            try:
                batches.append(self._ask(part))
            except (ProviderUnavailable, ProviderRefused) as error:
                if not batches:
                    raise
                lost += [Lost(instrument.symbol, "price", f"its call failed: {error}") for instrument in part]
        together = joined(batches)
        return replace(together, lost=(*together.lost, *lost))

    def _key_info(self) -> KeyInfo:
        return key_info(self._data(_KEY_INFO, {}))

    def _data(self, path: str, query: Mapping[str, str]) -> Any:
        """A call that costs no credit; what did, says so in its reply."""
        document = self._get(path, query, 0).data
        return document.get("data") if isinstance(document, dict) else None

    def _get(self, path: str, query: Mapping[str, str], credits: int) -> Reply:
        now = self._clock.now()
        if credits and self._spent_until is not None and now < self._spent_until:
            seconds = (self._spent_until - now).total_seconds()
            raise RateLimited(f"{self.name}: no credit is left; new ones come in {seconds / 3600:.1f} hours", seconds)
        try:
            with self.budget.call(credits):
                reply = self._http.get(path, query)
        except CreditsSpent as error:
            if credits:
                self._spent_until = (self._month_ends() if error.of_month else None) or now + timedelta(
                    seconds=error.retry_after or 0.0
                )
            raise
        if (charged := status_of(reply.data).credits) is not None:
            self.budget.spend_more(charged - credits)
        return reply

    def _month_ends(self) -> datetime | None:
        """When the plan's month ends, which may not be the calendar's; None where nobody says it."""
        try:
            ends = self._key_info().ends if self._has_key else None
        except (ProviderUnavailable, ProviderRefused):
            return None
        return ends if ends is not None and ends > self._clock.now() else None


class _Http(Http):
    """Reads the ``status`` that each of CoinMarketCap's replies has."""

    def __init__(self, root: str, clock: Clock, key: str) -> None:
        super().__init__(NAME, root, clock, secret_headers={"X-CMC_PRO_API_KEY": key} if key else {})

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        """An error may come with HTTP 200, too."""
        reply = super().get(path, query)
        status = status_of(reply.data)
        if status.code == 0:
            return reply
        said, shown = f"{NAME}: HTTP 200 with error {status.code}", self._shown(status.message)
        error = error_of(status, said, shown, None, reply.now)
        raise error or ProviderUnavailable(f"{said}{shown}")

    def _error(
        self, status: int, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> ProviderUnavailable | ProviderRefused:
        try:
            said = status_of(decode.parse(body))
        except ValueError:
            said = status_of(None)
        said = replace(said, code=said.code or status)
        wait = retry_after(headers.get("Retry-After"), now)
        error = error_of(said, f"{NAME}: HTTP {status}", self._shown(said.message), wait, now)
        return error or super()._error(status, headers, body, now)

    def _shown(self, message: str) -> str:
        return f" ({self._printable(message)})" if message else ""


def _quotes(instruments: Sequence[Instrument]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(instrument.quote for instrument in instruments))


def _fits(chunk: Sequence[Instrument]) -> bool:
    coins = len({instrument.provider_id for instrument in chunk})
    return coins <= _COINS_A_CALL and coins * len(_quotes(chunk)) <= _PRICES_A_CALL


def _credits(chunk: Sequence[Instrument]) -> int:
    """As CoinMarketCap counts: one for each begun hundred coins that it returns, one for each quote but the first."""
    coins = len({instrument.provider_id for instrument in chunk})
    return -(-coins // _COINS_A_CALL) + len(_quotes(chunk)) - 1
