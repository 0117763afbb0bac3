"""The stream: what it tells, in which order, and that nobody misses anything, whatever breaks."""

from __future__ import annotations

import http.client
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests

from app.alerts.states import Episode, Outcome
from app.api import database as api_database
from app.api import stream_feed, stream_teller
from app.clock import SystemClock
from app.db import Database, execute
from app.model import Alert, Instrument, State, Tick
from app.queries import QUERIES
from app.spool import Entry
from app.store import Saved, Store, tick_values
from app.views import Upkeep
from tests.api import an_api
from tests.asgi import request
from tests.conftest import Logged
from tests.integration.test_api import ended, serving
from tests.pace import in_time
from tests.ports import free_port
from tests.sse import Client, Told, of, served

pytestmark = pytest.mark.one_server

NOON = datetime(2021, 4, 18, 12, tzinfo=UTC)
TERMS = (("price", "1.10"), ("avg(price,5m)", "2"))
ALERT = Alert(
    "3f2a9c0d11e4", State.FIRING, NOON, "BTC", "price-2pct-5m", (("price", "1.10"), ("avg(price,5m)", "2")), "info"
)

LISTENING = """
SELECT pid FROM pg_stat_activity
WHERE application_name = 'cryptomonitor-api' AND datname = current_database() AND position('batches' IN query) > 0
"""


@pytest.fixture(autouse=True)
def no_listener_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_feed, "_IDLE_SECONDS", 0.0)


@pytest.fixture
def port(tmp_path: Path, dsn: str) -> Iterator[int]:
    with served(an_api(tmp_path, dsn)) as port:
        yield port


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def tick(symbol: str, seconds: float, price: str = "1") -> Tick:
    at = NOON + timedelta(seconds=seconds)
    return Tick(symbol, at, Decimal(price), Decimal("1.50"), None, at, "coingecko")


def rows(database: Database, sql: str, **values: object) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []

    return database.run(fetch)


def seconds_of(told: list[Told]) -> list[int]:
    """Of ticks: how many seconds after noon."""
    return [int((datetime.fromisoformat(its["timestamp"]) - NOON).total_seconds()) for its in of("tick", told)]


# What is told.


def test_a_batch_is_told_with_every_digit_ticks_first_then_candles_then_alerts(port: int, store: Store) -> None:
    with Client(port) as client:
        client.begun()
        store.save([tick("BTC", 0, "60781.970"), tick("ETH", 0.25)], Outcome(alerts=[ALERT]))
        told = client.take(5)
        store.save([tick("BTC", 59, "60000")], Outcome())
        candle = of("candle", client.take(2))
    assert [(one.kind, one.data["symbol"]) for one in told] == [
        *(("tick", "BTC"), ("tick", "ETH"), ("candle", "BTC"), ("candle", "ETH"), ("alert", "BTC")),
    ]
    values = {"price": "60781.970", "volume_24h": "1.50", "market_cap": None, "source": "coingecko"}
    assert told[0].data == {"symbol": "BTC", "timestamp": "2021-04-18T12:00:00Z", **values}
    assert told[1].data["timestamp"] == "2021-04-18T12:00:00.250000Z"
    prices = {"open": "60781.970", "high": "60781.970", "low": 60000, "close": 60000, "volume": "1.50"}
    assert candle == [
        {"symbol": "BTC", "interval": "1m", "bucket": "2021-04-18T12:00:00Z", **prices, "ticks": 2},
    ]
    assert told[4].data == {
        **{"timestamp": "2021-04-18T12:00:00Z", "state": "FIRING", "symbol": "BTC", "rule": "price-2pct-5m"},
        **{"terms": dict(TERMS), "severity": "info", "id": "3f2a9c0d11e4"},
    }
    assert list(told[4].data["terms"]) == list(dict(TERMS))


def test_only_the_last_event_of_a_batch_has_an_id_and_ids_grow(port: int, store: Store) -> None:
    with Client(port) as client:
        began, ids = int(client.begun().last_id or ""), []
        for second in range(3):
            store.save([tick("BTC", second), tick("ETH", second)], Outcome())
            ids += [one.id for one in client.take(4)]
    numbers = [int(id_) for id_ in ids if id_ is not None]
    assert [place for place, id_ in enumerate(ids) if id_] == [3, 7, 11]
    assert [began, *numbers] == sorted({began, *numbers})


