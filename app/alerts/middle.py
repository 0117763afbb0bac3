"""The middle of one trailing window, of every symbol: the whole pieces of time in it, and what they come to.

It is put together anew out of all its pieces whenever there are others in it: first the *base*, all but the newest of
them, and then that one. So the base can be made ahead of the time at which that one is whole, and gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from app.alerts.columns import Column, Ints
from app.alerts.measures import Measure, least

NEVER = 1 << 62
"""Later than any time."""

_AT_ONCE = 1 << 15  # whole pieces that are looked through at once: larger arrays are slower for each of them

_Places = TypeVar("_Places", int, Ints)


class Middle:
    """Of each row as many ``pieces`` as a window can span, by their numbers.

    A piece that has no values has none of its own: its slot is still another one's.
    """

    def __init__(self, pieces: int, measures: Sequence[Measure]) -> None:
        self._pieces, self._measures = pieces, measures
        # Whole pieces, at their numbers modulo how many there are: how many values, and since when.
        self.number, self.counts, self.begins = Column(int), Column(float), Column(int)
        # The middle: how many values, since when. The same of its base, made of the pieces from first to before last.
        self.count, self.since = Column(float), Column(int)
        self._base, self._base_since = Column(float), Column(int)
        self._first, self._last = Column(int), Column(int)

    def grow(self, rows: int) -> None:
        """Make room for so many rows, here and in the measures."""
        for by_row in (self.count, self.since, self._base, self._base_since, self._first, self._last):
            by_row.grow(rows)
        for by_slot in (self.number, self.counts, self.begins):
            by_slot.grow(rows * self._pieces)
        for measure in self._measures:
            for column in measure.by_row:
                column.grow(rows)
            for column in measure.by_slot:
                column.grow(rows * self._pieces)

    def slots(self, rows: _Places, numbers: _Places) -> _Places:
        """Where pieces stand."""
        return rows * self._pieces + numbers % self._pieces

    def clear(self, row: int) -> None:
        """There is no piece."""
        self.number.array[row * self._pieces : (row + 1) * self._pieces] = 0
        self.spoil(row)

    def spoil(self, row: int) -> None:
        """The row's pieces are others now."""
        self._last.view[row] = 0

    def prepare(self, rows: Ints, firsts: Ints, ends: Ints) -> None:
        """Make the bases of the pieces from ``firsts`` to before ``ends``: all but the newest have to be whole."""
        step = -(-_AT_ONCE // self._pieces)
        for n in range(0, len(rows), step):
            some, first, last = (of[n : n + step] for of in (rows, firsts, ends - 1))
            self._first.array[some], self._last.array[some] = first, last
            of = self.number.array.reshape(-1, self._pieces)[some]
            live = (of >= first[:, None]) & (of < last[:, None])
            counts = np.where(live, self.counts.array.reshape(-1, self._pieces)[some], 0.0)
            sinces = np.where(live, self.begins.array.reshape(-1, self._pieces)[some], NEVER)
            self._base.array[some], self._base_since.array[some] = counts.sum(axis=1), least(sinces)
            for measure in self._measures:
                measure.gather(some, self._pieces, live, counts)

    def go_on(self, rows: Ints, firsts: Ints, ends: Ints) -> None:
        """The middles are the pieces from ``firsts`` to before ``ends``."""
        lasts = ends - 1
        unlike = (firsts != self._first.array[rows]) | (lasts != self._last.array[rows])
        if unlike.any():
            self.prepare(rows[unlike], firsts[unlike], ends[unlike])
        slots = self.slots(rows, lasts)
        there = (self.number.array[slots] == lasts) & (lasts >= firsts)
        base, counts = self._base.array[rows], np.where(there, self.counts.array[slots], 0.0)
        sinces = np.where(there, self.begins.array[slots], NEVER)
        self.count.array[rows] = base + counts
        self.since.array[rows] = np.minimum(self._base_since.array[rows], sinces)
        for measure in self._measures:
            measure.join(rows, slots, base, counts)

    # One row, by the same operations

    def prepare_one(self, row: int, first: int, end: int) -> None:
        last, at = end - 1, row * self._pieces
        self._first.view[row], self._last.view[row] = first, last
        of = self.number.view[at : at + self._pieces].tolist()
        slots = [slot for slot, piece in enumerate(of, at) if first <= piece < last]
        counted, begins = self.counts.view, self.begins.view
        counts = [counted[slot] for slot in slots]
        self._base.view[row] = sum(counts)
        self._base_since.view[row] = min([begins[slot] for slot in slots], default=NEVER)
        for measure in self._measures:
            measure.gather_one(row, slots, counts)

    def go_on_one(self, row: int, first: int, end: int) -> None:
        last = end - 1
        if first != self._first.view[row] or last != self._last.view[row]:
            self.prepare_one(row, first, end)
        slot = self.slots(row, last)
        base, count, since = self._base.view[row], 0.0, self._base_since.view[row]
        if self.number.view[slot] == last >= first:
            count, since = self.counts.view[slot], min(since, self.begins.view[slot])
        self.count.view[row], self.since.view[row] = base + count, since
        for measure in self._measures:
            measure.join_one(row, slot, base, count)

    def late(self, row: int, number: int, time: int, value: float) -> None:
        """Take in a value of a whole piece that windows to come may still look at."""
        slot = self.slots(row, number)
        if self.number.view[slot] > number:
            return
        there = self.number.view[slot] == number
        count = self.counts.view[slot] if there else 0.0
        for measure in self._measures:
            measure.late(slot, value, count)
        self.begins.view[slot] = min(time, self.begins.view[slot]) if there else time
        self.number.view[slot], self.counts.view[slot] = number, count + 1.0
