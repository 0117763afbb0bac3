"""Ticks, candles, alerts and gaps are set back to what was known at a time, and what was removed comes back exactly."""

from __future__ import annotations

import json
import random
import re
import threading
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import psycopg2
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, given, settings

from app.alerts.states import Episode, Outcome
from app.cli.rollback import command
from app.clock import SystemClock
from app.db import READER, Database, connect
from app.errors import AlreadyRunning, ConfigurationError, DatabaseRefused
from app.history.rollback import History
from app.lease import Lease
from app.model import Alert, State, Tick
from app.quarantine import Held
from app.store import Store
from app.views import Upkeep

pytestmark = pytest.mark.one_server

START = datetime(2026, 3, 31, 23, 50, tzinfo=UTC)  # ticks lie in two months
SECOND, MINUTE, DAY = (timedelta(seconds=s) for s in (1, 60, 86400))
SYMBOLS = ("BTC", "ETH@kraken")
ORIGINALS = {
    "ticker_data": "rolled_back_ticks",
    **{name: f"rolled_back_{name}" for name in ("alerts", "outbox", "alert_states", "gaps", "quarantine")},
}
STORED = (*ORIGINALS, "candles")

Dump = dict[str, list[str]]


def rows(database: Database, sql: str, *values: object) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []

    return database.run(fetch)


def dumped(database: Database, *tables: str) -> Dump:
    """Every row of these tables, as text, in an order of their own."""
    names = tables or STORED
    every = " UNION ALL ".join(f"SELECT '{name}', row_to_json(its)::text FROM {name} AS its" for name in names)
    found = sorted(rows(database, every))
    return {name: [text for table, text in found if table == name] for name in names}


def unsaid(text: str, share: float) -> None:
    """What is told while it is done."""


