"""The datafeed for TradingView's charting library, read as the library reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from app.alerts.states import Outcome
from app.api.edge import Edge
from app.db import Database
from app.model import Alert, Instrument, State, Tick
from app.store import Store
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock
from tests.sse import served

pytestmark = pytest.mark.one_server

NOW = datetime(2026, 11, 22, 10, 2, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LENGTHS = {"1": 60, "5": 300, "15": 900, "60": 3600, "240": 14400, "1D": 86400}
COLUMNS = "tohlc"

Get = Callable[[str], Reply]
Bar = tuple[int, Decimal, Decimal, Decimal, Decimal]


def tick(at: datetime, price: str, symbol: str = "BTC") -> Tick:
    return Tick(symbol, at, Decimal(price), Decimal(1000), None, at, "coingecko")


@pytest.fixture
def api(dsn: str, tmp_path: Path) -> Edge:
    return an_api(tmp_path, dsn, FakeClock(NOW), api_requests_per_second=10_000)


@pytest.fixture
def store(database: Database) -> Store:
    its = Store(database)
    its.save_instruments(
        "coingecko",
        [
            Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin", "Bitcoin"),
            Instrument("BTC", "EUR", "coingecko", "BTC-EUR", "bitcoin", "Bitcoin"),
            Instrument("WBTC", "USD", "coingecko", "WBTC", "wrapped-bitcoin", "Wrapped Bitcoin"),
        ],
    )
    its.save_instruments("kraken", [Instrument("ETH", "USD", "kraken", "ETH@kraken", "XETHZUSD")])
    return its


@pytest.fixture
def get(api: Edge, store: Store) -> Get:
    return lambda path: request(api, f"/udf{path}")


def exact(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    return json.loads(reply.body, parse_float=Decimal)


def with_holes() -> list[Tick]:
    """Ten days of ticks, some a minute apart, with holes of minutes, hours and days."""
    ats = [NOW - timedelta(seconds=n * 47) for n in range(200)]
    ats += [NOW - 9 * HOUR - n * 7 * MINUTE for n in range(100)]
    ats += [NOW - 4 * DAY - n * 3 * HOUR for n in range(30)]
    ats += [NOW - 10 * DAY]
    return [tick(at, f"{60000 + n * 37 % 101}.5") for n, at in enumerate(reversed(ats))]


def bars_of(ticks: Sequence[Tick], length: int) -> list[Bar]:
    """By going through them all."""
    prices: dict[int, list[Decimal]] = {}
    for its in sorted(ticks, key=lambda its: its.timestamp):
        prices.setdefault(int(its.timestamp.timestamp()) // length * length, []).append(its.price)
    return [(start, its[0], max(its), min(its), its[-1]) for start, its in prices.items()]


def rows(reply: Any) -> list[Bar]:
    assert set(reply) == {"s", *COLUMNS}, reply
    assert reply["s"] == "ok"
    return list(zip(*(reply[column] for column in COLUMNS), strict=True))


@pytest.fixture
def root(api: Edge, store: Store) -> Iterator[str]:
    with served(api) as port:
        yield f"http://127.0.0.1:{port}/udf"


def test_a_chart_scrolled_back_to_the_beginning_gets_each_bar_once(root: str, store: Store) -> None:
    """As the library does: so many bars before a time, then as many before the first of them, until there are none."""
    ticks = with_holes()
    store.save(ticks, Outcome())
    with requests.Session() as session:

        def ask(path: str, **query: object) -> Any:
            return json.loads(session.get(f"{root}{path}", params=query, timeout=30).text, parse_float=Decimal)  # type: ignore[arg-type]

        assert ask("/config")["supports_time"]
        now = int(session.get(f"{root}/time", timeout=30).text)
        assert now == int(NOW.timestamp())
        symbol = ask("/symbols", symbol="BTC")["ticker"]
        for resolution in ask("/config")["supported_resolutions"]:
            length, count = LENGTHS[resolution], 61
            to, bars = now + length, list[Bar]()
            while True:
                since = to - count * length
                reply = ask("/history", symbol=symbol, resolution=resolution, countback=count, to=to, **{"from": since})
                if reply["s"] == "no_data":
                    break
                found = rows(reply)
                assert [bar[0] for bar in found] == sorted({bar[0] for bar in found})
                assert len(found) <= count
                bars, to = found + bars, found[0][0]
            assert reply == {"s": "no_data"}  # a nextTime would have the library go on
            assert bars == bars_of(ticks, length), resolution


def test_an_older_library_is_led_over_holes_by_next_time(get: Get, store: Store) -> None:
    ticks = with_holes()
    store.save(ticks, Outcome())
    for resolution, length in LENGTHS.items():
        to, bars, asked = int(NOW.timestamp()) + 1, list[Bar](), 0
        span = 30 * length
        while True:
            since = to - span
            reply = exact(get(f"/history?symbol=BTC&resolution={resolution}&from={since}&to={to}"))
            asked += 1
            if reply["s"] == "ok":
                bars, to = rows(reply) + bars, since
            elif "nextTime" in reply:
                assert reply["nextTime"] < since
                to = reply["nextTime"] + 1
            else:
                break
        assert bars == bars_of(ticks, length), resolution
        assert asked < 700


def test_from_is_included_and_to_is_not_and_bars_are_whole(get: Get, store: Store) -> None:
    ticks = with_holes()
    store.save(ticks, Outcome())
    start = int((NOW - HOUR).timestamp()) // 900 * 900
    whole = {bar[0]: bar for bar in bars_of(ticks, 900)}

    def bars(since: int, to: int, more: str = "") -> list[int]:
        found = rows(exact(get(f"/history?symbol=btc&resolution=15&from={since}&to={to}{more}")))
        assert found == [whole[bar[0]] for bar in found]
        return [bar[0] for bar in found]

    assert bars(start, start + 1800) == [start, start + 900]
    assert bars(start + 1, start + 1801) == [start + 900, start + 1800]
    assert bars(start + 1700, start + 1801, "&countback=1") == [start + 1800]
    assert bars(start + 1700, start + 1800, "&countback=2") == [start, start + 900]


def test_no_more_than_ten_thousand_bars_are_given_the_newest(get: Get, database: Database, store: Store) -> None:
    database.run(lambda c: c.execute(
        "INSERT INTO candles (width, symbol, bucket, open, open_at, high, low, close, close_at, ticks, minutes)"
        " SELECT '1m', 'BTC', at, 1, at, 1, 1, 1, at, 1, B'1'"
        " FROM generate_series(now() - interval '10100 minutes', now(), interval '1 minute') AS t (t),"
        " date_bin('1 minute', t, 'epoch') AS at"
    ))  # fmt: skip
    for more in ("", "&countback=99999"):
        found = rows(exact(get(f"/history?symbol=BTC&resolution=1&from=0&to=99999999999{more}")))
        assert len(found) == 10_000
        assert found[-1][0] - found[0][0] == 60 * 9_999


def test_a_symbol_without_a_tick_has_no_data(get: Get, store: Store) -> None:
    assert exact(get("/history?symbol=BTC-EUR&resolution=60&from=-5&to=5")) == {"s": "no_data"}
    assert exact(get("/history?symbol=BTC-EUR&resolution=60&from=0&to=5&countback=5")) == {"s": "no_data"}


WRONG = [
    ("/symbols?symbol=NOTHING", 404, "unknown_symbol"),
    ("/symbols?symbol=%27%3B--", 404, "unknown_symbol"),
    ("/history?symbol=NOTHING&resolution=60&from=0&to=1", 404, "unknown_symbol"),
    ("/marks?symbol=NOTHING&resolution=60&from=0&to=1", 404, "unknown_symbol"),
    ("/history?symbol=BTC&resolution=7&from=0&to=1", 422, "query.resolution"),
    ("/history?symbol=BTC&resolution=60&to=1", 422, "query.from"),
    ("/quotes", 404, "nothing at this address"),
]


def test_errors_are_said_in_the_words_of_the_protocol(get: Get) -> None:
    for path, status, says in WRONG:
        reply = get(path)
        assert (path, reply.status, reply.json["s"], set(reply.json)) == (path, status, "error", {"s", "errmsg"})
        assert says in reply.json["errmsg"]
        assert reply.headers["content-type"] == "application/json"


def test_a_parameter_that_we_do_not_know_is_passed_over(get: Get, store: Store) -> None:
    assert get("/config?firstDataRequest=true").status == 200
    assert get("/symbols?symbol=BTC&currencyCode=USD").status == 200


def test_a_symbol_says_how_it_is_to_be_shown(get: Get, store: Store) -> None:
    store.save([tick(NOW - MINUTE, "67187.3"), tick(NOW, "67187.3358936")], Outcome())
    its = exact(get("/symbols?symbol=BTC@coingecko"))
    assert (its["name"], its["ticker"], its["description"]) == ("BTC", "BTC", "Bitcoin / USD")
    assert (its["type"], its["session"], its["timezone"]) == ("crypto", "24x7", "Etc/UTC")
    assert (its["minmov"], its["pricescale"]) == (1, 1000)
    assert its["exchange"] == "coingecko"
    assert set(its["intraday_multipliers"]) < set(its["supported_resolutions"]) == set(LENGTHS)
    assert (its["has_intraday"], its["has_daily"], its["has_no_volume"]) == (True, True, True)
    assert exact(get("/symbols?symbol=BTC-EUR"))["pricescale"] == 100


def test_symbols_are_found_by_a_part_of_them_or_of_a_name(get: Get, store: Store) -> None:
    def found(query: str) -> list[str]:
        return [its["ticker"] for its in exact(get(f"/search?{query}"))]

    assert found("query=btc&limit=30") == ["BTC", "BTC-EUR", "WBTC"]
    assert found("query=wrapped&type=&exchange=") == ["WBTC"]
    assert found("query=&exchange=kraken") == ["ETH@kraken"]
    assert found("query=b&limit=1") == ["BTC"]
    assert found("query=%25") == found("query=btc&type=stock") == []
    (its,) = exact(get("/search?query=eth"))
    assert (its["exchange"], its["type"], its["description"]) == ("kraken", "crypto", "ETH / USD")


def test_the_configuration_names_the_markets_that_are_watched(get: Get, store: Store) -> None:
    its = exact(get("/config"))
    assert [exchange["value"] for exchange in its["exchanges"]] == ["", "coingecko", "kraken"]
    assert (its["supports_search"], its["supports_group_request"]) == (True, False)


def test_alerts_are_marks(get: Get, store: Store) -> None:
    firing = Alert("3f2a9c0d11e4", State.FIRING, NOW - HOUR, "BTC", "price-2pct-5m", (("price", "67187.34"),))
    resolved = Alert("3f2a9c0d11e4", State.RESOLVED, NOW, "BTC", "price-2pct-5m", (("price", "66000"),))
    others = Alert("3f2a9c0d11e5", State.FIRING, NOW, "BTC-EUR", "price-2pct-5m", (("price", "1"),))
    outcome = Outcome()
    outcome.alerts.extend([firing, resolved, others])
    store.save([tick(NOW, "66000")], outcome)
    since = int((NOW - HOUR).timestamp())
    its = exact(get(f"/marks?symbol=BTC&resolution=60&from={since}&to={since + 7200}"))
    assert its["time"] == [since, since + 3600]
    assert (its["label"], its["color"]) == (["F", "R"], ["red", "green"])
    assert "price-2pct-5m" in its["text"][0]
    assert "67187.34" in its["text"][0]
    assert len(set(its["id"])) == 2
    assert {len(column) for column in its.values()} == {2}
    assert exact(get(f"/marks?symbol=BTC&resolution=60&from={since}&to={since + 3600}"))["time"] == [since]
