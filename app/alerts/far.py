"""The piece of time that an exact window begins in, of every symbol, and the measures from each of its ticks on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from app.alerts.columns import Column, Extents, Floats, Ints, Rows
from app.alerts.measures import Measure
from app.alerts.middle import NEVER
from app.alerts.ticks import Ticks


class Far:
    """Its ticks with a value of the field, until the window has gone on to the next piece.

    A row's stretch begins with a place at NEVER, of which every measure is that of nothing; then come the ticks, the
    newest first. A row is at the *place* of the oldest one that is in its window. Rows without such a piece are at
    place 0, which is one at NEVER.
    """

    def __init__(self, field: int, ticks: Ticks, measures: Sequence[Measure]) -> None:
        self._field, self._ticks, self._measures = field, ticks, measures
        self._extents = Extents()
        self._place, self._start = Column(int), Column(int)
        self._next = Column(float)  # the time at the row's place
        # At each place its time and what the measures have there, one after the other: one look at memory for all.
        # A float holds microseconds exactly until the year 2255.
        self._cells = Column(float)
        self._nothing = [float(NEVER), *(number for measure in measures for number in measure.nothing)]
        self._depth = len(self._nothing)
        ends = accumulate((len(measure.nothing) for measure in measures), initial=1)
        self.parts = [slice(*pair) for pair in pairwise(ends)]

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        known = len(self._next.array)
        self._extents.grow(rows)
        self._place.grow(rows)
        self._start.grow(rows)
        self._next.grow(rows)
        self._next.array[known:] = NEVER
        if not known:
            self._make_places()
            self._cells.put(0, self._nothing)

    def go_on(self, at: Rows, edges: Ints) -> tuple[Floats, Floats]:
        """The numbers of the ticks that are in windows which begin there: a line a row, for each measure those of its
        ``parts``. And how many ticks these are.
        """
        places, cells = self._place.array[at].copy(), self._cells.array.reshape(-1, self._depth)
        behind = self._next.array[at] < edges
        places -= behind
        numbers = cells.take(places, axis=0)
        more = np.flatnonzero(numbers[:, 0] < edges)
        while len(more):
            places[more] -= 1
            numbers[more] = cells[places[more]]
            more = more[numbers[more, 0] < edges[more]]
        self._place.array[at], self._next.array[at] = places, numbers[:, 0]
        return numbers, (places - self._start.array[at]).astype(np.float64)

    def go_on_one(self, row: int, edge: int) -> tuple[Sequence[float], int, float]:
        """The same for one: all numbers, where its own begin, and how many ticks."""
        place: int = self._place.view[row]
        cells, depth = self._cells.view, self._depth
        if self._next.view[row] < edge:
            place -= 1
            while (time := cells[place * depth]) < edge:
                place -= 1
            self._place.view[row], self._next.view[row] = place, time
        return cells, place * depth, float(place - self._start.view[row])

    def leave(self, rows: Ints | int) -> None:
        """These have no such piece now."""
        self._place.array[rows] = self._start.array[rows] = 0
        self._next.array[rows] = NEVER

    def approach(self, rows: Ints, froms: Ints, tos: Ints, counts: Ints) -> None:
        """These have pieces with such ticks, by their numbers, and so many values of the field among them."""
        if not len(rows):
            return
        self._extents.reserve(rows, counts + 1)
        self._make_places()
        # Rows with as much room each go together, as a table.
        rooms = self._extents.room.array[rows]
        for room in np.unique(rooms).tolist():
            chosen = rooms == room
            self._fill(room, rows[chosen], froms[chosen], tos[chosen], counts[chosen])

    def _fill(self, room: int, rows: Ints, froms: Ints, tos: Ints, counts: Ints) -> None:
        # Behind the oldest of a row there stands what happens to be there; it is never looked at.
        numbers = tos[:, None] - np.arange(1, int((tos - froms).max()) + 1)
        of = self._ticks.where(rows[:, None], numbers)
        times, values = self._ticks.times.array[of], self._ticks.values[self._field].array[of]
        if not np.array_equal(counts, tos - froms):  # some have no value: those that have one come first
            missing = np.isnan(values) | (numbers < froms[:, None])
            order = np.argsort(missing, axis=1, kind="stable")[:, : int(counts.max())]
            times, values = np.take_along_axis(times, order, axis=1), np.take_along_axis(values, order, axis=1)
        starts = self._extents.start.array[rows]
        places = starts + counts
        self._start.array[rows], self._place.array[rows] = starts, places
        self._next.array[rows] = times[np.arange(len(rows)), counts - 1]
        lines = starts // room
        tables = [times, *(table for measure in self._measures for table in measure.approach(rows, values))]
        size = room * self._depth
        stretches = self._cells.array[: len(self._cells.array) // size * size].reshape(-1, room, self._depth)
        stretches[lines, 0] = self._nothing
        for n, table in enumerate(tables):
            stretches[lines, 1 : table.shape[1] + 1, n] = table

    def approach_one(self, row: int, from_: int, to: int) -> None:
        """The same for one."""
        times, values = self._ticks.stretch(row, from_, to, self._field)
        if math.isnan(sum(values)):
            times = [time for time, value in zip(times, values, strict=True) if value == value]
            values = [value for value in values if value == value]
        times.reverse()
        values.reverse()
        start = self._extents.reserve_one(row, len(values) + 1)
        self._make_places()
        self._start.view[row], self._place.view[row] = start, start + len(values)
        self._next.view[row] = times[-1]
        depth, numbers = self._depth, self._nothing * (len(values) + 1)
        lines = [times, *(line for measure in self._measures for line in measure.approach_one(row, values))]
        for n, line in enumerate(lines, depth):
            numbers[n::depth] = line
        self._cells.put(start * depth, numbers)

    def _make_places(self) -> None:
        if self._extents.size * self._depth > len(self._cells.array):
            self._cells.grow(self._extents.size * 5 // 4 * self._depth)
