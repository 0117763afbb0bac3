"""A CoinMarketCap source that asks a provider on loopback, with a ledger in memory that notes what is spent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from app.config import load
from app.limits import Account, Agree, CallBudget, Spending, Standing
from app.model import Instrument, symbol_of
from app.sources import coinmarketcap
from app.sources.coinmarketcap import CoinMarketCap
from tests.clock import FakeClock
from tests.provider import Answer, Provider, reply, serving

KEY = "cmc-canary-5f1d"
NOW = FakeClock().now()
JUST_NOW = "2026-11-22T09:59:41.000Z"


@dataclass
class Notes:
    """app.limits.Ledger for one spender."""

    spent: list[int] = field(default_factory=list)
    accounts: set[Account] = field(default_factory=set)
    budgets: dict[Account, CallBudget] = field(default_factory=dict)

    def recent(self, account: Account) -> tuple[()]:
        return ()

    def look(self, account: Account, month: date) -> Standing:
        return Standing(ours=sum(self.spent))

    def spend(self, account: Account, month: date, spending: Spending, agree: Agree) -> Standing:
        agree(Standing(ours=sum(self.spent)))
        self.accounts.add(account)
        self.spent.append(spending.credits)
        return Standing(ours=sum(self.spent))

    def learn(self, account: Account, per_minute: int) -> None: ...

    def correct(self, account: Account, month: date, spent: int) -> Standing:
        return Standing(ours=sum(self.spent))

    def first_to_say(self, account: Account, month: date) -> bool:
        return False


@dataclass(frozen=True)
class Asking:
    """The source, whom it asks, its clock and its ledger."""

    source: CoinMarketCap
    provider: Provider
    clock: FakeClock
    notes: Notes

    def on_its_own_host(self) -> CoinMarketCap:
        """The same source as if this were the provider's own address."""
        it = self.source
        return CoinMarketCap(it._http, it.limits, it.budget, self.clock, it._settings, is_own=True)

    @property
    def asked(self) -> list[dict[str, str]]:
        """The queries of the calls so far."""
        return [each.query for each in self.provider.asked]


@contextmanager
def asking(*answers: Answer, **settings: object) -> Iterator[Asking]:
    """A source with these settings, whose provider gives these answers."""
    clock, notes = FakeClock(), Notes()
    with serving(*answers) as provider:
        source = coinmarketcap.build(
            load(None, source="coinmarketcap", coinmarketcap_base_url=provider.root, **settings), clock, notes
        )
        try:
            yield Asking(source, provider, clock, notes)
        finally:
            source.close()


def instrument(base: str, provider_id: int | str, quote: str = "USD") -> Instrument:
    symbol = symbol_of(base, quote, "coinmarketcap", "coinmarketcap")
    return Instrument(base, quote, "coinmarketcap", symbol, str(provider_id))


def quote(price: object = 1, symbol: str = "USD", **more: object) -> dict[str, Any]:
    return {"id": 2781, "symbol": symbol, "price": price, "last_updated": JUST_NOW, **more}


def coin(id_: object, *quotes: object, **more: object) -> dict[str, Any]:
    return {"id": id_, "quote": list(quotes or [quote()]), **more}


def body(data: object, code: object = 0, message: str | None = None, credits: int = 1) -> dict[str, Any]:
    status = {"timestamp": JUST_NOW, "error_code": code, "error_message": message, "credit_count": credits}
    return {"status": status, **({} if data is None else {"data": data})}


def coins(*data: object, credits: int = 1) -> Answer:
    return reply(body(list(data), credits=credits))


def failure(status: int, code: object, message: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    return reply(body(None, code, message), status, headers)


def document(data: object) -> bytes:
    return json.dumps(body(data)).encode()
