"""What metrics were: read from ticks and candles, written by PostgreSQL, page by page or thinned."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from app.alerts.states import Outcome
from app.api.edge import Edge
from app.db import Database
from app.model import Tick
from app.queries import QUERIES
from app.store import Store
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
BTC = "/api/v1/metric_types/price/metrics/BTC/history"

Get = Callable[[str], Reply]


@pytest.fixture
def api(tmp_path: Path, dsn: str) -> Edge:
    return an_api(tmp_path, dsn, FakeClock(NOW))


@pytest.fixture
def get(api: Edge, database: Database) -> Get:
    database.run(lambda c: c.execute(
        "INSERT INTO instruments (symbol, base, quote, market) VALUES ('BTC', 'BTC', 'USD', 'coingecko')"
    ))  # fmt: skip
    return lambda path: request(api, path)


def tick(at: datetime, price: str, volume: str | None = "5", fetched_at: datetime | None = None) -> Tick:
    its = None if volume is None else Decimal(volume)
    return Tick("BTC", at, Decimal(price), its, None, fetched_at or at, "coingecko")


def save(database: Database, *ticks: Tick) -> None:
    Store(database).save(ticks, Outcome())


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


def points(reply: Reply) -> list[tuple[str, str]]:
    """Times and values in order, each value as it is written."""
    assert reply.status == 200, reply.body
    return list(json.loads(reply.body, parse_float=str, parse_int=str)["history"].items())


def test_it_is_the_last_day_with_every_digit_and_fractions_only_where_there_are_some(
    get: Get, database: Database
) -> None:
    save(
        database,
        tick(ago(hours=24, microseconds=1), "1"),
        tick(ago(hours=24), "0.000000000056366"),
        tick(ago(seconds=1.5), "67187.3400"),
        tick(ago(microseconds=1), "12345678901234567890.12345678901234567890"),
        tick(NOW, "4"),
    )
    reply = get(BTC)
    assert points(reply) == [
        ("2026-11-21T10:00:00Z", "0.000000000056366"),
        ("2026-11-22T09:59:58.500000Z", "67187.3400"),
        ("2026-11-22T09:59:59.999999Z", "12345678901234567890.12345678901234567890"),
    ]
    assert reply.json["next"] is reply.json["downsampled"] is None
    assert reply.headers["cache-control"] == "private, no-cache"


def test_nothing_there_is_an_empty_history(get: Get) -> None:
    assert get(BTC).json == {"history": {}, "next": None, "downsampled": None}
    assert get(f"{BTC}?max_points=4").json == {"history": {}, "next": None, "downsampled": None}


@pytest.mark.parametrize("resolution", ["tick", "1m"])
def test_pages_follow_one_another_without_a_hole_and_end(get: Get, database: Database, resolution: str) -> None:
    save(database, *(tick(ago(minutes=i, seconds=0.25), str(i)) for i in range(1, 8)))
    found, cursors, cursor = [], [], ""
    while True:
        reply = get(f"{BTC}?limit=3&resolution={resolution}{cursor}")
        found += [value for _, value in points(reply)]
        cursors.append(cursor)
        if reply.json["next"] is None:
            break
        cursor = f"&cursor={reply.json['next']}"
    assert (found, len(cursors)) == (list("7654321"), 3)


def test_a_last_page_that_is_just_full_has_none_after_it(get: Get, database: Database) -> None:
    save(database, *(tick(ago(minutes=i), str(i)) for i in range(1, 4)))
    assert get(f"{BTC}?limit=3").json["next"] is None


def test_a_bucket_has_its_last_value_and_the_time_it_starts(get: Get, database: Database) -> None:
    save(
        database,
        *(tick(ago(hours=2, minutes=-i), str(1 + i), "70" if i < 50 else None) for i in range(60)),
        tick(ago(minutes=30), "1000", None),
    )
    its = {"2026-11-22T08:00:00Z": 60, "2026-11-22T09:00:00Z": 1000}
    assert get(f"{BTC}?resolution=1h").json["history"] == its
    assert get(f"{BTC}?resolution=1h&from=2026-11-22T08:00:01Z").json["history"] == {"2026-11-22T09:00:00Z": 1000}
    assert len(get(f"{BTC}?resolution=1m").json["history"]) == 61
    volumes = get(BTC.replace("price", "volume") + "?resolution=1h").json["history"]
    assert volumes == {"2026-11-22T08:00:00Z": 70}
    assert len(get(BTC.replace("price", "volume")).json["history"]) == 50


@pytest.mark.parametrize("thinned", ["", "&max_points=100"])
def test_as_of_a_time_is_what_had_arrived_by_then(get: Get, database: Database, thinned: str) -> None:
    save(
        database,
        tick(ago(hours=3), "1"),
        tick(ago(hours=3, minutes=-30), "2", fetched_at=ago(hours=1)),
        tick(ago(hours=2), "3", None),
    )
    then, now = "2026-11-22T08:30:00Z", "2026-11-22T09:30:00Z"
    ticks = {"2026-11-22T07:00:00Z": 1, "2026-11-22T07:30:00Z": 2, "2026-11-22T08:00:00Z": 3}
    assert get(f"{BTC}?as_of={now}{thinned}").json["history"] == ticks
    assert [*get(f"{BTC}?as_of={then}{thinned}").json["history"].values()] == [1, 3]
    for at, of_seven in ((then, 1), (now, 2)):
        hours = get(f"{BTC}?as_of={at}&resolution=1h{thinned}").json["history"]
        assert hours == {"2026-11-22T07:00:00Z": of_seven, "2026-11-22T08:00:00Z": 3}
    late = "&from=2026-11-22T07:00:01Z&to=2026-11-22T07:59:00Z"
    assert get(f"{BTC}?as_of={now}&resolution=1h{late}{thinned}").json["history"] == {}
    volumes = get(f"{BTC.replace('price', 'volume')}?as_of={now}{thinned}").json["history"]
    assert [*volumes] == ["2026-11-22T07:00:00Z", "2026-11-22T07:30:00Z"]


@pytest.mark.one_server
@pytest.mark.parametrize("thinned", ["", "&max_points=100"])
def test_as_of_a_time_is_for_seven_days_at_most_and_up_to_then_unless_said(
    get: Get, database: Database, thinned: str
) -> None:
    save(database, tick(ago(days=8), "1"), tick(ago(days=7), "2"))
    week = f"{BTC}?as_of=2026-11-22T09:00:00Z&from=2026-11-15T09:00:00Z{thinned}"
    assert get(week).json["history"] == {"2026-11-15T10:00:00Z": 2}
    assert get(f"{week}&to=2026-11-22T09:00:00Z").status == 200
    reply = get(f"{week}&to=2026-11-22T09:00:01Z")
    assert (reply.status, [error["where"] for error in reply.json["errors"]]) == (422, ["query.from"])
    assert "at most 7 days before `to`" in reply.json["errors"][0]["problem"]
    # An hour after which it was eight days ago.
    assert [*get(f"{BTC}?as_of=2026-11-14T11:00:00Z{thinned}").json["history"].values()] == [1]


def m4(values: Sequence[tuple[datetime, int]], parts: int) -> list[tuple[datetime, int]]:
    """First, last, lowest and highest of each part: plainly."""
    first, last = values[0][0], values[-1][0]
    kept: set[tuple[datetime, int]] = set()
    for part in range(parts):
        its = [v for v in values if min(parts - 1, int((v[0] - first) / (last - first) * parts)) == part]
        if its:
            kept |= {its[0], its[-1], min(its, key=lambda v: v[1]), max(its, key=lambda v: v[1])}
    return sorted(kept)


@pytest.mark.parametrize(("max_points", "resolution"), [(4, "tick"), (10, "tick"), (40, "tick"), (40, "1m")])
def test_thinned_it_keeps_first_last_lowest_and_highest_of_equal_parts(
    get: Get, database: Database, max_points: int, resolution: str
) -> None:
    # Irregular, and with a long hole.
    values = [(ago(minutes=600 - i - (300 if i > 150 else 0)), 100 + i * i % 97) for i in range(300)]
    save(database, *(tick(at, str(value)) for at, value in values))
    reply = get(f"{BTC}?max_points={max_points}&resolution={resolution}&limit=1")
    kept = [(datetime.fromisoformat(at), int(value)) for at, value in points(reply)]
    assert kept == m4(values, max_points // 4)
    assert len(kept) <= max_points
    assert (reply.json["downsampled"], reply.json["next"]) == ("m4", None)


def test_what_fits_is_not_thinned(get: Get, database: Database) -> None:
    save(database, *(tick(ago(minutes=i), str(i)) for i in range(1, 9)))
    reply = get(f"{BTC}?max_points=8")
    assert (len(points(reply)), reply.json["downsampled"]) == (8, None)
    assert [value for _, value in points(reply)] == list("87654321")


def test_more_than_can_be_thinned_is_said(get: Get, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.history.MOST_TO_THIN", 7)
    save(database, *(tick(ago(minutes=i), str(i)) for i in range(1, 9)))
    reply = get(f"{BTC}?max_points=4")
    assert (reply.status, reply.headers["content-type"]) == (422, "application/problem+json")
    assert "more than 7 points" in reply.json["detail"]
    assert get(f"{BTC}?max_points=4&from=2026-11-22T09:53:00Z").status == 200


def test_what_is_long_over_may_be_kept(get: Get) -> None:
    assert get(f"{BTC}?to=2026-11-20T09:59:59Z").headers["cache-control"] == "private, max-age=3600"
    assert get(f"{BTC}?to=2026-11-20T10:00:01Z").headers["cache-control"] == "private, no-cache"


@pytest.mark.one_server
def test_what_cannot_be_is_refused_and_what_was_never_watched_is_not_found(get: Get) -> None:
    for query in (
        "from=2026-11-22&to=2026-11-21",
        "limit=0",
        "limit=10001",
        "max_points=3",
        "resolution=2m",
        "cursor=AAAA",
        "cursor=!",
        "as_of=yesterday",
    ):
        assert get(f"{BTC}?{query}").status == 422, query
    assert get(f"{BTC}?to=0001-01-01").status == 422  # there are no 24 hours before
    assert get(BTC.replace("BTC", "XRP")).status == 404
    assert get(BTC.replace("price", "colour")).status == 404


@pytest.mark.one_server
@pytest.mark.parametrize("query", ["history_of_ticks", "history_of_candles"])
def test_a_day_is_read_by_the_key_of_its_symbol(database: Database, query: str) -> None:
    values: dict[str, Any] = {
        "type": "price", "symbol": "BTC", "since": ago(days=1), "until": NOW, "resolution": "1m",
        "before": "", "between": "", "after": "", "limit": 10,
    }  # fmt: skip

    def plan(cursor: psycopg2.extensions.cursor) -> list[str]:
        cursor.execute("SELECT make_partition(%s), make_partition(%s)", ("2026-10-01", "2026-11-01"))
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute("EXPLAIN (COSTS OFF) " + QUERIES[query], values)
        return [line for (line,) in cursor.fetchall() if "Scan" in line and "Subquery" not in line]

    (step,) = database.run(plan)
    assert "Index Scan using" in step
    assert "2026_11_pkey" in step or "candles_1m_pkey" in step
