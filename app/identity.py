"""Who is who: a symbol keeps its coin; a coin that replies leave out is looked up, as it may be renamed or delisted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from app import log
from app.clock import Clock
from app.errors import DatabaseRefused, DatabaseUnavailable, ProviderRefused, ProviderUnavailable
from app.model import Batch, Finding, Instrument, Known
from app.sources.coins import Coins, Listed
from app.watch import Entry, Top

_ROUNDS, _SECONDS = 20, 600.0  # without a price, after which a coin is looked up
_A_DAY = timedelta(days=1)  # between two looks at a market's list
_TRY_AGAIN = 600.0  # seconds, where the list could not be had
_FORGET = 3600.0  # seconds for which it is believed whose a ticker is
_MOST = 0.9  # of the coins that have a price have to be in a list that is believed
_CANDIDATES = 8  # of a ticker, as many as one wants to read

_log = log.get(__name__)


class Book(Protocol):
    """Where it is written down who is who (``app.intake.Intake``). Raises DatabaseUnavailable, and Deposed."""

    def known(self, market: str) -> list[Known]:
        """What is or was watched on a market."""
        ...

    def settle(self, market: str, findings: Sequence[Finding], at: datetime) -> None:
        """Write down what was found out."""
        ...


@dataclass(slots=True)
class _Missing:
    since: float
    rounds: int = 0


class Identity:
    """The coins of one aggregator, for the one thread that asks it."""

    def __init__(self, market: str, coins: Coins, book: Book, clock: Clock) -> None:
        self._market, self._coins, self._book, self._clock = market, coins, book, clock
        self._known: dict[str, Known] = {}
        self._delisted: set[str] = set()
        self._missing: dict[str, _Missing] = {}
        self._unpriced: set[str] = set()  # listed, and without a price all the same: said
        self._try_at = -math.inf
        self._forget_at = clock.monotonic() + _FORGET

    # Resolving.

    def begin(self) -> None:
        """Read who is known, before a watch list is resolved. Raises DatabaseUnavailable."""
        self._known = {known.instrument.symbol: known for known in self._book.known(self._market)}
        self._delisted = {symbol for symbol, known in self._known.items() if known.delisted_at is not None}
        self._coins.know(self._known)
        if self._clock.monotonic() >= self._forget_at:
            self._coins.forget()
            self._forget_at = self._clock.monotonic() + _FORGET

    def without_asking(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[Instrument]]:
        """While the provider's list cannot be had: the entries that need none, and what ``top`` meant before."""
        settled = [entry for entry in entries if self._coins.is_settled(entry)]
        quotes = {entry.quote for entry in entries if isinstance(entry, Top)}
        watched = (known.instrument for known in self._known.values() if known.watched)
        return settled, [instrument for instrument in watched if instrument.quote in quotes]

    def settle(self, instruments: Sequence[Instrument]) -> None:
        """These are watched from now on. A symbol that means another coin than before is written down, and said."""
        changed = []
        for its in instruments:
            before = self._known.get(its.symbol)
            if before is not None and its.provider_id not in (None, before.instrument.provider_id):
                changed.append(Finding(its.symbol, its.provider_id or "", its.name, why="chosen"))
        watched = {its.symbol for its in instruments}
        self._missing = {symbol: missing for symbol, missing in self._missing.items() if symbol in watched}
        self._delisted &= watched
        if not changed:
            return
        self._book.settle(self._market, changed, self._clock.now())
        for finding in changed:
            old = self._known[finding.symbol].instrument.provider_id
            _log.warning(
                f"{finding.symbol} means another coin from now on, as the watch list says: {finding.provider_id}, and"
                f" no longer {old}. Its history up to now is the other one's.",
                action="coin_chosen",
                symbol=finding.symbol,
            )
            self._missing.pop(finding.symbol, None)
            self._delisted.discard(finding.symbol)
            was = self._known[finding.symbol]
            coin = replace(was.instrument, provider_id=finding.provider_id, name=finding.name)
            self._known[finding.symbol] = Known(coin, was.watched)

    def to_ask_for(self, instruments: Sequence[Instrument]) -> Sequence[Instrument]:
        """Without those that are delisted; all, where all are."""
        return [its for its in instruments if its.symbol not in self._delisted] or instruments

    # Noticing.

    def note(self, batch: Batch, chunk: Sequence[Instrument]) -> None:
        """A reply to a call for these: who has no price in it, while others have, is counted. Costs next to nothing
        where all have.
        """
        if not batch.ticks or not (batch.lost or self._missing):
            return
        absent = {value.symbol for value in batch.lost if value.field == "price"}
        if self._missing:
            for instrument in chunk:
                if instrument.symbol not in absent:
                    self._missing.pop(instrument.symbol, None)
        for symbol in absent:
            self._missing.setdefault(symbol, _Missing(self._clock.monotonic())).rounds += 1

    def step(self, instruments: Sequence[Instrument]) -> bool:
        """Look up, at most once a day, who has been missing. Whether anybody is another one since. Raises Deposed."""
        now = self._clock.monotonic()
        if now < self._try_at or not (self._missing or self._delisted):
            return False
        its = [instrument for instrument in instruments if self._is_lost(instrument, now)]
        if not its:
            return False
        self._try_at = now + max(_TRY_AGAIN, seconds := self._seconds_to_wait())
        if seconds:
            return False
        try:
            return self._look_up(its, instruments)
        except (ProviderUnavailable, ProviderRefused, DatabaseUnavailable, DatabaseRefused) as error:
            symbols = ", ".join(instrument.symbol for instrument in its)
            _log.info(f"Who {symbols} is now cannot be looked up yet: {error}.", action="not_looked_up")
            return False

    def _is_lost(self, instrument: Instrument, now: float) -> bool:
        missing = self._missing.get(instrument.symbol)
        if missing is None:
            return instrument.symbol in self._delisted
        return missing.rounds >= _ROUNDS and now - missing.since >= _SECONDS

    def _seconds_to_wait(self) -> float:
        """Until a day has passed since the list was looked at."""
        looks = [known.looked_up_at for known in self._known.values() if known.looked_up_at is not None]
        if not looks:
            return 0.0
        since = abs(self._clock.now() - max(looks))  # a clock may have been in the future
        return max(0.0, (_A_DAY - since).total_seconds())

    # Looking up.

    def _look_up(self, lost: Sequence[Instrument], instruments: Sequence[Instrument]) -> bool:
        listing = _Listing.of(self._coins.listed())
        out = {its.symbol for its in lost} | set(self._missing)
        present = [its for its in instruments if its.symbol not in out]
        there = sum(its.provider_id in listing.by_id for its in present)
        if there < _MOST * len(present) or not listing.by_id:
            raise ProviderUnavailable(
                f"{self._market}: its list has only {there} of {len(present)} coins that have a price"
            )
        taken = {its.provider_id for its in instruments}
        once: dict[str, Listed] | None = None
        verdicts = []
        for its in lost:
            verdict = listing.verdict(its, None, taken)
            if verdict.is_delisted and its.symbol not in self._delisted:
                once = {listed.id: listed for listed in self._coins.listed_once()} if once is None else once
                verdict = listing.verdict(its, once.get(its.provider_id or ""), taken)
            verdicts.append(verdict)
        at = self._clock.now()
        self._book.settle(self._market, [verdict.finding for verdict in verdicts], at)
        news = [self._take(verdict, at) for verdict in verdicts]
        return any(news)

    def _take(self, verdict: _Verdict, at: datetime) -> bool:
        """Keep it, and say it where it is news."""
        its, finding, market = verdict.instrument, verdict.finding, self._market
        symbol, old, was_delisted = its.symbol, its.provider_id, its.symbol in self._delisted
        self._missing.pop(symbol, None)
        (self._delisted.add if finding.is_delisted else self._delisted.discard)(symbol)
        coin = replace(its, provider_id=finding.provider_id, name=finding.name or its.name)
        self._known[symbol] = Known(coin, delisted_at=at if finding.is_delisted else None, looked_up_at=at)
        if finding.provider_id != old:
            said = f"{market} has {finding.name} as {finding.provider_id} now, and no longer as {old}: {symbol} goes on"
            self._say(symbol, "coin_renamed", f"{said} with it, and keeps its history.")
            return True
        if finding.is_delisted and not was_delisted:
            said = f"Delisted: {market} has no coin {old}{verdict.note}. {symbol} is not asked for any more, but looked"
            advice = f"its history stays, and `watch remove {symbol}` takes it off the watch list.{verdict.others}"
            self._say(symbol, "coin_delisted", f"{said} for once a day; {advice}")
            return True
        if was_delisted and not finding.is_delisted:
            self._say(symbol, "coin_back", f"{market} lists {old} again, so {symbol} is asked for again.")
            return True
        if not finding.is_delisted and symbol not in self._unpriced:
            self._unpriced.add(symbol)
            self._say(symbol, "coin_without_price", f"{market} lists {old}, but gives no price of {symbol}.")
        return False

    def _say(self, symbol: str, action: str, sentence: str) -> None:
        _log.warning(sentence, action=action, symbol=symbol)


