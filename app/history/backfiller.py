"""The daemon's own backfill: looks for holes when it begins to lead, after every outage, and once an hour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from app import log
from app.clock import Clock, SteadyClock
from app.db import Database
from app.errors import DatabaseRefused, DatabaseUnavailable, Deposed
from app.history.backfill import Backfill, OwnSources, Progress
from app.history.filling import Filling
from app.history.gaps import Feed, Finder
from app.model import Instrument
from app.sources.base import Source

_LOOK_SECONDS = 1.0  # how soon it is noticed that somebody is back
_FIRST_SECONDS = 60.0  # for which it is waited, at the beginning, that all markets answer
_AGAIN_SECONDS = 5.0  # from the end of one pass to the next at least
_EVERY_SECONDS = 3600.0
_MOST_SECONDS = 600.0  # of filling: what is new by then is newer than what is left
_SAY_SECONDS = 60.0
_LEAPT = timedelta(minutes=1)  # so long a sleep of the machine is an outage
_AHEAD = timedelta(minutes=1)  # so far may a tick's time lie ahead of our clock
_OVERLAP = timedelta(days=1)  # what was too new to be settled at the last pass


@dataclass(frozen=True, slots=True)
class Polled:
    """How a market does that is polled or listened to: whether it answers, and the seconds from tick to tick."""

    answers: bool
    interval: float


@dataclass(frozen=True, slots=True)
class GapCounts:
    """Rows of the table ``gaps`` by their state."""

    open: int = 0
    filled: int = 0
    unrecoverable: int = 0


class Backfiller:
    """Finds and fills holes while we lead under ``epoch``, and until ``stop`` is set.

    ``build`` makes a source of a market for our own use; ``polled`` tells of the markets; ``is_drained`` whether the
    spool is empty (what waits in it is no hole). ``days``: how far back it looks, 0 = it does nothing. Its ticks are
    no news to rules: windows hold live ones alone.
    """

    def __init__(
        self,
        database: Database,
        build: Callable[[str], Source],
        clock: Clock,
        stop: threading.Event,
        *,
        epoch: int,
        days: int,
        polled: Callable[[], Mapping[str, Polled]],
        is_drained: Callable[[], bool],
    ) -> None:
        self._clock, self._stop, self._reach = clock, stop, timedelta(days=days)
        self._polled, self._is_drained = polled, is_drained
        self._finder, self._filling = Finder(database), Filling(database, clock, epoch)
        self._own = OwnSources(build)
        self._backfill = Backfill(self._filling, self._own, clock, stop)
        self._steady, self._began = SteadyClock(clock), clock.monotonic()
        self._answering: set[str] = set()
        self._wanted = True
        self._not_before = self._began
        self._last: datetime | None = None
        """When the last pass began that came to its end."""
        self._say_at = 0.0
        self._stored = 0
        self._log = log.get(__name__)
        self.counts = GapCounts()
        """As of the last look."""
        self.doing: str | None = None
        """What it is doing, in words; None while there is nothing to do."""
        self._of_pass = 0

    @property
    def stored(self) -> int:
        """Ticks that were added since the start."""
        return self._stored + self._of_pass

    def run(self) -> None:
        """Until ``stop`` is set, or another daemon leads."""
        if not self._reach:
            return
        with closing(self._own):
            while not self._clock.wait(self._stop, _LOOK_SECONDS):
                if self._is_due() and not self._pass():
                    return

    def _is_due(self) -> bool:
        polled = self._polled()
        answering = {market for market, each in polled.items() if each.answers}
        _, leapt = self._steady.look()
        if answering - self._answering or leapt > _LEAPT or not self._is_drained():
            self._wanted = True
        self._answering = answering
        now = self._clock.monotonic()
        if now >= self._not_before + _EVERY_SECONDS:
            self._wanted = True
        if self._last is None and answering != set(polled) and now < self._began + _FIRST_SECONDS:
            return False  # the first tick shows where a hole ends
        return self._wanted and now >= self._not_before and self._is_drained()

    def _pass(self) -> bool:
        """Look for holes once, and fill what is open. False: another daemon leads."""
        self._wanted = False
        began = self._clock.now()
        try:
            self._find_and_fill(began)
            self._last = began
        except (DatabaseUnavailable, DatabaseRefused) as error:
            self._wanted = True
            self._log.debug(f"Holes are looked for when the database is back: {error}.", action="backfill_waits")
        except Deposed:
            return False
        finally:
            self._stored, self._of_pass = self.stored, 0
            self.doing = None
            self._not_before = self._clock.monotonic() + _AGAIN_SECONDS
        return True

    def _find_and_fill(self, now: datetime) -> None:
        polled = self._polled()
        watched = self._filling.watched(polled)
        new = self._find(now, polled, watched)
        self._count()
        if self.counts.open:
            self._fill(now, watched, new)
        if not self._wanted:
            self._filling.let_go(self._reach)
            self._count()

    def _find(self, now: datetime, polled: Mapping[str, Polled], watched: Collection[Instrument]) -> int:
        self.doing = "looking for holes"
        oldest = now - self._reach
        since = oldest if self._last is None else max(oldest, self._last - _OVERLAP)
        new = 0
        for market, each in polled.items():
            symbols = [instrument.symbol for instrument in watched if instrument.market == market]
            for holes in self._finder.find(Feed(market, symbols, each.interval), since, now + _AHEAD, oldest):
                if self._stop.is_set():
                    return new
                new += self._filling.record(holes)
        return new

    def _fill(self, now: datetime, watched: Collection[Instrument], new: int) -> None:
        self._say_at = self._clock.monotonic() + _SAY_SECONDS
        if new:
            self._log.info(f"Holes found in the history: {new}; filling them.", action="backfill_begins", found=new)
        done = self._backfill.fill(list(watched), now - self._reach, now, self._told, _MOST_SECONDS)
        self._wanted = self._wanted or done.is_cut
        self._count()
        if new or done.ticks:
            self._log.info(
                f"Backfill is done for now: {done.ticks} ticks with {done.calls} calls; holes that stay open:"
                f" {self.counts.open}.",
                action="backfill_ends",
                ticks=done.ticks,
                calls=done.calls,
                **{"open": self.counts.open, "filled": self.counts.filled, "gone": self.counts.unrecoverable},
            )

    def _told(self, progress: Progress) -> None:
        self._of_pass = progress.ticks
        self.doing = f"filling holes: {progress.share:.0%}, now {progress.symbol}"
        if self._clock.monotonic() >= self._say_at:
            self._say_at = self._clock.monotonic() + _SAY_SECONDS
            self._log.info(
                f"Backfill: {progress.share:.0%} of what is missing, {progress.ticks} ticks, now {progress.symbol}.",
                action="backfill",
                ticks=progress.ticks,
                calls=progress.calls,
            )

    def _count(self) -> None:
        counts = self._filling.counts()
        self.counts = GapCounts(
            open=counts.get("open", 0),
            filled=counts.get("filled", 0),
            unrecoverable=counts.get("unrecoverable", 0),
        )
