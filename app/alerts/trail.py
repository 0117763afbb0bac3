"""One trailing window over one field of every symbol: which ticks are in it, whatever is measured over them.

Time is cut into pieces, some dozens to a window. Of the piece that goes on (*open*) and of each whole one the measures
are kept; whenever a symbol's time enters the next piece, the *middle* is put together anew out of all whole pieces in
the window. An exact window begins within a piece, the *far* one (app/alerts/far.py); another one with the piece that
its far edge lies in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from app.alerts.columns import Column, Floats, Ints, Rows
from app.alerts.far import NEVER, Far, ragged
from app.alerts.measures import Measure, least
from app.alerts.ticks import Ticks

_ANEW = 0  # no time that a tick is before: what depends on where the window begins has to be made anew
_MANY = 128  # ticks of the far piece from which on numpy is quicker, even for one row
_STEP = 2_000_000  # symbols go on to other pieces in turns, so far apart: fewer at once than all, more than some
_AT_ONCE = 1 << 15  # whole pieces that are looked through at once: larger arrays are slower for each of them


class Trail:
    """The window ``[t - length, t)`` of one field, before each symbol's next tick at ``t``. Microseconds since 1970.

    ``piece``: how long a piece is; an ``exact`` window is a multiple of it long, and looks into ``ticks``. What each of
    ``measures`` gives goes to its place among all results, how many values there are to the places ``counts``.
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
    ) -> None:
        self._length, self._piece, self._ticks = length, piece, ticks
        self._measures, self._results = tuple(measures.values()), tuple(measures.items())
        self._counts_to = tuple(counts)
        self._pieces = -(-length // piece)  # that one window spans: no two of them share a slot
        self.exact = exact
        self._shift = field * _STEP // 2  # fields go on one after another
        self._offset = Column(int)  # where pieces begin: not at the same time for every symbol
        # The open piece: its number, how many values it has, since when, and the number of the first one's tick.
        self._piece_now, self._count, self._since = Column(int), Column(float), Column(int)
        self._from = Column(int)
        self._until = Column(int)  # when the window's near or far edge enters another piece
        # Whole pieces, at their numbers modulo how many there are.
        self._number, self._counts, self._begins = Column(int), Column(float), Column(int)
        self._froms, self._tos = Column(int), Column(int)
        # The middle: how many values, since when.
        self._middle, self._middle_since = Column(float), Column(int)
        self._far = Far(field, ticks, self._measures)

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        by_row = [self._offset, self._piece_now, self._count, self._since, self._from]
        by_row += [self._until, self._middle, self._middle_since]
        by_slot = [self._number, self._counts, self._begins]
        by_slot += [self._froms, self._tos] if self.exact else []
        for measure in self._measures:
            by_row += measure.by_row
            by_slot += measure.by_slot
        for column in by_row:
            column.grow(rows)
        for column in by_slot:
            column.grow(rows * self._pieces)
        self._far.grow(rows)

    def enter(self, row: int, spread: int) -> None:
        """A new symbol, whose pieces begin at a time of its own, by a number that spreads symbols evenly."""
        turn = spread % self._piece // _STEP
        self._offset.view[row] = turn * _STEP + self._shift if self.exact else 0

    # Many rows at once

    def go_on(self, rows: Ints, at: Rows, times: Ints) -> None:
        """Let the windows before these ticks, newer than all before, lie in the right pieces.

        ``at``: the same rows, as ``as_slice`` has them.
        """
        moved = np.flatnonzero(times >= self._until.array[at])
        step = -(-_AT_ONCE // self._pieces)
        for n in range(0, len(moved), step):
            some = moved[n : n + step]
            self._move(rows[some], times[some])

    def ask(self, at: Rows, times: Ints, found: Floats) -> None:
        """The results for the window before each tick for which it has gone on, into their lines of ``found``.

        NaN where the oldest value does not lie half the length back.
        """
        places, far = self._far.go_on(at, times - self._length)
        middle, open_ = self._middle.array[at], self._count.array[at]
        for line in self._counts_to:
            found[line] = far + middle + open_
        for line, measure in self._results:
            found[line] = measure.result(at, places, far, middle, open_)
        known = far > 0
        if not known.all():
            known |= 2 * (times - self._middle_since.array[at]) >= self._length
            if not known.all():
                for line in (*self._counts_to, *(line for line, _ in self._results)):
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

    def _move(self, rows: Ints, times: Ints) -> None:
        """Go on to other pieces."""
        offsets = self._offset.array[rows]
        numbers = (times - offsets) // self._piece
        begins = (times - offsets - self._length) // self._piece  # the piece that the window begins in
        firsts = begins + 1 if self.exact else begins
        nears, fars = (numbers + 1) * self._piece, (begins + 1) * self._piece + self._length
        self._until.array[rows] = offsets + np.minimum(nears, fars)
        ending = numbers != self._piece_now.array[rows]
        self._close(rows[ending])
        self._piece_now.array[rows] = numbers
        of = self._number.array.reshape(-1, self._pieces)[rows]
        live = (of >= firsts[:, None]) & (of < numbers[:, None])
        counts = np.where(live, self._counts.array.reshape(-1, self._pieces)[rows], 0.0)
        sinces = np.where(live, self._begins.array.reshape(-1, self._pieces)[rows], NEVER)
        self._middle.array[rows] = counts.sum(axis=1)
        self._middle_since.array[rows] = least(sinces)
        for measure in self._measures:
            measure.gather(rows, self._pieces, live, counts)
        if self.exact:
            slots = rows * self._pieces + begins % self._pieces
            there = self._number.array[slots] == begins
            self._far.leave(rows)
            rows, slots = rows[there], slots[there]
            sizes = self._counts.array[slots].astype(np.int64)
            self._far.approach(rows, self._froms.array[slots], self._tos.array[slots], sizes)

    def _close(self, rows: Ints) -> None:
        """The open pieces become whole ones."""
        counts = self._count.array[rows]
        some = rows[counts > 0]
        if some.size:
            slots = some * self._pieces + self._piece_now.array[some] % self._pieces
            self._number.array[slots] = self._piece_now.array[some]
            self._begins.array[slots] = self._since.array[some]
            if self.exact:
                # What has no value of the field is passed over, up to the end as well.
                self._froms.array[slots], self._tos.array[slots] = self._from.array[some], self._ticks.end.array[some]
            counts = counts[counts > 0]
            self._counts.array[slots] = counts
            for measure in self._measures:
                measure.close(some, slots, counts)
        self._count.array[rows] = 0.0
        for measure in self._measures:
            measure.reset(rows)

    # One row, by the same operations

    def ask_one(self, row: int, time: int, found: list[float]) -> None:
        """The same for one tick; what is unknown stays as it is in ``found``."""
        if time >= self._until.view[row]:
            self._move_one(row, time)
        place, far = self._far.go_on_one(row, time - self._length)
        if not far and 2 * (time - self._middle_since.view[row]) < self._length:
            return
        middle, open_ = self._middle.view[row], self._count.view[row]
        for line in self._counts_to:
            found[line] = far + middle + open_
        for line, measure in self._results:
            found[line] = measure.result_one(row, place, far, middle, open_)

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

    def _move_one(self, row: int, time: int) -> None:
        offset, piece = self._offset.view[row], self._piece
        number = (time - offset) // piece
        begins = (time - offset - self._length) // piece
        first = begins + 1 if self.exact else begins
        self._until.view[row] = offset + min((number + 1) * piece, (begins + 1) * piece + self._length)
        if number != self._piece_now.view[row]:
            self._close_one(row)
            self._piece_now.view[row] = number
        base, counted, sinces = row * self._pieces, self._counts.view, self._begins.view
        of = self._number.view[base : base + self._pieces].tolist()
        slots = [slot for slot, piece in enumerate(of, base) if first <= piece < number]
        counts = [counted[slot] for slot in slots]
        self._middle.view[row] = sum(counts)
        self._middle_since.view[row] = min([sinces[slot] for slot in slots], default=NEVER)
        for measure in self._measures:
            measure.gather_one(row, slots, counts)
        if self.exact:
            slot = base + begins % self._pieces
            self._far.leave_one(row)
            if self._number.view[slot] == begins:
                from_, to, size = self._froms.view[slot], self._tos.view[slot], int(self._counts.view[slot])
                if size < _MANY:
                    self._far.approach_one(row, from_, to)
                else:
                    self._far.approach(np.array([row]), np.array([from_]), np.array([to]), np.array([size]))

    def _close_one(self, row: int) -> None:
        if count := self._count.view[row]:
            number = self._piece_now.view[row]
            slot = row * self._pieces + number % self._pieces
            self._number.view[slot], self._counts.view[slot] = number, count
            self._begins.view[slot] = self._since.view[row]
            if self.exact:
                self._froms.view[slot], self._tos.view[slot] = self._from.view[row], self._ticks.end.view[row]
            for measure in self._measures:
                measure.close(row, slot, count)
        self._count.view[row] = 0.0
        for measure in self._measures:
            measure.reset(row)

    # History, and what comes late

    def clear(self, row: int) -> None:
        """As if the row had had no ticks."""
        self._number.array[row * self._pieces : (row + 1) * self._pieces] = 0
        self._piece_now.view[row], self._count.view[row], self._until.view[row] = 0, 0.0, _ANEW
        for measure in self._measures:
            measure.reset(row)

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
        self._until.view[row] = _ANEW

    def _load(self, row: int, times: Ints, values: Floats, ticks: Ints, numbers: Ints) -> None:
        """Whole pieces and the open one, all new, from their ticks."""
        ends = np.append(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1, len(numbers))
        begins = np.append(0, ends[:-1])
        counts = ends - begins
        owner, nth = ragged(counts)
        padded = np.zeros((len(begins), int(counts.max())))
        padded[owner, nth] = values
        whole, last = begins[:-1], begins[-1]
        slots = row * self._pieces + numbers[whole] % self._pieces
        self._number.array[slots], self._counts.array[slots] = numbers[whole], counts[:-1]
        self._begins.array[slots] = times[whole]
        if self.exact:
            self._froms.array[slots], self._tos.array[slots] = ticks[whole], ticks[ends[:-1] - 1] + 1
        self._piece_now.view[row], self._count.view[row] = int(numbers[last]), float(counts[-1])
        self._since.view[row], self._from.view[row] = int(times[last]), int(ticks[last])
        for measure in self._measures:
            measure.load(row, slots, padded, counts - 1)

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
        slot = row * self._pieces + number % self._pieces
        if now - self._pieces <= number < now and self._number.view[slot] <= number:
            there = self._number.view[slot] == number
            count = self._counts.view[slot] if there else 0.0
            for measure in self._measures:
                measure.late(slot, value, count)
            self._begins.view[slot] = min(time, self._begins.view[slot]) if there else time
            self._number.view[slot], self._counts.view[slot] = number, count + 1.0
        self._until.view[row] = _ANEW
