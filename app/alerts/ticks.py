"""The recent ticks of every symbol as they came: times, and the values of those fields that somebody looks at.

They lie in pages of 64 that rows take from a common pool and give back, so that memory follows the number of ticks and
not the fastest symbol: 8 bytes a tick for its time and 8 for each field, and about one page a row of slack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from app.alerts.columns import Column, Floats, Ints

_BITS = 6
_PAGE = 1 << _BITS


class Ticks:
    """Per row, ticks numbered upwards in the order of time: those from ``begin`` to before ``end`` are there.

    Those of the last ``length`` microseconds before a row's newest are kept, and at most some pages more.
    """

    def __init__(self, fields: Iterable[int], length: int) -> None:
        self._length = length
        self.begin, self.end = Column(int), Column(int)
        self.times = Column(int)
        self.values = {field: Column(float) for field in fields}
        self._width = 4  # a power of two
        self._table = Column(int)  # rows x width: the page of a row's n-th 64 ticks stands at n % width
        self._free: list[int] = []
        self._pages = 0

    @property
    def held(self) -> int:
        """How many ticks are in memory."""
        return int((self.end.array - self.begin.array).sum())

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        known = len(self.begin.array)
        for column in (self.begin, self.end):
            column.grow(rows)
            # A row's own first number, so that rows with the same rhythm do not all turn their pages at once.
            column.array[known:] = np.arange(known, rows) & (_PAGE - 1)
        self._table.grow(rows * self._width)

    def where(self, rows: Ints | int, numbers: Ints) -> Ints:
        """The places of ticks in ``times`` and ``values``."""
        pages: Ints = self._table.array[rows * self._width + ((numbers >> _BITS) & (self._width - 1))]
        return (pages << _BITS) + (numbers & (_PAGE - 1))

    def where_one(self, row: int, number: int) -> int:
        """The place of one tick."""
        page: int = self._table.view[row * self._width + (number >> _BITS) % self._width]
        return (page << _BITS) + (number & (_PAGE - 1))

    def stretch(self, row: int, number: int, end: int, field: int) -> tuple[list[int], list[float]]:
        """The times of a row's ticks from ``number`` to before ``end``, and their values of a field."""
        times: list[int] = []
        values: list[float] = []
        while number < end:
            stop = min(end, (number | (_PAGE - 1)) + 1)
            place = self.where_one(row, number)
            there = slice(place, place + stop - number)
            times += self.times.view[there].tolist()
            values += self.values[field].view[there].tolist()
            number = stop
        return times, values

    def append(self, rows: Ints, times: Ints, values: Sequence[Floats]) -> None:
        """Add to each row a tick that is newer than all it has."""
        numbers = self.end.array[rows]
        opening = ((numbers & (_PAGE - 1)) == 0) | (numbers == self.begin.array[rows])
        if opening.any():
            self._turn(rows[opening], times[opening])
        places = self.where(rows, numbers)
        self.times.array[places] = times
        for field, column in self.values.items():
            column.array[places] = values[field]
        self.end.array[rows] = numbers + 1

    def append_one(self, row: int, time: int, values: Sequence[float]) -> None:
        """The same for one row."""
        number: int = self.end.view[row]
        if not number & (_PAGE - 1) or number == self.begin.view[row]:
            self._turn(np.array([row]), np.array([time]))
        place = self.where_one(row, number)
        self.times.view[place] = time
        for field, column in self.values.items():
            column.view[place] = values[field]
        self.end.view[row] = number + 1

    def read(self, row: int) -> tuple[Ints, dict[int, Floats]]:
        """A copy of all that a row has."""
        numbers = np.arange(self.begin.view[row], self.end.view[row])
        places = self.where(np.full(len(numbers), row), numbers)
        return self.times.array[places], {field: column.array[places] for field, column in self.values.items()}

    def replace(self, row: int, times: Ints, values: Mapping[int, Floats]) -> None:
        """Let a row have these ticks, in the order of time, and no others. They are numbered anew."""
        begin, end = self.begin.view[row], self.end.view[row]
        self._give_back(np.full(_pages(begin, end), row), begin + _PAGE * np.arange(_pages(begin, end)))
        begin = row & (_PAGE - 1)
        end = begin + len(times)
        self.begin.view[row], self.end.view[row] = begin, end
        count = _pages(begin, end)
        self._take(np.full(count, row), begin + _PAGE * np.arange(count))
        places = self.where(np.full(len(times), row), np.arange(begin, end))
        self.times.array[places] = times
        for field, column in self.values.items():
            column.array[places] = values[field]

    def _turn(self, rows: Ints, times: Ints) -> None:
        """Give back the pages that ticks of this time leave behind, and open the next one for each row."""
        stale, edges = rows, times - self._length
        while len(stale):
            begins, ends = self.begin.array[stale], self.end.array[stale]
            second = ((begins >> _BITS) + 1) << _BITS
            # The first page goes when the first tick of the second one is as old as what is kept gets.
            goes = second < ends
            goes[goes] = self.times.array[self.where(stale[goes], second[goes])] <= edges[goes]
            stale, edges = stale[goes], edges[goes]
            self._give_back(stale, begins[goes])
            self.begin.array[stale] = second[goes]
        self._take(rows, self.end.array[rows])

    def _take(self, rows: Ints, numbers: Ints) -> None:
        """Put a page of the pool under these ticks; a row may come more than once, with its numbers ascending."""
        if not len(rows):
            return
        most = int(((numbers >> _BITS) - (self.begin.array[rows] >> _BITS)).max()) + 1
        if most > self._width:
            self._widen(1 << (most - 1).bit_length())
        reused = [self._free.pop() for _ in range(min(len(rows), len(self._free)))]
        added = len(rows) - len(reused)
        pages = np.concatenate([np.array(reused, np.int64), np.arange(self._pages, self._pages + added)])
        self._pages += added
        if self._pages << _BITS > len(self.times.array):
            size = max(self._pages, self._pages * 5 // 4) << _BITS
            for column in (self.times, *self.values.values()):
                column.grow(size)
        self._table.array[rows * self._width + (numbers >> _BITS) % self._width] = pages

    def _give_back(self, rows: Ints, numbers: Ints) -> None:
        self._free.extend((self.where(rows, numbers) >> _BITS).tolist())

    def _widen(self, width: int) -> None:
        """A page table with more columns."""
        rows = len(self.begin.array)
        old, self._table = self._table, Column(int)
        self._table.grow(rows * width)
        for n in range(self._width):
            pages = (self.begin.array >> _BITS) + n
            row = np.arange(rows)
            self._table.array[row * width + pages % width] = old.array[row * self._width + pages % self._width]
        self._width = width


def _pages(begin: int, end: int) -> int:
    """How many pages ticks with these numbers lie in."""
    return ((end - 1) >> _BITS) - (begin >> _BITS) + 1 if end > begin else 0
