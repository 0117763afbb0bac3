"""Transactions in a line each, and answers as names."""

from __future__ import annotations

from app.transfers.found import Found
from app.transfers.matching import detect
from app.transfers.reading import from_values
from app.transfers.transaction import Terms, Transaction


def read(*lines: str) -> list[Transaction]:
    """``tx wallet time direction amount [asset [fee]]``; a time without a day is of the first of January 2026."""
    return from_values([_split(line) for line in lines])


def _split(line: str) -> list[object]:
    tx_id, wallet, time, *rest = line.split()
    return [tx_id, wallet, f"2026-01-01 {time}" if len(time) == 5 else time, *rest]


def answer(*lines: str, terms: Terms | None = None) -> Found:
    """Of these transactions."""
    return detect(read(*lines), terms or Terms())


def pairs(found: Found) -> list[tuple[str, str]]:
    """The transfers by the ids of their ends."""
    return [(one.out.tx_id, one.into.tx_id) for one in found.transfers]


def candidates(found: Found) -> list[set[tuple[str, str]]]:
    """What is ambiguous, a set a group."""
    return [{(out.tx_id, into.tx_id) for out, into in group.candidates or ()} for group in found.ambiguous]


def left_over(found: Found) -> dict[str, str]:
    """Why, by id."""
    return {one.transaction.tx_id: one.why for one in found.left_over}
