"""What a trailing window adds up: each class one statistic of one field, put together out of three parts.

A window is the *far* part (the end of the piece of time it begins in, known at each of its ticks), the *middle* (whole
pieces) and the *open* piece (what came since). A part is only ever added to, and made anew when it changes: nothing is
taken away again, so that no error is carried on and nothing that left the window can be felt in it.

Everything is there twice, for many rows and for one, with the same operations in the same order: the same numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.alerts.columns import Bools, Column, Floats, Ints, Rows


class Measure(ABC):
    """A statistic's numbers, by row (open and middle part), by slot (whole pieces) and by place (far part)."""

    def __init__(self) -> None:
        self.by_row: tuple[Column, ...] = ()
        self.by_slot: tuple[Column, ...] = ()
        self.by_place: tuple[Column, ...] = ()

    @abstractmethod
    def reset(self, rows: Ints | int) -> None:
        """Nothing is in the open piece."""

    @abstractmethod
    def add(self, rows: Rows, values: Floats, counts: Floats) -> None:
        """Another value in the open piece, which had so many."""

    @abstractmethod
    def add_one(self, row: int, value: float, count: float) -> None: ...

    @abstractmethod
    def close(self, rows: Ints | int, slots: Ints | int, counts: Any) -> None:
        """The open piece, with so many values, becomes a whole one."""

    @abstractmethod
    def late(self, slot: int, value: float, count: float) -> None:
        """One value more in a whole piece that had so many."""

    @abstractmethod
    def load(self, row: int, slots: Ints, padded: Floats, last: Ints) -> None:
        """Whole pieces, and after them the open one, from their values: a line each, until the column ``last``."""

    @abstractmethod
    def gather(self, rows: Ints, pieces: int, live: Bools, counts: Floats) -> None:
        """The middle out of those of a row's pieces that are live; the others count 0."""

    @abstractmethod
    def gather_one(self, row: int, slots: list[int], counts: list[float]) -> None: ...

    @abstractmethod
    def approach(self, rows: Ints, padded: Floats, cells: Ints, places: Ints, ends: Ints) -> None:
        """The far part from its values, a line a row, the newest first: each of these cells has a place.

        At ``ends`` it has nothing more in it.
        """

    @abstractmethod
    def approach_one(self, row: int, values: list[float], start: int) -> None:
        """The same from values with the oldest first, which get the places from ``start`` on."""

    @abstractmethod
    def result(self, rows: Rows, places: Ints, far: Floats, middle: Floats, open_: Floats) -> Floats:
        """The statistic, from the far part's places on, with the numbers of values in the parts."""

    @abstractmethod
    def result_one(self, row: int, place: int, far: float, middle: float, open_: float) -> float: ...


class Mean(Measure):
    """The arithmetic mean, out of sums that keep the rounding error of each addition."""

    def __init__(self) -> None:
        super().__init__()
        self._sum, self._error, self._middle = self.by_row = Column(float), Column(float), Column(float)
        (self._whole,) = self.by_slot = (Column(float),)
        (self._far,) = self.by_place = (Column(float),)

    def reset(self, rows: Ints | int) -> None:
        self._sum.array[rows] = 0.0
        self._error.array[rows] = 0.0

    def add(self, rows: Rows, values: Floats, counts: Floats) -> None:  # noqa: ARG002
        before = self._sum.array[rows]
        after = before + values
        part = after - before
        self._error.array[rows] += (before - (after - part)) + (values - part)
        self._sum.array[rows] = after

    def add_one(self, row: int, value: float, count: float) -> None:  # noqa: ARG002
        before = self._sum.view[row]
        after = before + value
        part = after - before
        self._error.view[row] += (before - (after - part)) + (value - part)
        self._sum.view[row] = after

    def close(self, rows: Ints | int, slots: Ints | int, counts: Any) -> None:  # noqa: ARG002
        self._whole.array[slots] = self._sum.array[rows] + self._error.array[rows]

    def late(self, slot: int, value: float, count: float) -> None:
        self._whole.view[slot] = self._whole.view[slot] + value if count else value

    def load(self, row: int, slots: Ints, padded: Floats, last: Ints) -> None:
        sums, errors = _sums(padded)
        lines = np.arange(len(last))
        sum_, error = sums[lines, last], errors[lines, last]
        self._whole.array[slots] = sum_[:-1] + error[:-1]
        self._sum.array[row], self._error.array[row] = sum_[-1], error[-1]

    def gather(self, rows: Ints, pieces: int, live: Bools, counts: Floats) -> None:  # noqa: ARG002
        sums, errors = _sums(np.where(live, self._whole.array.reshape(-1, pieces)[rows], 0.0))
        self._middle.array[rows] = sums[:, -1] + errors[:, -1]

    def gather_one(self, row: int, slots: list[int], counts: list[float]) -> None:  # noqa: ARG002
        whole, total, error = self._whole.view, 0.0, 0.0
        for slot in slots:
            value = whole[slot]
            after = total + value
            part = after - total
            error += (total - (after - part)) + (value - part)
            total = after
        self._middle.view[row] = total + error

    def approach(self, rows: Ints, padded: Floats, cells: Ints, places: Ints, ends: Ints) -> None:  # noqa: ARG002
        sums, errors = _sums(padded)
        self._far.array[places] = sums.ravel()[cells] + errors.ravel()[cells]
        self._far.array[ends] = 0.0

    def approach_one(self, row: int, values: list[float], start: int) -> None:  # noqa: ARG002
        far, total, error = self._far.view, 0.0, 0.0
        place = start + len(values)
        far[place] = 0.0
        for value in reversed(values):
            after = total + value
            part = after - total
            error += (total - (after - part)) + (value - part)
            total = after
            place -= 1
            far[place] = total + error

    def result(self, rows: Rows, places: Ints, far: Floats, middle: Floats, open_: Floats) -> Floats:
        total = self._far.array[places] + self._middle.array[rows] + (self._sum.array[rows] + self._error.array[rows])
        mean: Floats = total / (far + middle + open_)
        return mean

    def result_one(self, row: int, place: int, far: float, middle: float, open_: float) -> float:
        total: float = self._far.view[place] + self._middle.view[row] + (self._sum.view[row] + self._error.view[row])
        return total / (far + middle + open_)


