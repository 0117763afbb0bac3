"""Legs that all have the same amount: any number of them, without looking at every pair.

All that differs is time, and the cost of an assignment is what its ins say minus what its outs say. So the best ins are
the earliest that can have an out each, the best outs the latest that can have an in each (both are greedy: what can be
had together is a matroid), there is an assignment of just these two, and the first out has the first in (uncrossing two
pairs keeps them possible, and never costs more). What can be swapped is what has the same time.

Wallets stand outside of that. They are looked at afterwards: an assignment that is the best of all, and pairs no wallet
with itself, is the best of those that do not. Otherwise the pairs are listed and solved, as far as there are not too
many.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from app.transfers import mixed
from app.transfers.assignment import Budget, TooMany
from app.transfers.found import Group, Pair, Settled
from app.transfers.legs import Ends, Leg

Zipped = list[tuple[Leg, Leg]]


def settle(ends: Ends, span: int, budget: Budget) -> Settled:
    """The best assignment of legs of one amount."""
    settled = Settled()
    for by_wallets in _by_wallets(ends):
        for chain in _chains(by_wallets, span):
            settled.add(_chain(chain, span, budget))
    return settled


def _by_wallets(ends: Ends) -> Iterator[Ends]:
    """Between two wallets the two directions have nothing to do with each other."""
    sources, targets = {leg.wallet for leg in ends.outs}, {leg.wallet for leg in ends.ins}
    if len(sources | targets) > 2:
        if min(len(sources), len(targets)) > 1:
            yield ends
            return
        # From, or to, one wallet alone: what else it has cannot be the other end.
        one, ins, outs = (sources, ends.ins, ends.outs) if len(sources) == 1 else (targets, ends.ins, ends.outs)
        yield Ends(
            [leg for leg in outs if one is sources or leg.wallet not in one],
            [leg for leg in ins if one is targets or leg.wallet not in one],
        )
        return
    for source in sorted(sources):
        yield Ends(
            [leg for leg in ends.outs if leg.wallet == source], [leg for leg in ends.ins if leg.wallet != source]
        )


def _chains(ends: Ends, span: int) -> Iterator[Ends]:
    """Apart where no in that is still to come is within reach of any out before."""
    start = place = 0
    for number, out in enumerate(ends.outs):
        last = number + 1 == len(ends.outs)
        if last or ends.outs[number + 1].at > out.at + span:
            begin = bisect_left(ends.ins, ends.outs[start].at, place, key=_at)
            place = bisect_right(ends.ins, out.at + span, begin, key=_at)
            if begin < place:
                yield Ends(ends.outs[start : number + 1], ends.ins[begin:place])
            start = number + 1


def _chain(ends: Ends, span: int, budget: Budget) -> Settled:
    settled, rivals = Settled(), _Rivals(ends, span)
    for zipped in _blocks(in_order(ends, span)):
        found = _Block(ends, zipped, span).settled(rivals, budget)
        if found is None:
            return mixed.settle(ends, span, budget)
        settled.add(found)
    return settled


def in_order(ends: Ends, span: int) -> Zipped:
    """The best assignment if wallets are left out of account: the first out and the first in, and so on."""
    return list(zip(_best_outs(ends, span), _best_ins(ends, span), strict=True))


def _best_ins(ends: Ends, span: int) -> list[Leg]:
    """Each takes the out that has waited longest; one for which none waits has to do without."""
    waiting, outs, chosen = deque[Leg](), deque(ends.outs), []
    for into in ends.ins:
        while outs and outs[0].at <= into.at:
            waiting.append(outs.popleft())
        while waiting and into.at - waiting[0].at > span:
            waiting.popleft()
        if waiting:
            waiting.popleft()
            chosen.append(into)
    return chosen


def _best_outs(ends: Ends, span: int) -> list[Leg]:
    """The same, backwards."""
    waiting, ins, chosen = deque[Leg](), deque(ends.ins), []
    for out in reversed(ends.outs):
        while ins and ins[-1].at >= out.at:
            waiting.append(ins.pop())
        while waiting and waiting[0].at - out.at > span:
            waiting.popleft()
        if waiting:
            waiting.popleft()
            chosen.append(out)
    return chosen[::-1]


def _blocks(zipped: Zipped) -> Iterator[Zipped]:
    """Apart where both the out and the in have another time than those before."""
    block: Zipped = []
    for out, into in zipped:
        if block and block[-1][0].at != out.at and block[-1][1].at != into.at:
            yield block
            block = []
        block.append((out, into))
    if block:
        yield block


class _Block:
    """Some pairs in order, and all that could stand in their place because it has the same time."""

    def __init__(self, ends: Ends, zipped: Zipped, span: int) -> None:
        self._all, self._zipped, self._span = ends, zipped, span
        self._outs = _between(ends.outs, {out.at for out, _ in zipped})
        self._ins = _between(ends.ins, {into.at for _, into in zipped})

    def settled(self, rivals: _Rivals, budget: Budget) -> Settled | None:
        """None: wallets forbid what would be best here."""
        if {leg.wallet for leg in self._outs} & {leg.wallet for leg in self._ins}:
            return self._among_wallets(rivals, budget)
        if len(self._outs) == len(self._ins) == 1:
            return Settled([rivals.pair(*self._zipped[0])])
        return Settled(groups=[Group(self._outs, self._ins, len(self._zipped), self._candidates())])

    def _among_wallets(self, rivals: _Rivals, budget: Budget) -> Settled | None:
        """Solved by itself; it has to be as good as without wallets, or else it depends on other blocks, too."""
        if all(out.wallet == into.wallet for out, into in self._zipped):
            return None  # spares the search where a pair stands alone
        try:
            fit = mixed.candidates(Ends(self._outs, self._ins), self._span, budget)
            outs, ins, answer = mixed.best(fit, self._span, budget)
        except TooMany:
            return None
        wanted = mixed.cost(self._zipped, min(len(outs), len(ins)), self._span)
        if (answer.count, answer.total) != (len(self._zipped), wanted):
            return None
        pairs = [rivals.pair(outs[o], ins[i]) for o, i in answer.certain]
        return Settled(pairs, list(mixed.groups(outs, ins, answer)))

    def _candidates(self) -> Zipped | None:
        """Whatever has the times of a pair can be one."""
        outs, ins = _by_time(self._outs), _by_time(self._ins)
        times = dict.fromkeys((out.at, into.at) for out, into in self._zipped)
        if sum(len(outs[left]) * len(ins[came]) for left, came in times) > mixed.MOST_CANDIDATES:
            return None
        return [(out, into) for left, came in times for out in outs[left] for into in ins[came]]


class _Rivals:
    """How many others each fits."""

    def __init__(self, ends: Ends, span: int) -> None:
        self._span = span
        self._outs, self._ins = _Times(ends.outs), _Times(ends.ins)

    def pair(self, out: Leg, into: Leg) -> Pair:
        """A pair that is certain."""
        ins = self._ins.count(out.at, out.at + self._span, out.wallet)
        outs = self._outs.count(into.at - self._span, into.at, into.wallet)
        return Pair(out, into, "only candidate" if ins == outs == 1 else "best total")


class _Times:
    """The times of legs, all and by wallet."""

    def __init__(self, legs: Sequence[Leg]) -> None:
        self._all = [leg.at for leg in legs]
        self._of: defaultdict[str, list[int]] = defaultdict(list)
        for leg in legs:
            self._of[leg.wallet].append(leg.at)

    def count(self, since: int, until: int, but: str) -> int:
        """How many there are from then to then, but for those of one wallet."""
        own = self._of.get(but, [])
        return (
            bisect_right(self._all, until)
            - bisect_left(self._all, since)
            - (bisect_right(own, until) - bisect_left(own, since))
        )


def _between(legs: Sequence[Leg], times: set[int]) -> list[Leg]:
    """The legs that have one of these times."""
    begin, end = bisect_left(legs, min(times), key=_at), bisect_right(legs, max(times), key=_at)
    return [leg for leg in legs[begin:end] if leg.at in times]


def _by_time(legs: Sequence[Leg]) -> dict[int, list[Leg]]:
    found: defaultdict[int, list[Leg]] = defaultdict(list)
    for leg in legs:
        found[leg.at].append(leg)
    return found


def _at(leg: Leg) -> int:
    return leg.at
