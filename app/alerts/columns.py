"""Numbers by row that numpy and plain Python share: a whole batch at once, or one row without numpy's cost a call."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rows = Ints | slice
"""Rows to look at, all distinct; as a slice several times faster."""


def as_slice(rows: Ints) -> Rows:
    """The same rows as a slice, if they follow one another."""
    first, count = int(rows[0]) if len(rows) else 0, len(rows)
    return slice(first, first + count) if np.array_equal(rows, np.arange(first, first + count)) else rows


_LEAST = 8  # places of a stretch


class Column:
    """Numbers in one piece of memory: ``array`` is numpy's sight of it, ``view`` Python's, much faster for one number.

    New places hold zero, and cost no memory before they are written to.
    """

    __slots__ = ("_dtype", "array", "view")

    def __init__(self, dtype: type[float] | type[int]) -> None:
        self._dtype = np.float64 if dtype is float else np.int64
        self.array: NDArray[Any] = np.zeros(0, self._dtype)
        self.view: Any = memoryview(self.array.data)  # yields floats or ints

    def grow(self, size: int) -> None:
        """Make room for so many numbers; never for fewer than before."""
        if size <= len(self.array):
            return
        bigger = np.zeros(size, self._dtype)
        bigger[: len(self.array)] = self.array
        self.array, self.view = bigger, memoryview(bigger.data)

    def put(self, start: int, numbers: Sequence[float]) -> None:
        """Let these few numbers stand from there on."""
        self.view[start : start + len(numbers)] = array(self.view.format, numbers)


class Extents:
    """Where each row has its own stretch of a column, as long as it ever needed. Place 0 belongs to nobody.

    A stretch is a power of two long, and begins at a multiple of that: those of a length are lines of a table.
    """

    def __init__(self) -> None:
        self.start, self.room = Column(int), Column(int)
        self.size = _LEAST
        self._free: dict[int, list[int]] = {}

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        self.start.grow(rows)
        self.room.grow(rows)

    def reserve(self, rows: Ints, needed: Ints) -> None:
        """See to it that each row's stretch has so many places. What stood in a stretch that moves is lost."""
        short = self.room.array[rows] < needed
        for row, places in zip(rows[short].tolist(), needed[short].tolist(), strict=True):
            self.reserve_one(row, places)

    def reserve_one(self, row: int, needed: int) -> int:
        """The same for one row; returns where its stretch begins."""
        start: int = self.start.view[row]
        room: int = self.room.view[row]
        if room >= needed:
            return start
        if room:
            self._give_back(start, room)
        room = max(_LEAST, 1 << (needed - 1).bit_length())
        if free := self._free.get(room):
            start = free.pop()
        else:
            while part := self.size & (room - 1) & -self.size:  # up to where such a stretch may begin
                self._give_back(self.size, part)
                self.size += part
            start, self.size = self.size, self.size + room
        self.start.view[row], self.room.view[row] = start, room
        return start

    def _give_back(self, start: int, room: int) -> None:
        self._free.setdefault(room, []).append(start)
