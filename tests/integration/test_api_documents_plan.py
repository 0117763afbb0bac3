"""What the database reads for a page of documents, which each version of it plans in its own way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2

from app.db import Database
from app.queries import QUERIES

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_no_more_ticks_are_read_than_a_page_has_room_for_however_many_symbols_there_are(database: Database) -> None:
    asked = {
        **dict.fromkeys(("base", "currency", "from_symbol")),
        **{"from_time": NOW - timedelta(hours=1), "since": NOW - timedelta(hours=1), "until": NOW, "limit": 100},
    }

    def plan(cursor: psycopg2.extensions.cursor) -> Any:
        cursor.execute(
            """SELECT make_partition('2026-11-01');
            INSERT INTO instruments (symbol, base, quote, market)
            SELECT 'S' || n, 'S' || n, 'USD', 'coingecko' FROM generate_series(1, 200) AS n;
            INSERT INTO ticker_data ("timestamp", symbol, price, fetched_at, source)
            SELECT %(until)s - m * interval '1 min', symbol, 1, %(until)s, 'coingecko'
            FROM instruments, generate_series(1, 30) AS m;
            ANALYZE""",
            asked,
        )
        cursor.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + QUERIES["documents"], asked)
        (((found,),),) = cursor.fetchall()
        return found["Plan"]

    # A few symbols beyond it, as they are sorted in batches; not 6,000.
    assert 101 <= ticks_read(database.run(plan)) <= 300


def ticks_read(step: Any) -> float:
    its = step["Actual Rows"] * step["Actual Loops"] if "ticker_data" in step.get("Relation Name", "") else 0
    return float(its + sum(map(ticks_read, step.get("Plans", ()))))
