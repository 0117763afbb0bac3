"""The source of an exchange that asks a site on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from app.config import load
from app.limits import Account, CallBudget, Ledger, Standing
from app.model import Instrument
from app.sources.exchange import Exchange, build
from app.watch import parse_watch
from tests.clock import FakeClock
from tests.exchanges.site import Site


class NoCalls:
    """A ledger in which nothing ever stands."""

    def __init__(self) -> None:
        self.budgets: dict[Account, CallBudget] = {}

    def recent(self, _account: object) -> tuple[()]:
        return ()

    def look(self, _account: object, _month: object) -> Standing:
        return Standing()

    def spend(self, _account: object, _month: object, _spending: object, _agree: object) -> Standing:
        return Standing()


@contextmanager
def asking(market: str, site: Site | None, clock: FakeClock | None = None, **settings: Any) -> Iterator[Exchange]:
    """The source as the settings build it; without a site it knows the exchange's own address, and must not ask."""
    addresses = {f"{market.upper()}_BASE_URL": site.root} if site else {}
    made = load(None, addresses=addresses, **settings)
    source = build(market, made, clock or FakeClock(), cast(Ledger, NoCalls()))
    try:
        yield source
    finally:
        source.close()


def resolved(source: Exchange, watch: str) -> list[Instrument]:
    return source.resolve(parse_watch(watch, default_market="coingecko", default_quote="USD"))
