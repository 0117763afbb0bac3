"""One trailing window over one field of every symbol: which ticks are in it, whatever is measured over them.

Time is cut into pieces, some dozens to a window. Of the piece that goes on (*open*) and of each whole one the measures
are kept; whenever a symbol's time enters the next piece, the *middle* (app/alerts/middle.py) is put together anew out
of all whole pieces in the window. The pieces of windows that are not exact end at the same time for all symbols: their
next middle is prepared ahead, at a time of its own for each symbol.

An exact window begins within a piece, the *far* one (app/alerts/far.py); another one with the piece that its far edge
lies in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from app.alerts.columns import Column, Floats, Ints, Rows
from app.alerts.far import Far
from app.alerts.measures import Measure
from app.alerts.middle import Middle
from app.alerts.ticks import Ticks

_ANEW = 0  # no time that a tick is before: what depends on where the window begins has to be made anew
_MANY = 512  # ticks of the far piece from which on numpy is quicker, even for one row
STEP = 2_000_000  # symbols go on to other pieces in turns, so far apart: fewer at once than all, more than some
_STRIDE, _TURN = 40503, 1 << 16  # the golden ratio: multiples of it lie evenly, however many rows there are


class Trail:
    """The window ``[t - length, t)`` of one field, before each symbol's next tick at ``t``. Microseconds since 1970.

    ``piece``: how long a piece is; an ``exact`` window is a multiple of it long, and looks into ``ticks``. What each of
    ``measures`` gives goes to its place among all results, how many values there are to the places ``counts``.
    ``shift``: from 0 to before STEP, so that not all windows go on to other pieces at the same time.
    """

    def __init__(
        self,
        length: int,
        piece: int,
        exact: bool,
        field: int,
        ticks: Ticks,
        measures: Mapping[int, Measure],
        counts: Sequence[int],
        shift: int,
    ) -> None:
        self._length, self._piece, self._ticks = length, piece, ticks
        self._measures = tuple(measures.values())
        self._counts_to = tuple(counts)
        self._pieces = -(-length // piece)  # that one window spans: no two of them share a slot
        self.exact = exact
        self._shift = shift
        self._offset = Column(int)  # where pieces begin: not at the same time for every symbol
        # The open piece: its number, how many values it has, since when, and the number of the first one's tick.
        self._piece_now, self._count, self._since = Column(int), Column(float), Column(int)
        self._from = Column(int)
        self._until = Column(int)  # when the window's near or far edge enters another piece
        self._due = Column(int)  # until then nothing is to be done
        self._froms, self._tos = Column(int), Column(int)  # of a whole piece, the numbers of its ticks, by slot
        self._middle = Middle(self._pieces, self._measures)
        self._far = Far(field, ticks, self._measures)
        self._results = tuple((*of, part) for of, part in zip(measures.items(), self._far.parts, strict=True))

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        for column in (self._offset, self._piece_now, self._count, self._since, self._from, self._until, self._due):
            column.grow(rows)
        for column in (self._froms, self._tos) if self.exact else ():
            column.grow(rows * self._pieces)
        self._middle.grow(rows)
        self._far.grow(rows)

    def enter(self, row: int, spread: int) -> None:
        """A new symbol, whose pieces begin at a time of its own, by a number that spreads symbols evenly."""
        turn = spread % self._piece // STEP
        self._offset.view[row] = turn * STEP + self._shift if self.exact else 0

    # Many rows at once

    def go_on(self, rows: Ints, at: Rows, times: Ints) -> None:
        """Let the windows before these ticks, newer than all before, lie in the right pieces.

        ``at``: the same rows, as ``as_slice`` has them.
        """
        due = np.flatnonzero(times >= self._due.array[at])
        if not len(due):
            return
        rows, times = rows[due], times[due]
        moved = times >= self._until.array[rows]
        if moved.any():
            self._move(rows[moved], times[moved])
        ahead = rows[~moved]
        if len(ahead):
            self._middle.prepare(ahead, *self._span(ahead, self._until.array[ahead]))
            self._due.array[ahead] = self._until.array[ahead]

    def ask(self, at: Rows, times: Ints, found: Floats) -> None:
        """The results for the window before each tick for which it has gone on, into their lines of ``found``.

        NaN where the oldest value does not lie half the length back.
        """
        of_far, far = self._far.go_on(at, times - self._length)
        middle, open_ = self._middle.count.array[at], self._count.array[at]
        for line in self._counts_to:
            found[line] = far + middle + open_
        for line, measure, part in self._results:
            found[line] = measure.result(at, of_far[:, part], far, middle, open_)
        known = far > 0
        if not known.all():
            known |= 2 * (times - self._middle.since.array[at]) >= self._length
            if not known.all():
                for line in (*self._counts_to, *(line for line, *_ in self._results)):
                    found[line, ~known] = np.nan

    def add(self, at: Rows, times: Ints, values: Floats, ticks: Ints) -> None:
        """Take in the ticks that were asked before, all with a value, with their numbers among the ticks kept."""
        counts = self._count.array[at]
        fresh = counts == 0
        if fresh.any():
            self._since.array[at] = np.where(fresh, times, self._since.array[at])
            self._from.array[at] = np.where(fresh, ticks, self._from.array[at])
        for measure in self._measures:
            measure.add(at, values, counts)
        self._count.array[at] = counts + 1.0

    def _span(self, rows: Ints, times: Ints) -> tuple[Ints, Ints]:
        """The pieces in the middle of windows that end at these times: from, and to before which one."""
        times = times - self._offset.array[rows]
        return (times - self._length) // self._piece + self.exact, times // self._piece

    def _move(self, rows: Ints, times: Ints) -> None:
        """Go on to other pieces."""
        firsts, numbers = self._span(rows, times)
        begins = firsts - self.exact  # the piece that the window begins in
        until = np.minimum(numbers * self._piece, begins * self._piece + self._length) + self._piece
        self._until.array[rows] = until = self._offset.array[rows] + until
        turns = 0 if self.exact else (_TURN - rows * _STRIDE % _TURN)
        self._due.array[rows] = until - (until - times) // _TURN * turns
        ending = rows[numbers != self._piece_now.array[rows]]
        self._close(ending)
        self._piece_now.array[rows] = numbers
        self._middle.go_on(rows, firsts, numbers)
        if self.exact:
            slots = self._middle.slots(rows, begins)
            there = self._middle.number.array[slots] == begins
            self._far.leave(rows)
            rows, slots = rows[there], slots[there]
            sizes = self._middle.counts.array[slots].astype(np.int64)
            self._far.approach(rows, self._froms.array[slots], self._tos.array[slots], sizes)

    def _close(self, rows: Ints) -> None:
        """The open pieces become whole ones."""
        counts = self._count.array[rows]
        some = rows[counts > 0]
        if some.size:
            pieces, middle = self._piece_now.array[some], self._middle
            slots = middle.slots(some, pieces)
            middle.number.array[slots], middle.begins.array[slots] = pieces, self._since.array[some]
            if self.exact:
                # What has no value of the field is passed over, up to the end as well.
                self._froms.array[slots], self._tos.array[slots] = self._from.array[some], self._ticks.end.array[some]
            middle.counts.array[slots] = counts = counts[counts > 0]
            for measure in self._measures:
                measure.close(some, slots, counts)
        self._count.array[rows] = 0.0
        for measure in self._measures:
            measure.reset(rows)

    # One row, by the same operations

    def ask_one(self, row: int, time: int, found: list[float]) -> None:
        """The same for one tick; what is unknown stays as it is in ``found``."""
        if time >= self._due.view[row]:
            self._go_on_one(row, time)
        of_far, at, far = self._far.go_on_one(row, time - self._length)
        if not far and 2 * (time - self._middle.since.view[row]) < self._length:
            return
        middle, open_ = self._middle.count.view[row], self._count.view[row]
        for line in self._counts_to:
            found[line] = far + middle + open_
        for line, measure, part in self._results:
            found[line] = measure.result_one(row, of_far, at + part.start, far, middle, open_)

    def add_one(self, row: int, time: int, value: float, tick: int) -> None:
        """Take in the tick that was asked before."""
        if value != value:  # NaN, and without a call
            return
        count = self._count.view[row]
        if not count:
            self._since.view[row] = time
            self._from.view[row] = tick
        for measure in self._measures:
            measure.add_one(row, value, count)
        self._count.view[row] = count + 1.0

    def _go_on_one(self, row: int, time: int) -> None:
        until = self._until.view[row]
        if time >= until:
            self._move_one(row, time)
        else:
            self._middle.prepare_one(row, *self._span_one(row, until))
            self._due.view[row] = until

    def _span_one(self, row: int, time: int) -> tuple[int, int]:
        time -= self._offset.view[row]
        return (time - self._length) // self._piece + self.exact, time // self._piece

    def _move_one(self, row: int, time: int) -> None:
        first, number = self._span_one(row, time)
        begins = first - self.exact
        until = min(number * self._piece, begins * self._piece + self._length) + self._piece
        self._until.view[row] = until = self._offset.view[row] + until
        turns = 0 if self.exact else (_TURN - row * _STRIDE % _TURN)
        self._due.view[row] = until - (until - time) // _TURN * turns
        if number != self._piece_now.view[row]:
            self._close_one(row)
            self._piece_now.view[row] = number
        self._middle.go_on_one(row, first, number)
        if self.exact:
            slot = self._middle.slots(row, begins)
            self._far.leave(row)
            if self._middle.number.view[slot] == begins:
                from_, to, size = self._froms.view[slot], self._tos.view[slot], int(self._middle.counts.view[slot])
                if size < _MANY:
                    self._far.approach_one(row, from_, to)
                else:
                    self._far.approach(np.array([row]), np.array([from_]), np.array([to]), np.array([size]))

    def _close_one(self, row: int) -> None:
        if count := self._count.view[row]:
            number, middle = self._piece_now.view[row], self._middle
            slot = middle.slots(row, number)
            middle.number.view[slot], middle.counts.view[slot] = number, count
            middle.begins.view[slot] = self._since.view[row]
            if self.exact:
                self._froms.view[slot], self._tos.view[slot] = self._from.view[row], self._ticks.end.view[row]
            for measure in self._measures:
                measure.close_one(row, slot, count)
        self._count.view[row] = 0.0
        for measure in self._measures:
            measure.reset_one(row)

    # History, and what comes late

    def clear(self, row: int) -> None:
        """As if the row had had no ticks."""
        self._middle.clear(row)
        self._piece_now.view[row], self._count.view[row] = 0, 0.0
        self._begin_anew(row)
        for measure in self._measures:
            measure.reset_one(row)

    def extend(self, row: int, times: Ints, values: Floats, tick: int) -> None:
        """Take in ticks newer than all there are, oldest first; the first has this number, the next the next."""
        offset = self._offset.view[row]
        newest = (int(times[-1]) - offset) // self._piece
        seen = int(np.searchsorted(times, (newest - self._pieces) * self._piece + offset))  # by any later window
        kept = seen + np.flatnonzero(~np.isnan(values[seen:]))
        if not len(kept):
            return
        times, values, ticks = times[kept], values[kept], tick + kept
        numbers = (times - offset) // self._piece
        going_on = int(np.searchsorted(numbers, self._piece_now.view[row], "right"))
        for n in range(going_on):
            self.add_one(row, int(times[n]), float(values[n]), int(ticks[n]))
        if going_on < len(times):
            self._close_one(row)
            self._load(row, times[going_on:], values[going_on:], ticks[going_on:], numbers[going_on:])
        self._begin_anew(row)

    def _load(self, row: int, times: Ints, values: Floats, ticks: Ints, numbers: Ints) -> None:
        """Whole pieces and the open one, all new, from their ticks."""
        ends = np.append(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1, len(numbers))
        begins = np.append(0, ends[:-1])
        counts = ends - begins
        whole, last = begins[:-1], begins[-1]
        middle, slots = self._middle, self._middle.slots(np.full(len(whole), row), numbers[whole])
        middle.number.array[slots], middle.counts.array[slots] = numbers[whole], counts[:-1]
        middle.begins.array[slots] = times[whole]
        if self.exact:
            self._froms.array[slots], self._tos.array[slots] = ticks[whole], ticks[ends[:-1] - 1] + 1
        self._piece_now.view[row], self._count.view[row] = int(numbers[last]), float(counts[-1])
        self._since.view[row], self._from.view[row] = int(times[last]), int(ticks[last])
        # Pieces with about as many values each go together: as a table they take little more room than by themselves.
        sizes = np.frexp(counts[:-1])[1]
        for size in np.unique(sizes):
            chosen = np.flatnonzero(sizes == size)
            width = np.arange(int(counts[chosen].max()))
            padded = values[np.minimum(begins[chosen, None] + width, len(values) - 1)]
            for measure in self._measures:
                measure.load(slots[chosen], padded, counts[chosen] - 1)
        for measure in self._measures:
            measure.begin(row, values[last:])

    def late(self, row: int, time: int, value: float) -> None:
        """Take in a tick older than the newest, where ticks are not kept."""
        if value != value:
            return
        number, now = time // self._piece, self._piece_now.view[row]
        if number > now:  # what came after it had no value of this field
            self._close_one(row)
            self._piece_now.view[row] = now = number
        if number == now:
            since = self._since.view[row] if self._count.view[row] else time
            self.add_one(row, time, value, 0)
            self._since.view[row] = min(time, since)
        if now - self._pieces <= number < now:
            self._middle.late(row, number, time, value)
        self._begin_anew(row)

    def _begin_anew(self, row: int) -> None:
        """The pieces are others now."""
        self._until.view[row] = self._due.view[row] = _ANEW
        self._middle.spoil(row)
