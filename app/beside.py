"""What replies bring beside ticks: what a provider says of an instrument, and what breaks its schema."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec

from app import log
from app.clock import Clock
from app.db import Database, execute
from app.errors import DatabaseRefused, DatabaseUnavailable, DataRefused
from app.model import Batch, Facts
from app.set_aside import SetAsideFile

_AT_MOST_EVERY = 3600.0  # seconds, for one symbol: a supply may change with every reply
_PATIENCE_SECONDS = 5.0

_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")  # every digit


@dataclass(slots=True)
class _Written:
    """What of a symbol's facts was written when, and when they last came (monotonic seconds)."""

    text: str
    at: float
    seen_at: float


class Beside:
    """Keeps facts in ``instruments.metadata``, the newest of each kind, and sets aside what is unexpected.

    ``take`` is for any thread and only remembers; ``step`` writes, for one thread at a time. What has not come for as
    long as it would be left alone is forgotten: nobody watches it any more.
    """

    def __init__(self, database: Database, aside: SetAsideFile, clock: Clock) -> None:
        self._database, self.aside, self._clock = database, aside, clock
        self._lock = threading.Lock()
        self._new: dict[str, Facts] = {}
        self._written: dict[str, _Written] = {}
        self._refused: set[str] = set()  # symbols of which it is said
        self._log = log.get(__name__)

    def take(self, batch: Batch) -> None:
        """What this reply brought."""
        if batch.set_aside:
            self.aside.add(batch.set_aside, batch.fetched_at)
        if batch.facts:
            with self._lock:
                self._new.update(batch.facts)

    def step(self) -> None:
        """Write down what has changed, where it has not been written lately."""
        now = self._clock.monotonic()
        self._forget(now)
        with self._lock:
            due = {symbol: facts for symbol, facts in self._new.items() if self._is_due(symbol, now)}
        texts = {symbol: _text(facts) for symbol, facts in due.items()}
        changed = {symbol: text for symbol, text in texts.items() if self._text_of(symbol) != text}
        try:
            self._write(changed, now)
        except (DatabaseUnavailable, DatabaseRefused) as error:
            self._log.debug(f"What providers say of instruments is written later: {error}.", action="facts")
            return
        with self._lock:
            for symbol, facts in due.items():
                if self._new[symbol] is facts:
                    del self._new[symbol]

    def _forget(self, now: float) -> None:
        with self._lock:
            for symbol in self._new.keys() & self._written.keys():
                self._written[symbol].seen_at = now
        gone = [symbol for symbol, its in self._written.items() if now - its.seen_at >= _AT_MOST_EVERY]
        for symbol in gone:
            del self._written[symbol]
        self._refused &= self._written.keys()

    def _is_due(self, symbol: str, now: float) -> bool:
        return symbol not in self._written or now - self._written[symbol].at >= _AT_MOST_EVERY

    def _text_of(self, symbol: str) -> str | None:
        return self._written[symbol].text if symbol in self._written else None

    def _write(self, texts: dict[str, str], now: float) -> None:
        if not texts:
            return
        try:
            self._save(texts)
        except DataRefused:
            if len(texts) > 1:
                for symbol, text in texts.items():
                    self._write({symbol: text}, now)
                return
            self._say_refused(*texts)
        self._written.update((symbol, _Written(text, now, now)) for symbol, text in texts.items())

    def _save(self, texts: dict[str, str]) -> None:
        values = {"symbol": list(texts), "facts": list(texts.values())}
        self._database.once(lambda cursor: execute(cursor, "save_facts", **values), patience=_PATIENCE_SECONDS)

    def _say_refused(self, symbol: str) -> None:
        """Once, and without the text: nobody knows what is in it."""
        if symbol in self._refused:
            return
        self._refused.add(symbol)
        self._log.warning(
            f"What the provider says of {symbol} beside its price is not kept: the database takes no such text.",
            action="facts_refused",
            symbol=symbol,
        )


def _text(facts: Facts) -> str:
    return _encoder.encode(facts).decode()
