"""A CoinGecko for tests whose coins come and go: answers /simple/price, /coins/list and /coins/markets over HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.clock import Clock
from tests.provider import Answer, Asked, Provider, reply, serving

NO = reply({"status": {"error_code": 500}}, 500)


@dataclass
class Coin:
    ticker: str
    name: str
    price: float | None = 1.0


@dataclass
class Gecko:
    """Largest first; what is taken out of ``coins`` is in no reply any more."""

    clock: Clock
    coins: dict[str, Coin] = field(default_factory=dict)
    inactive: dict[str, Coin] = field(default_factory=dict)
    lists: bool = True
    """Whether it answers when it is asked for lists."""
    provider: Provider = field(init=False)

    def asked(self, path: str) -> list[Asked]:
        """The calls of a path so far."""
        return [asked for asked in self.provider.asked if asked.path == path]

    def asked_for(self) -> set[str]:
        """The ids of the last call for prices."""
        return set(self.asked("/simple/price")[-1].query["ids"].split(","))

    def rename(self, before: str, after: str, name: str = "") -> None:
        """Another id, and perhaps another name, for a coin."""
        coin = self.coins.pop(before)
        self.coins[after] = Coin(coin.ticker, name or coin.name)

    def delist(self, id_: str) -> None:
        """It is inactive from now on."""
        self.inactive[id_] = self.coins.pop(id_)

    def __call__(self, connection: socket.socket, closing: threading.Event) -> None:
        asked = self.provider.asked[-1]
        self._answer(asked)(connection, closing)

    def _answer(self, asked: Asked) -> Answer:
        query = asked.query
        if asked.path == "/simple/price":
            time = int(self.clock.now().timestamp())
            ids = [id_ for id_ in query["ids"].split(",") if id_ in self.coins]
            rest = {"usd_24h_vol": 5, "usd_market_cap": 7, "last_updated_at": time}
            return reply({id_: {"usd": self.coins[id_].price, **rest} for id_ in ids})
        if not self.lists:
            return NO
        coins = self.inactive if query.get("status") == "inactive" else self.coins
        rows = [{"id": id_, "symbol": coin.ticker.lower(), "name": coin.name} for id_, coin in coins.items()]
        if asked.path == "/coins/markets":
            size = int(query["per_page"])
            rows = rows[size * (int(query["page"]) - 1) :][:size]
        return reply(rows)


@contextmanager
def gecko(clock: Clock, **coins: Coin) -> Iterator[Gecko]:
    """Run one with these coins; ``_`` in an id is ``-``."""
    it = Gecko(clock, {id_.replace("_", "-"): coin for id_, coin in coins.items()})
    with serving(it) as it.provider:
        yield it
