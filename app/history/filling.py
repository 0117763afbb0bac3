"""What becomes of holes: pages of history stored, and the holes they fill settled, in one transaction each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from psycopg2 import extensions as pg

from app.clock import Clock
from app.db import Database, execute
from app.errors import DataRefused
from app.history.gaps import Hole, record
from app.model import Instrument, Page, Tick
from app.store import demand_lead, tick_values

T = TypeVar("T")

_MINUTE = timedelta(minutes=1)
_SETTLES = timedelta(days=1)  # what a provider does not have by then it will never have
_PATIENCE_SECONDS = 30.0
_MOST_ATTEMPTS = 20  # for a hole, at a provider that answers; two an hour make ten hours
_LET_GO = timedelta(days=1)  # since when nobody may have found or tried it
_GAP_COLUMNS = (
    *("symbol", "begins_at", "ends_at", "state", "why", "resolution", "source", "ticks", "attempts", "found_at"),
)


@dataclass(frozen=True, slots=True)
class Gap:
    """A row of the table ``gaps``."""

    symbol: str
    begins_at: datetime
    ends_at: datetime
    state: str
    why: str
    resolution: timedelta | None
    source: str | None
    ticks: int
    attempts: int
    found_at: datetime

    def part(self, begin: datetime, end: datetime) -> Gap:
        return replace(self, begins_at=begin, ends_at=end)

    def settled(self, state: str, why: str) -> Gap:
        return replace(self, state=state, why=why)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a symbol's history that a provider is asked for: from ``begin`` to before ``end``."""

    symbol: str
    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()


