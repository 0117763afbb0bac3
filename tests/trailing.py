"""What a trailing window is, said in the plainest way, for tests to hold the real ones against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.alerts.windows import FIELDS, Statistic, bucket

SECOND = 1_000_000
T0 = 1_618_717_000 * SECOND + 123_456

Ticks = Mapping[int, Sequence[float]]
"""The values of FIELDS by time."""


@dataclass(frozen=True)
class Window:
    """A statistic of a field over so many seconds."""

    statistic: Statistic
    field: str
    seconds: int


def expected(ticks: Ticks, window: Window, time: int) -> float:
    """What the window gives just before a tick at this time, out of all ticks that there ever were."""
    field, length, width = FIELDS.index(window.field), window.seconds * SECOND, bucket(window.seconds) * SECOND
    edge = (time - length) // width * width if width else time - length
    known = sorted((when, values[field]) for when, values in ticks.items() if not math.isnan(values[field]))
    if window.statistic is Statistic.AGO:
        return next((value for when, value in reversed(known) if when < edge or (when == edge and not width)), math.nan)
    inside = [(when, value) for when, value in known if edge <= when < time]
    if not inside or inside[0][0] > time - length / 2:
        return math.nan
    return _computed(window.statistic, [value for _, value in inside])


def _computed(statistic: Statistic, values: list[float]) -> float:
    if statistic is Statistic.AVG:
        return math.fsum(values) / len(values)
    if statistic is Statistic.STDDEV:
        # Off the first of them: what the values have in common costs no digits.
        off = [value - values[0] for value in values]
        mean = math.fsum(off) / len(off)
        variance = math.fsum((value - mean) ** 2 for value in off) / len(off)
        return math.sqrt(variance) if variance > 1e-24 * (values[0] + mean) ** 2 else 0.0
    return float({Statistic.MIN: min, Statistic.MAX: max, Statistic.COUNT: len}[statistic](values))


def close(found: float, expected: float, tolerance: float = 1e-9) -> bool:
    """Whether both are unknown, or the same number."""
    if math.isnan(found) or math.isnan(expected):
        return math.isnan(found) and math.isnan(expected)
    return math.isclose(found, expected, rel_tol=tolerance)
