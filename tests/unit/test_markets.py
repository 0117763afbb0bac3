"""The markets that are asked while we lead, as the watch list changes under them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from app import sources
from app.config import load
from app.errors import ConfigurationError
from app.markets import Markets
from app.model import Batch, Instrument
from app.sources.base import Limits, Source
from app.tasks import Halt
from app.watch import Entry, parse_watch
from app.watchlist import Watchlist
from tests.clock import FakeClock
from tests.unit.test_limits import Book
from tests.unit.test_watchlist import Store, changed


@dataclass
class Asked(Source):
    """A source that nobody asks here."""

    name: str  # type: ignore[misc]
    limits: Limits = field(default_factory=Limits)
    budget: object = None  # type: ignore[assignment]

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        raise NotImplementedError

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        raise NotImplementedError

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        raise NotImplementedError

    def ping(self) -> str:
        raise NotImplementedError


class Started:
    """Stands for the tasks: only their names count."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def start(self, name: str, _target: Callable[[], None]) -> None:
        self.names.append(name)


class Taken:
    """Stands for the intake."""

    def compose(self, entries: Sequence[Entry]) -> None:
        pass


@dataclass
class Scene:
    markets: Markets
    tasks: Started
    store: Store

    def after(self, *changes: str) -> list[tuple[str, str | None]]:
        """What the table is told after these changes, from the first on."""
        self.store.rows = changed(*changes)
        for _ in range(2):  # what is refused is told in the next step
            self.markets.watchlist.step()
            self.markets.follow()
        return self.store.told


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    def build_one(market: str, *_: object) -> Source:
        if market.startswith("no"):
            raise ConfigurationError(f"there is no exchange {market}")
        return Asked(market)

    def made(watch: str, **settings: Any) -> Scene:
        monkeypatch.setattr(sources, "build_one", build_one)
        store, entries = Store(), parse_watch(watch, default_market="coingecko", default_quote="USD")
        watchlist, tasks = Watchlist(entries, "coingecko", "USD", store), Started()  # type: ignore[arg-type]
        markets = Markets(load(None, watch=watch, **settings), FakeClock(), tasks, Book(), watchlist)  # type: ignore[arg-type]
        markets.begin(Taken(), Halt())  # type: ignore[arg-type]
        markets.start()
        return Scene(markets, tasks, store)

    return made


def test_others_stand_in_for_a_default_market_that_is_watched_later(scene: Callable[..., Scene]) -> None:
    its = scene("BTC@kraken", fallback="coinmarketcap,bitstamp")
    assert its.tasks.names == ["fetch-kraken"]
    its.after("+ETH@coinbase")
    assert its.tasks.names == ["fetch-kraken", "fetch-coinbase"]
    its.after("+ETH@coinbase", "+BTC")
    stand_ins = ["stand-in-coinmarketcap", "stand-in-bitstamp"]
    assert its.tasks.names == ["fetch-kraken", "fetch-coinbase", "fetch-coingecko", *stand_ins]
    assert its.markets.tasks == its.tasks.names
    its.after("+ETH@coinbase", "+BTC", "+ETH")
    assert its.tasks.names[5:] == []


def test_an_entry_added_later_to_a_market_that_nobody_serves_is_refused_too(scene: Callable[..., Scene]) -> None:
    its = scene("BTC")
    assert its.after("+BTC@nox") == [("BTC@nox", "there is no exchange nox")]
    its.after("+BTC@nox", "+ETH@nox")
    assert its.store.told[1:] == [("ETH@nox", "there is no exchange nox")]


def test_a_market_without_any_entry_is_tried_again_when_it_has_one(
    scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    its = scene("BTC")
    its.after("+BTC@nox")
    its.after("+BTC@nox", "-BTC@nox")
    monkeypatch.setattr(sources, "build_one", lambda market, *_: Asked(market))
    its.after("+BTC@nox", "-BTC@nox", "+BTC@nox")
    assert its.tasks.names == ["fetch-coingecko", "fetch-nox"]


def test_no_source_is_made_for_what_is_only_taken_off(scene: Callable[..., Scene]) -> None:
    its = scene("BTC")
    its.after("-BTC@kraken")
    assert its.tasks.names == ["fetch-coingecko"]


def test_a_market_is_failing_once_it_has_been_asked_in_vain(scene: Callable[..., Scene]) -> None:
    its = scene("BTC,BTC@kraken,BTC@coinbase")
    assert its.markets.failing == []
    coingecko, kraken, coinbase = (fetcher.health for fetcher in its.markets.fetchers)
    coingecko.state, kraken.state, coinbase.state = "ok", "failing", "limited"
    coinbase.answers = True
    assert its.markets.failing == ["kraken"]
