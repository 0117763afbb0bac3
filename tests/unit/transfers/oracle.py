"""The definition of docs/transfers.md, by trying everything. Shares no code with app/transfers/ but its words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from app.transfers.transaction import Terms, Transaction

Edge = tuple[Transaction, Transaction]


@dataclass
class Answer:
    """``certain``: in every best way. ``open``: in some of them only."""

    certain: set[Edge]
    open: set[Edge]
    count: int
    cost: tuple[Fraction, int, int]

    def ends(self) -> set[Transaction]:
        return {one for edge in self.certain | self.open for one in edge}


def difference(out: Transaction, into: Transaction) -> Fraction:
    lefts = {Fraction(out.amount), Fraction(out.amount) - Fraction(out.fee)}
    cames = {Fraction(into.amount), Fraction(into.amount) + Fraction(into.fee)}
    return min(abs(left - came) for left in lefts for came in cames)


def fits(out: Transaction, into: Transaction, terms: Terms) -> bool:
    lag = timedelta(microseconds=into.time - out.time)
    return (
        (out.direction, into.direction, out.asset) == ("out", "in", into.asset)
        and out.wallet_id != into.wallet_id
        and -terms.order_slack <= lag <= terms.window
        and difference(out, into) <= Fraction(terms.tolerance) * Fraction(out.amount)
    )


def cost(edges: Iterable[Edge]) -> tuple[Fraction, int, int]:
    listed = [(difference(out, into), into.time - out.time) for out, into in edges]
    return (
        sum((amount for amount, _ in listed), Fraction(0)),
        sum(lag for _, lag in listed),
        sum(lag * lag for _, lag in listed),
    )


def every_way(edges: Sequence[Edge]) -> list[list[Edge]]:
    """All sets of pairs that have no transaction in common."""
    if not edges:
        return [[]]
    first, rest = edges[0], edges[1:]
    return every_way(rest) + [
        [first, *way] for way in every_way([edge for edge in rest if edge[0] != first[0] and edge[1] != first[1]])
    ]


def best(edges: Sequence[Edge]) -> Answer:
    ways = every_way(edges)
    most = max(map(len, ways))
    least = min(cost(way) for way in ways if len(way) == most)
    ways = [way for way in ways if len(way) == most and cost(way) == least]
    certain = set.intersection(*map(set, ways))
    return Answer(certain, set.union(*map(set, ways)) - certain, most, least)


def detect(transactions: Sequence[Transaction], terms: Terms) -> tuple[Answer, Answer]:
    """The answer of those with an id in common, and that of the rest."""
    edges = [(out, into) for out in transactions for into in transactions if fits(out, into, terms)]
    alike = best([edge for edge in edges if edge[0].tx_id == edge[1].tx_id])
    done = alike.ends()
    return alike, best([edge for edge in edges if not done & set(edge)])