def test_it_is_sent_at_once_and_kept_by_nobody(port: int) -> None:
    with Client(port) as client:
        headers = client.reply.headers
    assert client.reply.status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    assert {"content-length", "content-encoding", "etag"}.isdisjoint(map(str.lower, headers))


def test_who_asks_for_some_symbols_and_kinds_is_told_of_these_alone(
    port: int, store: Store, database: Database
) -> None:
    rows(database, "INSERT INTO instruments (symbol, base, quote, market) VALUES ('BTC', 'BTC', 'USD', 'coingecko')")
    every = [tick(symbol, 0) for symbol in ("BTC", "BTC-EUR", "BTC@kraken", "ETH-EUR@kraken")]
    wanted = {
        "?symbols=btc&events=tick": ["BTC"],
        "?symbols=*@kraken,BTC@coingecko&events=tick": ["BTC", "BTC@kraken", "ETH-EUR@kraken"],
        "?symbols=*-EUR@*&events=candle": ["BTC-EUR", "ETH-EUR@kraken"],
        "?symbols=*&events=alert": ["BTC"],
    }
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(port, query)).begun() for query in wanted]
        store.save(every, Outcome(alerts=[ALERT]))
        store.save([replace(one, timestamp=NOON + timedelta(minutes=1)) for one in every], Outcome())
        for client, (query, symbols) in zip(clients, wanted.items(), strict=True):
            told = client.take(len(symbols))
            assert sorted(one.data["symbol"] for one in told) == symbols
            assert {one.kind for one in told} == {query.rpartition("=")[2]}
            assert [one.id is None for one in told] == [True] * (len(told) - 1) + [False]


def test_history_and_what_was_known_already_are_not_told(port: int, store: Store, database: Database) -> None:
    with Client(port, "?events=tick") as client:
        client.begun()
        store.save([tick("BTC", 0)], Outcome())
        old = [replace(tick("BTC", second), origin="backfill") for second in (-60, 1)]
        database.run(lambda cursor: execute(cursor, "store_ticks", **tick_values(old)))
        store.save([tick("BTC", 0, "2")], Outcome())
        store.save([tick("BTC", 0, "2"), tick("BTC", 2)], Outcome())
        assert seconds_of(client.take(2)) == [0, 2]
    assert rows(database, "SELECT ticks FROM batches ORDER BY number") == [(0,), (1,), (1,)]


def test_alerts_without_ticks_or_with_known_ones_are_told_once(port: int, store: Store) -> None:
    resolved, again = replace(ALERT, state=State.RESOLVED), replace(ALERT, id="3f2a9c0d11e4.2")
    episode = Episode(State.FIRING, ALERT.id, NOON, NOON, NOON, 1)
    with Client(port, "?events=alert") as client:
        client.begun()
        for _ in range(2):
            store.save([], Outcome(alerts=[ALERT], episodes={(ALERT.rule, "BTC"): episode}))
        store.save([tick("BTC", 0)], Outcome())
        store.save([tick("BTC", 0)], Outcome(alerts=[ALERT, again]))
        store.save([], Outcome(alerts=[resolved]))
        told = [(its["id"], its["state"]) for its in of("alert", client.take(3))]
    assert told == [(ALERT.id, "FIRING"), (again.id, "FIRING"), (ALERT.id, "RESOLVED")]


def test_what_the_spool_kept_is_told_when_it_is_stored_with_its_own_times(port: int, store: Store) -> None:
    entries = [Entry(n, (tick("ETH", n), tick("BTC", n)), Outcome(alerts=[replace(ALERT, id=f"{n}")])) for n in (1, 2)]
    with Client(port, "?events=tick,alert") as client:
        client.begun()
        store.save_spooled(entries)
        told = client.take(6)
    assert seconds_of(told) == [1, 1, 2, 2]
    assert [its["id"] for its in of("alert", told)] == ["1", "2"]