class Filling:
    """The table ``gaps``, and the ticks that fill it. For one thread at a time, like the Database it stands on.

    All of it is done now or not at all, and can be done again. Any method raises DatabaseUnavailable or
    DatabaseRefused; one that writes raises Deposed where an ``epoch`` was given that is over.
    """

    def __init__(self, database: Database, clock: Clock, epoch: int | None = None) -> None:
        self._database, self._clock, self._epoch = database, clock, epoch

    def record(self, holes: Sequence[Hole]) -> int:
        """Write down holes that were found; how many of them were not known."""
        return self._write(lambda cursor: record(cursor, holes)) if holes else 0

    def reopen(self, symbols: Collection[str], since: datetime, until: datetime) -> None:
        """Have what was given up there tried again."""
        values = {"symbols": list(symbols), "since": since, "until": until}
        self._write(lambda cursor: execute(cursor, "reopen_gaps", **values))

    def symbols(
        self, symbols: Collection[str], since: datetime, until: datetime
    ) -> list[tuple[str, datetime, int, float]]:
        """Those with open holes there: where the newest ends, the most attempts at one, and their seconds in all."""
        return self._query("symbols_with_open_gaps", symbols=list(symbols), since=since, until=until)

    def open_gaps(self, symbol: str, since: datetime, until: datetime) -> list[Gap]:
        """The open holes of a symbol there, newest first."""
        return [Gap(*row) for row in self._query("open_gaps", symbol=symbol, since=since, until=until)]

    def counts(self) -> dict[str, int]:
        """How many holes are in which state."""
        return dict(self._query("count_gaps"))

    def watched(self, markets: Collection[str]) -> list[Instrument]:
        """What is watched on these markets."""
        return [_instrument(row) for row in self._query("watched_instruments", markets=list(markets))]

    def instruments(self, symbols: Collection[str]) -> list[Instrument]:
        """What is known of these symbols, watched or not."""
        return [_instrument(row) for row in self._query("instruments_of", symbols=list(symbols))]

    def know(self, instruments: Sequence[Instrument]) -> None:
        """Write down those that are not known yet, as not watched."""
        columns = ("symbol", "base", "quote", "market", "provider_id", "name")
        values = {column: [getattr(instrument, column) for instrument in instruments] for column in columns}
        self._write(lambda cursor: execute(cursor, "know_instruments", **values))

    def gaps(self, symbols: Collection[str], since: datetime, until: datetime) -> list[Gap]:
        """All that is known there, newest first."""
        values = {"symbols": list(symbols), "since": since, "until": until}
        return [Gap(*row) for row in self._query("gaps_of_span", **values)]

    def save(self, asked: Span, page: Page, source: str) -> int:
        """Store what of a page lies in holes, and settle those: the provider was asked for that span and gave this.

        Minutes in which a live tick stands are not touched. How many ticks were new.
        """
        for month in sorted({tick.timestamp.date().replace(day=1) for tick in page.ticks}):
            self._query("make_partition", month=month)
        try:
            return self._write(lambda cursor: self._save(cursor, asked, page, source))
        except DataRefused as error:
            self.give_up(asked, source, f"the database does not take what {source} has there: {error}")
            return 0

    def give_up(self, span: Span, source: str, why: str) -> None:
        """There is nothing to be had within that span."""
        self._settle(span, lambda gap: _asked(gap, source).settled("unrecoverable", why))

    def failed(self, span: Span, source: str, why: str, *, may_end: bool = False) -> None:
        """Nobody knows: it stays open, unless it ``may_end`` and was asked for too often."""

        def change(gap: Gap) -> Gap:
            asked = _asked(gap, source)
            if may_end and asked.attempts >= _MOST_ATTEMPTS:
                return asked.settled("unrecoverable", f"{source} was asked {asked.attempts} times in vain: {why}")
            return asked.settled("open", why)

        self._settle(span, change)

    def let_go(self, reach: timedelta) -> None:
        """Settle open holes that nobody will fill: older than the reach, or of symbols that are watched no more.

        What somebody found or tried within a day stays: it may be asked for by hand.
        """
        now = self._clock.now()
        values = {
            "oldest": now - reach,
            "since": now - _LET_GO,
            "too_old": f"it is older than the {reach.days} days of BACKFILL_DAYS",
            "unwatched": "its symbol is not watched any more",
        }
        self._write(lambda cursor: execute(cursor, "let_gaps_go", **values))

    def _save(self, cursor: pg.cursor, asked: Span, page: Page, source: str) -> int:
        pieces: list[Gap] = []
        stored = 0
        for gap in _take(cursor, asked):
            outside, inside = _cut(gap, asked)
            pieces += outside
            filled = _fills(page, inside)
            kept = _kept(cursor, filled, page.ticks)
            new = _insert(cursor, kept)
            stored += new
            pieces += _become(inside, filled, page, source, len(kept), new, self._clock.now())
        _put(cursor, pieces)
        return stored

    def _settle(self, span: Span, change: Callable[[Gap], Gap]) -> None:
        def work(cursor: pg.cursor) -> None:
            pieces: list[Gap] = []
            for gap in _take(cursor, span):
                outside, inside = _cut(gap, span)
                pieces += [*outside, change(inside)]
            _put(cursor, pieces)

        self._write(work)

    def _write(self, work: Callable[[pg.cursor], T]) -> T:
        def fenced(cursor: pg.cursor) -> T:
            if self._epoch is not None:
                demand_lead(cursor, self._epoch)
            return work(cursor)

        return self._database.once(fenced, patience=_PATIENCE_SECONDS)

    def _query(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self._database.once(lambda cursor: execute(cursor, name, **values), patience=_PATIENCE_SECONDS)


def _instrument(row: tuple[Any, ...]) -> Instrument:
    base, quote, market, symbol, provider_id, name = row
    return Instrument(base, quote, market, symbol, provider_id, name)


# A hole and a page: which part of the one the other fills, and what is left.


def _cut(gap: Gap, span: Span) -> tuple[list[Gap], Gap]:
    """What of a hole lies outside a span, and what inside; they do meet."""
    begin, end = max(gap.begins_at, span.begin), min(gap.ends_at, span.end)
    parts = [gap.part(gap.begins_at, begin), gap.part(end, gap.ends_at)]
    return [part for part in parts if part.begins_at < part.ends_at], gap.part(begin, end)


def _fills(page: Page, gap: Gap) -> Span:
    """What of a hole a page tells of. A rest shorter than the page's resolution counts: no point is missing there.

    The span is empty where the page ends before the hole begins, or begins where it ends.
    """
    begin, end = max(gap.begins_at, page.begin), min(gap.ends_at, page.end)
    if begin < end:
        begin = gap.begins_at if begin - gap.begins_at < page.resolution else begin
        end = gap.ends_at if gap.ends_at - end < page.resolution else end
    return Span(gap.symbol, begin, end)


def _become(gap: Gap, filled: Span, page: Page, source: str, found: int, stored: int, now: datetime) -> list[Gap]:
    """What a hole is split into: before the page, within it, and after it, where the provider has nothing so new."""
    asked = _asked(gap, source)
    pieces = []
    if gap.begins_at < filled.begin:
        pieces.append(gap.part(gap.begins_at, min(filled.begin, gap.ends_at)))
    if filled.begin < filled.end:
        middle = replace(asked.part(filled.begin, filled.end), ticks=stored)
        if found:
            middle = replace(middle, resolution=page.resolution).settled("filled", f"with the history of {source}")
        else:
            middle = middle.settled("unrecoverable", f"{source} has no point there either")
        pieces.append(middle)
    rest = max(gap.begins_at, filled.end if filled.begin < filled.end else page.end)
    # What is so new may yet come, or turn out not to be missing: where it does not, it is found again.
    if rest < gap.ends_at and page.end < gap.ends_at and now - rest > _SETTLES:
        pieces.append(asked.part(rest, gap.ends_at).settled("unrecoverable", f"the history of {source} ends before"))
    return pieces


def _asked(gap: Gap, source: str) -> Gap:
    return replace(gap, source=source, attempts=gap.attempts + 1)


# Statements.


def _take(cursor: pg.cursor, span: Span) -> list[Gap]:
    rows = execute(cursor, "take_gaps", symbol=span.symbol, since=span.begin, until=span.end)
    return [Gap(*row) for row in rows]


def _put(cursor: pg.cursor, gaps: Sequence[Gap]) -> None:
    execute(cursor, "put_gaps", **{column: [getattr(gap, column) for gap in gaps] for column in _GAP_COLUMNS})


def _kept(cursor: pg.cursor, filled: Span, ticks: Sequence[Tick]) -> list[Tick]:
    """Those that lie in a span, and not in a minute in which a live tick stands."""
    inside = [tick for tick in ticks if filled.begin <= tick.timestamp < filled.end and tick.symbol == filled.symbol]
    if not inside:
        return []
    span = {"begin": [_minute(filled.begin)], "end": [_minute(filled.end) + _MINUTE]}
    rows = execute(cursor, "minutes_with_live_ticks", symbol=filled.symbol, **span)
    live = {minute for (minute,) in rows}
    return [tick for tick in inside if _minute(tick.timestamp) not in live]


def _insert(cursor: pg.cursor, ticks: Sequence[Tick]) -> int:
    """Store ticks, and roll them up; how many were new."""
    return len(execute(cursor, "store_ticks", **tick_values(ticks)))


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)
