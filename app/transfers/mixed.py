"""Legs of any amounts: all pairs that fit are listed, and the best assignment of them is computed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from app.transfers.assignment import Assignment, Budget, TooMany, assign
from app.transfers.found import Group, Pair, Settled
from app.transfers.graph import connected
from app.transfers.legs import Ends, Leg, fits, gap

Fit = tuple[Leg, Leg]
Shelf = list[tuple[int, Leg]]
"""Ins of some hours, by amount."""

MOST_CANDIDATES = 1000
"""Listed of one group."""


def settle(ends: Ends, span: int, budget: Budget) -> Settled:
    """The best assignment of these. What has too many candidates becomes a group without them."""
    try:
        parts = connected(candidates(ends, span, budget))
    except TooMany:
        return Settled(groups=[untold(ends)])
    settled = Settled()
    for edges in sorted(parts, key=len):
        settled.add(_part(edges, span, budget))
    return settled


def untold(ends: Ends) -> Group:
    """All that can be said where there are too many."""
    return Group(list(ends.outs), list(ends.ins), None, None)


def candidates(ends: Ends, span: int, budget: Budget) -> Iterator[Fit]:
    """The pairs that fit, found by time and then by amount. Raises TooMany before it looks at any."""
    width = span + 1
    shelves: defaultdict[int, Shelf] = defaultdict(list)
    for into in ends.ins:
        shelves[into.at // width] += ((form, into) for form in into.forms)
    for shelf in shelves.values():
        shelf.sort(key=_form)
    ranges = [
        (out, shelf, *_range(shelf, form - out.reach, form + out.reach))
        for out in ends.outs
        for shelf in (shelves.get(out.at // width), shelves.get(out.at // width + 1))
        for form in out.forms
        if shelf
    ]
    budget.spend(sum(high - low for _, _, low, high in ranges))
    return _fitting(ranges, span)


def _range(shelf: Shelf, least: int, most: int) -> tuple[int, int]:
    low = bisect_left(shelf, least, key=_form)
    return low, bisect_right(shelf, most, low, key=_form)


def _fitting(ranges: Iterable[tuple[Leg, Shelf, int, int]], span: int) -> Iterator[Fit]:
    seen = set[Fit]()
    for out, shelf, low, high in ranges:
        for _, into in shelf[low:high]:
            if (out, into) not in seen and fits(out, into, span):
                seen.add((out, into))  # an amount with and without fees can be found twice
                yield out, into


def best(edges: Iterable[Fit], span: int, budget: Budget) -> tuple[list[Leg], list[Leg], Assignment]:
    """As many pairs as possible, and of such assignments the cheapest. Raises TooMany."""
    listed = list(edges)
    outs, ins = _numbered(out for out, _ in listed), _numbered(into for _, into in listed)
    most = min(len(outs), len(ins))
    costs: list[dict[int, int]] = [{} for _ in outs]
    for out, into in listed:
        lag = into.at - out.at
        costs[outs[out]][ins[into]] = _joined(gap(out, into), lag, lag * lag, most, span)
    return list(outs), list(ins), assign(costs, budget)


def cost(pairs: Sequence[Fit], most: int, span: int) -> int:
    """What these pairs cost, out of an assignment of at most so many.

    First the difference of amounts; then the time; then who overtakes whom. Each is added up, the last as squares of
    the times: of ways that take the same time in all, they are least where the first out has the first in.
    """
    lags = [into.at - out.at for out, into in pairs]
    amounts = sum(gap(out, into) for out, into in pairs)
    return _joined(amounts, sum(lags), sum(lag * lag for lag in lags), most, span)


def _joined(amount: int, time: int, squares: int, most: int, span: int) -> int:
    """One number, in digits of a base that no sum over so many pairs reaches."""
    return (amount * (most * span + 1) + time) * (most * span * span + 1) + squares


def _part(edges: list[Fit], span: int, budget: Budget) -> Settled:
    """Pairs that hang together, by what they have in common."""
    if len(edges) == 1:
        return Settled([Pair(*edges[0], "only candidate")])
    try:
        outs, ins, answer = best(edges, span, budget)
    except TooMany:
        return Settled(groups=[untold(Ends(_legs(out for out, _ in edges), _legs(into for _, into in edges)))])
    return Settled([Pair(outs[o], ins[i], "best total") for o, i in answer.certain], list(groups(outs, ins, answer)))


def groups(outs: list[Leg], ins: list[Leg], answer: Assignment) -> Iterator[Group]:
    """What an assignment leaves open."""
    for one in answer.open:
        fit = [(outs[o], ins[i]) for o, i in one.edges]
        shown = fit if len(fit) <= MOST_CANDIDATES else None
        yield Group(_legs(out for out, _ in fit), _legs(into for _, into in fit), one.count, shown)


def _numbered(legs: Iterable[Leg]) -> dict[Leg, int]:
    return {leg: number for number, leg in enumerate(dict.fromkeys(legs))}


def _legs(legs: Iterable[Leg]) -> list[Leg]:
    return list(dict.fromkeys(legs))


def _form(entry: tuple[int, Leg]) -> int:
    return entry[0]
