"""Named queries as prepared statements."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg2 import extensions as pg

from app import store as of_store
from app.alerts.states import Episode, Outcome
from app.db import Database
from app.errors import DataRefused
from app.model import Alert, State, Tick
from app.prepared import commit_together, execute_together
from app.store import Saved, Store

NOON = datetime(2021, 4, 18, 12, tzinfo=UTC)
TICK = Tick("BTC", NOON, Decimal("60781.97"), None, Decimal("1E+12"), NOON, "coingecko")
SAVED = ("ticker_data", "candles", "alerts", "alert_states", "outbox")


def read(database: Database, sql: str) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql)
        return list(cursor.fetchall())

    return database.run(fetch)


def a_batch(minute: int) -> tuple[list[Tick], Outcome]:
    """Three symbols' ticks with an alert of each, the quoting of whose terms is not plain."""
    at = NOON + timedelta(minutes=minute)
    outcome = Outcome()
    for symbol in ("BTC", "ETH", "A.$_"):
        state = State.RESOLVED if minute % 2 else State.FIRING
        terms = (("price", "1"), ("avg('%s', \"5m\"); \\", "100 %"))
        outcome.alerts.append(Alert(f"{symbol}{minute // 2}", state, at, symbol, "it's % a rule", terms, "warning"))
        kept = State.INACTIVE if minute % 2 else State.FIRING
        outcome.episodes["it's % a rule", symbol] = Episode(kept, f"{symbol}{minute // 2}", at, at, at, 1)
    return [replace(TICK, symbol=alert.symbol, timestamp=at) for alert in outcome.alerts], outcome


def test_what_is_saved_is_the_same_prepared_or_not(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    for most in (0, 200):
        monkeypatch.setattr(of_store, "_FEW", most)
        store = Store(database, ["one", "two"])
        assert [store.save(*a_batch(minute)) for minute in (0, 1, 2, 2)] == [Saved(3), Saved(3), Saved(3), Saved(0)]
        saved.append(
            [
                read(
                    database,
                    f"SELECT to_jsonb(t) - '{{number,recorded_at,created_at}}'::text[] FROM {name} t ORDER BY 1",
                )
                for name in SAVED
            ]
        )
        read(database, f"TRUNCATE {', '.join(SAVED)}; SELECT 1")
    assert all(saved[0])
    assert saved[0] == saved[1]


def test_a_statement_stays_prepared_when_its_transaction_is_undone(database: Database) -> None:
    def twice(cursor: Any) -> None:
        execute_together(cursor, {"leading": {"epoch": 0}})
        raise DataRefused("not this one")

    for _ in range(2):
        with pytest.raises(DataRefused, match="not this one"):
            database.once(twice)
    names = read(database, "SELECT name, generic_plans FROM pg_prepared_statements")
    assert names == [("leading", 2)], "planned once, and not for each value"


def test_a_connection_that_broke_is_followed_by_one_that_prepares_anew(database: Database) -> None:
    store = Store(database)
    assert store.save(*a_batch(0)) == Saved(stored=3)
    database.close()
    assert store.save(*a_batch(1)) == Saved(stored=3)


def test_of_what_is_sent_together_all_is_done_or_nothing(database: Database) -> None:
    def work(cursor: Any) -> None:
        alert = {"id": ["a"], "state": ["FIRING"], "timestamp": [NOON], "symbol": ["BTC"], "rule": ["r"]}
        bad = {"rule": ["r"], "symbol": ["BTC"], "state": ["ON FIRE"], "id": ["a"], "since": [NOON], "as_of": [NOON]}
        bad |= {"last_line_at": [NOON], "lines": [1], "recovering_since": [None], "digest": [""]}
        execute_together(
            cursor,
            {"record_alerts": {**alert, "terms": ["{}"], "severity": ["warning"]}, "save_alert_states": bad},
        )

    with pytest.raises(DataRefused):
        database.once(work)
    assert read(database, "SELECT * FROM alerts") == []


LEAD: dict[str, dict[str, object]] = {"leading": {"epoch": 0}}
FIRING: dict[str, object] = {
    **{"id": ["a"], "state": ["FIRING"], "timestamp": [NOON], "symbol": ["BTC"], "rule": ["r"], "terms": ["{}"]},
    "severity": ["warning"],
}


def test_what_is_committed_together_stands_whatever_comes_after(database: Database) -> None:
    def work(cursor: Any) -> None:
        commit_together(cursor, LEAD, {"record_alerts": FIRING})
        cursor.execute("DELETE FROM alerts")
        raise DataRefused("the transaction that began after it is undone")

    with pytest.raises(DataRefused, match="undone"):
        database.once(work)
    assert read(database, "SELECT id FROM alerts") == [("a",)]


def test_without_a_row_of_what_is_demanded_nothing_is_done(database: Database) -> None:
    over: dict[str, dict[str, object]] = {"leading": {"epoch": 7}}
    for _ in range(2):  # prepared, and known already
        with pytest.raises(DataRefused, match="division by zero"):
            database.once(lambda cursor: commit_together(cursor, over, {"record_alerts": FIRING}))
    assert read(database, "SELECT id FROM alerts") == []


def test_what_is_demanded_is_locked_until_the_commit(database: Database) -> None:
    database.once(lambda cursor: commit_together(cursor, LEAD, {}))
    plan = read(database, 'EXPLAIN EXECUTE "leading, demanded" (0)')
    assert any("LockRows" in line for (line,) in plan), plan


def test_a_batch_with_its_alerts_is_one_message_to_the_server(database: Database) -> None:
    store, messages = Store(database, ["one"]), 0
    store.save(*a_batch(0))  # the partition, and what is prepared
    store.save(*a_batch(1))
    wait = pg.get_wait_callback()

    def count(connection: Any) -> None:
        nonlocal messages
        messages += 1
        wait(connection)

    pg.set_wait_callback(count)
    try:
        assert store.save(*a_batch(2)) == Saved(stored=3)
    finally:
        pg.set_wait_callback(wait)
    assert messages == 1


def test_a_plan_follows_its_tables_when_they_have_grown_and_were_analyzed(database: Database) -> None:
    Store(database).save(*a_batch(1))  # planned for tables that are empty
    read(
        database,
        """
        INSERT INTO alerts (id, state, "timestamp", symbol, rule, terms, severity)
        SELECT n, 'FIRING', now(), 'BTC', 'r', '{}', 'warning' FROM generate_series(1, 20000) AS n;
        INSERT INTO outbox (id, state, channel, symbol) SELECT id, state, 'one', 'BTC' FROM alerts;
        ANALYZE alerts, outbox; SELECT 1
        """,
    )
    given = "ARRAY['1'], ARRAY['RESOLVED'], ARRAY[NULL]::text[]"
    plan = "\n".join(line for (line,) in read(database, f'EXPLAIN EXECUTE "queue_alerts" ({given})'))
    assert "Index" in plan
    assert "Seq Scan on alerts" not in plan, plan
    assert "Seq Scan on outbox" not in plan, plan
