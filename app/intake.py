"""The way of a batch: rules, then database or spool, then alerts.txt. When it returns, the batch is accepted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app import log
from app.alerts.checker import Checker, PastTick
from app.alerts.file import AlertsFile
from app.alerts.rules import RuleSet
from app.alerts.states import Outcome
from app.clock import Clock, SteadyClock
from app.composite import Composites, Made
from app.errors import CannotWrite, DatabaseRefused, DatabaseUnavailable, Deposed, SpoolFull, Stopping
from app.lease import Lease
from app.model import Batch, Finding, Instrument, Known, Tick
from app.quarantine import Held, Screen
from app.spool import Spool
from app.store import Saved, Store
from app.watch import ALL, Composite

_TRY_AGAIN_SECONDS = 1.0
_MOST_MEANWHILE = 200_000  # ticks
_PAGE_OF_SYMBOLS = 500  # whose latest prices are read at once


@dataclass(slots=True)
class Counts:
    """What has come in since the start, and what became of it."""

    stored: int = 0
    duplicates: int = 0
    late: int = 0
    refused: int = 0
    held: int = 0
    last_new_tick_at: datetime | None = None

    def add(self, ticks: int, saved: Saved) -> None:
        """So many ticks, and what the database made of them."""
        self.stored += saved.stored
        self.refused += saved.refused
        self.duplicates += ticks - saved.stored - saved.refused


class Intake:
    """Takes batches from all sources, one at a time, so that rules see ticks in the order in which they are stored.

    It belongs to one epoch of the lease, and is done when ``over`` is set.
    """

    def __init__(
        self,
        checker: Checker,
        store: Store,
        spool: Spool,
        alerts: AlertsFile,
        clock: Clock,
        over: threading.Event,
        lease: Lease,
        counts: Counts | None = None,
        composites: Composites | None = None,
        beside: Callable[[Batch], None] = lambda _batch: None,
    ) -> None:
        self._checker, self._store, self._spool, self._alerts = checker, store, spool, alerts
        self._clock, self._over, self._lease = clock, over, lease
        self._lock = threading.Lock()
        self._steady = SteadyClock(clock)
        self._second: datetime | None = None  # at which rules were last held against the clock
        self._watched: dict[str, list[str]] = {}  # by market
        self._meanwhile: list[Tick] | None = None  # what comes in while other rules are got ready
        self._composites = composites or Composites("mean", lambda _market: 0.0)
        self._beside = beside  # what a reply brings beside ticks
        self._screen = Screen()
        self.counts = counts or Counts()
        self.blocked: str | None = None
        """Why no batch can be accepted now, and polling waits."""

    def accept(self, batch: Batch) -> None:
        """Check a batch against the rules, commit it with what it caused, hand its alerts on.

        While neither database nor spool take it, it waits, and with it the polling. Raises Stopping when told to stop
        meanwhile, Deposed when another daemon leads since: then the batch is not accepted.
        """
        with self._lock:
            screened = self._screen.sift(batch)
            batch = self._composites.extend(screened.batch)
            outcome = self._checker.check(batch, self._time())
            self._commit(batch.ticks, outcome, screened.held)
            self._remember(batch.ticks)
            self.counts.held += screened.new
            self.counts.duplicates += screened.repeated
            self.counts.late += outcome.late
            if outcome.new:
                self.counts.last_new_tick_at = self._clock.now()
        self._beside(batch)

    def accept_outcome(self, outcome: Outcome) -> None:
        """Commit what no batch caused. Raises as ``accept`` does."""
        with self._lock:
            self._commit_outcome(outcome)

    def watch(self, market: str, instruments: Sequence[Instrument]) -> None:
        """Write down what is watched on a market from now on, and read its windows back from the database.

        Raises DatabaseUnavailable: nothing is to be polled before that has worked. Raises Deposed.
        """
        symbols = [instrument.symbol for instrument in instruments]
        with self._lock:
            self._watch(market, instruments)
            self._warm_screen(symbols)
            self._screen.watch(market, instruments)
            self._composites.watch(market, instruments)
            self._remember_parts(symbol for symbol in symbols if symbol in self._composites.parts)

    def known(self, market: str) -> list[Known]:
        """What is or was watched on a market. Raises DatabaseUnavailable."""
        with self._lock:
            return self._store.known_instruments(market)

    def settle(self, market: str, findings: Sequence[Finding], at: datetime) -> None:
        """Write down what was found out about who is who. Raises DatabaseUnavailable, Deposed."""
        with self._lock:
            self._store.settle_instruments(market, findings, at, self._checker.epoch)

    def compose(self, entries: Sequence[Composite]) -> None:
        """These composites are made from now on. Raises as ``watch`` does."""
        with self._lock:
            self._watch(ALL, self._composites.want(entries))
            for symbol, timestamp, *_ in self._store.recent_ticks([entry.symbol for entry in entries], 0.0):
                self._composites.remember_last(symbol, timestamp)
            self._remember_parts(self._composites.parts)

    def _watch(self, market: str, instruments: Sequence[Instrument]) -> None:
        symbols = [instrument.symbol for instrument in instruments]
        self._store.save_instruments(market, instruments, self._checker.epoch)
        warm(self._checker, symbols, self._store, self._over)
        self._commit_outcome(self._checker.watch_only(market, symbols, self._clock.now()))
        self._watched[market] = symbols
        self._let_go()

    def _let_go(self) -> None:
        # What waits in the spool is not in the database, where windows are read back from if it is watched again.
        if self._spool.is_empty:
            self._checker.let_go()

    def _all_watched(self) -> list[str]:
        return [symbol for symbols in self._watched.values() for symbol in symbols]

    def _warm_screen(self, symbols: Sequence[str]) -> None:
        """What is far off is told by what the last run left, and what it held counts on."""
        new = self._screen.unknown(symbols)
        for start in range(0, len(new), _PAGE_OF_SYMBOLS):
            page = new[start : start + _PAGE_OF_SYMBOLS]
            self._screen.warm(self._store.recent_prices(page), self._store.held_lately(page))

    def _remember_parts(self, symbols: Iterable[str]) -> None:
        """What composites are made of goes on with what the last run left."""
        self._composites.remember(Tick(*past) for past in self._store.recent_ticks(symbols, 0.0))

    def look_at_clock(self, down: Collection[str]) -> None:
        """Hold the rules that look at ``age`` against the clock, once in a second; ``down``: markets without answer.

        Raises as ``accept`` does.
        """
        with self._lock:
            second = self._time().replace(microsecond=0)
            if second == self._second:
                return
            self._second = second
            self._let_go()
            if not self._checker.looks_at_clock:
                return
            self._commit_outcome(self._checker.check_ages(second, down))

    def change_rules(self, rules: RuleSet, store: Store) -> bool:
        """Go on with other rules from the next batch on; False: not now, as their windows cannot be read back. Where
        that takes too long they are left for the next start.

        ``store`` is to read from, so that no batch has to wait for it. Raises DatabaseUnavailable, and as ``accept``.
        """
        with self._lock:
            checker = self._successor(rules, self._checker)
            if checker.is_warm:
                self._change(checker)
                return True
            if not self._spool.is_empty:
                return False  # what waits there is not in the database yet
            symbols = self._all_watched()
            self._collect([])
        try:
            checker = self._successor(rules, None)
            warm(checker, symbols, store, self._over)
            with self._lock:
                if self._meanwhile is None:
                    return True  # it has said so
                if symbols != self._all_watched():
                    return False
                checker.warm(_past(self._meanwhile))
                self._change(checker)
        finally:
            with self._lock:
                self._collect(None)
        return True

    def _successor(self, rules: RuleSet, before: Checker | None) -> Checker:
        return Checker(rules, self._checker.epoch, self._checker.market, before=before)

    def _change(self, checker: Checker) -> None:
        self._commit_outcome(checker.take_over(self._checker, self._clock.now()))
        self._checker = checker

    @property
    def rules(self) -> RuleSet:
        """The rules in effect."""
        return self._checker.rules

    @property
    def epoch(self) -> int:
        """That of the lease to which it belongs."""
        return self._checker.epoch

    @property
    def composites(self) -> Mapping[str, Made]:
        """How each composite is made now."""
        return dict(self._composites.made)

    @property
    def firing(self) -> int:
        """How many rules fire now, counted over all symbols."""
        return self._checker.firing

    @property
    def unknown(self) -> int:
        """How many rules cannot be told now, counted over all symbols."""
        return self._checker.unknown

    def _collect(self, ticks: list[Tick] | None) -> None:
        self._meanwhile = ticks

    def _remember(self, ticks: Sequence[Tick]) -> None:
        """For windows that are being read back meanwhile."""
        if self._meanwhile is not None:
            self._meanwhile += ticks
            if len(self._meanwhile) > _MOST_MEANWHILE:
                self._meanwhile = None
                log.get(__name__).error(
                    "New rules are not taken up: reading back their windows takes too long beside so many ticks."
                    " They are at the next start.",
                    action="rules_too_late",
                )

    def _time(self) -> datetime:
        now, set_by = self._steady.look()
        if set_by:
            self._checker.clock_was_set(set_by)
            self._second = None
        return now

    def _commit(self, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held] = ()) -> None:
        self._keep(ticks, outcome, held)
        self._alerts.write(outcome.alerts)

    def _commit_outcome(self, outcome: Outcome) -> None:
        if outcome.episodes:
            self._commit((), outcome)

    def _keep(self, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held]) -> None:
        """Have it on a disk, be it the database's or ours."""
        while not (self._store_at_once(ticks, outcome, held) or self._put_aside(ticks, outcome, held)):
            if self._clock.wait(self._over, _TRY_AGAIN_SECONDS):
                raise Stopping(f"{self.blocked}")
        if self.blocked is not None:
            log.get(__name__).info("Batches are accepted again; polling goes on.", action="polling_back")
            self.blocked = None

    def _store_at_once(self, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held]) -> bool:
        # Behind what waits in the spool, never past it: the order is that in which batches came.
        if not self._spool.is_empty:
            return False
        # Who was frozen in the middle of it finds the connection broken, and perhaps another leading: that has to be
        # asked before the batch may count as accepted.
        return self._saved(ticks, outcome, held) or (self._lease.is_old and self._saved(ticks, outcome, held))

    def _saved(self, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held]) -> bool:
        try:
            self.counts.add(len(ticks), self._store.save(ticks, outcome, held))
        except (DatabaseUnavailable, DatabaseRefused) as error:
            log.get(__name__).debug(f"A batch goes to the spool: {error}.", action="spooled")
            return False
        return True

    def _put_aside(self, ticks: Sequence[Tick], outcome: Outcome, held: Sequence[Held]) -> bool:
        if self._lease.epoch != outcome.epoch:
            raise Deposed(f"epoch {outcome.epoch} is over: another daemon leads since")
        try:
            self._spool.append(ticks, outcome, held)
        except (SpoolFull, CannotWrite) as error:
            self.blocked = str(error)
            log.get(__name__).error(
                f"Polling has stopped: the database is away, and {error}. It goes on when either works again.",
                action="polling_stopped",
            )
            return False
        return True


def warm(checker: Checker, symbols: Sequence[str], store: Store, over: threading.Event) -> None:
    """Have these symbols watched, the windows that are not filled yet filled from the database.

    Raises DatabaseUnavailable, Stopping.
    """
    checker.watch(symbols)
    cold = checker.cold(symbols)
    if checker.fields_ago:
        checker.warm(_until(over, store.values_before(cold, checker.reach, checker.fields_ago)))
    checker.warm(_until(over, store.recent_ticks(cold, checker.reach)))
    checker.are_warm(cold)


def _until(over: threading.Event, ticks: Iterable[PastTick]) -> Iterator[PastTick]:
    for tick in ticks:
        if over.is_set():
            raise Stopping("windows were being read back")
        yield tick


def _past(ticks: Iterable[Tick]) -> list[PastTick]:
    """The first of each time, by symbol and time: what comes again is no observation."""
    first: dict[tuple[str, datetime], PastTick] = {}
    for t in ticks:
        first.setdefault(
            (t.symbol, t.timestamp),
            (t.symbol, t.timestamp, t.price, t.volume_24h, t.market_cap, t.fetched_at, t.source),
        )
    return [tick for _, tick in sorted(first.items())]
