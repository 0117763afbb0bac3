"""What alerts.txt has to say about served values: brute force, in exact arithmetic, with none of the product's code."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from tests.acceptance.scripted import Row

WINDOW = timedelta(minutes=5)


def expected_lines(replies: Iterable[list[Row]]) -> list[str]:
    """The lines of the two rules as shipped, without their ids, in order."""
    history: dict[str, list[Row]] = {}
    firing: set[tuple[str, str]] = set()
    lines = []
    for reply in replies:
        for row in sorted(reply, key=lambda r: (r.time, r.symbol)):
            seen = history.setdefault(row.symbol, [])
            if any(other.time == row.time for other in seen):
                continue
            window = [other for other in seen if row.time - WINDOW <= other.time < row.time]
            late = any(other.time > row.time for other in seen)
            seen.append(row)
            if late or not window or min(other.time for other in window) > row.time - WINDOW / 2:
                continue
            for rule, name, value in (("price-2pct-5m", "price", row.price), ("volume-2pct-5m", "volume", row.volume)):
                values = [getattr(other, name) for other in window]
                mean = sum(map(Fraction, values)) / len(values)
                key = (row.symbol, rule)
                off = abs(Fraction(value) / mean - 1) > Fraction(2, 100)
                if off == (key in firing):
                    continue
                firing ^= {key}
                state = "FIRING" if off else "RESOLVED"
                time = row.time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
                terms = f"{name}={value} avg({name},5m)={eight_digits(mean)}"
                lines.append(f"{time} {state} {row.symbol} {rule} {terms}")
    return lines


def eight_digits(mean: Fraction) -> str:
    """Rounded to 8 significant digits, half to even, without an exponent and without zeros that say nothing."""
    exact = Decimal(mean.numerator) / Decimal(mean.denominator)
    rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 7), ROUND_HALF_EVEN)
    text = f"{rounded:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
