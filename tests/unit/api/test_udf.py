"""How a datafeed says that prices are to be shown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.api.udf import decimals_of


@pytest.mark.parametrize(
    ("prices", "decimals"),
    [
        ([], 2),
        (["67187.33589365664", "67000"], 3),
        (["1.50", "1.25"], 2),
        (["10000000", "1E+7"], 0),
        (["123456789.5"], 0),
        (["0.000000000056366"], 15),
        (["0.00000000005636612345"], 16),
        (["0.5", "0.0001"], 4),
    ],
)
def test_prices_are_shown_with_the_decimals_they_have_and_no_more_than_eight_digits_that_matter(
    prices: list[str], decimals: int
) -> None:
    assert decimals_of([Decimal(price) for price in prices]) == decimals
