"""What came out: transfers, what is ambiguous, what is left over, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from app.transfers.legs import Leg
from app.transfers.transaction import Transaction

Basis = Literal["same tx_id", "only candidate", "best total"]
"""Why two are a pair: they have their id in common; neither fits any other; others fit, but less well in total."""


class Pair(NamedTuple):
    """Two legs that are one transfer in every best assignment."""

    out: Leg
    into: Leg
    basis: Basis


@dataclass(frozen=True, slots=True)
class Group:
    """Outs and ins that can be paired in several ways, none better than another; ``count`` pairs in each way.

    ``candidates``: which are paired in some way. None: more than anybody reads, or than could be looked at (then
    ``count`` is None, too).
    """

    outs: list[Leg]
    ins: list[Leg]
    count: int | None
    candidates: list[tuple[Leg, Leg]] | None


@dataclass(slots=True)
class Settled:
    """What became of some legs. Those in none of the two lists are left over."""

    pairs: list[Pair] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def add(self, other: Settled) -> None:
        """Both."""
        self.pairs += other.pairs
        self.groups += other.groups

    def legs(self) -> set[Leg]:
        """All that stand in it."""
        paired = {leg for pair in self.pairs for leg in (pair.out, pair.into)}
        return paired.union(*(group.outs for group in self.groups), *(group.ins for group in self.groups))


class Transfer(NamedTuple):
    """Two transactions that are one transfer, and why."""

    out: Transaction
    into: Transaction
    basis: Basis
    why: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Transactions of which ``count`` transfers can be made, in several ways; ``candidates`` as in ``Group``."""

    outs: tuple[Transaction, ...]
    ins: tuple[Transaction, ...]
    count: int | None
    candidates: tuple[tuple[Transaction, Transaction], ...] | None
    why: str


@dataclass(frozen=True, slots=True)
class LeftOver:
    """A transaction without a counterpart, and why."""

    transaction: Transaction
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """The answer, in order of time; the same for any order of the input."""

    transfers: tuple[Transfer, ...]
    ambiguous: tuple[Ambiguous, ...]
    left_over: tuple[LeftOver, ...]
