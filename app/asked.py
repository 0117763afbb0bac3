"""What a source is asked for: what the entries of the watch list mean to it, in chunks of a call, as they change."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence

from app import log
from app.clock import Clock
from app.errors import (
    ConfigurationError,
    DatabaseRefused,
    DatabaseUnavailable,
    ProviderRefused,
    ProviderUnavailable,
)
from app.identity import Identity
from app.model import Instrument
from app.sources.base import Source
from app.watch import Entry, EveryPair, Top, Without

_RANKING_SECONDS = 86400.0  # until it is asked anew which coins are the largest, and which pairs there are
_REFUSED_SECONDS = 3600.0  # until entries that meant nothing are tried again
_ASK_AGAIN = 60.0  # seconds until it is asked again what entries mean, where others can go on meanwhile

Entries = Callable[[], tuple[Entry, ...]]
"""What a source is to be asked for now; nothing: it is left alone."""

Refuse = Callable[[Entry, ConfigurationError | None], None]
"""Told of an entry that means nothing to the provider (it raises the error where that is to end the daemon), and, with
None, when it means something after all."""


def fatal(entry: Entry, error: ConfigurationError | None) -> None:  # noqa: ARG001
    """Refuse: every entry has to mean something."""
    if error is not None:
        raise error


class Asked:
    """For the one thread that asks the source. ``follow`` is told what is watched before it is asked for."""

    def __init__(
        self,
        source: Source,
        entries: Entries,
        clock: Clock,
        follow: Callable[[list[Instrument]], None],
        refuse: Refuse = fatal,
        identity: Identity | None = None,
    ) -> None:
        self._source, self._entries, self._clock = source, entries, clock
        self._follow, self._refuse, self._identity = follow, refuse, identity
        self._resolved: tuple[Entry, ...] = ()
        self._tried: tuple[Entry, ...] = ()
        self._renew_at, self._retry_at = math.inf, -math.inf
        self._waiting = False  # some entries wait for what the provider cannot be asked now
        self._refused: list[Entry] = []
        self._log = log.get(__name__).bind(source=source.name)
        self.instruments: Sequence[Instrument] = ()
        """What is watched."""
        self.chunks: Sequence[Sequence[Instrument]] = ()
        """What is asked for, a call each. Another object when it is another list."""

    def is_nothing(self, entries: tuple[Entry, ...]) -> bool:
        """Whether these are none, and were none when they were last looked at."""
        return not (self._resolved or entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What it is to be asked for now."""
        return self._entries()

    def is_due(self, entries: tuple[Entry, ...]) -> bool:
        """Whether ``look`` has something to do."""
        return entries != self._resolved or self._clock.monotonic() >= self._renew_at

    def look(self, entries: tuple[Entry, ...]) -> None:
        """Resolve what has changed. While provider or database cannot be asked for that, what was known goes on.

        Raises their errors where nothing was known.
        """
        now = self._clock.monotonic()
        if self._identity is not None and self._identity.step(self.instruments):
            self._renew_at = self._retry_at = now
        if entries == self._resolved:
            if now < self._renew_at:
                return
        elif entries == self._tried and now < self._retry_at and self.chunks:
            return
        try:
            self._resolve(entries)
        except (ProviderUnavailable, ProviderRefused, DatabaseUnavailable, DatabaseRefused) as error:
            self._tried, self._retry_at, self._renew_at = entries, now + _ASK_AGAIN, now + _ASK_AGAIN
            if not self.chunks:
                raise
            if not self._waiting:
                self._waiting = True
                self._log.warning(
                    f"The watch list cannot be read anew yet ({error}); what is known of it is watched.",
                    action="not_resolved",
                )
            return
        if self._waiting:
            self._waiting = False
            self._log.info("The watch list is read anew.", action="resolved")

    def _resolve(self, entries: tuple[Entry, ...]) -> None:
        """Learn what the entries mean to the provider. It may have to be asked for that."""
        if self._identity is not None:
            self._identity.begin()
        wanted, failure = [entry for entry in entries if not isinstance(entry, Without)], None
        if entries != self._resolved:
            self._refused = []  # one of them may have been said anew
        refused: list[Entry] = []
        try:
            meant = self._meant(wanted, refused)
        except (ProviderUnavailable, ProviderRefused) as error:
            meant, failure = self._meant_without_asking(wanted), error
            if not meant:
                raise
        without = {entry.symbol for entry in entries if isinstance(entry, Without)}
        self._ask_for([instrument for instrument in meant if instrument.symbol not in without])
        if failure is not None:
            raise failure
        self._resolved, self._renew_at = entries, math.inf
        if any(isinstance(entry, Top | EveryPair) for entry in entries):
            self._renew_at = self._clock.monotonic() + _RANKING_SECONDS
        if refused:
            self._renew_at = min(self._renew_at, self._clock.monotonic() + _REFUSED_SECONDS)
        for entry in self._refused:
            if entry in wanted and entry not in refused:
                self._refuse(entry, None)
        self._refused = refused

    def _ask_for(self, instruments: list[Instrument]) -> None:
        if self._identity is not None:
            self._identity.settle(instruments)
        self._follow(instruments)
        asked_for = instruments if self._identity is None else self._identity.to_ask_for(instruments)
        chunks = self._source.chunks(asked_for)
        if chunks != self.chunks:  # else a round that a limit broke off goes on
            self.chunks = chunks
        self.instruments = instruments

    def _meant_without_asking(self, entries: Sequence[Entry]) -> list[Instrument]:
        """While the provider cannot say what entries mean: what the others mean, and who was among the largest."""
        if self._identity is None:
            return []
        settled, before = self._identity.without_asking(entries)
        meant = {instrument.symbol: instrument for instrument in (*before, *self._meant(settled, []))}
        return list(meant.values())

    def _meant(self, entries: Sequence[Entry], refused: list[Entry]) -> list[Instrument]:
        left = list(entries)
        while True:
            try:
                return self._source.resolve(left)
            except ConfigurationError:
                # The first one with which they cannot be read: often by itself, at times beside one before it.
                place = bisect_left(range(len(left)), True, key=lambda n: self._error_of(left[: n + 1]) is not None)
                if (error := self._error_of(left[: place + 1])) is None:
                    raise
            if left[place] not in self._refused:
                self._refuse(left[place], error)
            refused.append(left.pop(place))

    def _error_of(self, entries: Sequence[Entry]) -> ConfigurationError | None:
        try:
            self._source.resolve(entries)
        except ConfigurationError as error:
            return error
        return None
