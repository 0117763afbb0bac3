"""What the stream tells: the events of a batch, written once for all clients, and which of them a client wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

KINDS = ("tick", "candle", "alert")
"""As the query batches_from numbers them, from 1 on; the order in which a batch has them."""

_PIECE = 64 * 1024  # bytes handed over at once: a client that reads nothing keeps few more than these waiting
_KEPT_WRITTEN = 8  # ways in which a batch is wanted, each of which is written once


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a client wants: of these kinds, and of the symbols that one of the patterns selects; none: of all.

    A pattern is as in rules: ``PAIR[@MARKET]``, without a market that of symbols which name none.
    """

    kinds: frozenset[str] = frozenset(KINDS)
    patterns: tuple[str, ...] = ()

    def takes(self, event: Event) -> bool:
        """Whether this one is among them."""
        return event.kind in self.kinds and (not self.patterns or _selected(self.patterns, event.symbol))


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it goes out, but for the empty line behind it."""

    kind: str
    symbol: str
    text: bytes


@dataclass(slots=True)
class Batch:
    """The events of a batch, under its number."""

    number: int
    events: Sequence[Event]
    _written: dict[Wanted, Sequence[bytes]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes, about."""
        return 200 + sum(200 + len(event.text) for event in self.events)

    def told(self, wanted: Wanted) -> Sequence[bytes]:
        """What a client is sent, in pieces; nothing, where it wants none of it.

        The last event alone has the number as its id: who loses the connection before is told all of it again.
        """
        pieces = self._written.get(wanted)
        if pieces is None:
            pieces = tuple(_pieces(self.number, [event.text for event in self.events if wanted.takes(event)]))
            if len(self._written) < _KEPT_WRITTEN:
                self._written[wanted] = pieces
        return pieces


def batches(rows: Iterable[tuple[int, int | None, str | None, str | None]]) -> list[Batch]:
    """The rows of the query batches_from."""
    return [
        Batch(number, [_event(KINDS[kind - 1], symbol or "", text or "") for _, kind, symbol, text in its if kind])
        for number, its in groupby(rows, itemgetter(0))
    ]


def event(kind: str, data: str, number: int | None = None) -> bytes:
    """One event by itself. ``number``: of the batch up to which a client knows everything then."""
    return b"%sevent: %s\ndata: %s\n\n" % (b"" if number is None else _id(number), kind.encode(), data.encode())


def known_to(number: int) -> bytes:
    """Says no more than up to which batch the client knows everything, so that it can come back with that."""
    return _id(number) + b"\n"


def comment(text: str) -> bytes:
    """What a client does not look at."""
    return f": {text}\n\n".encode()


def _event(kind: str, symbol: str, text: str) -> Event:
    # A line end in JSON is outside of its strings, and would end the event's data.
    line = text.replace("\r", " ").replace("\n", " ")
    return Event(kind, symbol, f"event: {kind}\ndata: {line}\n".encode())


def _id(number: int) -> bytes:
    return b"id: %d\n" % number


def _pieces(number: int, texts: Sequence[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for place, text in enumerate(texts, start=1):
        piece += (_id(number) if place == len(texts) else b"") + text + b"\n"
        if len(piece) >= _PIECE or place == len(texts):
            yield bytes(piece)
            piece = bytearray()


@lru_cache(maxsize=100_000)
def _selected(patterns: tuple[str, ...], symbol: str) -> bool:
    pair, _, market = symbol.partition("@")
    for pattern in patterns:
        its_pair, _, its_market = pattern.partition("@")
        if pattern == "*" or (fnmatchcase(pair, its_pair) and fnmatchcase(market, its_market)):
            return True
    return False
