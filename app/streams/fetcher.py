"""A market that is listened to: each TICK_SECONDS the last update of each symbol; calls only where the stream fails."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection
from functools import partial

from app.asked import Entries, Refuse, fatal
from app.clock import Clock
from app.errors import ProviderUnavailable
from app.fetcher import Fetcher
from app.intake import Intake
from app.model import Batch, Instrument
from app.sources.exchange import Exchange
from app.sources.exchange_ticker import read
from app.streams import listening
from app.streams.board import Board
from app.streams.calls import Calls
from app.streams.stream import Stream
from app.tasks import Tasks
from app.watch import Entry

_TURN_SECONDS = 0.5  # how often it is seen whether a call is needed
_JOIN_SECONDS = 1.5


class StreamFetcher(Fetcher):
    """A Fetcher whose rounds are seldom, as a stream brings the ticks, and often only for those it is silent about.

    ``address``: where to listen instead of at the exchange's own address.
    """

    def __init__(
        self,
        source: Exchange,
        entries: Entries,
        intake: Intake,
        clock: Clock,
        stop: threading.Event,
        tick_seconds: float,
        *,
        address: str | None = None,
        refuse: Refuse = fatal,
    ) -> None:
        super().__init__(source, entries, intake, clock, stop, tick_seconds, refuse=refuse)
        self._exchange, self._address = source, address
        self._board = Board(clock)
        self._stream = Stream(source.name, self._board, clock, stop)
        self._calls = Calls(self._stream, self._board, clock)
        self._taking = threading.Lock()  # what is called for and what is streamed come from two threads
        self._called_for: tuple[Entry, ...] | None = None
        self._call_at = self._next_call = float("-inf")
        self._call_interval = tick_seconds
        self._only: Collection[str] | None = None  # the symbols that are called for now; None: all
        self._failures = 0  # of the stream, as far as they are in our health

    @property
    def silent_seconds(self) -> float:
        """As a Fetcher's, or less: while it is listened to, a market may be quiet."""
        stream = self._stream
        return 0.0 if stream.is_live else min(super().silent_seconds, self._clock.monotonic() - stream.since)

    def run(self) -> None:
        """Listen, and ask where that is needed, until ``stop`` is set. Raises as a Fetcher's."""
        tasks = Tasks(self._stop, self._clock)
        tasks.start(f"stream-{self.source.name}", self._stream.run)
        tasks.start(f"ticks-{self.source.name}", self._deliver)
        with tasks.watched():
            super().run()
        tasks.join(_JOIN_SECONDS)

    def _follow(self, instruments: list[Instrument]) -> None:
        super()._follow(instruments)
        rest = self._exchange.ccxt
        if listening.can_listen(rest):
            pairs = {self._exchange.pair(instrument): instrument.symbol for instrument in instruments}
            self._stream.listen(pairs, partial(listening.listen, rest, self._address))
        else:
            self._log.warning(
                f"{self.source.name} has no stream of prices; it is asked instead.", action="stream_impossible"
            )

    # What is streamed.

    def _deliver(self) -> None:
        """Hand on what has been streamed, on a fixed cadence, until ``stop`` is set, and then what is left of it."""
        due = self._clock.monotonic()
        while not self._clock.wait(self._stop, due - self._clock.monotonic()):
            self._deliver_once()
            turns = max(1, math.ceil((self._clock.monotonic() - due) / self._tick_seconds))
            self.health.overruns += turns - 1
            due += turns * self._tick_seconds
        self._deliver_once()

    def _deliver_once(self) -> None:
        updates = self._board.take()
        ticks, lost = [], []
        for update in updates:
            tick, bad = read(update.symbol, update.ticker, update.received_at, self.source.name)
            lost += bad
            if tick is not None and self._board.is_new(tick.symbol, tick.timestamp):
                ticks.append(tick)
        if not (ticks or lost):
            return
        ticks.sort(key=lambda tick: (tick.timestamp, tick.symbol))
        batch = Batch(self.source.name, self._clock.now(), tuple(ticks), tuple(lost))
        self.health.last_reply_at = batch.fetched_at
        self._report_lost(batch, {update.symbol for update in updates})
        self._accept(batch)

    def _report_lost(self, batch: Batch, asked: set[str]) -> None:
        with self._taking:
            super()._report_lost(batch, asked)

    def _accept(self, batch: Batch) -> None:
        with self._taking:
            super()._accept(batch)
        self._board.know({tick.symbol: tick.price for tick in batch.ticks})

    # What is called for.

    def _round(self) -> float:
        """Make the calls that are needed now, if any. Their pauses are kept here, as the stream goes on meanwhile."""
        if self._clock.monotonic() >= self._next_call and self._is_call_needed():
            self._call()
        self._tell()
        return 0.0

    def _next_turn(self, due: float, pause: float) -> float:  # noqa: ARG002
        return max(due, self._clock.monotonic()) + min(_TURN_SECONDS, self._tick_seconds)

    def _is_call_needed(self) -> bool:
        now, entries = self._clock.monotonic(), self.asked.entries
        its_turn = now >= self._call_at + self._call_interval
        if entries != self._called_for or (its_turn and self.asked.is_due(entries)):
            return True
        return bool(entries) and self._calls.are_needed(its_turn=its_turn)

    def _call(self) -> None:
        failures = self.health.failures
        self._called_for = self.asked.entries
        self._calls.begin()
        # Entries that are new, or have to be read anew, may mean others.
        self._only = None if self.asked.is_due(self._called_for) else self._calls.only
        pause = super()._round()
        self._call_interval = self.interval
        self._call_at = self._next_call = self._clock.monotonic()
        if self.health.failures == failures:
            self._calls.answered()
        else:
            self._next_call += max(pause, self._call_interval)

    def _ask_all(self) -> tuple[ProviderUnavailable | None, bool]:
        """Ask for the chunks with those that are to be called for; an exchange may take a call for each pair."""
        if (only := self._only) is None:
            return super()._ask_all()
        chunks, following = self._chunks, self._next
        self._chunks = [chunk for chunk in chunks if any(instrument.symbol in only for instrument in chunk)]
        self._next = 0
        try:
            return super()._ask_all()
        finally:
            self._chunks, self._next = chunks, following

    def _tell(self) -> None:
        """Say in our health how the stream does."""
        health, stream = self.health, self._stream
        live = stream.is_live
        self.interval = self._tick_seconds if live else self._call_interval
        health.answers = health.answers or live
        health.failures += stream.failures - self._failures
        self._failures = stream.failures
        if health.state == "ok":
            health.consecutive_failures = stream.failures_in_a_row
            health.reason = "" if live or not self._failures else f"asked, as its stream is down: {stream.reason}"