def test_where_the_database_refuses_one_of_them_the_others_are_told_once(port: int, store: Store) -> None:
    bad = replace(ALERT, id="bad", symbol="B\0C")
    good = [replace(ALERT, id=id_) for id_ in ("a", "b")]
    with Client(port, "?events=tick,alert") as client:
        client.begun()
        with pytest.raises(ValueError, match="NUL"):
            store.save([tick("BTC", 0)], Outcome(alerts=[bad]))
        refused = replace(tick("ETH", 0), price=Decimal(-1))
        assert store.save([tick("BTC", 0), refused], Outcome(alerts=good)) == Saved(stored=1, refused=1)
        store.save([tick("BTC", 1)], Outcome())
        told = client.take(4)
    assert seconds_of(told) == [0, 1]
    assert [its["id"] for its in of("alert", told)] == ["a", "b"]


def test_where_the_database_refuses_one_tick_the_others_are_one_batch_that_nobody_can_wait_for_in_a_circle(
    dsn: str, port: int, store: Store, database: Database
) -> None:
    """Another writer has a candle that ours needs, and asks for its batch's number only then."""
    store.save([tick("AA2", 0)], Outcome())
    batch = [replace(tick("BAD", 1), price=Decimal(-1)), tick("AA1", 1), tick("AA2", 1)]
    with Client(port, "?events=tick") as client, closing(psycopg2.connect(dsn)) as first, ExitStack() as stack:
        client.begun()
        cursor = first.cursor()
        cursor.execute("SELECT pg_backend_pid() FROM candles WHERE symbol = 'AA2' FOR UPDATE")
        saved: list[Saved] = []
        second = threading.Thread(target=lambda: saved.append(store.save(batch, Outcome(alerts=[ALERT]))))
        second.start()
        with closing(Database(dsn, threading.Event())) as other:
            while not rows(other, "SELECT 1 FROM pg_locks WHERE NOT granted"):
                assert second.is_alive()
        stack.callback(second.join)
        cursor.execute("SELECT next_batch()")
        first.commit()
        second.join()
        told = client.take(2)
    assert saved == [Saved(stored=2, refused=1)]
    assert [(one.data["symbol"], one.id is None) for one in told] == [("AA1", True), ("AA2", False)]
    last = "SELECT symbols, cardinality(alerts) FROM batches ORDER BY number DESC LIMIT 1"
    assert rows(database, last) == [(["AA1", "AA2"], 1)]


# Numbers.


def test_a_batch_is_told_only_when_all_with_lower_numbers_can_be_seen(dsn: str, port: int, database: Database) -> None:
    """Two that write at the same time: the second gets its number when the first has committed."""
    Store(database).save([tick("BTC", 0)], Outcome())
    with Client(port, "?events=tick") as client, closing(psycopg2.connect(dsn)) as first:
        client.begun()
        first.cursor().execute(QUERIES["store_ticks"], tick_values([tick("BTC", 1)]))
        second = threading.Thread(target=Store(database).save, args=([tick("ETH", 2)], Outcome()))
        second.start()
        waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with closing(Database(dsn, threading.Event())) as other:
            while not rows(other, waits):
                assert second.is_alive()
            assert rows(other, "SELECT count(*) FROM batches WHERE ticks > 0") == [(1,)]
        first.commit()
        second.join()
        assert seconds_of(client.take(2)) == [1, 2]


def test_of_several_writers_everything_is_told_once_in_the_order_of_its_numbers(dsn: str, port: int) -> None:
    def write(symbol: str) -> None:
        with closing(Database(dsn, threading.Event())) as database:
            for second in range(25):
                Store(database).save([tick(symbol, second)], Outcome())

    with Client(port, "?events=tick") as client:
        client.begun()
        writers = [threading.Thread(target=write, args=(symbol,)) for symbol in ("A", "B", "C")]
        for writer in writers:
            writer.start()
        told = client.take(75)
        for writer in writers:
            writer.join()
    numbers = [int(one.id or "") for one in told]
    assert numbers == sorted(set(numbers))
    for symbol in "ABC":
        assert seconds_of([one for one in told if one.data["symbol"] == symbol]) == list(range(25))


# Coming back.


