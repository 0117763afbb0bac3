"""From transactions to transfers: first those with an id in common, then the best assignment of the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.transfers import equal, mixed
from app.transfers.assignment import Budget
from app.transfers.found import Found, Pair, Settled
from app.transfers.graph import Sets
from app.transfers.legs import Ends, Leg, by_asset, fits, span_of
from app.transfers.reasons import explained
from app.transfers.transaction import Terms, Transaction

_STEPS = 2_000_000
"""All in all: some seconds."""


def detect(transactions: Iterable[Transaction], terms: Terms) -> Found:
    """The transfers among these transactions; docs/transfers.md says which these are."""
    assets = by_asset(transactions, terms)
    span, budget = span_of(terms), Budget(_STEPS)
    settled = _same_id(assets.values(), span, budget)
    done = settled.legs()
    settled.add(_others([_without(ends, done) for ends in assets.values()], span, budget))
    return explained(assets, settled, terms)


def _same_id(assets: Iterable[Ends], span: int, budget: Budget) -> Settled:
    """What has its id in common with another is paired among its own: two wallets tell of one transaction."""
    jobs = []
    for ends in assets:
        outs, ins = _by_id(ends.outs), _by_id(ends.ins)
        jobs += [Ends(legs, ins[tx_id]) for tx_id, legs in outs.items() if tx_id in ins]
    settled = Settled()
    for job in sorted(jobs, key=_size):
        found = mixed.settle(job, span, budget)
        settled.add(Settled([pair._replace(basis="same tx_id") for pair in found.pairs], found.groups))
    return settled


def _by_id(legs: Iterable[Leg]) -> dict[str, list[Leg]]:
    found: defaultdict[str, list[Leg]] = defaultdict(list)
    for leg in legs:
        found[leg.transaction.tx_id].append(leg)
    return found


def _without(ends: Ends, done: set[Leg]) -> Ends:
    return Ends([leg for leg in ends.outs if leg not in done], [leg for leg in ends.ins if leg not in done])


def _others(assets: Iterable[Ends], span: int, budget: Budget) -> Settled:
    """Small problems first: what is too much work is left to the end, and takes nothing from the others."""
    settled = Settled()
    for amounts in sorted((one for ends in assets for one in _by_amount(ends)), key=lambda one: _size(one.ends)):
        if _size(amounts.ends) == 1:  # most are
            settled.pairs += _only(amounts.ends.outs[0], amounts.ends.ins[0], span)
        else:
            settle = equal.settle if amounts.equal else mixed.settle
            settled.add(settle(amounts.ends, span, budget))
    return settled


def _only(out: Leg, into: Leg, span: int) -> list[Pair]:
    return [Pair(out, into, "only candidate")] if fits(out, into, span) else []


def _size(ends: Ends) -> int:
    return len(ends.outs) * len(ends.ins)


class _Amounts(NamedTuple):
    """Legs whose amounts may fit, and no others. ``equal``: any out and any in differ by the same."""

    ends: Ends
    equal: bool


def _by_amount(ends: Ends) -> Iterator[_Amounts]:
    """Apart where no amount fits one of another part, with or without fees. Fitting in time is not looked at."""
    legs, first_in = [*ends.outs, *ends.ins], len(ends.outs)
    sets, live = Sets(len(legs)), set[int]()
    for numbers in _touching(legs):
        if min(numbers) < first_in <= max(numbers):
            live.update(numbers)
            for number in numbers[1:]:
                sets.unite(number, numbers[0])
    parts: defaultdict[int, tuple[list[Leg], list[Leg]]] = defaultdict(lambda: ([], []))
    for number in sorted(live):
        parts[sets.find(number)][number >= first_in].append(legs[number])
    for outs, ins in parts.values():
        yield _Amounts(Ends(outs, ins), _differ_equally(outs, ins))


def _touching(legs: Iterable[Leg]) -> Iterator[list[int]]:
    """The numbers of the legs in order of amount, apart where the reach of one ends before the next begins."""
    ranges = [(form - leg.reach, form + leg.reach, number) for number, leg in enumerate(legs) for form in leg.forms]
    together: list[int] = []
    reached = 0
    for least, most, number in sorted(ranges):
        if together and least > reached:
            yield together
            together = []
        reached = max(reached, most) if together else most
        together.append(number)
    if together:
        yield together


def _differ_equally(outs: list[Leg], ins: list[Leg]) -> bool:
    """Whether all have one amount in common, or all outs the same amounts and all ins the same."""
    left, came = {leg.forms for leg in outs}, {leg.forms for leg in ins}
    return len(left) == len(came) == 1 or bool(set.intersection(*map(set, left | came)))
