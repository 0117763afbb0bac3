"""Fills holes from the history of their providers, the newest first, one call at a time."""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app import log
from app.breaker import jittered
from app.clock import Clock
from app.errors import CryptoMonitorError, OutOfReach, ProviderRefused, ProviderUnavailable, RateLimited
from app.history.filling import Filling, Span
from app.model import Instrument, Page
from app.sources.base import Source

_TOGETHER = timedelta(days=1)  # holes of a symbol that begin so near to each other are one call's
_FIRST_LIMITED, _FIRST_FAILED, _LONGEST = 5.0, 1.0, 300.0  # seconds, where a provider does not say how long
_LONGEST_WAIT_ASKED = 900.0  # seconds: what takes longer is left to another time
_DOUBLINGS = 30  # of a wait, at most: it is longer than the longest by then
# Then a market or symbol is left to another time: refusals in a row; different symbols that failed one after the other,
# as a few may be sick by themselves; failures of a symbol.
_REFUSALS, _SICK, _FAILURES_OF_SYMBOL = 8, 5, 2


@dataclass(slots=True)
class Progress:
    """How far the filling is: what it is at, seconds of holes in all and left, ticks added, calls made.

    ``waits``: seconds for which nobody may be asked now. ``is_cut``: its time was over before all was tried.
    """

    symbol: str = ""
    at: datetime | None = None
    seconds: float = 0.0
    left: float = 0.0
    ticks: int = 0
    calls: int = 0
    waits: float = 0.0
    is_cut: bool = False

    @property
    def share(self) -> float:
        """What part is done, from 0 to 1."""
        return 1.0 - self.left / self.seconds if self.seconds else 1.0


Told = Callable[[Progress], None]


@dataclass(slots=True)
class _Market:
    """How a market does: its symbols that have holes, when it may be asked again, what failed since it last worked."""

    source: Source
    not_before: float
    waiting: list[tuple[int, float, str]] = field(default_factory=list)
    """A heap: the symbol with the newest hole first, after those that were asked for in vain less often."""
    refusals: int = 0
    failures: int = 0
    sick: set[str] = field(default_factory=set)
    answered: bool = False
    """Since the filling began."""

    def works(self) -> None:
        self.refusals = self.failures = 0
        self.sick.clear()
        self.answered = True


class OwnSources:
    """Sources of our own, made when one is first wanted: a source is for one thread at a time."""

    def __init__(self, build: Callable[[str], Source]) -> None:
        self._build = build
        self._sources: dict[str, Source] = {}

    def __call__(self, market: str) -> Source:
        """What it says of our plan is known by then."""
        if market not in self._sources:
            self._sources[market] = self._build(market)
        source = self._sources[market]
        source.learn_plan()
        return source

    def close(self) -> None:
        for source in self._sources.values():
            source.close()


