"""What a trailing window adds up: each class one statistic of one field, put together out of three parts.

A window is the *far* part (the end of the piece of time it begins in, known at each of its ticks), the *middle* (whole
pieces) and the *open* piece (what came since). A part is only ever added to, and made anew when it changes: nothing is
taken away again, so that no error is carried on and nothing that left the window can be felt in it.

Everything is there twice, for many rows and for one, with the same operations in the same order: the same numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.alerts.columns import Bools, Column, Floats, Ints, Rows


class Measure(ABC):
    """A statistic's numbers, by row (open and middle part) and by slot (whole pieces); ``Far`` keeps the far part's.

    The middle is put together in two steps: the *base*, which may be done ahead of time, and then the last piece.
    """

    nothing: tuple[float, ...] = (0.0,)
    """The numbers of a far part that has nothing in it."""

    def __init__(self) -> None:
        self.by_row: tuple[Column, ...] = ()
        self.by_slot: tuple[Column, ...] = ()

    @abstractmethod
    def reset(self, rows: Ints) -> None:
        """Nothing is in the open piece."""

    @abstractmethod
    def reset_one(self, row: int) -> None: ...

    @abstractmethod
    def add(self, rows: Rows, values: Floats, counts: Floats) -> None:
        """Another value in the open piece, which had so many."""

    @abstractmethod
    def add_one(self, row: int, value: float, count: float) -> None: ...

    @abstractmethod
    def close(self, rows: Ints, slots: Ints, counts: Floats) -> None:
        """The open piece, with so many values, becomes a whole one."""

    @abstractmethod
    def close_one(self, row: int, slot: int, count: float) -> None: ...

    @abstractmethod
    def late(self, slot: int, value: float, count: float) -> None:
        """One value more in a whole piece that had so many."""

    @abstractmethod
    def load(self, slots: Ints, padded: Floats, last: Ints) -> None:
        """Whole pieces from their values: a line each, until the column ``last``."""

    @abstractmethod
    def begin(self, row: int, values: Floats) -> None:
        """The open piece from its values."""

    @abstractmethod
    def gather(self, rows: Ints, pieces: int, live: Bools, counts: Floats) -> None:
        """The base out of those of a row's pieces that are live; the others count 0."""

    @abstractmethod
    def gather_one(self, row: int, slots: list[int], counts: list[float]) -> None: ...

    @abstractmethod
    def join(self, rows: Ints, slots: Ints, base: Floats, counts: Floats) -> None:
        """The middle out of the base and another piece, with so many values; 0: the piece is none."""

    @abstractmethod
    def join_one(self, row: int, slot: int, base: float, count: float) -> None: ...

    @abstractmethod
    def approach(self, rows: Ints, values: Floats) -> Sequence[Floats]:
        """The far part's numbers, from each value to the newest: from the values, a line a row, the newest first."""

    @abstractmethod
    def approach_one(self, row: int, values: list[float]) -> Sequence[Sequence[float]]: ...

    @abstractmethod
    def result(self, rows: Rows, of_far: Floats, far: Floats, middle: Floats, open_: Floats) -> Floats:
        """The statistic, with the far part's numbers (a line a row), and how many values are in the parts."""

    @abstractmethod
    def result_one(self, row: int, of_far: Sequence[float], at: int, far: float, middle: float, open_: float) -> float:
        """The same for one; the far part's numbers stand from ``at`` on."""


class Mean(Measure):
    """The arithmetic mean, out of sums that keep the rounding error of each addition."""

    def __init__(self) -> None:
        super().__init__()
        self._sum, self._error, self._base, self._middle = self.by_row = tuple(Column(float) for _ in range(4))
        (self._whole,) = self.by_slot = (Column(float),)

    def reset(self, rows: Ints) -> None:
        self._sum.array[rows] = 0.0
        self._error.array[rows] = 0.0

    def reset_one(self, row: int) -> None:
        self._sum.view[row] = self._error.view[row] = 0.0

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

    def close(self, rows: Ints, slots: Ints, counts: Floats) -> None:  # noqa: ARG002
        self._whole.array[slots] = self._sum.array[rows] + self._error.array[rows]

    def close_one(self, row: int, slot: int, count: float) -> None:  # noqa: ARG002
        self._whole.view[slot] = self._sum.view[row] + self._error.view[row]

    def late(self, slot: int, value: float, count: float) -> None:
        self._whole.view[slot] = self._whole.view[slot] + value if count else value

    def load(self, slots: Ints, padded: Floats, last: Ints) -> None:
        sums, errors = _sums(padded)
        lines = np.arange(len(last))
        self._whole.array[slots] = sums[lines, last] + errors[lines, last]

    def begin(self, row: int, values: Floats) -> None:
        sums, errors = _sums(values[None, :])
        self._sum.view[row], self._error.view[row] = sums[0, -1], errors[0, -1]

    def gather(self, rows: Ints, pieces: int, live: Bools, counts: Floats) -> None:  # noqa: ARG002
        sums, errors = _sums(np.where(live, self._whole.array.reshape(-1, pieces)[rows], 0.0))
        self._base.array[rows] = sums[:, -1] + errors[:, -1]

    def gather_one(self, row: int, slots: list[int], counts: list[float]) -> None:  # noqa: ARG002
        whole, total, error = self._whole.view, 0.0, 0.0
        for slot in slots:
            value = whole[slot]
            after = total + value
            part = after - total
            error += (total - (after - part)) + (value - part)
            total = after
        self._base.view[row] = total + error

    def join(self, rows: Ints, slots: Ints, base: Floats, counts: Floats) -> None:  # noqa: ARG002
        self._middle.array[rows] = self._base.array[rows] + np.where(counts > 0, self._whole.array[slots], 0.0)

    def join_one(self, row: int, slot: int, base: float, count: float) -> None:  # noqa: ARG002
        self._middle.view[row] = self._base.view[row] + (self._whole.view[slot] if count else 0.0)

    def approach(self, rows: Ints, values: Floats) -> Sequence[Floats]:  # noqa: ARG002
        sums, errors = _sums(values)
        return (sums + errors,)

    def approach_one(self, row: int, values: list[float]) -> Sequence[Sequence[float]]:  # noqa: ARG002
        sums, total, error = [], 0.0, 0.0
        for value in values:
            after = total + value
            part = after - total
            error += (total - (after - part)) + (value - part)
            total = after
            sums.append(total + error)
        return (sums,)

    def result(self, rows: Rows, of_far: Floats, far: Floats, middle: Floats, open_: Floats) -> Floats:
        total = of_far[:, 0] + self._middle.array[rows] + (self._sum.array[rows] + self._error.array[rows])
        mean: Floats = total / (far + middle + open_)
        return mean

    def result_one(self, row: int, of_far: Sequence[float], at: int, far: float, middle: float, open_: float) -> float:
        total: float = of_far[at] + self._middle.view[row] + (self._sum.view[row] + self._error.view[row])
        return total / (far + middle + open_)


