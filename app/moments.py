"""How far values are spread: standard deviations from exact sums, and who is spread the most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

# More digits than the square of any value that is stored can have: what is added and multiplied here stays exact.
_EXACT = Context(prec=200_000, Emax=MAX_EMAX, Emin=MIN_EMIN)
# Equal quotients come out equal, so that equal deviations share a rank; and different ones different, as values have at
# most 100 digits and lie within 1e-36 and 1e36.
_FINE = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN)
_ZERO = Decimal(0)  # and none that would be written as 0E-21
_SHOWN = Context(prec=17, Emax=MAX_EMAX, Emin=MIN_EMIN)


@dataclass(frozen=True, slots=True)
class Sums:
    """So many values, their sum, the sum of their squares: exact, so that nothing is lost between numbers close by."""

    count: int
    total: Decimal
    squares: Decimal

    @property
    def variance(self) -> Decimal:
        """Of the population."""
        return _FINE.divide(self._spread(), _EXACT.multiply(Decimal(self.count), Decimal(self.count)))

    @property
    def relative_variance(self) -> Decimal | None:
        """The variance over the square of the mean; None where the mean is zero."""
        return _FINE.divide(self._spread(), _EXACT.multiply(self.total, self.total)) if self.total else None

    def _spread(self) -> Decimal:
        return _EXACT.subtract(
            _EXACT.multiply(Decimal(self.count), self.squares), _EXACT.multiply(self.total, self.total)
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """The deviation of each that has one, to 17 digits, and its rank: the largest is 1, equal ones share theirs."""

    deviations: Mapping[str, Decimal]
    ranks: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.ranks)


def ranking(of: Mapping[str, Sums], variance: Callable[[Sums], Decimal | None]) -> Ranking:
    """Rank by a variance; whatever has none is left out. Of two that share rank 2, the next one's is 4."""
    found = {name: value for name, sums in of.items() if (value := variance(sums)) is not None}
    ordered = sorted(found, key=found.__getitem__, reverse=True)
    ranks: dict[str, int] = {}
    for place, name in enumerate(ordered, 1):
        before = ordered[place - 2] if place > 1 else name
        ranks[name] = ranks[before] if place > 1 and found[name] == found[before] else place
    return Ranking({name: _SHOWN.sqrt(value) or _ZERO for name, value in found.items()}, ranks)