@dataclass
class World:
    """A history that grows event by event, each a second after the other; and what was known after each."""

    database: Database
    now: datetime = START
    ticks: list[Tick] = field(default_factory=list)
    held: dict[tuple[str, datetime], Held] = field(default_factory=dict)
    episodes: dict[tuple[str, str], Episode] = field(default_factory=dict)
    known: dict[datetime, tuple[Dump, list[tuple[Any, ...]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tables = ", ".join([*STORED, *ORIGINALS.values(), "rollbacks", "batches"])
        rows(self.database, f"TRUNCATE {tables}")
        rows(self.database, "INSERT INTO batches (number, ticks, symbols, timestamps, alerts)"
                            " VALUES (1, 0, '{}', '{}', '{}')")  # fmt: skip
        self.store = Store(self.database, ["hook"])

    @property
    def epoch(self) -> int:
        return int(rows(self.database, "SELECT epoch FROM leader")[0][0])

    def grow(self, kind: str, chance: random.Random) -> None:
        """One event. What is not possible now does nothing."""
        self.now += SECOND
        getattr(self, kind)(chance)
        self.known[self.now] = (dumped(self.database), self.all_ticks())

    def all_ticks(self) -> list[tuple[Any, ...]]:
        columns = 'symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin'
        return rows(self.database, f"SELECT {columns} FROM ticker_data ORDER BY 1, 2")

    def all_known(self) -> dict[datetime, list[tuple[Any, ...]]]:
        """What ``known_ticks`` says of each moment."""
        found = rows(
            self.database,
            "SELECT at, symbol, k.* FROM unnest(%s) AS at CROSS JOIN unnest(%s) AS symbol"
            " CROSS JOIN LATERAL known_ticks(symbol, %s, %s, at) AS k ORDER BY 1, 2, 3",
            *(list(self.known), list(SYMBOLS), START - 99 * DAY, START + 99 * DAY),
        )
        return {at: [row for moment, *row in map(tuple, found) if moment == at] for at in self.known}

    def tick(self, chance: random.Random) -> Tick:
        at = self.now - chance.choice([0, 0, 0, 1, 7, 61, 700]) * SECOND - chance.choice([0, 0, 0, 2]) * DAY
        price = Decimal(chance.choice(["1", "2.50", "60781.97"]))
        volume = chance.choice([None, Decimal("7.0")])
        origin = chance.choice(["live", "backfill"])
        return Tick(chance.choice(SYMBOLS), at, price, volume, None, self.now, "coingecko", origin)

    # Events

    def arrive(self, chance: random.Random) -> None:
        some = [self.tick(chance) for _ in range(chance.randint(1, 4))]
        self.store.save(some, Outcome(self.epoch))
        self.ticks += some

    def fire(self, chance: random.Random) -> None:
        key = (chance.choice(["high", "low"]), chance.choice(SYMBOLS))
        episode = self.episodes.get(key)
        if episode is None or episode.state is State.INACTIVE:
            since = self.now - chance.choice([0, 5]) * SECOND
            episode = Episode(State.FIRING, f"id{len(self.known)}", since, self.now, self.now, 1)
            if since < self.now:  # else the alerts do not tell since when
                episode = replace(episode, since=self.now)
            id_, state = episode.id, State.FIRING
        elif chance.random() < 0.5:
            episode = replace(episode, as_of=self.now, last_line_at=self.now, lines=episode.lines + 1)
            id_, state = f"{episode.id}.{episode.lines}", State.FIRING
        else:
            episode = replace(episode, state=State.INACTIVE, as_of=self.now)
            id_, state = episode.id, State.RESOLVED
        alert = Alert(id_, state, self.now, key[1], key[0], (("price", "1"),), "warning")
        self.store.save([], Outcome(self.epoch, [alert], {key: episode}))
        self.episodes[key] = episode
        rows(self.database, "UPDATE alerts SET recorded_at = %s WHERE (id, state) = (%s, %s)", self.now, id_, state)

    def doubt(self, chance: random.Random) -> None:
        """A tick is held, or one that is held is released by three that agree."""
        waiting = [held for held in self.held.values() if held.settled_at is None and held.median is not None]
        if waiting and chance.random() < 0.6:
            held = replace(chance.choice(waiting), settled_at=self.now)
            self.store.save([held.tick], Outcome(self.epoch), [held])
        else:
            tick = replace(self.tick(chance), timestamp=self.now)
            held = Held(tick, Decimal(9), "odd", self.now)
            self.store.save([], Outcome(self.epoch), [held])
        self.held[held.tick.symbol, held.tick.timestamp] = held

    def handle(self, chance: random.Random) -> None:
        """Somebody holds a tick that is stored, or releases it again."""
        stored_keys = set(rows(self.database, "SELECT symbol, timestamp FROM ticker_data"))
        mine = [key for key, held in self.held.items() if held.median is None and held.settled_at is None]
        mine = [key for key in mine if key not in stored_keys]
        if mine and chance.random() < 0.5:
            key = chance.choice(mine)
            released = "UPDATE quarantine SET state = 'released', settled_at = %s, settled_by = 'hand'"
            rows(self.database, f"{released} WHERE (symbol, timestamp) = (%s, %s)", self.now, *key)
            self.store.save([self.held[key].tick], Outcome(self.epoch))
            self.held[key] = replace(self.held[key], settled_at=self.now)
            return
        free = [tick for tick in self.ticks if (tick.symbol, tick.timestamp) not in self.held]
        if free:
            tick = chance.choice(free)
            key = (tick.symbol, tick.timestamp)
            [stored] = rows(self.database, 'SELECT symbol, "timestamp", price, volume_24h, market_cap, fetched_at,'
                            " source, origin FROM ticker_data WHERE (symbol, timestamp) = (%s, %s)", *key)  # fmt: skip
            assert rows(self.database, "SELECT hold_tick(%s, %s, 'wrong')", *key) == [(True,)]
            rows(
                self.database, "UPDATE quarantine SET held_at = %s WHERE (symbol, timestamp) = (%s, %s)", self.now, *key
            )
            self.held[key] = Held(Tick(*stored), None, "wrong", self.now)  # type: ignore[arg-type]

    def lack(self, chance: random.Random) -> None:
        """A hole is found, or one that is open is filled: whole, or a part of it."""
        open_ = rows(self.database, "SELECT symbol, begins_at, ends_at, found_at FROM gaps WHERE state = 'open'")
        if not open_ or chance.random() < 0.4:
            begin = START - DAY + len(self.known) * MINUTE
            self.put_gap(chance.choice(SYMBOLS), begin, begin + 40 * SECOND, self.now, filled=False)
            return
        symbol, begin, end, found_at = chance.choice(open_)
        rows(self.database, "DELETE FROM gaps WHERE (symbol, begins_at) = (%s, %s)", symbol, begin)
        cut = chance.choice([end, begin + (end - begin) / 2])
        self.put_gap(symbol, begin, cut, found_at, filled=True)
        if cut < end:
            self.put_gap(symbol, cut, end, found_at, filled=False)

    def put_gap(self, symbol: str, begin: datetime, end: datetime, found_at: datetime, *, filled: bool) -> None:
        settled = ("filled", "coingecko", 3, 1, self.now, self.now)
        rows(
            self.database,
            "INSERT INTO gaps (symbol, begins_at, ends_at, why, found_at, state, source, ticks, attempts, tried_at,"
            " settled_at) VALUES (%s, %s, %s, 'no tick', %s, %s, %s, %s, %s, %s, %s)",
            *(symbol, begin, end, found_at, *(settled if filled else ("open", None, 0, 0, None, None))),
        )


EVENTS = ("arrive", "arrive", "fire", "doubt", "handle", "lack")


@settings(max_examples=12, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), kinds=st.lists(st.sampled_from(EVENTS), min_size=12, max_size=30))
def test_a_rollback_is_what_was_known_then_and_its_undo_what_there_was(
    database: Database, seed: int, kinds: list[str]
) -> None:
    chance, world = random.Random(seed), World(database)
    world.grow("arrive", chance)
    for kind in kinds:
        world.grow(kind, chance)
    history, before = History(database), dumped(database)
    times = sorted(chance.sample(sorted(world.known), 3), reverse=True)
    expect_known(world)
    steps = []
    for to_time in times:
        steps.append(dumped(database))
        came, done = history.came_since(to_time), history.roll_back(to_time, unsaid)
        assert (came.ticks, came.alerts, came.quarantined) == (done.ticks, done.alerts, done.held)
        assert without_reasons(dumped(database)) == without_reasons(world.known[to_time][0])
        assert not history.came_since(to_time)
        expect_known(world)
    for step in reversed(steps):
        last = history.last()
        assert last
        history.undo(last, unsaid)
        assert dumped(database) == step
        expect_known(world)
    assert dumped(database) == before
    assert history.last() is None
    assert not any(dumped(database, *ORIGINALS.values()).values())


def expect_known(world: World) -> None:
    known = world.all_known()
    for at, (_, ticks) in world.known.items():
        assert known[at] == [list(row) for row in ticks], at


def without_reasons(dump: Dump) -> Dump:
    """Why a hole had been taken for one was forgotten when it was settled."""
    gaps = [{**json.loads(row), "why": "forgotten"} for row in dump["gaps"]]
    return {**dump, "gaps": [json.dumps(gap) for gap in gaps]}


# What comes in between


NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def tick(seconds: float, price: str = "1", *, symbol: str = "BTC", came: float | None = None) -> Tick:
    """At so many seconds after noon, come at so many."""
    at, fetched = (NOON + timedelta(seconds=s) for s in (seconds, seconds if came is None else came))
    return Tick(symbol, at, Decimal(price), None, None, fetched, "coingecko")


def save(database: Database, *ticks: Tick, outcome: Outcome | None = None) -> None:
    epoch = rows(database, "SELECT epoch FROM leader")[0][0]
    Store(database, ["hook"]).save(ticks, replace(outcome or Outcome(), epoch=epoch))


def alert(id_: str, state: State, seconds: float) -> Alert:
    return Alert(id_, state, NOON + timedelta(seconds=seconds), "BTC", "high", (("price", "1"),), "warning")


def episode(id_: str, state: State, seconds: float, **more: Any) -> Episode:
    at = NOON + timedelta(seconds=seconds)
    return Episode(state, id_, at, at, at if state is State.FIRING else None, int(state is State.FIRING), **more)


def prices(database: Database, symbol: str = "BTC") -> list[int]:
    found = rows(database, "SELECT price FROM ticker_data WHERE symbol = %s ORDER BY timestamp", symbol)
    return [int(price) for (price,) in found]


def roll_back(database: Database, seconds: float) -> None:
    History(database).roll_back(NOON + timedelta(seconds=seconds), unsaid)


def undo(database: Database) -> None:
    history = History(database)
    last = history.last()
    assert last
    history.undo(last, unsaid)


def test_what_came_in_since_stays_and_of_two_of_one_time_the_one_that_was_removed_stands(database: Database) -> None:
    save(database, tick(0), tick(60), tick(120, "5"))
    roll_back(database, 90)
    save(database, tick(120, "6", came=200), tick(180, "7", came=200))
    assert prices(database) == [1, 1, 6, 7]
    undo(database)
    assert prices(database) == [1, 1, 5, 7]
    assert rows(database, "SELECT max(high), sum(ticks)::int FROM ohlcv_1d") == [(7, 4)]
    assert rows(database, "SELECT close FROM ohlcv_1m ORDER BY bucket") == [(1,), (1,), (5,), (7,)]


def test_an_alert_that_came_again_gives_way_to_the_one_that_was_removed(database: Database) -> None:
    save(database, tick(0))
    key = ("high", "BTC")
    for price in ("2", "3"):
        firing = replace(alert("x", State.FIRING, 60), terms=(("price", price),))
        save(database, tick(60), outcome=Outcome(0, [firing], {key: episode("x", State.FIRING, 60)}))
        if price == "2":
            before = dumped(database, "alerts", "outbox", "alert_states")
            roll_back(database, 30)
            assert not any(dumped(database, "alerts", "outbox", "alert_states").values())
    undo(database)
    assert dumped(database, "alerts", "outbox", "alert_states") == before


def test_a_state_that_a_rule_has_come_to_since_stands(database: Database) -> None:
    save(database, tick(0))
    key = ("high", "BTC")
    save(database, tick(60), outcome=Outcome(0, [alert("x", State.FIRING, 60)], {key: episode("x", State.FIRING, 60)}))
    roll_back(database, 30)
    save(database, tick(90), outcome=Outcome(0, [alert("y", State.FIRING, 90)], {key: episode("y", State.FIRING, 90)}))
    undo(database)
    assert rows(database, "SELECT id, state FROM alert_states") == [("y", "FIRING")]
    assert rows(database, "SELECT id FROM alerts ORDER BY number") == [("x",), ("y",)]


def test_a_state_of_which_no_alert_tells_is_forgotten_and_one_of_before_stays_as_it_is(database: Database) -> None:
    recovering = episode("x", State.RECOVERING, 0, recovering_since=NOON)
    save(database, tick(0), outcome=Outcome(0, [], {("low", "BTC"): recovering}))
    save(database, tick(60), outcome=Outcome(0, [], {("high", "BTC"): episode("y", State.PENDING, 60)}))
    roll_back(database, 30)
    assert rows(database, "SELECT rule, state FROM alert_states") == [("low", "RECOVERING")]


def test_a_hole_found_since_gives_way_to_those_that_were_removed(database: Database) -> None:
    save(database, tick(0, came=0))
    put = "INSERT INTO gaps (symbol, begins_at, ends_at, why, found_at) VALUES ('BTC', %s, %s, %s, %s)"
    span = (NOON - MINUTE, NOON)
    rows(database, put, *span, "first", NOON + SECOND)
    roll_back(database, 0)
    assert rows(database, "SELECT FROM gaps") == []
    rows(database, put, NOON - 2 * MINUTE, NOON - SECOND, "second", datetime.now(UTC))
    rows(database, put, NOON + MINUTE, NOON + 2 * MINUTE, "third", datetime.now(UTC))
    undo(database)
    assert rows(database, "SELECT why FROM gaps ORDER BY begins_at") == [("first",), ("third",)]


# Who else is there


def test_while_a_daemon_leads_nothing_is_done_and_it_is_said_who(database: Database, dsn: str) -> None:
    save(database, tick(0), tick(60))
    before = dumped(database, *STORED, "rollbacks", "leader")
    lease = Lease(database, "somewhere:/data (abc)", SystemClock())
    assert lease.take()
    with pytest.raises(AlreadyRunning, match=r"a daemon leads, somewhere:/data \(abc\)"):
        roll_back(database, 30)
    lease.leave()
    assert {**dumped(database, *STORED, "rollbacks"), "leader": []} == {**before, "leader": []}
    roll_back(database, 30)
    assert prices(database) == [1]


def test_a_leader_that_was_frozen_meanwhile_leads_no_more_and_another_may_at_once(database: Database) -> None:
    save(database, tick(0), tick(60))
    frozen, other = (Lease(database, name, SystemClock()) for name in ("frozen", "other"))
    assert frozen.take()
    rows(database, "UPDATE leader SET renewed_at = clock_timestamp() - interval '7 s'")
    roll_back(database, 30)
    assert not frozen.renew()
    assert other.take()


def test_nobody_else_writes_meanwhile_and_everybody_reads(database: Database, dsn: str) -> None:
    save(database, tick(0), tick(60))
    refused: list[str] = []

    def look(text: str, _share: float) -> None:
        if text.startswith("waiting"):
            return
        with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM ticker_data")
            assert cursor.fetchone() == (2,)
            for write in ("DELETE FROM ticker_data", "UPDATE candles SET ticks = 1", "DELETE FROM gaps",
                          "DELETE FROM alerts", "DELETE FROM quarantine", "UPDATE leader SET epoch = 9"):  # fmt: skip
                cursor.execute("BEGIN; SET LOCAL lock_timeout = '10ms'")
                with pytest.raises(psycopg2.errors.LockNotAvailable):
                    cursor.execute(write)
                cursor.execute("ROLLBACK")
            refused.append(text)

    History(database).roll_back(NOON + 30 * SECOND, look)
    assert refused == ["taking ticks away", "taking alerts away", "opening gaps", "making candles anew"]


@pytest.mark.parametrize("phase", ["taking alerts away", "making candles anew"])
def test_what_breaks_off_has_done_nothing(database: Database, phase: str) -> None:
    save(database, tick(0), tick(60))
    before = dumped(database, *STORED, *ORIGINALS.values(), "rollbacks", "leader")

    def break_off(text: str, _share: float) -> None:
        if text == phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        History(database).roll_back(NOON + 30 * SECOND, break_off)
    assert dumped(database, *STORED, *ORIGINALS.values(), "rollbacks", "leader") == before


def test_it_is_for_the_owner_of_the_tables(database: Database, dsn: str) -> None:
    save(database, tick(0), tick(60))
    with closing(Database(dsn, threading.Event(), role=READER)) as reader, pytest.raises(DatabaseRefused) as caught:
        roll_back(reader, 30)
    assert "rollback is for the user who owns the tables (docs/roles.md)" in str(caught.value)


# What is kept, and what is known


def test_what_is_kept_has_the_columns_of_what_it_was_taken_from(database: Database) -> None:
    """A migration that adds a column to one has to add it to the other, and to the queries of rollback.sql."""
    columns = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    for original, kept in ORIGINALS.items():
        assert rows(database, columns, kept) == [*rows(database, columns, original), ("rollback", "bigint")]


def test_a_time_from_which_something_was_removed_is_refused_until_that_is_undone(database: Database) -> None:
    save(database, tick(0), tick(60), tick(120))
    roll_back(database, 30)
    with pytest.raises(ConfigurationError, match="by the rollback to 2026-05-01T12:00:30"):
        roll_back(database, 90)
    undo(database)
    roll_back(database, 90)
    roll_back(database, 30)
    assert prices(database) == [1]


def test_a_time_before_everything_is_refused(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="nothing was known then; no tick is stored"):
        roll_back(database, 0)
    save(database, tick(0))
    with pytest.raises(ConfigurationError, match="nothing was known then; the first tick came on 2026-05-01T12:00:00"):
        roll_back(database, -1)


def test_what_came_again_out_of_a_spool_is_known_once(database: Database) -> None:
    save(database, tick(0), tick(60, "5", came=61))
    roll_back(database, 30)
    save(database, tick(60, "6", came=62))  # of another daemon, that could not store it before
    known = "SELECT price FROM known_ticks('BTC', %s, %s, %s)"
    assert rows(database, known, NOON + SECOND, NOON + DAY, NOON + 70 * SECOND) == [(5,)]
    assert rows(database, known, NOON + SECOND, NOON + DAY, datetime.now(UTC)) == [(6,)]


def test_what_was_known_is_found_by_the_key_and_by_who_may_only_read(database: Database, dsn: str) -> None:
    save(database, *(tick(second) for second in range(300)))
    rows(database, "ANALYZE")
    with closing(connect(dsn, role=READER)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SET enable_seqscan = off; EXPLAIN SELECT * FROM known_ticks('BTC', %s, %s, now())",
            (NOON, NOON + 10 * SECOND),
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan" not in plan
    assert re.search(r"ticker_data_2026_05_pkey|ticker_data_2026_05_symbol", plan), plan


# The command


def run(dsn: str, *arguments: str) -> Result:
    return CliRunner(env={"DATABASE_URL": dsn}).invoke(command, list(arguments))


def test_the_command_says_what_it_would_do_does_it_and_undoes_it(database: Database, dsn: str) -> None:
    save(database, tick(0), tick(60), tick(60, symbol="ETH"), tick(86400))
    Upkeep(database, SystemClock()).refresh()
    views = (*STORED, "daily_ohlcv", "rollbacks", "leader")
    before = dumped(database, *views)
    dry = run(dsn, "--to", "2026-05-01T12:00:30Z", "--dry-run")
    assert [line.split() for line in dry.output.splitlines()[:4]] == [
        ["SYMBOL", "DAY", "TICKS"],
        ["BTC", "2026-05-01", "1"],
        ["BTC", "2026-05-02", "1"],
        ["ETH", "2026-05-01", "1"],
    ]
    assert dry.output.splitlines()[4] == (
        "Since 2026-05-01T12:00:30Z: 3 ticks came, 0 alerts were recorded, 0 gaps and 0 rows of quarantine are new or"
        " changed."
    )
    unasked = run(dsn, "--to", "2026-05-01T12:00:30Z")
    assert "this is no terminal, so nobody can be asked: give --yes" in str(unasked.exception)
    assert dumped(database, *views) == before
    done = run(dsn, "--to", "2026-05-01T12:00:30Z", "--yes")
    assert "all is as it was known at 2026-05-01T12:00:30Z; removed: 3 ticks" in done.stdout
    assert "making candles anew" in done.stderr
    assert rows(database, "SELECT symbol, ticks FROM daily_ohlcv") == [("BTC", 1)]
    again = run(dsn, "--to", "2026-05-01T12:00:30Z", "--yes")
    assert again.stdout == "nothing came after 2026-05-01T12:00:30Z: there is nothing to set back\n"
    assert run(dsn, "--undo", "--dry-run").exception is None
    assert "is undone: all that it removed is where it was" in run(dsn, "--undo", "--yes").stdout
    after = dumped(database, *views)
    assert {**after, "rollbacks": [], "leader": []} == {**before, "rollbacks": [], "leader": []}
    assert "there is no rollback that is not undone" in str(run(dsn, "--undo", "--yes").exception)
