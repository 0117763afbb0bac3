"""Numbers as CoinGecko writes them."""

from __future__ import annotations

from decimal import Decimal, localcontext

from app.api.coingecko.given import FULL

# What all prices keep to in its recorded replies (300 of /coins/markets, 71 of /simple/price, 2021 to 2025).
_DECIMALS = ((4, 0), (1, 2), (0, 3), (-1, 6), (-6, 8))
"""From which power of ten on, how many."""
_SIGNIFICANT = 6  # of what is smaller still


def price(value: Decimal, precision: int | None) -> Decimal:
    """With so many decimals, all there are (FULL), or, where nobody says, as many as suit its size."""
    if precision == FULL:
        return value
    return _rounded(value, _decimals(value) if precision is None else precision)


def whole(value: Decimal | None) -> Decimal | None:
    """Market caps and volumes in lists have no decimals."""
    return None if value is None else _rounded(value, 0)


def change(now: Decimal | None, before: Decimal | None) -> float | None:
    """In percent; None where one of them is not known, or was nothing."""
    if now is None or not before:
        return None
    return float((now / before - 1) * 100)


def percent(value: float | None) -> float | None:
    """As lists have it."""
    return None if value is None else round(value, 5)


def _decimals(value: Decimal) -> int:
    for power, decimals in _DECIMALS:
        if value.adjusted() >= power:
            return decimals
    return _SIGNIFICANT - 1 - value.adjusted()


def _rounded(value: Decimal, decimals: int) -> Decimal:
    with localcontext(prec=max(value.adjusted(), 0) + decimals + 2):  # or there would be no room for all digits
        rounded = value.quantize(Decimal(1).scaleb(-decimals))
        # 20.50 is written 20.5; but 2000 is not to become 2E+3.
        return rounded.normalize() if rounded != rounded.to_integral_value() else rounded.to_integral_value()
