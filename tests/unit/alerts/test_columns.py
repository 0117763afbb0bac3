"""Columns, and the stretches of them that rows have."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from app.alerts.columns import Extents


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 300)), max_size=60))
def test_stretches_are_long_enough_and_lines_of_a_table_and_no_two_of_them_overlap(
    wishes: list[tuple[int, int]],
) -> None:
    extents, most = Extents(), {}
    extents.grow(6)
    for row, needed in wishes:
        start = extents.reserve_one(row, needed)
        most[row] = max(needed, most.get(row, 0))
        assert start == extents.start.view[row]
        places: list[int] = []
        for other, longest in most.items():
            begin, room = extents.start.view[other], extents.room.view[other]
            assert room >= longest
            assert begin % room == 0
            places += range(begin, begin + room)
        assert len(set(places)) == len(places)
        assert 0 not in places
        assert max(places) < extents.size


def test_what_a_stretch_leaves_behind_is_another_ones() -> None:
    extents = Extents()
    extents.grow(40)
    extents.reserve_one(0, 256)
    size = extents.size
    for row, needed in enumerate((8, 16, 32, 64, 128), start=1):  # in the gap before the long one
        extents.reserve_one(row, needed)
    assert extents.size == size
    extents.reserve_one(0, 300)
    size = extents.size
    extents.reserve_one(20, 200)
    assert extents.size == size