class Least(Measure):
    """The smallest value; with ``sign`` -1 the largest, as the smallest of the values with the other sign."""

    nothing = (math.inf,)

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self._sign = sign
        self._open, self._base, self._middle = self.by_row = tuple(Column(float) for _ in range(3))
        (self._whole,) = self.by_slot = (Column(float),)

    def reset(self, rows: Ints) -> None:
        self._open.array[rows] = np.inf

    def reset_one(self, row: int) -> None:
        self._open.view[row] = math.inf

    def add(self, rows: Rows, values: Floats, counts: Floats) -> None:  # noqa: ARG002
        self._open.array[rows] = np.minimum(self._open.array[rows], self._sign * values)

    def add_one(self, row: int, value: float, count: float) -> None:  # noqa: ARG002
        value *= self._sign
        if value < self._open.view[row]:
            self._open.view[row] = value

    def close(self, rows: Ints, slots: Ints, counts: Floats) -> None:  # noqa: ARG002
        self._whole.array[slots] = self._open.array[rows]

    def close_one(self, row: int, slot: int, count: float) -> None:  # noqa: ARG002
        self._whole.view[slot] = self._open.view[row]

    def late(self, slot: int, value: float, count: float) -> None:
        value *= self._sign
        if not count or value < self._whole.view[slot]:
            self._whole.view[slot] = value

    def load(self, slots: Ints, padded: Floats, last: Ints) -> None:
        self._whole.array[slots] = np.minimum.accumulate(self._sign * padded, axis=1)[np.arange(len(last)), last]

    def begin(self, row: int, values: Floats) -> None:
        self._open.view[row] = (self._sign * values).min()

    def gather(self, rows: Ints, pieces: int, live: Bools, counts: Floats) -> None:  # noqa: ARG002
        self._base.array[rows] = least(np.where(live, self._whole.array.reshape(-1, pieces)[rows], np.inf))

    def gather_one(self, row: int, slots: list[int], counts: list[float]) -> None:  # noqa: ARG002
        whole = self._whole.view
        self._base.view[row] = min([whole[slot] for slot in slots], default=math.inf)

    def join(self, rows: Ints, slots: Ints, base: Floats, counts: Floats) -> None:  # noqa: ARG002
        last = np.where(counts > 0, self._whole.array[slots], np.inf)
        self._middle.array[rows] = np.minimum(self._base.array[rows], last)

    def join_one(self, row: int, slot: int, base: float, count: float) -> None:  # noqa: ARG002
        base_, last = self._base.view[row], self._whole.view[slot]
        self._middle.view[row] = last if count and last < base_ else base_

    def approach(self, rows: Ints, values: Floats) -> Sequence[Floats]:  # noqa: ARG002
        return (np.minimum.accumulate(self._sign * values, axis=1),)

    def approach_one(self, row: int, values: list[float]) -> Sequence[Sequence[float]]:  # noqa: ARG002
        return (list(accumulate(values if self._sign > 0 else [-value for value in values], min)),)

    def result(self, rows: Rows, of_far: Floats, far: Floats, middle: Floats, open_: Floats) -> Floats:  # noqa: ARG002
        least = np.minimum(np.minimum(of_far[:, 0], self._middle.array[rows]), self._open.array[rows])
        found: Floats = self._sign * least
        return found

    def result_one(self, row: int, of_far: Sequence[float], at: int, far: float, middle: float, open_: float) -> float:  # noqa: ARG002
        found: float = self._sign * min(of_far[at], self._middle.view[row], self._open.view[row])
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
