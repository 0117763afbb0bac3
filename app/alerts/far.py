"""The piece of time that an exact window begins in, of every symbol, and the measures from each of its ticks on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from app.alerts.columns import Column, Extents, Floats, Ints, Rows
from app.alerts.measures import Measure
from app.alerts.ticks import Ticks

NEVER = 1 << 62
"""Later than any time."""

_SMALL = 1 << 12  # cells of a table that is made at once, however few of them are used


class Far:
    """Its ticks with a value of the field, until the window has gone on to the next piece.

    A row has a *place* among them, from which on they are in the window. After the last there is one at NEVER, of which
    every measure is that of nothing. Rows without such a piece are at place 0, which is such a one.
    """

    def __init__(self, field: int, ticks: Ticks, measures: Sequence[Measure]) -> None:
        self._field, self._ticks, self._measures = field, ticks, measures
        self._extents = Extents()
        self._place, self._stop = Column(int), Column(int)
        self._times = Column(int)

    def grow(self, rows: int) -> None:
        """Make room for so many rows, once the measures have it."""
        self._extents.grow(rows)
        self._place.grow(rows)
        self._stop.grow(rows)
        if not len(self._times.array):
            self._make_places()
            self._times.view[0] = NEVER
            for measure in self._measures:
                measure.approach_one(0, [], 0)

    def go_on(self, rows: Rows, edges: Ints) -> tuple[Ints, Floats]:
        """The places from which on ticks are in windows that begin there, and how many are."""
        places = self._place.array[rows]
        behind = np.flatnonzero(self._times.array[places] < edges)
        while len(behind):
            places[behind] += 1
            behind = behind[self._times.array[places[behind]] < edges[behind]]
        self._place.array[rows] = places
        return places, (self._stop.array[rows] - places).astype(np.float64)

    def go_on_one(self, row: int, edge: int) -> tuple[int, float]:
        """The same for one."""
        place: int = self._place.view[row]
        times = self._times.view
        if times[place] < edge:
            place += 1
            while times[place] < edge:
                place += 1
            self._place.view[row] = place
        return place, float(self._stop.view[row] - place)

    def leave(self, rows: Ints) -> None:
        """These have no such piece now."""
        self._place.array[rows] = self._stop.array[rows] = 0

    def leave_one(self, row: int) -> None:
        self._place.view[row] = self._stop.view[row] = 0

    def approach(self, rows: Ints, froms: Ints, tos: Ints, counts: Ints) -> None:
        """These have pieces with such ticks, by their numbers, and so many values of the field among them."""
        if not len(rows):
            return
        self._extents.reserve(rows, counts + 1)
        self._make_places()
        if len(counts) * int(counts.max()) <= _SMALL:
            self._fill(rows, froms, tos, counts)
            return
        # Rows with about as many ticks each go together: as a table they take little more room than by themselves.
        sizes = np.frexp(counts)[1]
        for size in np.flatnonzero(np.bincount(sizes)):
            chosen = sizes == size
            self._fill(rows[chosen], froms[chosen], tos[chosen], counts[chosen])

    def _fill(self, rows: Ints, froms: Ints, tos: Ints, counts: Ints) -> None:
        owner, nth = ragged(tos - froms)
        of = self._ticks.where(rows[owner], froms[owner] + nth)
        values = self._ticks.values[self._field].array[of]
        valid = ~np.isnan(values)
        if not valid.all():
            of, values = of[valid], values[valid]
            owner, nth = ragged(counts)
        width = int(counts.max())
        cells = owner * width + (counts[owner] - 1 - nth)
        padded = np.zeros((len(rows), width))
        padded.ravel()[cells] = values
        starts = self._extents.start.array[rows]
        places, ends = starts[owner] + nth, starts + counts
        self._times.array[places], self._times.array[ends] = self._ticks.times.array[of], NEVER
        self._place.array[rows], self._stop.array[rows] = starts, ends
        for measure in self._measures:
            measure.approach(rows, padded, cells, places, ends)

    def approach_one(self, row: int, from_: int, to: int) -> None:
        """The same for one."""
        times, values = self._ticks.stretch(row, from_, to, self._field)
        if math.isnan(sum(values)):
            times = [time for time, value in zip(times, values, strict=True) if value == value]
            values = [value for value in values if value == value]
        start = self._extents.reserve_one(row, len(values) + 1)
        self._make_places()
        self._place.view[row], self._stop.view[row] = start, start + len(values)
        for place, time in enumerate((*times, NEVER), start):
            self._times.view[place] = time
        for measure in self._measures:
            measure.approach_one(row, values, start)

    def _make_places(self) -> None:
        if self._extents.size > len(self._times.array):
            size = self._extents.size * 5 // 4
            for column in (self._times, *(column for measure in self._measures for column in measure.by_place)):
                column.grow(size)


def ragged(counts: Ints) -> tuple[Ints, Ints]:
    """For lines of such lengths, put one after another: of each element its line, and which one it is there."""
    ends = np.cumsum(counts)
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - (ends - counts)[owner]
