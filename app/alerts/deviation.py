"""The standard deviation over a trailing window, as app/alerts/measures.py has it put together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from app.alerts.columns import Bools, Column, Floats, Ints, Rows
from app.alerts.measures import Measure


class Deviation(Measure):
    """The standard deviation of the population, out of deviations from a value that is itself in the part.

    Each part: this *pivot*, how far from it the mean is (*shift*), and the sum of the squared deviations from the mean
    (*square*); so the accuracy is relative to how much the values differ, not to how large they are.
    """

    nothing = (0.0, 0.0)

    def __init__(self) -> None:
        super().__init__()
        self._pivot, self._sum, self._squares = Column(float), Column(float), Column(float)
        self._base = (Column(float), Column(float), Column(float))
        self._middle = (Column(float), Column(float), Column(float))
        self._far_pivot = Column(float)
        self.by_row = (self._pivot, self._sum, self._squares, *self._base, *self._middle, self._far_pivot)
        self.by_slot = self._whole = (Column(float), Column(float), Column(float))

    def reset(self, rows: Ints) -> None:
        for column in (self._pivot, self._sum, self._squares):
            column.array[rows] = 0.0

    def reset_one(self, row: int) -> None:
        self._pivot.view[row] = self._sum.view[row] = self._squares.view[row] = 0.0

    def add(self, rows: Rows, values: Floats, counts: Floats) -> None:
        pivots = self._pivot.array[rows]
        first = counts == 0
        if first.any():
            pivots = self._pivot.array[rows] = np.where(first, values, pivots)
        off = values - pivots
        self._sum.array[rows] += off
        self._squares.array[rows] += off * off

    def add_one(self, row: int, value: float, count: float) -> None:
        if not count:
            self._pivot.view[row] = value
        off = value - self._pivot.view[row]
        self._sum.view[row] += off
        self._squares.view[row] += off * off

    def close(self, rows: Ints, slots: Ints, counts: Floats) -> None:
        pivot, shift, square = self._whole
        sum_ = self._sum.array[rows]
        pivot.array[slots] = self._pivot.array[rows]
        shift.array[slots] = sum_ / counts
        square.array[slots] = self._squares.array[rows] - sum_ * (sum_ / counts)

    def close_one(self, row: int, slot: int, count: float) -> None:
        pivot, shift, square = self._whole
        sum_ = self._sum.view[row]
        pivot.view[slot] = self._pivot.view[row]
        shift.view[slot] = sum_ / count
        square.view[slot] = self._squares.view[row] - sum_ * (sum_ / count)

    def late(self, slot: int, value: float, count: float) -> None:
        pivot, shift, square = (column.view for column in self._whole)
        if not count:
            pivot[slot], shift[slot], square[slot] = value, 0.0, 0.0
            return
        off = (value - pivot[slot]) - shift[slot]
        shift[slot] += off / (count + 1)
        square[slot] += off * off * count / (count + 1)

    def load(self, slots: Ints, padded: Floats, last: Ints) -> None:
        lines = np.arange(len(last))
        pivots = padded[:, 0]
        off = padded - pivots[:, None]
        sums, squares = off.cumsum(axis=1)[lines, last], (off * off).cumsum(axis=1)[lines, last]
        shifts = sums / (last + 1.0)
        for column, numbers in zip(self._whole, (pivots, shifts, squares - sums * shifts), strict=True):
            column.array[slots] = numbers

    def begin(self, row: int, values: Floats) -> None:
        off = values - values[0]
        self._pivot.view[row] = values[0]
        self._sum.view[row], self._squares.view[row] = off.cumsum()[-1], (off * off).cumsum()[-1]

    def gather(self, rows: Ints, pieces: int, live: Bools, counts: Floats) -> None:
        pivots, shifts, squares = (column.array.reshape(-1, pieces)[rows] for column in self._whole)
        total = counts.sum(axis=1)
        some = np.maximum(total, 1.0)
        pivot = np.where(total > 0, pivots[np.arange(len(rows)), live.argmax(axis=1)], 0.0)
        off = np.where(live, (pivots - pivot[:, None]) + shifts, 0.0)
        shift = (counts * off).cumsum(axis=1)[:, -1] / some
        rest = off - shift[:, None]
        square = np.where(live, squares + counts * (rest * rest), 0.0).cumsum(axis=1)[:, -1]
        for column, numbers in zip(self._base, (pivot, shift, square), strict=True):
            column.array[rows] = numbers

    def gather_one(self, row: int, slots: list[int], counts: list[float]) -> None:
        pivots, shifts, squares = (column.view for column in self._whole)
        pivot, shift, square, total = 0.0, 0.0, 0.0, 0.0
        if slots:
            pivot = pivots[slots[0]]
            offs = [(pivots[slot] - pivot) + shifts[slot] for slot in slots]
            for count, off in zip(counts, offs, strict=True):
                shift += count * off
                total += count
            shift /= total
            for slot, count, off in zip(slots, counts, offs, strict=True):
                rest = off - shift
                square += squares[slot] + count * (rest * rest)
        for column, number in zip(self._base, (pivot, shift, square), strict=True):
            column.view[row] = number

    def join(self, rows: Ints, slots: Ints, base: Floats, counts: Floats) -> None:
        base_pivot, base_shift, base_square = (column.array[rows] for column in self._base)
        piece_pivot, piece_shift, piece_square = (column.array[slots] for column in self._whole)
        there, total = counts > 0, base + counts
        pivot = np.where(there & (base == 0), piece_pivot, base_pivot)
        off = ((piece_pivot - pivot) + piece_shift) - base_shift
        weight = counts / np.maximum(total, 1.0)
        shift = np.where(there, base_shift + off * weight, base_shift)
        square = np.where(there, (base_square + piece_square) + off * off * (base * weight), base_square)
        for column, numbers in zip(self._middle, (pivot, shift, square), strict=True):
            column.array[rows] = numbers

    def join_one(self, row: int, slot: int, base: float, count: float) -> None:
        pivot, shift, square = (column.view[row] for column in self._base)
        if count:
            piece_pivot, piece_shift, piece_square = (column.view[slot] for column in self._whole)
            if not base:
                pivot = piece_pivot
            off = ((piece_pivot - pivot) + piece_shift) - shift
            weight = count / (base + count)
            shift += off * weight
            square = (square + piece_square) + off * off * (base * weight)
        for column, number in zip(self._middle, (pivot, shift, square), strict=True):
            column.view[row] = number

    def approach(self, rows: Ints, values: Floats) -> Sequence[Floats]:
        pivots = self._far_pivot.array[rows] = values[:, 0]
        off = values - pivots[:, None]
        sums, squares = off.cumsum(axis=1), (off * off).cumsum(axis=1)
        shifts = sums / np.arange(1.0, values.shape[1] + 1)
        return shifts, squares - sums * shifts

    def approach_one(self, row: int, values: list[float]) -> Sequence[Sequence[float]]:
        pivot = self._far_pivot.view[row] = values[0]
        shifts, deviations, total, squares = [], [], 0.0, 0.0
        for count, value in enumerate(values, start=1):
            off = value - pivot
            total += off
            squares += off * off
            shift = total / count
            shifts.append(shift)
            deviations.append(squares - total * shift)
        return shifts, deviations

    def result(self, rows: Rows, of_far: Floats, far: Floats, middle: Floats, open_: Floats) -> Floats:
        middle_pivot, middle_shift, middle_square = (column.array[rows] for column in self._middle)
        far_shift, far_square = of_far[:, 0], of_far[:, 1]
        far_pivot, sum_ = self._far_pivot.array[rows], self._sum.array[rows]
        pivot = np.where(far > 0, far_pivot, middle_pivot)
        shift = sum_ / np.maximum(open_, 1.0)
        off_far = (far_pivot - pivot) + far_shift
        off_middle = (middle_pivot - pivot) + middle_shift
        off_open = (self._pivot.array[rows] - pivot) + shift
        count = far + middle + open_
        off = (far * off_far + middle * off_middle + open_ * off_open) / count
        off_far, off_middle, off_open = off_far - off, off_middle - off, off_open - off
        square = far_square + middle_square + (self._squares.array[rows] - sum_ * shift)
        square += far * (off_far * off_far) + middle * (off_middle * off_middle) + open_ * (off_open * off_open)
        variance, mean = square / count, pivot + off
        return np.where(variance <= 1e-24 * (mean * mean), 0.0, np.sqrt(variance))

    def result_one(self, row: int, of_far: Sequence[float], at: int, far: float, middle: float, open_: float) -> float:
        far_shift, far_square = of_far[at], of_far[at + 1]
        middle_pivot, middle_shift, middle_square = self._middle
        far_pivot, sum_ = self._far_pivot.view[row], self._sum.view[row]
        pivot_of_middle = middle_pivot.view[row]
        pivot = far_pivot if far > 0 else pivot_of_middle
        shift = sum_ / (open_ or 1.0)
        off_far = (far_pivot - pivot) + far_shift
        off_middle = (pivot_of_middle - pivot) + middle_shift.view[row]
        off_open = (self._pivot.view[row] - pivot) + shift
        count = far + middle + open_
        off = (far * off_far + middle * off_middle + open_ * off_open) / count
        off_far, off_middle, off_open = off_far - off, off_middle - off, off_open - off
        square = far_square + middle_square.view[row] + (self._squares.view[row] - sum_ * shift)
        square += far * (off_far * off_far) + middle * (off_middle * off_middle) + open_ * (off_open * off_open)
        variance, mean = square / count, pivot + off
        return 0.0 if variance <= 1e-24 * (mean * mean) else math.sqrt(variance)
