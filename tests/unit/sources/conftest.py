"""A CoinGecko source that asks a provider on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.config import load
from app.sources import coingecko
from app.sources.coingecko import CoinGecko
from tests.clock import FakeClock
from tests.provider import Provider
from tests.unit.test_limits import Book

Asking = Callable[..., CoinGecko]


@pytest.fixture
def asking() -> Iterator[Asking]:
    """Makes a source that asks this provider, or this address, with these settings; closes it at the end."""
    sources: list[CoinGecko] = []

    def make(provider: Provider | str, **settings: object) -> CoinGecko:
        root = provider if isinstance(provider, str) else provider.root
        sources.append(coingecko.build(load(None, coingecko_base_url=root, **settings), FakeClock(), Book()))
        return sources[-1]

    yield make
    for source in sources:
        source.close()