class Least(Measure):
    """The smallest value; with ``sign`` -1 the largest, as the smallest of the values with the other sign."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self._sign = sign
        self._open, self._middle = self.by_row = Column(float), Column(float)
        (self._whole,) = self.by_slot = (Column(float),)
        (self._far,) = self.by_place = (Column(float),)

    def reset(self, rows: Ints | int) -> None:
        self._open.array[rows] = np.inf

    def add(self, rows: Rows, values: Floats, counts: Floats) -> None:  # noqa: ARG002
        self._open.array[rows] = np.minimum(self._open.array[rows], self._sign * values)

    def add_one(self, row: int, value: float, count: float) -> None:  # noqa: ARG002
        value *= self._sign
        if value < self._open.view[row]:
            self._open.view[row] = value

    def close(self, rows: Ints | int, slots: Ints | int, counts: Any) -> None:  # noqa: ARG002
        self._whole.array[slots] = self._open.array[rows]

    def late(self, slot: int, value: float, count: float) -> None:
        value *= self._sign
        if not count or value < self._whole.view[slot]:
            self._whole.view[slot] = value

    def load(self, row: int, slots: Ints, padded: Floats, last: Ints) -> None:
        least = np.minimum.accumulate(self._sign * padded, axis=1)[np.arange(len(last)), last]
        self._whole.array[slots], self._open.array[row] = least[:-1], least[-1]

    def gather(self, rows: Ints, pieces: int, live: Bools, counts: Floats) -> None:  # noqa: ARG002
        self._middle.array[rows] = least(np.where(live, self._whole.array.reshape(-1, pieces)[rows], np.inf))

    def gather_one(self, row: int, slots: list[int], counts: list[float]) -> None:  # noqa: ARG002
        whole = self._whole.view
        self._middle.view[row] = min([whole[slot] for slot in slots], default=math.inf)

    def approach(self, rows: Ints, padded: Floats, cells: Ints, places: Ints, ends: Ints) -> None:  # noqa: ARG002
        self._far.array[places] = np.minimum.accumulate(self._sign * padded, axis=1).ravel()[cells]
        self._far.array[ends] = np.inf

    def approach_one(self, row: int, values: list[float], start: int) -> None:  # noqa: ARG002
        far, least, sign = self._far.view, math.inf, self._sign
        place = start + len(values)
        far[place] = least
        for value in reversed(values):
            value *= sign  # noqa: PLW2901
            if value < least:
                least = value
            place -= 1
            far[place] = least

    def result(self, rows: Rows, places: Ints, far: Floats, middle: Floats, open_: Floats) -> Floats:  # noqa: ARG002
        least = np.minimum(np.minimum(self._far.array[places], self._middle.array[rows]), self._open.array[rows])
        found: Floats = self._sign * least
        return found

    def result_one(self, row: int, place: int, far: float, middle: float, open_: float) -> float:  # noqa: ARG002
        found: float = self._sign * min(self._far.view[place], self._middle.view[row], self._open.view[row])
        return found


def least(lines: NDArray[Any]) -> NDArray[Any]:
    """The least of each line; quicker than along them, where they are many and short."""
    found: NDArray[Any] = np.ascontiguousarray(lines.T).min(axis=0)
    return found


def _sums(lines: Floats) -> tuple[Floats, Floats]:
    """The running sums of each line, and what their rounding lost."""
    sums = lines.cumsum(axis=1)
    before = np.empty_like(sums)
    before[:, 0] = 0.0
    before[:, 1:] = sums[:, :-1]
    part = sums - before
    return sums, ((before - (sums - part)) + (lines - part)).cumsum(axis=1)