class Backfill:
    """Asks for what is missing, and has it stored. For one thread at a time.

    ``open_source`` gives a market's source, which has to be this thread's own. What goes wrong leaves holes open, and
    others are filled all the same; ``troubles`` tells of it, by symbol or market.
    """

    def __init__(
        self, filling: Filling, open_source: Callable[[str], Source], clock: Clock, stop: threading.Event
    ) -> None:
        self._filling, self._open_source, self._clock, self._stop = filling, open_source, clock, stop
        self.troubles: dict[str, CryptoMonitorError] = {}
        self._failures: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}

    def fill(
        self,
        instruments: Sequence[Instrument],
        since: datetime,
        until: datetime,
        told: Told,
        seconds: float = float("inf"),
    ) -> Progress:
        """Fill the open holes of these instruments within that time, until none is left that can be filled now.

        It ends sooner after so many ``seconds``. Raises DatabaseUnavailable, DatabaseRefused, Deposed.
        """
        end = self._clock.monotonic() + seconds
        self.troubles.clear()
        self._failures.clear()
        by_symbol = {instrument.symbol: instrument for instrument in instruments}
        found = self._filling.symbols(by_symbol, since, until)
        left = {symbol: missing for symbol, _, _, missing in found}
        tried = {symbol: attempts for symbol, _, attempts, _ in found}
        progress = Progress(seconds=sum(left.values()), left=sum(left.values()))
        markets = self._markets([(by_symbol[symbol], attempts, newest) for symbol, newest, attempts, _ in found])
        while markets and not self._stop.is_set():
            if (rest := end - self._clock.monotonic()) <= 0:
                progress.is_cut = True
                break
            market, progress.waits = self._next(markets)
            if market is None:
                told(progress)
                self._clock.wait(self._stop, min(progress.waits, rest))
                continue
            instrument = by_symbol[heapq.heappop(market.waiting)[-1]]
            gaps = self._step(market, instrument, since, until, progress)
            left[instrument.symbol] = sum(gap.seconds for gap in gaps)
            progress.left = sum(left.values())
            told(progress)
            if gaps and instrument.symbol not in self.troubles:
                place = tried[instrument.symbol], -gaps[0].end.timestamp(), instrument.symbol
                heapq.heappush(market.waiting, place)
            markets = {name: each for name, each in markets.items() if each.waiting and name not in self.troubles}
        return progress

    def _markets(self, found: Sequence[tuple[Instrument, int, datetime]]) -> dict[str, _Market]:
        markets: dict[str, _Market] = {}
        for instrument, attempts, newest in found:
            name = instrument.market
            if name not in markets:
                markets[name] = _Market(self._open_source(name), self._not_before.get(name, 0.0))
            heapq.heappush(markets[name].waiting, (attempts, -newest.timestamp(), instrument.symbol))
        return markets

    def _next(self, markets: Mapping[str, _Market]) -> tuple[_Market | None, float]:
        """Of the markets that may be asked now the one with the newest hole, or the seconds until one may."""
        now = self._clock.monotonic()
        ready = [market for market in markets.values() if market.not_before <= now]
        if ready:
            return min(ready, key=lambda market: market.waiting[0]), 0.0
        return None, min(market.not_before for market in markets.values()) - now

    def _step(
        self, market: _Market, instrument: Instrument, since: datetime, until: datetime, progress: Progress
    ) -> list[Span]:
        """One call for a symbol's newest holes, if they still are; which are left then, the newest first."""
        spans = self._spans(instrument.symbol, since, until)
        if spans:
            asked = _together(spans)
            progress.symbol, progress.at = asked.symbol, asked.end
            progress.ticks += self._ask(market, instrument, asked)
            progress.calls += 1
        return self._spans(instrument.symbol, since, until)

    def _spans(self, symbol: str, since: datetime, until: datetime) -> list[Span]:
        gaps = self._filling.open_gaps(symbol, since, until)
        return [Span(symbol, max(gap.begins_at, since), min(gap.ends_at, until)) for gap in gaps]

    def _ask(self, market: _Market, instrument: Instrument, span: Span) -> int:
        """One call, and what comes of it; how many ticks were new."""
        name = market.source.name
        try:
            page = market.source.history(instrument, span.begin, span.end)
            _demand_progress(page, span)
        except OutOfReach as error:
            self._filling.give_up(span, name, str(error))
        except RateLimited as error:
            self._limited(market, error)
        except ProviderRefused as error:
            self._leave(name, error)
        except ProviderUnavailable as error:
            # One that tells of others and never of this one has nothing to tell of it.
            self._filling.failed(span, name, str(error), may_end=market.answered)
            self._failed(market, span.symbol, error)
        else:
            market.works()
            return self._filling.save(span, page, name)
        return 0

    def _limited(self, market: _Market, error: RateLimited) -> None:
        market.refusals += 1
        wait = error.retry_after
        if market.refusals >= _REFUSALS or (wait is not None and wait > _LONGEST_WAIT_ASKED):
            self._leave(market.source.name, error)
        if wait is None or wait < 1:
            wait = _backoff(_FIRST_LIMITED, market.refusals)
        self._pause(market, wait)

    def _failed(self, market: _Market, symbol: str, error: ProviderUnavailable) -> None:
        """It may be the symbol, it may be the market: both are tried a few times."""
        market.failures += 1
        market.sick.add(symbol)
        self._failures[symbol] += 1
        if len(market.sick) >= _SICK:
            self._leave(market.source.name, error)
        elif self._failures[symbol] >= _FAILURES_OF_SYMBOL:
            self._leave(symbol, error)
        self._pause(market, _backoff(_FIRST_FAILED, market.failures))

    def _pause(self, market: _Market, seconds: float) -> None:
        """Also the next filling keeps to it."""
        market.not_before = self._not_before[market.source.name] = self._clock.monotonic() + seconds

    def _leave(self, what: str, error: CryptoMonitorError) -> None:
        """Nothing more of a market or a symbol this time."""
        self.troubles[what] = error
        log.get(__name__).info(f"The holes of {what} stay open for now: {error}.", action="backfill_left", of=what)


def _backoff(first: float, times: int) -> float:
    return jittered(min(_LONGEST, first * 2.0 ** min(times - 1, _DOUBLINGS)))


def _together(spans: Sequence[Span]) -> Span:
    """What one call may be able to tell of: the newest hole, and those before it that are near."""
    newest = spans[0]
    near = [span.begin for span in spans if span.begin > newest.end - _TOGETHER]
    return Span(newest.symbol, min([newest.begin, *near]), newest.end)


def _demand_progress(page: Page, span: Span) -> None:
    """Raises ProviderUnavailable for a page that tells nothing of what was asked for: it would be asked for ever."""
    if not page.begin < span.end:
        raise ProviderUnavailable("the history that came has nothing to do with what was asked for")
