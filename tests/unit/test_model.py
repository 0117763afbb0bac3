"""Symbols, and the line of alerts.txt."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model import Alert, State, parse_symbol, symbol_of

assets = st.from_regex(r"\A[A-Z0-9][A-Z0-9.$_]{0,39}\Z")
markets = st.from_regex(r"\A[a-z0-9_]{1,40}\Z")


@given(base=assets, quote=assets | st.just("USD"), market=markets, default=markets)
def test_a_symbol_leads_back_to_what_it_was_made_of(base: str, quote: str, market: str, default: str) -> None:
    for other in (default, market):
        symbol = symbol_of(base, quote, market, other)
        assert parse_symbol(symbol, default_market=other) == (base, quote, market)


@given(text=st.text(max_size=30) | st.from_regex(r"\A[A-Za-z0-9.$_]{1,5}(-[A-Za-z0-9]{1,4})?(@[A-Za-z0-9_]+)?\Z"))
def test_whatever_is_understood_as_a_symbol_has_one_spelling(text: str) -> None:
    parts = parse_symbol(text, default_market="coingecko")
    if parts is not None:
        symbol = symbol_of(*parts, default_market="coingecko")
        assert symbol.isascii()
        assert parse_symbol(symbol, default_market="coingecko") == parts
        base, _, market = symbol.partition("@")
        assert (base, market) == (base.upper(), market.lower())


@pytest.mark.parametrize(
    ("parts", "symbol"),
    [
        (("BTC", "USD", "coingecko"), "BTC"),
        (("BTC", "EUR", "coingecko"), "BTC-EUR"),
        (("BTC", "USD", "kraken"), "BTC@kraken"),
        (("BTC", "EUR", "kraken"), "BTC-EUR@kraken"),
    ],
)
def test_dollar_and_default_market_are_left_out(parts: tuple[str, str, str], symbol: str) -> None:
    assert symbol_of(*parts, default_market="coingecko") == symbol
    assert parse_symbol(symbol, default_market="coingecko") == parts


def test_a_symbol_is_read_in_any_case_with_white_space_around() -> None:
    assert parse_symbol(" btc-Eur@KRAKEN\n", default_market="coingecko") == ("BTC", "EUR", "kraken")


def test_the_quote_that_is_left_out_can_be_another() -> None:
    assert parse_symbol("BTC", default_market="coingecko", default_quote="EUR") == ("BTC", "EUR", "coingecko")
    assert parse_symbol("BTC-USD", default_market="coingecko", default_quote="EUR") == ("BTC", "USD", "coingecko")


@pytest.mark.parametrize(
    "text",
    ["", "-", "@", "BTC-", "BTC@", "-EUR", "@kraken", "B TC", "BTC--EUR", "BTC-EUR-USD", "BTC@a@b", ".BTC", "$BTC",
     "BTC@kra-ken", "ſOL", "BTC@\u212araken", "ß", "BTC\u0000", "BTC/USD", "A" * 41],
)  # fmt: skip
def test_what_is_no_symbol_is_none(text: str) -> None:
    assert parse_symbol(text, default_market="coingecko") is None


ALERT = Alert(
    id="3f2a9c0d11e4",
    state=State.FIRING,
    timestamp=datetime(2026, 11, 22, 10, 15, 3, 123000, tzinfo=UTC),
    symbol="BTC",
    rule="price-2pct-5m",
    terms=(("price", "67187.34"), ("avg(price,5m)", "65670.118")),
)


def test_the_line_of_an_alert_is_that_of_the_contract() -> None:
    assert ALERT.line == (
        "2026-11-22T10:15:03.123Z FIRING BTC price-2pct-5m price=67187.34 avg(price,5m)=65670.118 id=3f2a9c0d11e4"
    )


def test_the_line_of_a_repeat_and_of_the_end_differ_in_nothing_else() -> None:
    repeat = replace(ALERT, id="3f2a9c0d11e4.2", symbol="BTC-EUR@kraken")
    assert repeat.line.endswith(" id=3f2a9c0d11e4.2")
    assert " FIRING BTC-EUR@kraken price-2pct-5m " in repeat.line
    assert replace(ALERT, state=State.RESOLVED).line == ALERT.line.replace("FIRING", "RESOLVED")


@pytest.mark.parametrize(
    ("microsecond", "text"), [(0, "000"), (999, "000"), (1000, "001"), (999_999, "999"), (500_000, "500")]
)
def test_the_time_has_three_places_and_is_never_ahead_of_the_tick(microsecond: int, text: str) -> None:
    line = replace(ALERT, timestamp=ALERT.timestamp.replace(microsecond=microsecond)).line
    assert line.startswith(f"2026-11-22T10:15:03.{text}Z ")


def test_the_time_is_utc_whatever_zone_it_came_in() -> None:
    there = ALERT.timestamp.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert replace(ALERT, timestamp=there).line == ALERT.line


def test_a_rule_without_terms_leaves_no_gap() -> None:
    assert replace(ALERT, terms=()).line == "2026-11-22T10:15:03.123Z FIRING BTC price-2pct-5m id=3f2a9c0d11e4"
