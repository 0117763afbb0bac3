"""What is compared: transactions, and the terms on which two of them fit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from app.errors import ConfigurationError

MOST = 100_000
"""Transactions in one question."""

FIELDS = ("tx_id", "wallet_id", "time", "direction", "amount", "asset", "fee")
REQUIRED = 5
"""So many of them have to be there, in this order where a transaction is a list."""

LENGTH, SHARE = r"[0-9]{1,6}[smhd]", r"[0-9]{1,2}(\.[0-9]{1,9})?%"
"""How lengths of time, and shares, are written: ``24h``, ``0.5%``."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = timedelta(days=366)


@dataclass(slots=True, unsafe_hash=True)  # not frozen, which makes them three times as slow to make; nobody changes one
class Transaction:
    """Something left a wallet or came into it. ``index``: its place in the input. ``time``: microseconds since 1970.

    ``asset`` is in capitals, empty where none was given. ``fee`` is in the same asset.
    """

    index: int
    tx_id: str
    wallet_id: str
    time: int
    direction: Literal["in", "out"]
    amount: Decimal
    asset: str = ""
    fee: Decimal = Decimal(0)

    def __str__(self) -> str:
        return f"{self.tx_id} ({self.wallet_id})"


@dataclass(frozen=True, slots=True)
class Terms:
    """The in comes at most ``window`` after the out, and at most ``order_slack`` before it (clocks differ).

    ``tolerance``: by which share of the out's amount they may differ beyond the fee.
    """

    window: timedelta = timedelta(hours=24)
    order_slack: timedelta = timedelta(0)
    tolerance: Decimal = Decimal(0)


class Mistake(NamedTuple):
    """``where``: ``transactions[3].time``. ``problem``: what is wrong with it, and what is allowed."""

    where: str
    problem: str


class TransactionsRefused(ConfigurationError):
    """Some transactions cannot be used: ``mistakes`` says which and why, the first of them where there are many."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(f"{where}: {problem}" for where, problem in mistakes))
        self.mistakes = tuple(mistakes)


def parse_length(text: str) -> timedelta:
    """``90m``, ``24h``, ``0s``. Raises ValueError with what is allowed."""
    if re.fullmatch(LENGTH, text, re.ASCII):
        length = timedelta(seconds=int(text[:-1]) * _SECONDS[text[-1]])
        if length <= _LONGEST:
            return length
    raise ValueError(f"should be a length of time like 30s, 90m, 24h or 7d, at most {_LONGEST.days}d")


def parse_share(text: str) -> Decimal:
    """``0.5%`` as 0.005. Raises ValueError with what is allowed."""
    if not re.fullmatch(SHARE, text, re.ASCII):
        raise ValueError("should be a share like 0%, 0.5% or 2%, less than 100%")
    return Decimal(text[:-1]) / 100