class Reader(threading.Thread):
    """Reads until it has ticks up to a second, through connections that break anywhere."""

    def __init__(self, port: int, seed: int, until: int) -> None:
        super().__init__()
        self._port, self._dice, self._until = port, random.Random(seed), until
        self.ready, self.told, self.connections = threading.Event(), list[Told](), 0

    def run(self) -> None:
        last_id = None
        while not self.told or seconds_of(self.told[-1:]) != [self._until]:
            with Client(self._port, "?events=tick", last_id) as client:
                self.connections += 1
                if last_id is None:
                    client.begun()
                    self.ready.set()
                last_id = self._read(client, self._dice.randrange(1, 40))

    def _read(self, client: Client, most: int) -> str | None:
        """At most so many events; what counts are those of whole batches."""
        part: list[Told] = []
        for _ in range(most):
            (one,) = client.take(1)
            if one.kind == "dropped":
                break
            part.append(one)
            if one.id is not None:
                self.told += part
                part = []
                if seconds_of(self.told[-1:]) == [self._until]:
                    break
        return client.last_id


@pytest.mark.parametrize("kept", [1000, 3], ids=["from memory", "from the database"])
def test_who_loses_the_connection_anywhere_misses_nothing_and_has_nothing_twice(
    port: int, store: Store, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(stream_feed, "_KEPT_BATCHES", kept)
    monkeypatch.setattr(stream_feed, "_PAGE_BATCHES", 3)
    batches, dice = 80, random.Random(kept)
    readers = [Reader(port, seed, until=batches - 1) for seed in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        assert reader.ready.wait(60)
    expected = []
    for second in range(batches):
        symbols = [f"S{n}" for n in range(dice.randrange(1, 6))]
        store.save([tick(symbol, second) for symbol in symbols], Outcome())
        expected += [(second, symbol) for symbol in symbols]
    for reader in readers:
        reader.join(120)
        found = list(zip(seconds_of(reader.told), [one.data["symbol"] for one in reader.told], strict=True))
        assert found == expected
        assert reader.connections > 3


def test_an_id_can_be_given_in_the_address_and_the_header_counts_more(port: int, store: Store) -> None:
    with Client(port, "?events=tick") as client:
        began = client.begun().last_id
        for second in range(3):
            store.save([tick("BTC", second)], Outcome())
        ids = [one.id for one in client.take(3)]
    with Client(port, f"?events=tick&last_event_id={began}") as client:
        assert seconds_of(client.take(3)) == [0, 1, 2]
    with Client(port, f"?events=tick&last_event_id={began}", ids[1]) as client:
        assert seconds_of(client.take(1)) == [2]


def test_a_candle_of_several_missed_batches_is_told_as_it_stands_with_the_last_of_them(port: int, store: Store) -> None:
    with Client(port) as client:
        began = client.begun().last_id
        client.close()
    for second in (0, 1, 60, 2):
        store.save([tick("BTC", second, str(second + 1))], Outcome())
    with Client(port, "?events=candle", began) as client:
        told = of("candle", client.take(2))
    assert [(its["bucket"][11:16], its["close"], its["ticks"]) for its in told] == [("12:01", 61, 1), ("12:00", 3, 3)]


def test_who_comes_back_with_what_is_not_kept_is_told_so_and_goes_on_from_now(port: int, store: Store) -> None:
    for second, last_id in enumerate(["7", "999999999999999999", "x", "1e3", "-1", "9" * 30]):
        with Client(port, "?events=tick", last_id) as client:
            (reset,) = client.take(1)
            assert reset.kind == "reset"
            assert "not kept any more, or it is none" in reset.data["reason"]
            assert client.last_id == reset.id != last_id
            store.save([tick("BTC", second)], Outcome())
            assert seconds_of(client.take(1)) == [second]


def test_batches_are_forgotten_after_a_while_but_for_the_last(
    database: Database, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep = Upkeep(database, SystemClock())
    for second in range(4):
        store.save([tick("BTC", second)], Outcome())
    numbers = "SELECT array_agg(extract(second FROM timestamps[1])::int ORDER BY number) FROM batches WHERE ticks > 0"
    rows(database, "UPDATE batches SET recorded_at = now() - interval '16 min' WHERE timestamps[1] <= %(t)s", t=NOON)
    upkeep.step(stored=4)
    assert rows(database, numbers) == [([1, 2, 3],)]
    monkeypatch.setattr("app.views._BATCHES", 2)
    upkeep.step(stored=4)
    assert rows(database, numbers) == [([2, 3],)]
    rows(database, "UPDATE batches SET recorded_at = now() - interval '16 min'")
    upkeep.step(stored=4)
    assert rows(database, numbers) == [([3],)]


# What breaks.


def test_when_the_listener_s_connection_is_lost_nothing_is(port: int, store: Store, database: Database) -> None:
    with Client(port, "?events=tick") as client:
        client.begun()
        for second in range(6):
            if second % 2:
                while not rows(database, LISTENING):
                    pass
                rows(database, f"SELECT pg_terminate_backend(pid, 5000) FROM ({LISTENING}) AS its")
            store.save([tick("BTC", second)], Outcome())
        assert seconds_of(client.take(6)) == list(range(6))


def test_a_query_that_fails_for_a_while_ends_nothing(
    logged: Logged, port: int, store: Store, database: Database
) -> None:
    failing = "CREATE OR REPLACE FUNCTION iso_time(t timestamptz) RETURNS text LANGUAGE sql STABLE RETURN (1 / 0)::text"
    ((good,),) = rows(database, "SELECT pg_get_functiondef('iso_time(timestamptz)'::regprocedure)")
    with Client(port, "?events=tick") as client:
        client.begun()
        rows(database, failing)
        store.save([tick("BTC", 0)], Outcome())
        while "division by zero" not in logged.getvalue():
            assert "stream" in {thread.name for thread in threading.enumerate()}
        rows(database, good)
        assert seconds_of(client.take(1)) == [0]


def test_a_batch_whose_notice_is_lost_is_found(port: int, database: Database) -> None:
    with Client(port, "?events=tick") as client:
        client.begun()
        silent = "SELECT max(number) + 1 FROM batches"
        rows(database, f"CREATE OR REPLACE FUNCTION next_batch() RETURNS bigint LANGUAGE sql AS '{silent}'")
        Store(database).save([tick("BTC", 0)], Outcome())
        assert seconds_of(client.take(1)) == [0]


def test_who_asks_before_the_database_is_there_waits_for_it(
    tmp_path: Path, dsn: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_teller, "_HEARTBEAT_SECONDS", 0.05)
    known: list[str] = []
    with served(an_api(tmp_path, lambda: known[0] if known else None)) as port, Client(port, "?events=tick") as client:
        while "waiting for the database" not in client.comments:
            assert client.block() is None
        known.append(dsn)
        client.begun()
        store.save([tick("BTC", 0)], Outcome())
        assert seconds_of(client.take(1)) == [0]


def test_a_database_that_another_took_the_place_of_is_noticed(port: int, store: Store, database: Database) -> None:
    with Client(port, "?events=tick") as client:
        client.begun()
        rows(database, "DELETE FROM batches; INSERT INTO batches VALUES (7, now(), 0, '{}', '{}', '{}')")
        (reset,) = client.take(1)
        assert (reset.kind, reset.id) == ("reset", "7")
        store.save([tick("BTC", 0)], Outcome())
        assert seconds_of(client.take(1)) == [0]


def test_a_quiet_client_is_told_from_where_on_it_may_come_back(
    port: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_teller, "_HEARTBEAT_SECONDS", 0.1)
    with Client(port, "?symbols=*@kraken") as quiet, Client(port, "?events=tick") as other:
        began = quiet.begun().last_id
        store.save([tick("BTC", 0)], Outcome())
        (one,) = other.take(1)
        while quiet.last_id == began:
            assert quiet.block() is None
        assert quiet.last_id == one.id
        assert "still here" in quiet.comments


def test_a_client_that_does_not_read_is_dropped_with_a_word_and_misses_nothing_when_it_comes_back(
    tmp_path: Path, dsn: str, store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_feed, "_KEPT_BATCHES", 5)
    with served(an_api(tmp_path, dsn), kept_by_system=4096) as port:
        with Client(port, "?events=tick", takes=4096) as slow, Client(port, "?events=tick") as quick:
            slow.begun()
            quick.begun()
            for second in range(25):
                store.save([tick(f"S{n}", second) for n in range(50)], Outcome())
                assert set(seconds_of(quick.take(50))) == {second}
            told = []
            while (one := slow.told()) is not None:
                told.append(one)
        assert told[-1].kind == "dropped"
        assert "more slowly than they come in" in told[-1].data["reason"]
        whole = max(place for place, one in enumerate(told, start=1) if one.id is not None)
        told = told[:whole]
        assert 0 < len(told) < 1250
        with Client(port, "?events=tick", slow.last_id) as back:
            told += back.take(1250 - len(told))
    assert seconds_of(told) == [second for second in range(25) for _ in range(50)]


def test_the_listener_is_there_while_there_are_clients(
    port: int, store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_feed, "_LOOK_SECONDS", 0.05)
    for second in range(3):
        wait_until(lambda: not rows(database, LISTENING))
        with Client(port, "?events=tick") as client:
            client.begun()
            store.save([tick("BTC", second)], Outcome())
            assert seconds_of(client.take(1)) == [second]
    wait_until(lambda: not rows(database, LISTENING))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline


# Many, and mistaken.


def test_fifty_clients_are_all_told(port: int, store: Store) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(port, "?events=tick")) for _ in range(50)]
        for client in clients:
            client.begun()
        for second in range(3):
            store.save([tick("BTC", second)], Outcome())
        assert [seconds_of(client.take(3)) for client in clients] == [[0, 1, 2]] * 50


def test_more_clients_than_there_may_be_are_refused_until_one_goes(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_feed, "MOST_CLIENTS", 1)
    url = f"http://127.0.0.1:{port}/api/v1/stream"
    with Client(port) as client:
        client.begun()
        reply = requests.get(url, timeout=60)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "10")
        assert reply.headers["content-type"] == "application/problem+json"

    def is_let_in() -> bool:
        with requests.get(url, timeout=60, stream=True) as reply:
            return reply.status_code == 200

    wait_until(is_let_in)


