"""Numbers in the forms of CoinGecko, held against those it was seen to write."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from app.api.coingecko.given import FULL
from app.api.coingecko.numbers import change, percent, price, whole
from tests.conftest import SHARED

RECORDED = SHARED / "data/apis/coingecko/coins_markets_usd_250_2025-05-09.json"


@pytest.mark.parametrize(
    ("published", "precision", "shown"),
    [
        ("67187.33589365664", None, "67187"),
        ("3301.0549", None, "3301.05"),
        ("20.0000", None, "20"),
        ("2000000", None, "2000000"),
        ("1.23456", None, "1.235"),
        ("0.8588064", None, "0.858806"),
        ("0.022423724", None, "0.02242372"),
        ("0.0000000000563664444", None, "0.0000000000563664"),
        ("67187.33589365664", FULL, "67187.33589365664"),
        ("67187.33589365664", 0, "67187"),
        ("67187.33589365664", 3, "67187.336"),
        ("1E+3", 2, "1000"),
        ("12345678901234567890.12345678901234567890", FULL, "12345678901234567890.12345678901234567890"),
        (f"{'9' * 300}.99", 1, f"1{'0' * 300}"),
        ("0.001", 0, "0"),
        ("12345678901234567890123456789012345.5", 18, "12345678901234567890123456789012345.5"),
    ],
)
def test_a_price_has_as_many_decimals_as_suit_its_size_or_as_are_asked_for(
    published: str, precision: int | None, shown: str
) -> None:
    assert str(price(Decimal(published), precision)) == str(Decimal(shown))


def test_recorded_prices_are_already_as_we_would_write_them() -> None:
    if not RECORDED.exists():
        pytest.skip(f"{RECORDED} is not there")
    rows = json.loads(RECORDED.read_text(), parse_float=Decimal)
    prices = [Decimal(row["current_price"]) for row in rows]
    assert [price(its, None) for its in prices] == prices


def test_what_is_not_known_has_no_change() -> None:
    assert change(Decimal(1), None) is change(None, Decimal(1)) is change(Decimal(1), Decimal(0)) is None
    assert change(Decimal("1.1"), Decimal(1)) == pytest.approx(10)
    assert (percent(None), percent(1.2345678)) == (None, 1.23457)
    assert (whole(None), whole(Decimal("2000000.5"))) == (None, Decimal(2000000))