@dataclass(frozen=True, slots=True)
class _Verdict:
    instrument: Instrument
    finding: Finding
    note: str = ""
    others: str = ""

    @property
    def is_delisted(self) -> bool:
        return self.finding.is_delisted


@dataclass(frozen=True, slots=True)
class _Listing:
    """What a provider lists now."""

    by_id: Mapping[str | None, Listed]
    by_ticker: dict[str, list[Listed]] = field(default_factory=dict)

    @classmethod
    def of(cls, coins: Iterable[Listed]) -> _Listing:
        listing = cls({coin.id: coin for coin in coins})
        for coin in listing.by_id.values():
            listing.by_ticker.setdefault(coin.ticker, []).append(coin)
        return listing

    def verdict(self, its: Instrument, before: Listed | None, taken: set[str | None]) -> _Verdict:
        """What became of a coin that has no price; ``before``: as it was listed once; ``taken``: who is watched.

        It is taken for renamed where exactly one coin, that nobody watches, has its ticker and its name.
        """
        id_ = its.provider_id or ""
        if id_ in self.by_id:
            return _Verdict(its, Finding(its.symbol, id_))
        ticker = before.ticker if before is not None and before.ticker else its.base
        name = its.name or (before.name if before is not None else "")
        candidates = [coin for coin in self.by_ticker.get(ticker, []) if coin.id not in taken]
        same = [coin for coin in candidates if name and coin.name.casefold() == name.casefold()]
        if len(same) == 1:
            return _Verdict(its, Finding(its.symbol, same[0].id, same[0].name))
        note = " any more, but says that it had" if before is not None else ""
        others = [f"\n  {its.symbol}={coin.id}  ({coin.name})" for coin in candidates[:_CANDIDATES]]
        said = f" These have the ticker {ticker} now; if it is one of them, write which:" if others else ""
        return _Verdict(its, Finding(its.symbol, id_, is_delisted=True), note, said + "".join(others))
