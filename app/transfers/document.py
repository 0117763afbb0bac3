"""The answer as it is sent and printed as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from typing_extensions import TypedDict  # pydantic takes that of typing from Python 3.12 on only

from app.transfers.found import Basis, Found
from app.transfers.transaction import Transaction


class Named(TypedDict):
    """A transaction: its place in what was sent, from 0, and its names."""

    index: int
    tx_id: str
    wallet_id: str


TransferFound = TypedDict(
    "TransferFound", {"out": Named, "in": Named, "lag_seconds": float, "basis": Basis, "why": str}
)
"""Two that are one transfer. ``lag_seconds``: from the out to the in."""


class AmbiguousFound(TypedDict):
    """Transactions that make so many ``transfers``, in several ways, none better than another.

    ``candidates``: which out (its ``index``) may belong to which in. Null where they are more than 1000, or could not
    be looked at (then ``transfers`` is null, too).
    """

    outs: list[Named]
    ins: list[Named]
    transfers: int | None
    candidates: list[tuple[int, int]] | None
    why: str


class LeftOverFound(Named):
    """A transaction that has no counterpart."""

    direction: str
    why: str


class Transfers(TypedDict):
    """``pairs``: the ids of ``transfers``, out and in."""

    pairs: list[tuple[str, str]]
    transfers: list[TransferFound]
    ambiguous: list[AmbiguousFound]
    left_over: list[LeftOverFound]


def document(found: Found) -> Transfers:
    """In order of time; the same for any order of the input, but for ``index``."""
    return {
        "pairs": [(one.out.tx_id, one.into.tx_id) for one in found.transfers],
        "transfers": [
            {
                "out": _named(one.out),
                "in": _named(one.into),
                "lag_seconds": (one.into.time - one.out.time) / 1_000_000,
                "basis": one.basis,
                "why": one.why,
            }
            for one in found.transfers
        ],
        "ambiguous": [
            {
                "outs": _all_named(group.outs),
                "ins": _all_named(group.ins),
                "transfers": group.count,
                "candidates": None
                if group.candidates is None
                else [(out.index, into.index) for out, into in group.candidates],
                "why": group.why,
            }
            for group in found.ambiguous
        ],
        "left_over": [
            {**_named(one.transaction), "direction": one.transaction.direction, "why": one.why}
            for one in found.left_over
        ],
    }


def _named(one: Transaction) -> Named:
    return {"index": one.index, "tx_id": one.tx_id, "wallet_id": one.wallet_id}


def _all_named(transactions: Iterable[Transaction]) -> list[Named]:
    return [_named(one) for one in transactions]
