"""Any exchange that ccxt knows: its pairs, their last prices, and its bars as history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from app import log
from app.clock import Clock
from app.config import Settings
from app.errors import OutOfReach, ProviderUnavailable
from app.limits import CallBudget, Ledger
from app.model import Batch, Instrument, Lost, Page, Tick
from app.sources.base import Limits, Source
from app.sources.exchange_api import Api, UnknownPair, refusal
from app.sources.exchange_bars import page
from app.sources.exchange_pairs import Pairs
from app.sources.exchange_ticker import Ticker, read
from app.sources.exchange_traits import Traits
from app.watch import Entry

__all__ = ["Exchange", "build", "refusal"]

_RENEW_SECONDS = 86_400.0  # pairs come and go
_RENEW_AGAIN = 600.0  # where that failed

_log = log.get(__name__)


def build(market: str, settings: Settings, clock: Clock, ledger: Ledger) -> Exchange:
    """The source of this exchange. Raises ConfigurationError without ccxt, and for a name that it does not know."""
    base_url = settings.base_url(market)

    def budget(traits: Traits) -> CallBudget:
        # What is published of limits is about the exchange's own hosts.
        return CallBudget.shared(market, 0 if base_url else traits.calls_per_minute, 0, clock, ledger)

    return Exchange(Api(market, base_url, clock, budget), settings.source, clock)


class Exchange(Source):
    """Asks for all pairs with one call where the exchange can, for a few by name.

    A pair without a trade for a day makes no tick. It is lost where it was named, and not where it is one of all.
    """

    def __init__(self, api: Api, default_market: str, clock: Clock) -> None:
        self.name = api.market  # type: ignore[misc]  # the one class of many sources
        self.budget, self.limits = api.budget, Limits(calls_per_minute=api.budget.per_minute)
        self._api, self._clock = api, clock
        self._pairs = Pairs(api.market, default_market, api.ccxt)
        self._renew_at = float("-inf")
        self._named: set[str] = set()
        self._name_none = False  # since one of the pairs that were asked for by name was unknown

    @property
    def ccxt(self) -> Any:
        """ccxt's object for the exchange. It has its pairs once ``resolve`` has worked."""
        return self._api.ccxt

    def pair(self, instrument: Instrument) -> str:
        """What ccxt calls the pair: ``BTC/USD``. One that is there no more is called by its symbol."""
        return self._pairs.ccxt_name(instrument) or instrument.symbol

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        self._renew()
        instruments, named = self._pairs.resolve(entries)
        self._named |= named
        return instruments

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        if self._api.traits.all_at_once:
            return [tuple(instruments)] if instruments else []
        return [(instrument,) for instrument in instruments]

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        self._renew()
        pairs = {instrument: self._pairs.ccxt_name(instrument) for instrument in chunk}
        tickers = self._tickers([pair for pair in pairs.values() if pair is not None])
        api = self._api
        received_at = api.received_at if tickers else self._clock.now()
        ticks: list[Tick] = []
        lost: list[Lost] = []
        for instrument, pair in pairs.items():
            tick, bad = self._read(instrument, tickers.get(pair) if pair else None, received_at, api.their_now)
            ticks += [tick] if tick else []
            lost += bad
        ticks.sort(key=lambda tick: (tick.timestamp, tick.symbol))
        return Batch(self.name, received_at, tuple(ticks), tuple(lost))

    def history(self, instrument: Instrument, begin: datetime, end: datetime) -> Page:
        self._renew()
        pair = self._pairs.ccxt_name(instrument)
        if pair is None and not self._pairs.all:
            raise ProviderUnavailable(f"{self.name} has no active pair at all just now")
        if pair is None:
            raise OutOfReach(f"{self.name} has the pair of {instrument.symbol} no more")
        try:
            with self._api.asking(backfill=True):
                return page(self._api, instrument, pair, begin, end)
        except UnknownPair as error:
            raise OutOfReach(str(error)) from None

    def ping(self) -> str:
        api = self._api
        try:
            with api.asking():
                if api.ccxt.has.get("fetchTime"):
                    api.ccxt.fetch_time()
                else:
                    api.load_pairs()
        except UnknownPair as error:  # not for such a call, one should think
            raise ProviderUnavailable(str(error)) from None
        return f"{self.name} answers at {api.root}"

    def close(self) -> None:
        self._api.close()

    def _renew(self) -> None:
        """Learn once a day which pairs there are."""
        now = self._clock.monotonic()
        if now < self._renew_at:
            return
        try:
            self._api.load_pairs()
        except ProviderUnavailable as error:
            if not self._pairs.all:
                raise
            self._renew_at = now + _RENEW_AGAIN
            _log.info(f"The pairs of {self.name} cannot be read anew yet: {error}.", action="pairs_not_renewed")
            return
        self._pairs.read()
        # None is active while it is mended.
        self._renew_at = now + (_RENEW_SECONDS if self._pairs.all else _RENEW_AGAIN)
        self._name_none = False

    def _tickers(self, pairs: list[str]) -> dict[str, Ticker]:
        if not pairs:
            return {}
        api = self._api
        try:
            with api.asking():
                return self._ask(pairs)
        except UnknownPair as error:
            if not api.traits.all_at_once or self._name_none:
                return {}
            _log.info(
                f"{self.name} does not know one of the pairs any more ({error}); all are asked for.",
                action="pairs_not_named",
            )
            self._name_none = True
        try:
            with api.asking():
                return self._ask(pairs)
        except UnknownPair as error:
            raise ProviderUnavailable(str(error)) from None

    def _ask(self, pairs: list[str]) -> dict[str, Ticker]:
        traits, ccxt = self._api.traits, self._api.ccxt
        if not traits.all_at_once:
            return {pair: ccxt.fetch_ticker(pair) for pair in pairs}
        by_name = len(pairs) <= traits.by_name and not self._name_none
        found: dict[str, Ticker] = ccxt.fetch_tickers(pairs if by_name else None)
        if not found:
            raise ProviderUnavailable(f"{self.name}: its reply has no price of any pair")
        return found

    def _read(
        self, instrument: Instrument, ticker: Ticker | None, received_at: datetime, now: datetime
    ) -> tuple[Tick | None, list[Lost]]:
        symbol = instrument.symbol
        if ticker is not None:
            tick, lost = read(symbol, ticker, received_at, self.name, now)
            if tick is not None or lost:
                return tick, lost
        if symbol not in self._named:
            return None, []
        reason = "the pair is missing" if ticker is None else "nobody has traded it for a day"
        return None, [Lost(symbol, "price", reason)]
