"""The markets that are asked while we lead: a fetcher each, and one for each that stands in for the default market."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from app import sources
from app.clock import Clock
from app.config import Settings
from app.errors import ConfigurationError
from app.failover import Failover, Ours, StandIn
from app.fetcher import Fetcher
from app.history.backfiller import Polled
from app.identity import Identity
from app.intake import Intake
from app.limits import Ledger
from app.model import Known
from app.sources.base import Source
from app.sources.exchange import Exchange
from app.tasks import Halt, Tasks
from app.watch import ALL, Composite, Entry, Wanted, Without
from app.watchlist import Watchlist


class Markets:
    """Sources are made once, as they keep connections; fetchers anew in each term of leading.

    Raises ConfigurationError for a market that no source serves.
    """

    def __init__(self, settings: Settings, clock: Clock, tasks: Tasks, ledger: Ledger, watchlist: Watchlist) -> None:
        self._settings, self._clock, self._tasks, self._ledger = settings, clock, tasks, ledger
        self.watchlist = watchlist
        self._sources = sources.build(watchlist.markets, settings, clock, ledger)
        # Of their own, where they are watched as well: a source is for one thread at a time.
        stand_ins = sources.build(settings.fallbacks, settings, clock, ledger).values()
        self._failover = Failover([StandIn(source) for source in stand_ins], settings.source)
        self._unserved: dict[str, ConfigurationError] = {}  # markets of the watch list, and why
        self._composed: list[Composite] | None = None
        self._is_asking = False
        self._is_first_term = True
        self._intake: Intake | None = None
        self._over: Halt | None = None
        self.fetchers: Sequence[Fetcher] = ()
        """Those of the markets that are watched."""
        self.stand_ins: Sequence[Fetcher] = ()
        """Those that stand in for the default market, best first."""

    @property
    def names(self) -> list[str]:
        """The markets that are watched, composites' too."""
        return [*self._sources, ALL]

    @property
    def tasks(self) -> list[str]:
        """The names of the threads."""
        return [f"fetch-{f.source.name}" for f in self.fetchers] + [f"stand-in-{f.source.name}" for f in self.stand_ins]

    @property
    def down(self) -> list[str]:
        """The markets that do not answer now."""
        return [fetcher.source.name for fetcher in self.fetchers if not fetcher.health.answers]

    @property
    def failing(self) -> list[str]:
        """The markets that are known not to answer: they have been asked since the start."""
        states = ("failing", "limited", "paused")
        return [f.source.name for f in self.fetchers if not f.health.answers and f.health.state in states]

    @property
    def polled(self) -> dict[str, Polled]:
        """How each of them does, for who looks for holes."""
        return {f.source.name: Polled(f.health.answers, f.interval) for f in self.fetchers}

    def interval(self, market: str) -> float:
        """Seconds from one reply of a market to the next, as they are now."""
        return max((f.interval for f in self.fetchers if f.source.name == market), default=self._settings.tick_seconds)

    def prepare(self) -> list[Source]:
        """Make the sources of markets that are new on the watch list; those that were made."""
        made: list[Source] = []
        unserved: dict[str, ConfigurationError] = {}
        for market in self.watchlist.markets:
            entries = [entry for entry in self.watchlist.entries(market) if not isinstance(entry, Without)]
            if not entries or market in self._sources or market == ALL:
                continue
            answer = self._unserved.get(market) or self._source(market)
            if isinstance(answer, Source):
                self._sources[market] = answer
                made.append(answer)
                continue
            unserved[market] = answer
            for entry in entries:  # those that came later too
                self.watchlist.refuse(entry, answer, at_start=False)
        self._unserved = unserved
        return made

    def _source(self, market: str) -> Source | ConfigurationError:
        try:
            return sources.build_one(market, self._settings, self._clock, self._ledger)
        except ConfigurationError as error:
            return error

    def begin(self, intake: Intake, over: Halt) -> None:
        """Get ready to ask all of them, for this intake and until ``over`` is set."""
        self._is_asking = False
        self._is_first_term = self._intake is None
        self._intake, self._over = intake, over
        self._composed = None
        self.fetchers = [self._fetcher(source, intake, over) for source in self._sources.values()]
        self.stand_ins = self._stand_ins(intake, over)

    def start(self) -> None:
        """Ask from now on."""
        self._start(self.fetchers, "fetch")
        self._start(self.stand_ins, "stand-in")
        self._is_asking = True

    def follow(self) -> None:
        """Take up what is new on the watch list: markets, composites. (Fetchers see to their own entries.)

        To be called often. Raises DatabaseUnavailable, Deposed: then it is to be called again.
        """
        intake, over = self._intake, self._over
        if intake is None or over is None or over.is_set() or not self._is_asking:
            return
        new = [self._fetcher(source, intake, over) for source in self.prepare()]
        self.fetchers = [*self.fetchers, *new]
        self._start(new, "fetch")
        if not self.stand_ins and any(f.source.name == self._settings.source for f in new):
            self.stand_ins = self._stand_ins(intake, over)
            self._start(self.stand_ins, "stand-in")
        composites = [entry for entry in self.watchlist.entries(ALL) if isinstance(entry, Composite)]
        if composites != self._composed:
            intake.compose(composites)
            self._composed = composites

    def _fetcher(self, source: Source, intake: Intake, over: Halt) -> Fetcher:
        at_start = self._is_first_term

        def refuse(entry: Entry, error: ConfigurationError | None) -> None:
            # What was watched once and is no more, as an exchange gave it up, is no reason to watch nothing at all.
            at_once = at_start and not fetcher.instruments and not _is_among(entry, intake.known(source.name))
            self.watchlist.refuse(entry, error, at_start=at_once)

        given = partial(self.watchlist.entries, source.name), intake, self._clock, over, self._settings.tick_seconds
        fetcher: Fetcher
        if source.name in self._settings.streams and isinstance(source, Exchange):
            # An event loop, and what goes with it: only for who wants a stream.
            from app.streams.fetcher import StreamFetcher  # noqa: PLC0415

            fetcher = StreamFetcher(source, *given, refuse=refuse, address=self._settings.ws_url(source.name))
        else:
            identity = Identity(source.name, source.coins, intake, self._clock) if source.coins is not None else None
            fetcher = Fetcher(source, *given, refuse=refuse, identity=identity)
        return fetcher

    def _stand_ins(self, intake: Intake, over: Halt) -> list[Fetcher]:
        main = next((f for f in self.fetchers if f.source.name == self._settings.source), None)
        if main is None:
            return []
        seconds = self._settings.tick_seconds
        fetchers = [
            Fetcher(
                stand_in,
                partial(self._failover.entries, place),
                *(intake, self._clock, over, seconds),
                refuse=stand_in.refuse,
                stands_in=True,
            )
            for place, stand_in in enumerate(self._failover.stand_ins)
        ]
        coins = main.source.coins
        self._failover.begin(main, fetchers, Ours(None if coins is None else coins.table, self._chosen))
        return fetchers

    def _chosen(self) -> set[str]:
        """The symbols of the default market for which the watch list says which coin is meant."""
        entries = self.watchlist.entries(self._settings.source)
        return {entry.symbol for entry in entries if isinstance(entry, Wanted) and entry.provider_id}

    def _start(self, fetchers: Sequence[Fetcher], what: str) -> None:
        for fetcher in fetchers:
            self._tasks.start(f"{what}-{fetcher.source.name}", fetcher.run)


def _is_among(entry: Entry, known: Sequence[Known]) -> bool:
    return isinstance(entry, Wanted) and any(entry.symbol == each.instrument.symbol for each in known)
