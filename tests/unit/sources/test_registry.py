"""The registry: from the name of a market to its source."""

from __future__ import annotations

import pytest

from app import sources
from app.config import load
from app.errors import ConfigurationError
from tests.clock import FakeClock
from tests.unit.test_limits import Book


def test_each_market_is_built_once_under_its_own_name() -> None:
    built = sources.build(["coingecko", "coingecko"], load(None), FakeClock(), Book())
    assert {name: source.name for name, source in built.items()} == {"coingecko": "coingecko"}


def test_every_source_is_registered_under_its_name() -> None:
    built = sources.build(sources.SOURCES, load(None), FakeClock(), Book())
    assert all(name == source.name for name, source in built.items())


@pytest.mark.parametrize(
    ("market", "said"),
    [("krakken", "WATCH: '@krakken': no such market; known are "), ("gecko", "SOURCE=gecko: no such market")],
)
def test_an_unknown_market_is_named_with_where_it_stands_and_what_is_known(market: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="coingecko") as caught:
        sources.build([market], load(None, source="gecko"), FakeClock(), Book())
    assert str(caught.value).startswith(said)
