"""The watch list in effect: what WATCH says, and what was added or taken off at run time (the table ``watch``)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app import log
from app.db import Asked, execute
from app.errors import ConfigurationError
from app.watch import Composite, Entry, Wanted, Without, parse_entry, written

_PATIENCE_SECONDS = 2.0

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """An entry that was added at run time, or taken off; ``error``: why it cannot be watched."""

    entry: str
    watched: bool
    changed_at: datetime
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """A symbol that is watched now, and the time and source of its newest tick."""

    symbol: str
    market: str
    provider_id: str | None
    name: str | None
    added_at: datetime
    newest_at: datetime | None
    source: str | None


class WatchStore:
    """The table of changes. Raises DatabaseUnavailable or DatabaseRefused, and waits for nobody."""

    def __init__(self, database: Asked) -> None:
        self._database = database

    def changes(self) -> list[Change]:
        """All of them, in the order in which they were made."""
        return [Change(*row) for row in self._query("watch_changes")]

    def change(self, entries: Sequence[Entry], *, watched: bool) -> None:
        """Add these entries, or take them off."""
        self._query("watch_entries", entries=[written(entry) for entry in entries], watched=watched)

    def forget(self, entries: Sequence[Entry]) -> None:
        """As if nothing had been said of these: WATCH alone counts."""
        self._query("forget_entries", entries=[written(entry) for entry in entries])

    def failed(self, entry: Entry, error: str | None) -> None:
        """Why it cannot be watched; None: it can."""
        self._query("watch_failed", entry=written(entry), error=error)

    def symbols(self) -> list[Watched]:
        """What is watched now."""
        return [Watched(*row) for row in self._query("watched_symbols")]

    def page_of_symbols(self, market: str, symbol: str, limit: int) -> list[Watched]:
        """The first that come after a symbol of a market."""
        return [Watched(*row) for row in self._query("page_of_watched", market=market, symbol=symbol, limit=limit)]

    def has(self, entry: Entry, settled: Iterable[Entry], market: str, quote: str) -> bool:
        """Whether it is in effect, or a symbol that is watched now; ``settled``: what WATCH says."""
        if entry in in_effect(settled, self.changes(), market, quote):
            return True
        return bool(self._query("is_watched", symbol=written(entry)))

    def _query(self, name: str, /, **values: object) -> list[tuple[Any, ...]]:
        return self._database.once(lambda cursor: execute(cursor, name, **values), patience=_PATIENCE_SECONDS)


def in_effect(entries: Iterable[Entry], changes: Iterable[Change], market: str, quote: str) -> list[Entry]:
    """The watch list after these changes. What is taken off is also left out of ``top:250`` and ``*@kraken``.

    A change that cannot be read, of another default market perhaps, is left out and said.
    """
    found = dict.fromkeys(entries)
    for change in changes:
        try:
            entry = parse_entry(change.entry, market, quote)
        except ConfigurationError as error:
            _log.error(f"The table watch has an entry that is none: {error}", action="watch_refused")
            continue
        if isinstance(entry, Wanted | Composite):
            without = Without(entry.symbol, entry.market)
            found.pop(without, None)
            if not change.watched:
                found = {e: None for e in found if not (isinstance(e, type(entry)) and e.symbol == entry.symbol)}
                found[without] = None
                continue
            if isinstance(entry, Wanted) and entry.provider_id:  # it says anew which coin is meant
                found = {e: None for e in found if not (isinstance(e, Wanted) and e.symbol == entry.symbol)}
        if change.watched:
            found.pop(entry, None)  # said anew: it stands where it was said last
            found[entry] = None
        else:
            found.pop(entry, None)
    return list(found)


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry in effect, and the change by which it was said last; None: WATCH alone says it."""

    entry: str
    watched: bool
    change: Change | None


def listed(settled: Sequence[Entry], changes: Sequence[Change], market: str, quote: str) -> list[Listed]:
    """The watch list after these changes, and where each entry is from; ``settled``: what WATCH says."""
    of_settings, said = set(settled), {change.entry: change for change in changes}
    found = []
    for entry in in_effect(settled, changes, market, quote):
        text, is_watched = written(entry), not isinstance(entry, Without)
        change = said.get(text if is_watched else text.removeprefix("-"))
        if entry in of_settings or change is not None:
            found.append(Listed(text, is_watched, change))
    return found


class Watchlist:
    """What is watched now, by market. Safe for several threads."""

    def __init__(self, entries: Sequence[Entry], market: str, quote: str, store: WatchStore) -> None:
        self._settled, self._market, self._quote, self._store = tuple(entries), market, quote, store
        self._lock = threading.Lock()
        self._refusing = threading.Lock()  # never held while the database is asked
        self._changes: list[Change] = []
        self._by_market: dict[str, tuple[Entry, ...]] = {}
        self._refused: dict[Entry, str] = {}
        self._untold: list[Entry] = []  # appended to by the threads that ask, told by the one that steps
        self._put(self._settled)

    @property
    def markets(self) -> list[str]:
        """Those of which anything is watched, and those that WATCH names."""
        return list(self._by_market)

    def entries(self, market: str) -> tuple[Entry, ...]:
        """What is watched of a market; the same tuple for as long as that is the same."""
        return self._by_market.get(market, ())

    def step(self) -> bool:
        """Read the changes anew; whether the list is another one since. Raises DatabaseUnavailable, DatabaseRefused."""
        with self._lock:
            return self._step()

    def _step(self) -> bool:
        while self._untold:
            entry = self._untold[0]
            with self._refusing:
                error = self._refused.get(entry)
            self._store.failed(entry, error)
            del self._untold[0]
        changes = self._store.changes()
        if [(c.entry, c.watched, c.changed_at) for c in changes] == [
            (c.entry, c.watched, c.changed_at) for c in self._changes
        ]:
            return False
        known, self._changes = self._changes, changes
        before = dict(self._by_market)
        self._put(in_effect(self._settled, changes, self._market, self._quote))
        said_before = {(change.entry, change.changed_at) for change in known}
        said_anew = {change.entry for change in changes if (change.entry, change.changed_at) not in said_before}
        there = {entry for entries in self._by_market.values() for entry in entries if written(entry) not in said_anew}
        with self._refusing:
            self._refused = {entry: error for entry, error in self._refused.items() if entry in there}
        return before != self._by_market

    def refuse(self, entry: Entry, error: ConfigurationError | None, *, at_start: bool) -> None:
        """An entry means nothing to its provider; None: it does after all. Raises the error for one of WATCH at the
        start, says it else.
        """
        if error is not None and at_start and entry in self._settled:
            raise error
        with self._refusing:
            if error is None:
                self._refused.pop(entry, None)
            elif entry in self._refused:
                return
            else:
                self._refused[entry] = str(error).removeprefix("WATCH: ")
        self._untold.append(entry)
        if error is None:
            _log.info(f"{written(entry)} is watched after all.", action="watched_after_all", entry=written(entry))
        else:
            text = str(error).removeprefix("WATCH: ")
            _log.error(f"Not watched: {text}", action="not_watched", entry=written(entry))

    def _put(self, entries: Iterable[Entry]) -> None:
        by_market: dict[str, list[Entry]] = {entry.market: [] for entry in self._settled}
        for entry in entries:
            by_market.setdefault(entry.market, []).append(entry)
        self._by_market = {
            # With nothing else of the market, there is nothing to be left out.
            market: tuple(its) if any(not isinstance(entry, Without) for entry in its) else ()
            for market, its in by_market.items()
        }
