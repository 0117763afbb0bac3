"""The tick loop of one source: when to ask, what to do when the answer is no, and what to say about it."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app import log
from app.asked import Asked, Entries, Refuse, fatal
from app.breaker import FAILURES, Breaker, jittered
from app.clock import Clock
from app.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    Deposed,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    Stopping,
)
from app.identity import Identity
from app.intake import Intake
from app.model import Batch, Instrument, joined
from app.sources.base import Source, explain
from app.status import SourceState
from app.watch import Entry

_LIMITED_FIRST, _LIMITED_LONGEST = 5.0, 300.0  # seconds, where a 429 does not say how long
_RETRY_AFTER_LONGEST = 900.0  # seconds: a provider that asks for a day is asked again sooner, gently
_WINDOWS_AGAIN = 1.0  # seconds until the database is asked again for what has to be known before the first call
_REFUSED = 900.0  # seconds until a refusal is looked at again


@dataclass(slots=True)
class Health:
    """How a source does, as app.status.SourceStatus explains it."""

    state: SourceState = "starting"
    reason: str = ""
    answers: bool = False
    """Whether any call of the last round was answered."""
    symbols: int = 0
    failures: int = 0
    consecutive_failures: int = 0
    overruns: int = 0
    values_lost: int = 0
    last_reply_at: datetime | None = None
    next_call_at: datetime | None = None


class Fetcher:
    """Asks one source for its instruments on a fixed cadence, and hands every reply to the intake.

    The cadence comes from the monotonic clock. A round that takes longer than its turn is counted, and the turns it
    missed are skipped, never made up for. A few failures delay nothing; after many in a row (``app.breaker``) one call
    now and then asks whether the provider is back.
    """

    def __init__(
        self,
        source: Source,
        entries: Entries,
        intake: Intake,
        clock: Clock,
        stop: threading.Event,
        tick_seconds: float,
        *,
        refuse: Refuse = fatal,
        stands_in: bool = False,
        identity: Identity | None = None,
    ) -> None:
        self.source, self._stands_in, self._identity = source, stands_in, identity
        self.asked = Asked(source, entries, clock, self._follow, refuse, identity)
        self._intake, self._clock, self._stop, self._tick_seconds = intake, clock, stop, tick_seconds
        self._watched: Sequence[Instrument] | None = None  # as the intake knows it
        self._explained = False
        self._asking_since: float | None = None
        self._chunks: Sequence[Sequence[Instrument]] = ()
        self._next = 0  # the chunk to ask for; not the first where a limit broke off the last round
        self._lost: set[tuple[str, str]] = set()
        self._limited_in_a_row = 0
        self._breaker = Breaker()
        self._log = log.get(__name__).bind(source=source.name)
        self.health = Health()
        self.interval = tick_seconds
        """Seconds from one round to the next, as the settings and the provider's limits allow now."""

    def run(self) -> None:
        """Ask until ``stop`` is set. Raises ConfigurationError where ``refuse`` does."""
        due = self._clock.monotonic()
        while not self._clock.wait(self._stop, due - self._clock.monotonic()):
            pause = self._round()
            due = self._next_turn(due, pause)
            self.health.next_call_at = self._clock.now() + timedelta(seconds=max(0.0, due - self._clock.monotonic()))

    @property
    def silent_seconds(self) -> float:
        """Since its last answer, or since it was first asked for one; 0 before."""
        return 0.0 if self._asking_since is None else self._clock.monotonic() - self._asking_since

    @property
    def instruments(self) -> Sequence[Instrument]:
        """What it is asked for."""
        return self.asked.instruments

    def _follow(self, instruments: list[Instrument]) -> None:
        """These are watched from now on: their windows have to be warm, and the database is where they are."""
        if not self._stands_in and instruments != self._watched:
            self._intake.watch(self.source.name, instruments)
            self._watched = instruments
        self.health.symbols = len(instruments)

    def _round(self) -> float:
        """One call for each chunk. Returns the seconds for which the source is to be left alone then."""
        entries = self.asked.entries
        if self.asked.is_nothing(entries):
            return self._idle()
        replied_at = self.health.last_reply_at
        try:
            return self._try_round(entries)
        finally:
            self.health.answers = self.health.state == "idle" or self.health.last_reply_at != replied_at

    def _explain(self) -> None:
        """Say once why a tick comes more seldom than TICK_SECONDS asks for."""
        if self._explained:
            return
        self._explained = True
        if said := explain(self.source, self._tick_seconds, len(self._chunks)):
            self._log.info(said, action="pace")

    def _idle(self) -> float:
        """There is nothing to ask for now."""
        self.health.state, self.health.reason, self.health.answers = "idle", "", True
        self._asking_since, self.interval = None, self._tick_seconds
        return 0.0

    def _try_round(self, entries: tuple[Entry, ...]) -> float:
        try:
            self.asked.look(entries)
            if self.asked.chunks is not self._chunks:
                self._chunks, self._next = self.asked.chunks, 0
            if not self._chunks:
                return self._idle()
            if self._asking_since is None:
                self._asking_since = self._clock.monotonic()
            self.source.learn_plan()
            self.interval = self.source.interval(self._tick_seconds, len(self._chunks))
            self._explain()
            failure, answered = self._ask_all()
        except RateLimited as error:
            return self._limited(error)
        except ProviderRefused as error:
            return self._refused(error)
        except ProviderUnavailable as error:
            return self._unanswered(error)
        except (DatabaseUnavailable, DatabaseRefused) as error:
            # What libpq says names hosts and users: that is for the log, and not for the API.
            unsaid = DatabaseUnavailable("the database does not answer")
            self._fall("starting", f"The windows of {self.source.name} cannot be read yet: {error}.", unsaid)
            return _WINDOWS_AGAIN
        except Deposed as error:
            self._log.warning(f"{self.source.name} is not asked any more: {error}.", action="not_asked")
            self._stop.set()
            return 0.0
        if failure is None:
            self._worked()
        elif not answered:
            return self._unanswered(failure)
        else:  # the provider is there; what it does not answer is asked for again at its turn
            self._failed(failure)
        return 0.0

    def _ask_all(self) -> tuple[ProviderUnavailable | None, bool]:
        """Ask for the chunks, from where the last round ended early. The last failure, and whether any was answered.

        What they bring is accepted together. With the breaker open the first call is a probe, and where it fails the
        only one; the next asks for another chunk, in case it is this one that the provider cannot serve.
        """
        failure: ProviderUnavailable | None = None
        batches: list[Batch] = []
        try:
            while self._next < len(self._chunks) and not self._stop.is_set():
                answer = self._ask(self._chunks[self._next])
                self._next += 1
                if isinstance(answer, Batch):
                    batches.append(answer)
                    self._breaker.worked()
                    continue
                failure = answer
                if not self._breaker.is_closed:
                    self._next %= len(self._chunks)
                    return failure, bool(batches)
            self._next = 0
        finally:  # also where a limit ended it
            if batches:
                self._accept(joined(batches))
        return failure, bool(batches)

    def _ask(self, chunk: Sequence[Instrument]) -> Batch | ProviderUnavailable:
        """One call. A failure that is this call's own is returned: the other chunks are asked all the same."""
        try:
            batch = self.source.fetch(chunk)
        except RateLimited:
            raise
        except ProviderUnavailable as error:
            return error
        self.health.last_reply_at = batch.fetched_at
        self._asking_since = self._clock.monotonic()
        self._report_lost(batch, {instrument.symbol for instrument in chunk})
        if self._identity is not None:
            self._identity.note(batch, chunk)
        return batch

    def _accept(self, batch: Batch) -> None:
        try:
            self._intake.accept(batch)
        except Stopping as error:
            self._log.error(
                f"The last reply's {len(batch.ticks)} ticks are lost: {error}.", action="batch_not_accepted"
            )
        except Deposed as error:
            self._log.warning(
                f"The last reply's {len(batch.ticks)} ticks are not stored: {error}.", action="batch_not_accepted"
            )
            self._stop.set()

    def _next_turn(self, due: float, pause: float) -> float:
        """The next turn of the cadence that lies ahead and after the pause."""
        interval, now = self.interval, self._clock.monotonic()
        due += interval
        if due >= now + pause:
            return due
        missed = math.ceil((now + pause - due) / interval)
        if not pause:
            self.health.overruns += missed
            self._log.debug(f"A round took longer than its turn; {missed} skipped.", action="overrun", skipped=missed)
        return due + missed * interval

    # What is said: once when something changes, not at each call.

    def _worked(self) -> None:
        health = self.health
        if health.state not in ("ok", "starting", "idle"):
            self._log.info(
                f"{self.source.name} answers again; failed calls in a row: {health.consecutive_failures}.",
                action="source_back",
            )
        health.state, health.reason, health.consecutive_failures, self._limited_in_a_row = "ok", "", 0, 0

    def _failed(self, error: ProviderUnavailable) -> None:
        self._fall("failing", f"{error}; asking again.", error)

    def _unanswered(self, error: ProviderUnavailable) -> float:
        self._failed(error)
        was_closed = self._breaker.is_closed
        pause = self._breaker.failed()
        if was_closed and pause:
            self._log.warning(
                f"{self.source.name} has failed {FAILURES} times in a row; from now on a single call, now and then,"
                " shows whether it is back.",
                action="source_given_up",
            )
        return pause

    def _limited(self, error: RateLimited) -> float:
        self._limited_in_a_row += 1
        wait = error.retry_after
        if wait is None or wait < 1:  # a provider that says 0 is not to be asked at every turn
            wait = jittered(min(_LIMITED_LONGEST, _LIMITED_FIRST * 2.0 ** min(self._limited_in_a_row - 1, 30)))
        wait = min(wait, _RETRY_AFTER_LONGEST)
        self._fall("limited", f"{error}; next call in {wait:.0f} s.", error)
        return wait

    def _refused(self, error: ProviderRefused) -> float:
        self._fall("paused", f"{error} Looking again in {_REFUSED / 60:.0f} minutes.", error)
        return _REFUSED

    def _fall(self, state: SourceState, sentence: str, error: Exception) -> None:
        health = self.health
        health.failures += 1
        health.consecutive_failures += 1
        if health.state != state:
            self._log.warning(sentence, action=f"source_{state}")
        else:
            self._log.debug(sentence, action=f"source_{state}")
        health.state, health.reason = state, str(error)

    def _report_lost(self, batch: Batch, asked: set[str]) -> None:
        self.health.values_lost += len(batch.lost)
        lost = {(value.symbol, value.field) for value in batch.lost}
        for value in batch.lost:
            if (value.symbol, value.field) not in self._lost:
                # Without a price there is no tick; without the others there is one.
                say = self._log.warning if value.field in ("price", "timestamp") else self._log.info
                say(
                    f"The {value.field} of {value.symbol} cannot be used: {value.reason}.",
                    action="value_lost",
                    symbol=value.symbol,
                    field=value.field,
                )
        for symbol, field in sorted(self._lost - lost):
            if symbol in asked:
                self._log.info(
                    f"The {field} of {symbol} can be used again.", action="value_back", symbol=symbol, field=field
                )
        self._lost = lost | {key for key in self._lost if key[0] not in asked}
