"""Numbers as they are written: JSON whose numbers keep every digit they were given, as a float would not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal


class Digits(str):
    """The text of a JSON number; written into JSON exactly as it stands."""

    __slots__ = ()


Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


def to_json(value: Json) -> str:
    """Compact JSON, as CoinGecko writes it: no white space, letters beyond ASCII as they are."""
    if isinstance(value, Digits):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{to_json(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def digits_of(value: float) -> Digits:
    """A price of the synthetic market, with as many decimals as its size deserves.

    The forms differ as CoinGecko's do: ``67187.34``, ``67187``, ``20.0``, ``0.858806``, ``1.43212e-05``.
    """
    if value < 0.0001:
        return Digits(f"{value:.6g}")
    decimals = 2 if value >= 100 else 4 if value >= 1 else 8
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return Digits(text if value >= 1000 or "." in text else text + ".0")


def rounded(number: Digits, decimals: int | None) -> Digits:
    """The number with at most so many decimals, None = all it has."""
    if decimals is None:
        return number
    exact = Decimal(number)
    exponent = exact.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -decimals:
        return number
    return Digits(f"{exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP):f}")