def test_what_nobody_can_mean_is_refused(port: int) -> None:
    expected = {
        "symbols=B;C": 422,
        "symbols=": 422,
        "symbols=BTC,,ETH": 422,
        "symbols=" + ",".join(["*@kraken"] * 101): 422,
        "symbols=NEVERSEEN": 404,
        "events=ticks": 422,
        "events=": 422,
        "events=tick,": 422,
        "last_event_id=x": 422,
        "last_event_id=-1": 422,
        "symbol=BTC": 422,
    }
    for query, status in expected.items():
        reply = requests.get(f"http://127.0.0.1:{port}/api/v1/stream?{query}", timeout=60)
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), query


def test_whether_symbols_are_known_is_one_question_of_one_statement(
    tmp_path: Path, dsn: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [f"C{number}" for number in range(99)]
    Store(database).save_instruments("coingecko", [Instrument(it, "USD", "coingecko", it) for it in known])
    asked: list[dict[str, bool]] = []
    ask = api_database.Reader.ask

    def counted(reader: api_database.Reader, work: Any, *seconds: float, **more: bool) -> Any:
        asked.append(more)
        return ask(reader, work, *seconds, **more)

    monkeypatch.setattr(api_database.Reader, "ask", counted)
    app = an_api(tmp_path, dsn)
    assert request(app, f"/api/v1/stream?symbols={','.join([*known, 'NEVERSEEN'])}").status == 404
    assert asked == [{"is_one_statement": True}]
    assert request(app, f"/api/v1/stream?symbols={','.join([*known, 'c1'])}", leave=True).status == 200
    del asked[:]
    assert request(app, "/api/v1/ohlcv/NEVERSEEN").status == 404
    assert asked == [{"is_one_statement": True}]


def test_head_is_answered_and_ends(port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for path, kind in (("/api/v1/stream", "text/event-stream; charset=utf-8"), ("/healthz", "application/json")):
            connection.request("HEAD", path)
            reply = connection.getresponse()
            assert (reply.status, reply.headers["content-type"], reply.read()) == (200, kind, b"")


def test_streams_end_with_the_process_and_do_not_hold_it_up(tmp_path: Path, dsn: str) -> None:
    port = free_port()
    with serving(tmp_path, port, DATABASE_URL=dsn) as process, Client(port) as client:
        client.begun()
        code, seconds, said = ended(process, signal.SIGTERM)
        assert client.told() is None
    assert (code, said) == (0, "")
    assert in_time(seconds, 1.4)  # after 1.5 s it is ended whatever it waits for
