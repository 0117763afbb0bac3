"""Ticks of sources that stand in for a symbol's own: in windows apart, as two sources never quite agree."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from app.alerts.windows import Arrival, Windows
from app.model import Tick
from app.watch import ALL


class StandIns:
    """Keeps the windows of each source apart. A symbol's own source has ``windows``, others have rows of their own.

    ``market`` is that of symbols which name none; without it every source counts as a symbol's own.
    """

    def __init__(self, windows: Windows, market: str, before: StandIns | None = None) -> None:
        self._windows, self._market = windows, market
        self._aside: Windows = Windows(windows.wanted) if before is None else before._aside
        # Of symbols whose last new tick was from a stand-in: its time, and its source.
        self._last: dict[str, tuple[int, str]] = {} if before is None else before._last
        # The symbols' rows there: a source a row.
        self._sources: dict[str, set[str]] = {} if before is None else before._sources

    def market_of(self, symbol: str) -> str:
        """The market of a symbol: the source that is its own."""
        return symbol.partition("@")[2] or self._market

    def among(self, ticks: Sequence[Tick]) -> Collection[str]:
        """The symbols of a batch of which ticks have to be taken one by one: now from a stand-in, or from one before.

        All of a batch are from one source, but for composites.
        """
        first, sources = ticks[0], {tick.source for tick in ticks}
        if not (self.is_own(first.symbol, first.source) and len(sources - {ALL}) <= 1):
            return {tick.symbol for tick in ticks}
        return {tick.symbol for tick in ticks if tick.symbol in self._last} if self._last else ()

    def forget(self, symbol: str) -> None:
        """A symbol is as if it had never come."""
        self._last.pop(symbol, None)
        for source in self._sources.pop(symbol, ()):
            self._aside.forget(_name(symbol, source))

    def is_own(self, symbol: str, source: str) -> bool:
        """Whether a source is the symbol's own."""
        return not self._market or source == self.market_of(symbol)

    def take_one(
        self, row: int, time: int, values: Sequence[float], tick: Tick, forget: Callable[[int], None]
    ) -> tuple[Arrival, Sequence[float]]:
        """As ``Windows.take_one``, with the windows of the tick's source; new is what is newer than of any source.

        ``forget`` is told the row when its source is another one than that of the tick before.
        """
        is_own = self.is_own(tick.symbol, tick.source)
        if is_own and not self._last:
            return self._windows.take_one(row, time, values)
        before, source = self._last.get(tick.symbol, (self._windows.newest(row), self.market_of(tick.symbol)))
        arrival, found = (
            self._windows.take_one(row, time, values)
            if is_own
            else self._aside.take_one(self._row(tick.symbol, tick.source), time, values)
        )
        if arrival is not Arrival.NEW:
            return arrival, found
        if before is not None and time <= before:
            return (Arrival.KNOWN if time == before else Arrival.LATE), found
        if source != tick.source:
            forget(row)
        if is_own:
            self._last.pop(tick.symbol, None)
        else:
            self._last[tick.symbol] = time, tick.source
        return arrival, found

    def load(
        self, row: int, symbol: str, sources: Sequence[str], times: NDArray[np.int64], values: NDArray[np.float64]
    ) -> None:
        """As ``Windows.load``, of ticks from these sources."""
        if all(self.is_own(symbol, source) for source in set(sources)):
            self._windows.load(row, times, values)
            return
        of = np.array(sources)
        for source in dict.fromkeys(sources):
            its = of == source
            if self.is_own(symbol, source):
                self._windows.load(row, times[its], values[:, its])
            else:
                self._aside.load(self._row(symbol, source), times[its], values[:, its])

    def _row(self, symbol: str, source: str) -> int:
        self._sources.setdefault(symbol, set()).add(source)
        return self._aside.row(_name(symbol, source))


def _name(symbol: str, source: str) -> str:
    return f"{symbol} {source}"
