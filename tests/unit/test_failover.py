"""Failover: who stands in for the default market, when, and for what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from app.errors import ConfigurationError, ProviderUnavailable
from app.failover import Failover, Ours, StandIn
from app.limits import PlanFacts
from app.model import Batch, Instrument, Lost, Tick
from app.sources.base import Limits, Source
from app.sources.coingecko_ids import COINS
from app.sources.coinmarketcap_ids import COINS as THEIRS
from app.sources.coins import Coin
from app.watch import Entry, Wanted

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BTC = Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin", "Bitcoin")
EUR = Instrument("BTC", "EUR", "coingecko", "BTC-EUR", "bitcoin", "Bitcoin")
WIF = Instrument("WIF", "USD", "coingecko", "WIF", "dogwifcoin", "dogwifhat")


@dataclass
class Asked:
    """Stands for a fetcher."""

    instruments: Sequence[Instrument] = ()
    interval: float = 1.0
    silent_seconds: float = 0.0


@dataclass
class Coins:
    """Stands for an aggregator's coins."""

    table: Mapping[str, Coin]


@dataclass
class Market(Source):
    """Stands for a fallback's source: an exchange, or with ``coins`` an aggregator, whose coins they are."""

    name: str  # type: ignore[misc]
    limits: Limits = field(default_factory=Limits)
    budget: object = None  # type: ignore[assignment]
    coins: Coins | None = None  # type: ignore[assignment]
    lost: set[str] = field(default_factory=set)
    asked_what: list[str] = field(default_factory=list)

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        return [self._instrument(e) for e in entries if isinstance(e, Wanted)]

    def _instrument(self, entry: Wanted) -> Instrument:
        coin = Coin(entry.base + "/" + entry.quote, "") if self.coins is None else self.coins.table[entry.base]
        return Instrument(entry.base, entry.quote, self.name, entry.symbol, coin.id, coin.name or None)

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        return [tuple(instruments)]

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        found = [instrument for instrument in chunk if instrument.base not in self.lost]
        ticks = tuple(Tick(i.symbol, NOW, Decimal(7), None, None, NOW, self.name) for i in found)
        return Batch(self.name, NOW, ticks, (Lost("BTC@kraken", "volume_24h", "is zero"),), {"BTC@kraken": {"rank": 1}})

    def interval(self, tick_seconds: float, calls: int) -> float:
        return 100 * tick_seconds * calls

    def learn_plan(self) -> None:
        self.asked_what.append("plan")

    def plan(self) -> PlanFacts:
        return PlanFacts(per_minute=333)

    def ping(self) -> str:
        return "here"


def failover(*names: str) -> tuple[Failover, Asked, list[Asked]]:
    return of_markets(*(Market(name) for name in names))


def of_markets(
    *markets: Market,
    instruments: Sequence[Instrument] = (BTC, EUR, WIF),
    table: Mapping[str, Coin] | None = COINS,
    chosen: Sequence[str] = (),
) -> tuple[Failover, Asked, list[Asked]]:
    made = Failover([StandIn(market) for market in markets], "coingecko")
    main, asked = Asked(instruments), [Asked() for _ in markets]
    made.begin(main, asked, Ours(table, lambda: chosen))
    return made, main, asked


