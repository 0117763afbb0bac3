"""What is set aside: bounded, digit for digit, and without the value in its reason; the same for CoinGecko."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from app.decode import parse
from app.http import Reply
from app.model import Instrument, SetAside
from app.sources.coingecko import read_prices
from app.sources.schema import Schema
from tests.clock import FakeClock

NOW = FakeClock().now()
COINGECKO = Schema("coingecko")


def text_of(value: object) -> str:
    """The text of a value that stands where a number should be."""
    part = COINGECKO.check("coin", "here", {"usd": value})
    assert part is not None
    return part.text


def test_what_fits_the_schema_is_nothing_to_be_set_aside() -> None:
    assert COINGECKO.check("coin", "bitcoin", {"usd": Decimal("5.0"), "usd_24h_vol": None}) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"12"', '"12"'),
        ('[5.6366E-11,1.0,60997,"a\\"b",true,null,{"x":{}}]', '[5.6366E-11,1.0,60997,"a\\"b",true,null,{"x":{}}]'),
        ("NaN", '"(is NaN)"'),
        ('{"a":1,"a":2}', '{"a":"(is there twice)"}'),
        ('"\\ud800\\u0000"', '"\\ud800\\u0000"'),
    ],
)
def test_the_text_is_the_json_as_it_came(text: str, shown: str) -> None:
    assert text_of(parse(text.encode())) == shown


def test_the_text_of_something_long_or_deep_is_cut() -> None:
    deep: object = None
    for _ in range(500):
        deep = [deep]
    assert len(text_of(deep)) < 100
    assert len(text_of(["x" * 50] * 1000)) == 4000
    assert len(text_of("x" * 100_000)) == 4000


def test_the_place_is_bounded_and_the_reason_holds_no_value() -> None:
    part = COINGECKO.check("coin", "p" * 500, {"secret" * 100: "value-of-it"})
    assert part is not None
    assert len(part.place) == 200
    assert part.reason == "must be number or null"


@pytest.mark.parametrize("key", ["{0}", "{data}", "{", '"', "\\", "a.b[0]"])
def test_a_place_is_told_whatever_the_keys_on_the_way_to_it_are(key: str) -> None:
    part = COINGECKO.check("coin", "bitcoin", {key: "5"})
    assert part is not None
    assert (part.place, part.text) == (f"bitcoin.{key}", '"5"')


def test_a_place_holds_nothing_that_no_file_takes() -> None:
    part = COINGECKO.check("coin", "bitcoin", {"a\n\ud800\0b": "5"})
    assert part is not None
    assert part.place == "bitcoin.a???b"


def test_a_coin_of_coingecko_that_has_changed_its_form_is_set_aside_and_the_others_are_ticks() -> None:
    chunk = [Instrument(id_.upper(), "USD", "coingecko", id_.upper(), id_) for id_ in ("bitcoin", "ethereum", "zcash")]
    chunk.append(Instrument("BITCOIN", "EUR", "coingecko", "BITCOIN-EUR", "bitcoin"))
    text = json.dumps({"bitcoin": {"usd": "5"}, "ethereum": {"usd": 2, "usd_24h_vol": None}, "zcash": [7], "new": "x"})
    batch = read_prices(Reply(parse(text.encode()), None, NOW), chunk)
    assert [tick.symbol for tick in batch.ticks] == ["ETHEREUM"]
    assert batch.set_aside == (
        SetAside("coingecko", "bitcoin.usd", "must be number or null", '"5"'),
        SetAside("coingecko", "zcash", "must be object", "[7]"),
    )
