"""Candles as the API gives them, held against the ticks themselves."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from app.alerts.states import Outcome
from app.api.buckets import LENGTHS, runs
from app.api.candles import Candle, Fill, Wanted, candles, page
from app.api.database import Reader
from app.api.edge import Edge
from app.db import Database
from app.model import Instrument, Tick
from app.store import Store
from tests.api import an_api
from tests.asgi import request
from tests.clock import FakeClock

NOW = datetime(2026, 10, 26, 12, 0, 30, tzinfo=UTC)
CHANGE = datetime(2026, 10, 25, tzinfo=UTC)  # the day on which clocks go back in Europe
LORD_HOWE = datetime(2026, 10, 3, 15, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MANY = 15


def tick(at: datetime, price: str, volume: str | None = "1000", arrived: datetime | None = None) -> Tick:
    return Tick("BTC", at, Decimal(price), Decimal(volume) if volume else None, None, arrived or at, "coingecko")


def store(database: Database, ticks: Iterable[Tick]) -> None:
    its = Store(database)
    its.save_instruments("coingecko", [Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin")])
    its.save(list(ticks), Outcome())


@pytest.fixture
def api(dsn: str, tmp_path: Path) -> Edge:
    return an_api(tmp_path, dsn, FakeClock(NOW))


def get(api: Edge, query: str) -> Any:
    reply = request(api, f"/api/v1/ohlcv/{query}")
    assert reply.status == 200, reply.body
    return json.loads(reply.body, parse_float=Decimal)


# Against brute force ------------------------------------------------------------------------------------------------


def brute(wanted: Wanted, ticks: Iterable[Tick]) -> list[Candle]:
    """By going through all ticks for each bucket."""
    stored = {t.timestamp: t for t in reversed(list(ticks))}  # the first of a time stands
    known = {at: t for at, t in stored.items() if wanted.as_of is None or t.fetched_at <= wanted.as_of}
    edges = [
        (run, run.begin + n * run.length, run.begin + (n + 1) * run.length)
        for run in runs(wanted.interval, wanted.zone, wanted.since, wanted.until)
        for n in range(run.count)
    ]
    earlier = [at for at in sorted(known) if at < edges[0][1]]
    before = known[earlier[-1]].price if earlier else None
    found = []
    for run, start, end in edges:
        its = [known[at] for at in sorted(known) if start <= at < end]
        is_filled = not its
        if is_filled and (wanted.fill == "none" or before is None or start > wanted.now):
            continue
        prices = [t.price for t in its] or [before]
        before = prices[-1]
        volumes = [t.volume_24h for t in its if t.volume_24h is not None] or [None]
        elapsed = max(1, (min(end, wanted.now) - start) // MINUTE)
        minutes = {(t.timestamp - start) // MINUTE for t in its} & set(range(elapsed))
        share = (Decimal(len(minutes)) / elapsed).quantize(Decimal("0.0001"), "ROUND_HALF_UP")
        wall = start.astimezone(wanted.zone)
        assert wall.utcoffset() == run.offset
        wall = wall.replace(tzinfo=timezone(run.offset))  # hours that come twice are never equal across zones
        found.append(
            Candle(
                *(start, end, prices[0], max(prices), min(prices), prices[-1], volumes[-1], len(its), share),
                forming=end > wanted.now,
                filled=is_filled,
                local=wall if wanted.parts["local"] else None,
                day=f"{wall:%Y-%m-%d}" if wanted.interval == "1d" else None,
            )
        )
    return found


SECONDS = st.one_of(st.integers(-200_000, 130_000), st.integers(120_000, 130_000))
TICKS = st.builds(
    lambda second, price, volume, late: tick(
        CHANGE + timedelta(seconds=second), price, volume, CHANGE + timedelta(seconds=second + late)
    ),
    SECONDS,
    st.sampled_from(["1", "2.50", "60781.97", "0.000000000056366", "99999999999999999999.123456789"]),
    st.sampled_from([None, "0", "3692454343", "0.1"]),
    st.sampled_from([0, 1, 90_000]),
)
WANTED = st.builds(
    lambda interval, zone, begin, length, fill, as_of: Wanted(
        symbol="BTC",
        interval=interval,
        zone=ZoneInfo(zone),
        since=CHANGE + begin * MINUTE,
        until=CHANGE + (begin + length) * MINUTE,
        now=min(NOW, as_of or NOW),
        fill=fill,
        as_of=as_of,
    ),
    st.sampled_from(list(LENGTHS)),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York"]),
    st.integers(-4000, 2000),
    st.integers(1, 5000),
    st.sampled_from(["none", "previous"]),
    st.sampled_from([None, None, CHANGE + timedelta(hours=20, seconds=20)]),
)


@settings(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ticks=st.lists(TICKS, max_size=40), many=st.lists(WANTED, min_size=12, max_size=12))
def test_candles_equal_what_one_makes_of_the_ticks(
    dsn: str, database: Database, ticks: list[Tick], many: list[Wanted]
) -> None:
    database.run(lambda cursor: cursor.execute("TRUNCATE ticker_data, candles"))
    store(database, ticks)
    with closing(_Reading(dsn)) as reader:
        for wanted in many:
            assert candles(reader, wanted) == brute(wanted, ticks)


class _Reading(Reader):
    def __init__(self, dsn: str) -> None:
        super().__init__(lambda: dsn)

    def close(self) -> None:
        for _, connection in self._idle:
            connection.close()


def test_pages_hold_together_what_one_answer_holds(dsn: str, database: Database) -> None:
    ticks = [tick(LORD_HOWE + 13 * n * MINUTE, str(n + 100)) for n in range(-99, 200)]
    store(database, ticks)
    with closing(_Reading(dsn)) as reader:
        for interval, zone, fill in product(("15m", "1h", "4h", "1d"), ("UTC", "Australia/Lord_Howe"), get_args(Fill)):
            wanted = Wanted(
                symbol="BTC",
                interval=interval,
                zone=ZoneInfo(zone),
                since=LORD_HOWE - timedelta(hours=30),
                until=LORD_HOWE + timedelta(hours=50),
                now=NOW,
                fill=fill,
            )
            whole = brute(wanted, ticks)
            assert candles(reader, wanted) == whole
            paged: list[datetime] = []
            following: datetime | None = wanted.since
            while following is not None:
                its = page(reader, replace(wanted, since=following), 7)
                assert len(its.lines) <= 7
                paged += [line.start for line in its.lines]
                following = its.next
            assert paged == [candle.bucket for candle in whole]


# The address --------------------------------------------------------------------------------------------------------


def test_a_local_day_of_25_hours_is_one_candle_with_its_date(api: Edge, database: Database) -> None:
    first, last = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 22, 59, 59, tzinfo=UTC)
    store(database, [tick(first, "1.10"), tick(last, "2"), tick(last + timedelta(seconds=1), "3")])
    found = get(api, "btc?interval=1d&tz=Europe/Berlin&from=2026-10-25&to=2026-10-25T12:00:00Z")
    assert (found["symbol"], found["interval"], found["tz"], found["next"]) == ("BTC", "1d", "Europe/Berlin", None)
    assert found["candles"] == [
        {
            "bucket": "2026-10-24T22:00:00Z",
            "end": "2026-10-25T23:00:00Z",
            "local": "2026-10-25T00:00:00+02:00",
            "day": "2026-10-25",
            "open": Decimal("1.10"),
            "high": 2,
            "low": Decimal("1.10"),
            "close": 2,
            "volume": 1000,
            "ticks": 2,
            "coverage": Decimal("0.0013"),
            "forming": False,
        }
    ]


@pytest.mark.one_server
def test_every_candle_that_has_a_part_of_the_time_is_there_whole(api: Edge, database: Database) -> None:
    start = NOW.replace(minute=0, second=0) - timedelta(hours=5)
    store(database, [tick(start + n * MINUTE, str(n + 1)) for n in range(180)])
    found = get(api, "BTC?interval=1h&from=2026-10-26T07:59:59.999Z&to=2026-10-26T08:00:00.001Z")["candles"]
    assert [(c["bucket"], c["ticks"]) for c in found] == [("2026-10-26T07:00:00Z", 60), ("2026-10-26T08:00:00Z", 60)]
    found = get(api, "BTC?interval=1h&from=2026-10-26T07:00:00Z&to=2026-10-26T08:00:00Z")["candles"]
    assert [c["bucket"] for c in found] == ["2026-10-26T07:00:00Z"]


@pytest.mark.one_server
def test_the_candle_whose_end_is_to_come_is_forming_and_its_coverage_is_of_what_is_over(
    api: Edge, database: Database
) -> None:
    hour = NOW.replace(minute=0, second=0)
    store(database, [tick(hour - timedelta(hours=1), "1"), tick(hour, "2"), tick(NOW, "3")])
    closed, forming = get(api, "BTC?interval=1h")["candles"]
    assert (closed["forming"], closed["coverage"]) == (False, Decimal("0.0167"))
    assert (forming["forming"], forming["coverage"]) == (True, 1)
    (day,) = get(api, "BTC?interval=1d")["candles"]
    assert (day["forming"], day["coverage"]) == (True, Decimal("0.0014"))  # 1 of 720 minutes; this one is not over


@pytest.mark.one_server
def test_filled_candles_stand_at_the_close_before_and_say_so(api: Edge, database: Database) -> None:
    store(database, [tick(NOW - timedelta(hours=30), "5.50", "7"), tick(NOW - 3 * MINUTE, "6", "8")])
    found = get(api, "BTC?interval=1m&fill=previous&from=2026-10-26T11:56:00Z&to=2026-10-26T13:00:00Z")["candles"]
    assert [(c["bucket"][11:16], c["close"], c["volume"], c["ticks"], c["filled"], c["forming"]) for c in found] == [
        ("11:56", Decimal("5.50"), None, 0, True, False),
        ("11:57", 6, 8, 1, False, False),
        ("11:58", 6, None, 0, True, False),
        ("11:59", 6, None, 0, True, False),
        ("12:00", 6, None, 0, True, True),
    ]
    assert {c["coverage"] for c in found if c["filled"]} == {0}


@pytest.mark.one_server
def test_nothing_is_filled_before_the_first_tick_however_far_back_one_asks(api: Edge, database: Database) -> None:
    store(database, [tick(NOW - 3 * MINUTE, "6")])
    found = get(api, "BTC?interval=1m&fill=previous&from=2009-01-03")
    assert [c["bucket"] for c in found["candles"]] == [
        f"2026-10-26T{t}:00Z" for t in ("11:57", "11:58", "11:59", "12:00")
    ]
    assert get(api, "BTC?interval=1m&fill=previous&to=2026-10-25")["candles"] == []


@pytest.mark.one_server
def test_as_of_gives_what_was_known_then_and_judges_forming_then(api: Edge, database: Database) -> None:
    hour = NOW.replace(minute=0, second=0) - timedelta(hours=2)
    late = tick(hour + MINUTE, "9", arrived=hour + timedelta(hours=1))
    store(database, [tick(hour, "1"), late, tick(hour + 5 * MINUTE, "2")])
    (then,) = get(api, "BTC?interval=1h&as_of=2026-10-26T10:20:00Z")["candles"]
    assert (then["high"], then["ticks"], then["forming"], then["coverage"]) == (2, 2, True, Decimal("0.1000"))
    (now,) = get(api, "BTC?interval=1h")["candles"]
    assert (now["high"], now["ticks"], now["forming"]) == (9, 3, False)


@pytest.mark.one_server
def test_pages_go_on_by_their_cursor(api: Edge, database: Database) -> None:
    store(database, [tick(NOW - n * 2 * MINUTE, "1") for n in range(25)])
    seen, following = [], ""
    while following is not None:
        found = get(api, f"BTC?interval=1m&limit=10{following and f'&cursor={following}'}")
        seen += [c["bucket"] for c in found["candles"]]
        following = found["next"]
    assert len(seen) == len(set(seen)) == 25
    assert seen == sorted(seen)


@pytest.mark.one_server
def test_csv_has_the_same_in_as_many_lines_as_there_are(api: Edge, database: Database) -> None:
    begin = "2026-10-01T00:00:00Z"
    database.run(
        lambda cursor: cursor.execute(
            "INSERT INTO instruments (symbol, base, quote, market) VALUES ('BTC', 'BTC', 'USD', 'coingecko');"
            "INSERT INTO candles (width, symbol, bucket, open, open_at, high, low, close, close_at, ticks, minutes)"
            f" SELECT '1m', 'BTC', at, 1.50, at, 3, 1, 2, at, 1, B'1' FROM generate_series('{begin}'::timestamptz,"
            f" '{begin}'::timestamptz + interval '10499 minutes', '1 minute') AS at"
        )
    )
    query = f"/api/v1/ohlcv/BTC?interval=1m&from={begin}"
    reply = request(api, f"{query}&format=csv")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.headers["content-disposition"] == 'attachment; filename="BTC-1m.csv"'
    assert reply.body.count(b"\r\n") == reply.body.count(b"\n") == 10_501
    lines = list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))
    as_json = request(api, query).json
    assert len(as_json["candles"]) == 10_000
    assert as_json["next"] is not None
    assert lines[0] == {k: "" if v is None else json.dumps(v) for k, v in as_json["candles"][0].items()} | {
        "bucket": begin,
        "end": "2026-10-01T00:01:00Z",
        "open": "1.50",
        "coverage": "1.0000",
    }
    assert len(request(api, f"{query}&format=csv&limit=10200").body) < 1000  # refused: one page has 10,000
    assert request(api, f"{query}&format=csv&limit=7").body.count(b"\n") == 8


@pytest.mark.one_server
def test_no_cell_begins_like_a_formula(api: Edge, database: Database) -> None:
    store(database, [tick(NOW - MINUTE, "0.000000000056366", None)])
    body = request(api, "/api/v1/ohlcv/BTC?format=csv&tz=America/New_York&fill=previous&interval=1d").body.decode()
    cells = [cell for row in csv.reader(io.StringIO(body, newline="")) for cell in row]
    assert "0.000000000056366" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.one_server
def test_what_is_over_for_long_may_be_kept_and_nothing_else(api: Edge, database: Database) -> None:
    store(database, [tick(NOW - timedelta(days=9), "1")])

    def control(query: str) -> str:
        return request(api, f"/api/v1/ohlcv/BTC?{query}").headers["cache-control"]

    assert control("to=2026-10-20&interval=1d") == "private, max-age=3600"
    assert control("to=2026-10-20&interval=1d&format=csv") == "private, max-age=3600"
    assert control("to=2026-10-25&interval=1d") == "private, no-cache"
    assert control("from=2026-10-01&interval=1d") == "private, no-cache"


ASKED = {
    "BTC?to=0001-01-01&interval=1d": 200,
    "BTC?from=0001-01-01&interval=1m&tz=Asia/Kolkata": 200,
    "BTC?from=2030-01-01&to=9999-12-31&tz=Asia/Kolkata": 200,
    "BTC?from=9999-12-31T23:59:59Z": 422,
    "BTC?from=2026-01-02&to=2026-01-01": 422,
    "BTC?interval=7m": 422,
    "BTC?tz=Mars/Base": 422,
    "BTC?fill=zero": 422,
    "BTC?limit=0": 422,
    "BTC?limit=10001": 422,
    "BTC?cursor=AAAA": 422,
    "BTC?as_of=2026-10-20&from=2026-10-01": 422,
    "BTC?as_of=2026-10-20&interval=1d": 200,
    "BTC?as_of=0001-01-01&fill=previous": 200,
    "BTC?as_of=9999-12-31&from=9999-12-30": 200,
    "NOPE": 404,
}


@pytest.mark.one_server
def test_edges_of_what_can_be_asked(api: Edge, database: Database) -> None:
    store(database, [tick(NOW - MINUTE, "1")])
    answered = {query: request(api, f"/api/v1/ohlcv/{query}").status for query in ASKED}
    assert answered == ASKED


@pytest.mark.one_server
def test_a_wrong_zone_names_the_nearest(api: Edge, database: Database) -> None:
    store(database, [tick(NOW - MINUTE, "1")])
    (error,) = request(api, "/api/v1/ohlcv/BTC?tz=Europa/Berlin").json["errors"]
    assert error["where"] == "query.tz"
    assert "do you mean Europe/Berlin?" in error["problem"]