def stood_in(market: Market, *instruments: Instrument, chosen: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The symbols that a market is asked for while it stands in for these instruments, and what is said."""
    made, main, _ = of_markets(market, instruments=instruments, chosen=chosen)
    main.silent_seconds = 20
    with capture_logs() as said:
        for _ in range(2):
            found = [instrument.symbol for instrument in made.stand_ins[0].resolve(made.entries(0))]
    return found, [line["event"] for line in said if line["action"] == "no_stand_in"]


def turn(made: Failover, place: int) -> list[str]:
    """What a stand-in delivers in its turn."""
    stand_in, entries = made.stand_ins[place], made.entries(place)
    return [tick.symbol for tick in stand_in.fetch(stand_in.resolve(entries)).ticks]


def symbols(entries: Iterable[Entry]) -> list[str]:
    return [entry.symbol for entry in entries if isinstance(entry, Wanted)]


def test_while_the_market_answers_nobody_stands_in() -> None:
    made, main, _ = failover("kraken")
    main.silent_seconds = 15
    assert made.entries(0) == ()


def test_when_it_is_down_the_first_is_asked_for_its_symbols_under_names_of_its_own() -> None:
    made, main, _ = failover("kraken", "coinmarketcap")
    main.silent_seconds = 15.1
    assert symbols(made.entries(0)) == ["BTC@kraken", "BTC-EUR@kraken", "WIF@kraken"]
    assert made.entries(1) == ()


def test_a_slow_market_is_down_after_three_of_its_turns() -> None:
    made, main, _ = failover("kraken")
    main.interval, main.silent_seconds = 60, 180
    assert made.entries(0) == ()
    main.silent_seconds = 181
    assert made.entries(0)


def test_what_the_first_does_not_know_is_asked_of_the_next_and_said_once() -> None:
    made, main, _ = failover("kraken", "coinmarketcap")
    main.silent_seconds = 20
    with capture_logs() as said:
        for _ in range(2):
            made.stand_ins[0].refuse(made.entries(0)[2], ConfigurationError("kraken has no WIF"))
    assert symbols(made.entries(1)) == ["WIF@coinmarketcap"]
    assert [line["event"] for line in said if line["action"] == "no_stand_in"] == [
        "kraken cannot stand in for WIF: kraken has no WIF"
    ]


def test_when_the_first_is_down_as_well_the_next_is_asked_for_all() -> None:
    made, main, (kraken, _) = failover("kraken", "coinmarketcap")
    main.silent_seconds = kraken.silent_seconds = 20
    made.entries(0)
    assert symbols(made.entries(1)) == ["BTC@coinmarketcap", "BTC-EUR@coinmarketcap", "WIF@coinmarketcap"]


def test_it_ends_when_the_market_answers_again_and_both_are_said_once() -> None:
    made, main, _ = failover("kraken")
    with capture_logs() as said:
        for main.silent_seconds in (0, 20, 21, 0, 0):
            made.entries(0)
    assert [line["action"] for line in said] == ["failover_began", "failover_ended"]
    assert made.entries(0) == ()


def test_its_ticks_are_of_the_symbols_it_stands_in_for_and_their_source_says_who_answered() -> None:
    made, main, _ = failover("kraken")
    main.silent_seconds = 20
    (stand_in,) = made.stand_ins
    instruments = stand_in.resolve(made.entries(0))
    batch = stand_in.fetch(instruments)
    assert [(tick.symbol, tick.source) for tick in batch.ticks] == [
        ("BTC", "kraken"), ("BTC-EUR", "kraken"), ("WIF", "kraken"),
    ]  # fmt: skip
    assert batch.lost == (Lost("BTC", "volume_24h", "is zero"),)
    assert batch.facts == {}  # what kraken says of its pairs is not of coingecko's coins


def test_an_exchange_stands_in_where_our_own_table_has_the_coin_for_the_ticker() -> None:
    other = Instrument("WIF", "USD", "coingecko", "WIF", "wrapped-infinity", "WIF")
    unknown = Instrument("QQQZ", "USD", "coingecko", "QQQZ", "qqqz", "Qqqz")
    found, said = stood_in(Market("kraken"), BTC, EUR, other, unknown)
    assert found == ["BTC@kraken", "BTC-EUR@kraken"]
    assert said == [
        "kraken cannot stand in for WIF: its ticker alone does not say which coin its WIF is.",
        "kraken cannot stand in for QQQZ: its ticker alone does not say which coin its QQQZ is.",
    ]


def test_an_exchange_does_not_stand_in_for_a_coin_that_the_watch_list_chose_by_its_id() -> None:
    found, said = stood_in(Market("kraken"), BTC, WIF, chosen=["WIF"])
    assert found == ["BTC@kraken"]
    assert said == ["kraken cannot stand in for WIF: its ticker alone does not say which coin its WIF is."]


def test_an_aggregator_stands_in_where_the_names_agree() -> None:
    same = Instrument("QQQZ", "USD", "coingecko", "QQQZ", "qqqz", "QQQ Zoo")
    other = Instrument("WIF", "USD", "coingecko", "WIF", "wrapped-infinity", "Wrapped Infinity")
    unnamed = Instrument("NONE", "USD", "coingecko", "NONE", "none-2")
    table = {"QQQZ": Coin("77", "Qqq zoo"), "WIF": THEIRS["WIF"], "NONE": Coin("78", "None")}
    found, said = stood_in(Market("coinmarketcap", coins=Coins(table)), same, other, unnamed, chosen=["QQQZ"])
    assert found == ["QQQZ@coinmarketcap"]
    assert said == [
        "coinmarketcap cannot stand in for WIF: its WIF is dogwifhat, ours Wrapped Infinity.",
        "coinmarketcap cannot stand in for NONE: its NONE is None, ours a coin without a name.",
    ]


def test_coins_that_both_tables_of_ours_have_are_the_same_under_two_names() -> None:
    atom = Instrument("ATOM", "USD", "coingecko", "ATOM", "cosmos", "Cosmos Hub")
    assert COINS["ATOM"].name != THEIRS["ATOM"].name
    assert stood_in(Market("coinmarketcap", coins=Coins(THEIRS)), atom) == (["ATOM@coinmarketcap"], [])


def test_a_ticker_of_an_exchange_is_the_coin_that_our_table_has() -> None:
    btc, other = Instrument("BTC", "USD", "kraken", "BTC", "XXBTZUSD"), Instrument("MEME", "USD", "kraken", "MEME", "M")
    market = Market("coinmarketcap", coins=Coins({**THEIRS, "MEME": Coin("9", "Memecoin")}))
    made, main, _ = of_markets(market, instruments=[btc, other], table=None)
    main.silent_seconds = 20
    assert [its.symbol for its in made.stand_ins[0].resolve(made.entries(0))] == ["BTC@coinmarketcap"]


def test_what_may_be_another_coin_is_asked_of_the_next() -> None:
    made, main, _ = of_markets(Market("kraken"), Market("coinmarketcap", coins=Coins(THEIRS)), chosen=["WIF"])
    main.silent_seconds = 20
    assert turn(made, 0) == ["BTC", "BTC-EUR"]
    assert turn(made, 1) == ["WIF"]


def test_a_price_that_the_first_loses_in_three_turns_is_asked_of_the_next() -> None:
    kraken = Market("kraken", lost={"WIF"})
    made, main, _ = of_markets(kraken, Market("coinmarketcap", coins=Coins(THEIRS)))
    main.silent_seconds = 20
    for _ in range(3):
        assert turn(made, 0) == ["BTC", "BTC-EUR"]
        assert turn(made, 1) == []
    turn(made, 0)
    assert turn(made, 1) == ["WIF"]
    kraken.lost.clear()
    turn(made, 0)
    assert turn(made, 1) == []


def test_what_it_did_not_know_in_one_failover_it_may_know_in_the_next() -> None:
    made, main, _ = failover("kraken", "coinmarketcap")
    main.silent_seconds = 20
    made.stand_ins[0].refuse(made.entries(0)[2], ConfigurationError("kraken has no WIF"))
    assert symbols(made.entries(1)) == ["WIF@coinmarketcap"]
    main.silent_seconds = 0
    made.entries(0)
    main.silent_seconds = 20
    assert turn(made, 0) == ["BTC", "BTC-EUR", "WIF"]
    assert made.entries(1) == ()


def test_what_it_has_after_all_is_not_asked_of_the_next() -> None:
    made, main, _ = failover("kraken", "coinmarketcap")
    main.silent_seconds = 20
    first = made.stand_ins[0]
    wif = made.entries(0)[2]
    first.refuse(wif, ConfigurationError("kraken has no WIF"))
    first.resolve(made.entries(0))
    first.refuse(wif, None)
    assert made.entries(1) == ()


def test_a_stand_in_keeps_to_what_its_source_knows_of_limits() -> None:
    market = Market("coinmarketcap")
    stand_in = StandIn(market)
    stand_in.learn_plan()
    assert market.asked_what == ["plan"]
    assert stand_in.plan() == PlanFacts(per_minute=333)
    assert stand_in.interval(2, 3) == 600


def test_nothing_is_kept_of_what_is_watched_no_more() -> None:
    made, main, _ = failover("kraken")
    main.silent_seconds = 20
    made.stand_ins[0].refuse(made.entries(0)[2], ConfigurationError("kraken has no WIF"))
    main.instruments = [BTC]
    assert turn(made, 0) == ["BTC"]
    assert made.stand_ins[0].lacks == set()
    kept = vars(made.stand_ins[0])
    assert {name: len(kept[name]) for name in ("_for", "_turns", "_said")} == {"_for": 1, "_turns": 1, "_said": 0}


def test_a_failed_call_of_a_stand_in_is_a_turn_without_prices() -> None:
    made, main, _ = failover("kraken", "coinmarketcap")
    main.silent_seconds = 20

    def fail(_chunk: Sequence[Instrument]) -> Batch:
        raise ProviderUnavailable("kraken does not answer")

    made.stand_ins[0]._source.fetch = fail  # type: ignore[method-assign]
    for _ in range(4):
        with pytest.raises(ProviderUnavailable):
            turn(made, 0)
    assert symbols(made.entries(1)) == ["BTC@coinmarketcap", "BTC-EUR@coinmarketcap", "WIF@coinmarketcap"]


def test_turns_without_prices_count_in_one_failover_alone() -> None:
    made, main, _ = of_markets(Market("kraken", lost={"WIF"}), Market("coinmarketcap", coins=Coins(THEIRS)))
    main.silent_seconds = 20
    for _ in range(4):
        turn(made, 0)
    assert turn(made, 1) == ["WIF"]
    for main.silent_seconds in (0, 20):
        made.entries(0)
    assert made.entries(1) == ()
