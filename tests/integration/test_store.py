"""What goes into the database with a batch, together or not at all, and comes back at the start."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from app.alerts.checker import PastTick
from app.alerts.states import Episode, Outcome
from app.db import Database
from app.errors import DataRefused, Deposed
from app.model import Alert, Instrument, State, Tick
from app.queries import QUERIES
from app.spool import Entry
from app.store import Saved, Store
from tests.conftest import Logged

NOON = datetime(2021, 4, 18, 12, tzinfo=UTC)
TICK = Tick("BTC", NOON, Decimal("60781.97"), Decimal(5), Decimal(7), NOON, "coingecko")
ALERT = Alert("3f2a9c0d11e4", State.FIRING, NOON, "BTC", "price-2pct-5m", (("price", "1.0"), ("avg(price,5m)", "2")))
EPISODE = Episode(State.FIRING, ALERT.id, NOON, NOON, NOON, 1)
LATER = NOON + timedelta(minutes=5)
KEY = (ALERT.rule, ALERT.symbol)


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql)
        return list(cursor.fetchall())

    return database.run(fetch)


def test_a_batch_is_stored_with_what_it_caused(database: Database) -> None:
    store = Store(database)
    assert store.save([TICK], Outcome(alerts=[ALERT], episodes={KEY: EPISODE})) == Saved(stored=1)
    assert list(store.alerts_since(None)) == [ALERT]
    assert store.episodes() == {KEY: EPISODE}
    ended = replace(EPISODE, state=State.INACTIVE, as_of=LATER)
    resolved = replace(ALERT, state=State.RESOLVED, timestamp=LATER)
    assert store.save([], Outcome(alerts=[resolved], episodes={KEY: ended})) == Saved()
    assert [episode.state for episode in store.episodes().values()] == [State.INACTIVE]
    assert [alert.state for alert in store.alerts_since(None)] == [State.FIRING, State.RESOLVED]


def test_states_that_recover_and_whose_rule_they_are_come_back(database: Database) -> None:
    store = Store(database)
    recovering = replace(
        EPISODE, state=State.RECOVERING, recovering_since=LATER, as_of=LATER, digest="0123456789abcdef"
    )
    store.save([], Outcome(episodes={KEY: EPISODE}))
    store.save([], Outcome(episodes={KEY: recovering}))
    assert store.episodes() == {KEY: recovering}
    again = replace(recovering, state=State.FIRING, recovering_since=None, as_of=LATER + timedelta(seconds=1))
    store.save([], Outcome(episodes={KEY: again}))
    assert store.episodes() == {KEY: again}


def test_a_state_that_cannot_be_is_refused_whoever_writes_it(database: Database) -> None:
    Store(database).save([], Outcome(episodes={KEY: EPISODE}))
    for change in (
        "state = 'RECOVERING'",
        "recovering_since = now()",
        "state = 'ON FIRE'",
        "state = 'RESOLVED'",
        "digest = NULL",
    ):
        with pytest.raises(DataRefused):
            rows(database, f"UPDATE alert_states SET {change} RETURNING 1")


def test_an_alert_s_severity_is_kept(database: Database) -> None:
    store = Store(database)
    critical = replace(ALERT, severity="critical")
    store.save([], Outcome(alerts=[critical]))
    assert list(store.alerts_since(None)) == [critical]


def test_saving_the_same_again_changes_nothing(database: Database) -> None:
    store = Store(database)
    outcome = Outcome(alerts=[ALERT], episodes={KEY: EPISODE})
    assert [store.save([TICK], outcome), store.save([TICK], outcome)] == [Saved(stored=1), Saved()]
    assert list(store.alerts_since(None)) == [ALERT]
    assert rows(database, "SELECT ticks FROM ohlcv_1d") == [(1,)]


def test_a_state_that_is_written_late_does_not_replace_a_newer_one(database: Database) -> None:
    """As when a connection breaks during COMMIT, and the server gets to it after what came next."""
    store = Store(database)
    ended = replace(EPISODE, state=State.INACTIVE, as_of=LATER)
    for episode in (ended, EPISODE):
        store.save([], Outcome(episodes={KEY: episode}))
    assert [episode.state for episode in store.episodes().values()] == [State.INACTIVE]
    assert rows(database, "SELECT state, as_of FROM alert_states") == [("INACTIVE", LATER)]


def test_spooled_batches_are_stored_in_one_transaction_in_their_order(database: Database) -> None:
    store = Store(database)
    again = replace(TICK, price=Decimal(9))  # the same observation: the first stands
    resolved, ended = replace(ALERT, state=State.RESOLVED), replace(EPISODE, state=State.INACTIVE, as_of=LATER)
    entries = [
        Entry(1, (TICK,), Outcome(alerts=[ALERT], episodes={KEY: EPISODE})),
        Entry(2, (again, replace(TICK, symbol="ETH")), Outcome(alerts=[resolved], episodes={KEY: ended})),
    ]
    assert [store.save_spooled(entries), store.save_spooled(entries)] == [Saved(stored=2), Saved()]
    assert rows(database, "SELECT price FROM ticker_data WHERE symbol = 'BTC'") == [(TICK.price,)]
    assert list(store.alerts_since(None)) == [ALERT, resolved]
    assert rows(database, "SELECT state FROM alert_states") == [("INACTIVE",)]


def test_under_an_epoch_that_is_over_nothing_is_stored(database: Database) -> None:
    store = Store(database)
    rows(database, "UPDATE leader SET epoch = 7 RETURNING 1")
    btc = Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin", "Bitcoin")
    with pytest.raises(Deposed, match="epoch 6 is over"):
        store.save([TICK], Outcome(6, [ALERT], {KEY: EPISODE}))
    with pytest.raises(Deposed):
        store.save([replace(TICK, price=Decimal(-1))], Outcome(6))
    with pytest.raises(Deposed):
        store.save_instruments("coingecko", [btc], epoch=6)
    tables = ("ticker_data", "candles", "alerts", "alert_states", "instruments")
    assert [rows(database, f"SELECT count(*) FROM {table}") for table in tables] == [[(0,)]] * 5


def test_a_deposed_leader_s_spool_gives_its_facts_and_not_its_states(database: Database) -> None:
    store = Store(database)
    rows(database, "UPDATE leader SET epoch = 7 RETURNING 1")
    assert store.save_spooled([Entry(1, (TICK,), Outcome(6, [ALERT], {KEY: EPISODE}))]) == Saved(stored=1)
    assert list(store.alerts_since(None)) == [ALERT]
    assert store.episodes() == {}


def test_a_tick_the_database_will_not_take_costs_no_other(database: Database, logged: Logged) -> None:
    poison = replace(TICK, symbol="ETH", price=Decimal(-1))
    third = replace(TICK, symbol="ZEC")
    store = Store(database)
    assert store.save([TICK, poison, third], Outcome(alerts=[ALERT])) == Saved(stored=2, refused=1)
    assert list(store.alerts_since(None)) == [ALERT]
    assert rows(database, "SELECT symbol FROM ticker_data ORDER BY 1") == [("BTC",), ("ZEC",)]
    assert "will not take this tick of ETH" in logged.read_new()


def test_a_batch_with_a_refused_tick_is_still_one_transaction(database: Database) -> None:
    """A tick that is stored without the alert it caused would never alert again."""
    bad = replace(ALERT, symbol="\ud800")  # no text that a database can hold
    with pytest.raises(UnicodeEncodeError):
        Store(database).save([TICK, replace(TICK, symbol="ETH", price=Decimal(-1))], Outcome(alerts=[bad]))
    assert rows(database, "SELECT count(*) FROM ticker_data") == [(0,)]


def test_partitions_are_made_on_demand_for_old_ticks(database: Database) -> None:
    old = [replace(TICK, timestamp=datetime(*month, 1, tzinfo=UTC)) for month in ((2009, 2), (2021, 4), (2021, 12))]
    assert Store(database).save(old, Outcome()) == Saved(stored=3)
    made = rows(database, "SELECT relname FROM pg_class WHERE relname ~ '^ticker_data_\\d+_\\d+$' ORDER BY 1")
    assert made == [("ticker_data_2009_02",), ("ticker_data_2021_04",), ("ticker_data_2021_12",)]


def test_recent_ticks_reach_back_from_each_symbol_s_newest_live_one(database: Database) -> None:
    def at(symbol: str, seconds: float, origin: str = "live") -> Tick:
        return replace(TICK, symbol=symbol, timestamp=NOON + timedelta(seconds=seconds), origin=origin)

    store = Store(database)
    store.save([at("BTC", 0), at("BTC", 1), at("BTC", 300), at("BTC", 500, "backfill"), at("ETH", -86400)], Outcome())
    assert places(store.recent_ticks(["ETH", "BTC", "X"], 299)) == [("ETH", -86400), ("BTC", 1), ("BTC", 300)]
    assert next(store.recent_ticks(["ETH"], 1))[2:] == (TICK.price, TICK.volume_24h, TICK.market_cap, NOON, TICK.source)


def places(ticks: Iterable[PastTick]) -> list[tuple[str, float]]:
    """Of each tick its symbol, and the seconds after noon."""
    return [(symbol, (time - NOON).total_seconds()) for symbol, time, *_ in ticks]


def test_recent_ticks_are_the_same_however_small_the_pages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"B": 5, "A": 3, "D": 1, "C": 4}
    store = Store(database)
    ticks = [
        replace(TICK, symbol=symbol, timestamp=NOON + timedelta(seconds=second))
        for symbol, count in counts.items()
        for second in range(count)
    ]
    store.save(ticks, Outcome())
    asked = ["B", "none", "A", "B", "D", "C"]
    expected = [(symbol, second) for symbol in ("B", "A", "D", "C") for second in range(counts[symbol])]
    for seconds, page in product((1000.0, 4.0, 0.5), (1, 2, 3, 4, 5, 100)):
        monkeypatch.setattr("app.store._PAGE_OF_TICKS", page)
        within = [(symbol, second) for symbol, second in expected if counts[symbol] - 1 - second <= seconds]
        assert places(store.recent_ticks(asked, seconds)) == within


def test_the_last_value_before_the_reach_is_found_for_each_field_however_old(database: Database) -> None:
    def at(seconds: float, volume: int | None, cap: int | None, origin: str = "live", symbol: str = "BTC") -> Tick:
        values = {"volume_24h": volume and Decimal(volume), "market_cap": cap and Decimal(cap)}
        return replace(TICK, symbol=symbol, timestamp=NOON + timedelta(seconds=seconds), origin=origin, **values)

    store = Store(database)
    year = 365 * 86400.0
    store.save(
        [
            at(-2 * year, 1, 2),
            at(-year, None, 3),
            at(-400, 4, None),
            at(-390, 5, 5, "backfill"),
            at(-310, None, None),
            at(-300, 6, 6),
            at(0, None, None),
            at(-50, 7, 7, symbol="ETH"),
            at(0, 7, 7, symbol="ETH"),
        ],
        Outcome(),
    )
    every = ("price", "volume", "market_cap")
    symbols = ["ETH", "BTC", "none"]
    assert places(store.values_before(symbols, 300, every)) == [("BTC", -year), ("BTC", -400), ("BTC", -310)]
    assert places(store.recent_ticks(symbols, 300)) == [("ETH", -50), ("ETH", 0), ("BTC", -300), ("BTC", 0)]
    assert places(store.values_before(symbols, 300, ("volume",))) == [("BTC", -400)]
    # A tick that has two of them is there once.
    assert places(store.values_before(symbols, 299.5, every)) == [("BTC", -300)]
    assert places(store.values_before(symbols, 10, ("price",))) == [("ETH", -50), ("BTC", -300)]
    assert next(store.values_before(["ETH"], 10))[2:] == (TICK.price, Decimal(7), Decimal(7), NOON, TICK.source)


def test_values_before_are_found_for_more_symbols_than_fit_a_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store._PAGE_OF_SYMBOLS", 2)
    symbols = ["A", "B", "C", "D", "E"]
    store = Store(database)
    store.save([replace(TICK, symbol=s, timestamp=t) for s in symbols for t in (NOON, LATER)], Outcome())
    assert places(store.values_before(symbols, 60)) == [(symbol, 0) for symbol in symbols]


def test_a_field_that_a_symbol_never_has_is_not_looked_for_through_all_its_history(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store._LOOK_AT", 3)
    store = Store(database)
    ticks = [replace(TICK, timestamp=NOON + timedelta(seconds=s), volume_24h=None) for s in range(1, 6)]
    store.save([TICK, *ticks], Outcome())
    assert places(store.values_before(["BTC"], 1, ("volume",))) == []
    assert places(store.values_before(["BTC"], 2, ("volume",))) == [("BTC", 0)]


def test_what_is_taken_off_the_watch_list_stays_in_the_table(database: Database) -> None:
    btc = Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin", "Bitcoin")
    eth = Instrument("ETH", "EUR", "coingecko", "ETH-EUR", "ethereum")
    elsewhere = Instrument("BTC", "USD", "kraken", "BTC@kraken")
    store = Store(database)
    store.save_instruments("coingecko", [btc, eth])
    store.save_instruments("kraken", [elsewhere])
    store.save_instruments("coingecko", [replace(btc, name=None)])
    assert rows(
        database, "SELECT symbol, base, quote, market, provider_id, name, watched FROM instruments ORDER BY 1"
    ) == [
        ("BTC", "BTC", "USD", "coingecko", "bitcoin", "Bitcoin", True),
        ("BTC@kraken", "BTC", "USD", "kraken", None, None, True),
        ("ETH-EUR", "ETH", "EUR", "coingecko", "ethereum", None, False),
    ]


def test_the_hot_queries_use_their_indexes(database: Database) -> None:
    store = Store(database)
    for first in range(0, 5000, 500):  # at once they could take longer than one batch is given
        ticks = [replace(TICK, timestamp=NOON + timedelta(seconds=first + s)) for s in range(500)]
        store.save(ticks, Outcome())
    rows(database, "ANALYZE ticker_data; ANALYZE candles; SELECT 1")
    plan = "\n".join(
        row[0]
        for row in rows(
            database,
            "EXPLAIN SELECT * FROM ticker_data WHERE symbol = 'BTC' ORDER BY timestamp DESC LIMIT 1",
        )
    )
    assert "Index Scan Backward" in plan
    assert "Seq Scan" not in plan
    hot = "SELECT * FROM ohlcv_1m WHERE symbol = 'BTC' AND bucket > now()"
    # Few rows are read without an index, whatever there is.
    candles = rows(database, f"SET LOCAL enable_seqscan = off; EXPLAIN {hot}")
    assert any("Index Cond: ((width = '1m'::text) AND (symbol = 'BTC'::text)" in line for (line,) in candles)


def test_what_windows_are_read_back_by_looks_into_the_index_and_sorts_no_history(database: Database) -> None:
    store = Store(database)
    for first in range(0, 4000, 500):
        at = [NOON + timedelta(seconds=first + second) for second in range(500)]
        store.save([replace(TICK, timestamp=time, symbol=s) for time in at for s in ("BTC", "ETH")], Outcome())
    rows(database, "ANALYZE ticker_data; SELECT 1")
    window = {"symbols": ["BTC", "ETH"], "seconds": 300, "after": None, "limit": 1000}
    before = {"symbols": ["BTC", "ETH"], "seconds": 300, "columns": ["price", "volume_24h"], "look_at": 100}
    for name, values in (("recent_ticks", window), ("values_before", before)):
        plan = explained(database, name, values)
        assert "Seq Scan" not in plan, plan
        read = [int(count) for count in re.findall(r"Index Scan.* on ticker_data_2021_04.*actual rows=(\d+)", plan)]
        assert read, plan
        assert max(read) <= 301, plan


def explained(database: Database, name: str, values: dict[str, object]) -> str:
    """The plan of a query as it was carried out."""

    def explain(cursor: Any) -> str:
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, SUMMARY OFF) {QUERIES[name]}", values)
        return "\n".join(line for (line,) in cursor.fetchall())

    return database.run(explain)


def test_a_large_batch_is_given_more_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    once = database.once

    def noted(work: Any, *, patience: float) -> Any:
        given.append(patience)
        return once(work, patience=patience)

    monkeypatch.setattr(database, "once", noted)
    store = Store(database)
    store.save([], Outcome())
    store.save([replace(TICK, symbol=f"C{number}") for number in range(2000)], Outcome())
    assert given == [2, 3, 3]  # the second makes the partition
    store.save([], Outcome(alerts=[replace(ALERT, id=f"{number}") for number in range(2000)]))
    assert given[-1] == 3


def test_the_last_value_before_the_reach_is_found_for_each_source(database: Database) -> None:
    store = Store(database)
    sources = {-400: "coingecko", -390: "kraken", -380: "coingecko", -370: "kraken", -360: "kraken", 0: "kraken"}
    ticks = [replace(TICK, timestamp=NOON + timedelta(seconds=s), source=of) for s, of in sources.items()]
    ticks[4] = replace(ticks[4], volume_24h=None)
    store.save(ticks, Outcome())
    assert places(store.values_before(["BTC"], 300, ("price",))) == [("BTC", -380), ("BTC", -360)]
    assert places(store.values_before(["BTC"], 300, ("volume",))) == [("BTC", -380), ("BTC", -370)]
    every = [("BTC", -380), ("BTC", -370), ("BTC", -360)]
    assert places(store.values_before(["BTC"], 300, ("price", "volume"))) == every
