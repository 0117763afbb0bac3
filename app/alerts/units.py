"""What a number of a condition is a number of: price is money, 5m a length of time, 2% a ratio."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """Powers of money (in the symbol's quote currency) and of time. Those of a ratio are 0."""

    money: int = 0
    time: int = 0

    def __str__(self) -> str:
        if self in _WORDS:
            return _WORDS[self]
        powers = (("money", self.money), ("time", self.time))
        return " * ".join(name if power == 1 else f"{name}^{power}" for name, power in powers if power)


PLAIN = None
"""Of a bare number: it goes with everything. In a comparison or a sum it takes the other side's unit."""

RATIO, MONEY, TIME = Unit(), Unit(money=1), Unit(time=1)

_WORDS = {RATIO: "a ratio", MONEY: "money in the quote currency", TIME: "a length of time"}


def of_product(left: Unit | None, right: Unit | None, power: int = 1) -> Unit | None:
    """The unit of left times right, or with power -1 of left by right."""
    if left is PLAIN and right is PLAIN:
        return PLAIN
    a, b = left or RATIO, right or RATIO
    return Unit(a.money + power * b.money, a.time + power * b.time)
