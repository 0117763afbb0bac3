"""The cheapest assignment of outs to ins, exact: whole numbers of any size, only the pairs that are possible.

No library does this. Those at hand count in 64 or 128 bits or in floats, where amounts of 18 digits and times in
microseconds need more; most want a full matrix; and none gives the prices that tell whether the answer is the only one.

This is the Hungarian method by shortest augmenting paths: outs are added one by one, each along the cheapest chain of
re-assignments. An out may stay alone for ``alone``, more than anything else costs, so that few do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from app.transfers.graph import circles, connected

Costs = Sequence[Mapping[int, int]]
"""By out, what each in costs that it may have."""

Edge = tuple[int, int]
"""An out and an in."""


class TooMany(Exception):
    """So many pairs are possible that looking at them would take too long."""


class Budget:
    """How many steps may still be taken: what keeps an input that was made to take long from doing so."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Raises TooMany where there are not so many left; then they are not taken either."""
        if steps > self._left:
            raise TooMany
        self._left -= steps


@dataclass(frozen=True, slots=True)
class Open:
    """Pairs of which each is in some best assignment, and none in all: ``count`` of them are in any."""

    edges: list[Edge]
    count: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """``certain``: the pairs that every best assignment has. ``total``: what all ``count`` pairs cost together."""

    certain: list[Edge]
    open: list[Open]
    count: int
    total: int


def assign(costs: Costs, budget: Budget) -> Assignment:
    """As many pairs as possible, and of these assignments the cheapest. Costs are 0 or more."""
    solver = _Solver(costs, budget)
    for out in range(len(costs)):
        solver.add(out)
    return solver.result()


class _Solver:
    """``cost - price of out - price of in`` is never below 0, and is 0 for a pair; the price of a free in is 0."""

    def __init__(self, costs: Costs, budget: Budget) -> None:
        self._costs, self._budget = costs, budget
        most = max((cost for row in costs for cost in row.values()), default=0)
        self._alone = (most + 1) * (len(costs) + 1)
        self._in_of: dict[int, int] = {}
        self._out_of: dict[int, int] = {}
        self._price_out = [0] * len(costs)
        self._price_in: defaultdict[int, int] = defaultdict(int)

    def add(self, out: int) -> None:
        """Dijkstra from ``out`` to the nearest free in, or to an out that had better be alone."""
        price_in = self._price_in
        self._price_out[out] = min((c - price_in[j] for j, c in self._costs[out].items()), default=self._alone)
        outs, ins = {out: 0}, dict[int, int]()  # those reached for good, and how far away they are
        came_from: dict[int, int] = {}
        best: dict[int, int] = {}
        heap: list[Edge] = []
        end_alone, end_at = out, self._alone - self._price_out[out]
        reached = out
        while True:
            self._relax(reached, outs[reached], best, came_from, heap)
            while heap and heap[0][1] in ins:
                heappop(heap)
            if not heap or end_at <= heap[0][0]:
                self._settle(outs, ins, end_at)
                self._leave(end_alone, came_from)
                return
            distance, into = heappop(heap)
            if into not in self._out_of:
                self._settle(outs, ins, distance)
                self._take(into, came_from)
                return
            ins[into] = distance
            reached = self._out_of[into]
            outs[reached] = distance
            if distance + self._alone - self._price_out[reached] < end_at:
                end_alone, end_at = reached, distance + self._alone - self._price_out[reached]

    def _relax(self, out: int, at: int, best: dict[int, int], came_from: dict[int, int], heap: list[Edge]) -> None:
        row, base, price_in = self._costs[out], at - self._price_out[out], self._price_in
        self._budget.spend(len(row))
        for into, cost in row.items():
            distance = base + cost - price_in[into]
            if into not in best or distance < best[into]:
                best[into], came_from[into] = distance, out
                heappush(heap, (distance, into))

    def _settle(self, outs: dict[int, int], ins: dict[int, int], end: int) -> None:
        for out, distance in outs.items():
            self._price_out[out] += end - distance
        for into, distance in ins.items():
            self._price_in[into] -= end - distance

    def _take(self, into: int, came_from: dict[int, int]) -> None:
        """Every out on the way back takes the in after it, and gives up the one before."""
        following: int | None = into
        while following is not None:
            out = came_from[following]
            before = self._in_of.get(out)
            self._in_of[out], self._out_of[following] = following, out
            following = before

    def _leave(self, out: int, came_from: dict[int, int]) -> None:
        given_up = self._in_of.pop(out, None)
        if given_up is not None:
            del self._out_of[given_up]
            self._take(given_up, came_from)

    def result(self) -> Assignment:
        """A pair is certain if it lies on no circle of changes that cost nothing."""
        circle = circles(self._changes())
        sizes = Counter(circle)
        some: list[Edge] = []  # those that only some best assignments have
        for out, into in self._tight():
            mate = self._out_of.get(into, len(self._costs))
            if circle[mate] == circle[out] and sizes[circle[out]] > 1:
                some.append((out, into))
        certain = sorted((out, into) for out, into in self._in_of.items() if sizes[circle[out]] == 1)
        total = sum(self._costs[out][into] for out, into in self._in_of.items())
        groups = [Open(group, sum(self._in_of.get(o) == i for o, i in group)) for group in connected(some)]
        return Assignment(certain, groups, len(self._in_of), total)

    def _tight(self) -> Iterator[Edge]:
        for out, row in enumerate(self._costs):
            for into, cost in row.items():
                if cost == self._price_out[out] + self._price_in[into]:
                    yield out, into

    def _changes(self) -> list[set[int]]:
        """By out, who would have to give way if it changed for another in that costs no more.

        The last stands for nobody: an out can change for a free in, or to be alone, and that frees an in for others.
        """
        nobody = len(self._costs)
        after: list[set[int]] = [set() for _ in range(nobody + 1)]
        for out, into in self._tight():
            mate = self._out_of.get(into, nobody)
            if mate != out:
                after[out].add(mate)
        for out, price in enumerate(self._price_out):
            own = self._in_of.get(out)
            if own is None or self._price_in[own] == 0:
                after[nobody].add(out)
            if own is not None and price == self._alone:
                after[out].add(nobody)
        return after
