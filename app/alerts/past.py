"""What a field was a while ago: the latest value at or before ``t - w`` of every symbol, however old it is."""

from __future__ import annotations

import math

import numpy as np

from app.alerts.columns import Column, Floats, Ints
from app.alerts.ticks import Ticks


class Kept:
    """The latest value that is old enough for good, of every row. NaN before there is one."""

    def __init__(self) -> None:
        self._value, self._time = Column(float), Column(int)

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        self._value.grow(rows)
        self._time.grow(rows)

    def values(self, rows: Ints) -> Floats:
        values: Floats = np.where(self._time.array[rows] > 0, self._value.array[rows], np.nan)
        return values

    def value(self, row: int) -> float:
        value: float = self._value.view[row]
        return value if self._time.view[row] > 0 else math.nan

    def keep(self, rows: Ints, times: Ints, values: Floats) -> None:
        """These are old enough too: each row's later value stays."""
        later = (times > self._time.array[rows]) & ~np.isnan(values)
        self._value.array[rows[later]], self._time.array[rows[later]] = values[later], times[later]

    def forget(self, row: int) -> None:
        """There is none."""
        self._time.view[row] = 0

    def keep_one(self, row: int, time: int, value: float) -> None:
        if time > self._time.view[row] and value == value:
            self._value.view[row], self._time.view[row] = value, time


class ExactPast:
    """``ago`` of at most an hour: a place among the ticks that are kept goes along."""

    def __init__(self, length: int, field: int, ticks: Ticks) -> None:
        self._length, self._field, self._ticks = length, field, ticks
        self._next = Column(int)  # the number of the first tick that was not old enough
        self._kept = Kept()

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        self._next.grow(rows)
        self._kept.grow(rows)

    def ask(self, rows: Ints, times: Ints) -> Floats:
        """The values at or before ``t - length``, for ticks newer than all before."""
        ticks, edges = self._ticks, times - self._length
        at = np.maximum(self._next.array[rows], ticks.begin.array[rows])
        ends = ticks.end.array[rows]
        going = np.flatnonzero(at < ends)
        if len(going):  # after a long gap all of them are old enough
            last = ticks.where(rows[going], ends[going] - 1)
            times, values = ticks.times.array[last], ticks.values[self._field].array[last]
            passed = (times <= edges[going]) & ~np.isnan(values)
            self._kept.keep(rows[going[passed]], times[passed], values[passed])
            at[going[passed]] = ends[going[passed]]
            going = going[~passed]
        while len(going):
            places = ticks.where(rows[going], at[going])
            old = ticks.times.array[places] <= edges[going]
            going, places = going[old], places[old]
            self._kept.keep(rows[going], ticks.times.array[places], ticks.values[self._field].array[places])
            at[going] += 1
            going = going[at[going] < ends[going]]
        self._next.array[rows] = at
        return self._kept.values(rows)

    def ask_one(self, row: int, time: int) -> float:
        """The same for one."""
        ticks, edge = self._ticks, time - self._length
        at, end = max(self._next.view[row], ticks.begin.view[row]), ticks.end.view[row]
        while at < end:
            place = ticks.where_one(row, at)
            if (old := ticks.times.view[place]) > edge:
                break
            self._kept.keep_one(row, old, ticks.values[self._field].view[place])
            at += 1
        self._next.view[row] = at
        return self._kept.value(row)

    def renumber(self, row: int) -> None:
        """The row's ticks have other numbers now."""
        self._next.view[row] = 0

    def clear(self, row: int) -> None:
        """As if the row had had no ticks."""
        self.renumber(row)
        self._kept.forget(row)

    def settle(self, row: int, times: Ints, values: Floats, newest: int) -> None:
        """Of ticks in the order of time that may not be kept, those that are old enough already."""
        old = np.flatnonzero((times <= newest - self._length) & ~np.isnan(values))
        if len(old):
            self._kept.keep_one(row, int(times[old[-1]]), float(values[old[-1]]))


class BucketPast:
    """``ago`` of more than an hour: the last value before the beginning of the bucket that ``t - w`` lies in."""

    def __init__(self, length: int, bucket: int) -> None:
        self._length, self._bucket = length, bucket
        self._buckets = -(-length // bucket) + 1  # from the one that t - w lies in to that of t
        self._number, self._time, self._value = Column(int), Column(int), Column(float)  # the last of each bucket
        self._first = Column(int)
        self._kept = Kept()

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        for column in (self._number, self._time, self._value):
            column.grow(rows * self._buckets)
        self._first.grow(rows)
        self._kept.grow(rows)

    def ask(self, rows: Ints, times: Ints) -> Floats:
        """The values before the far edge, for ticks newer than all before."""
        firsts = (times - self._length) // self._bucket
        moved = firsts != self._first.array[rows]
        if moved.any():
            self._move(rows[moved], firsts[moved])
        return self._kept.values(rows)

    def _move(self, rows: Ints, firsts: Ints) -> None:
        self._first.array[rows] = firsts
        numbers = self._number.array.reshape(-1, self._buckets)[rows]
        numbers[numbers >= firsts[:, None]] = 0
        slots = rows * self._buckets + numbers.argmax(axis=1)
        past = numbers.max(axis=1) > 0
        self._keep(rows[past], slots[past])

    def add(self, rows: Ints, times: Ints, values: Floats) -> None:
        """Take in the ticks that were asked before."""
        valid = ~np.isnan(values)
        if not valid.all():
            rows, times, values = rows[valid], times[valid], values[valid]
        numbers = times // self._bucket
        slots = rows * self._buckets + numbers % self._buckets
        given_up = self._number.array[slots] < numbers
        if given_up.any():
            self._keep(rows[given_up], slots[given_up])
        self._number.array[slots], self._time.array[slots], self._value.array[slots] = numbers, times, values

    def _keep(self, rows: Ints, slots: Ints) -> None:
        self._kept.keep(rows, self._time.array[slots], self._value.array[slots])

    def ask_one(self, row: int, time: int) -> float:
        """The same for one."""
        first = (time - self._length) // self._bucket
        if first != self._first.view[row]:
            self._move(np.array([row]), np.array([first]))
        return self._kept.value(row)

    def add_one(self, row: int, time: int, value: float) -> None:
        """Take in a tick, also a late one."""
        if value != value:
            return
        number = time // self._bucket
        slot = row * self._buckets + number % self._buckets
        there = self._number.view[slot]
        if there > number:  # of a bucket so old that another has its place
            self._kept.keep_one(row, time, value)
            return
        if there < number:
            self._kept.keep_one(row, self._time.view[slot], self._value.view[slot])
        elif time < self._time.view[slot]:
            return
        self._number.view[slot], self._time.view[slot], self._value.view[slot] = number, time, value

    def late(self, row: int, time: int, value: float) -> None:
        """Take in a tick older than the newest."""
        self.add_one(row, time, value)
        self._first.view[row] = 0

    def clear(self, row: int) -> None:
        """As if the row had had no ticks."""
        of = slice(row * self._buckets, (row + 1) * self._buckets)
        self._number.array[of] = self._time.array[of] = 0
        self._first.view[row] = 0
        self._kept.forget(row)

    def extend(self, row: int, times: Ints, values: Floats) -> None:
        """Take in ticks newer than all there are, oldest first."""
        numbers = times // self._bucket
        valid = np.flatnonzero(~np.isnan(values))
        last = valid[np.flatnonzero(np.diff(numbers[valid], append=-1))]
        for n in last.tolist():
            self.add_one(row, int(times[n]), float(values[n]))
        self._first.view[row] = 0
