"""A database with a little of everything in it, as some hours of watching leave it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from app.alerts.states import Episode, Outcome
from app.clock import SystemClock
from app.db import Database, execute
from app.model import Alert, Instrument, State, Tick
from app.rules_store import RuleStore
from app.silences import Silences
from app.store import Store
from app.views import Upkeep
from app.watch import parse_watch
from app.watchlist import WatchStore

INSTRUMENTS = (
    Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin", "Bitcoin"),
    Instrument("ETH", "EUR", "kraken", "ETH-EUR@kraken", "XETHZEUR", "Ethereum"),
)
ALERTED = "3f2a9c0d11e4"
"""The id of an alert that fires."""
RULE = "of-the-api"
"""The name of a rule that the API made; ``of-the-file`` is one that is read-only."""
_MINUTE = timedelta(minutes=1)
_TERMS = (("price", "67187.340"), ("avg(price,5m)", "65670.118"))


def fill(database: Database, now: datetime, minutes: int = 180) -> None:
    """Two symbols with a tick a minute up to now, alerts, a rule of the API and one of the file, a silence, an addition
    to the watch list."""
    store = Store(database, ["ops"])
    for its in INSTRUMENTS:
        store.save_instruments(its.market, [its])
    ticks = [
        Tick(its.symbol, now - i * _MINUTE, Decimal(3100 + i % 7) / 7, Decimal(5 * i + 1), None, now, its.market)
        for i in reversed(range(minutes))
        for its in INSTRUMENTS
    ]
    alert = Alert(ALERTED, State.FIRING, now - _MINUTE, "BTC", "price-2pct-5m", _TERMS, "warning")
    at = alert.timestamp
    episode = Episode(State.FIRING, ALERTED, at, at, at, 1)
    store.save(ticks, Outcome(alerts=[alert], episodes={(alert.rule, alert.symbol): episode}))
    Upkeep(database, SystemClock()).refresh()
    RuleStore(database).file_rules_are([("of-the-file", {"name": "of-the-file", "when": "price > 1"}, "d1")], 0)
    definition = f'{{"name": "{RULE}", "when": "price > 70000"}}'
    database.run(lambda c: execute(c, "put_rule", name=RULE, definition=definition, digest="d2"))
    Silences(database).add(
        rule="price-*", symbol="BTC", severity="*", why="moving house", starts_at=now, length=timedelta(hours=2)
    )
    WatchStore(database).change(parse_watch("SOL", default_market="coingecko", default_quote="USD"), watched=True)
