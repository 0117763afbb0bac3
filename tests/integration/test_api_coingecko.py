"""The mirror of CoinGecko, asked by its own clients over HTTP, and held against its published specification."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import coingecko_sdk
import jsonschema_rs
import pytest
from pycoingecko import CoinGeckoAPI

from app.alerts.states import Outcome
from app.api.coingecko import markets, mirrored
from app.api.edge import Edge
from app.db import Database, execute
from app.model import Instrument, Tick
from app.store import Store
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock
from tests.conftest import SHARED
from tests.sse import served

pytestmark = pytest.mark.one_server

NOW = datetime(2026, 11, 22, 10, 2, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ROOT = "/coingecko/api/v3"

WATCHED = [
    Instrument("BTC", "USD", "coingecko", "BTC", "bitcoin", "Bitcoin"),
    Instrument("BTC", "EUR", "coingecko", "BTC-EUR", "bitcoin", "Bitcoin"),
    Instrument("ETH", "USD", "coingecko", "ETH", "ethereum", "Ethereum"),
    Instrument("WIF", "USD", "coingecko", "WIF", "dogwifcoin", "dogwifhat"),
]

Get = Callable[[str], Reply]


def tick(symbol: str, at: datetime, price: str, volume: str | None = "1000", cap: str | None = "2000000") -> Tick:
    its = [None if text is None else Decimal(text) for text in (volume, cap)]
    return Tick(symbol, at, Decimal(price), its[0], its[1], at, "coingecko")


@pytest.fixture
def api(dsn: str, tmp_path: Path) -> Edge:
    return an_api(tmp_path, dsn, FakeClock(NOW), api_requests_per_second=10_000)


@pytest.fixture
def store(database: Database) -> Store:
    its = Store(database)
    its.save_instruments("coingecko", WATCHED)
    return its


@pytest.fixture
def get(api: Edge, store: Store) -> Get:
    return lambda path: request(api, f"{ROOT}{path}")


@pytest.fixture
def root(api: Edge, store: Store) -> Iterator[str]:
    with served(api) as port:
        yield f"http://127.0.0.1:{port}{ROOT}"


@pytest.fixture
def pycoingecko(root: str) -> CoinGeckoAPI:
    client = CoinGeckoAPI(demo_api_key="CG-of-theirs")
    client.api_base_url = f"{root}/"
    return client


@pytest.fixture
def sdk(root: str) -> Iterator[coingecko_sdk.Coingecko]:
    with coingecko_sdk.Coingecko(demo_api_key="CG-of-theirs", base_url=root, max_retries=0) as client:
        yield client


def save(store: Store, *ticks: Tick) -> None:
    store.save(ticks, Outcome())


def exact(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    return json.loads(reply.body, parse_float=Decimal)


def three_days(symbol: str = "BTC") -> list[Tick]:
    """A tick every five minutes, each minute of a different second."""
    return [
        tick(symbol, NOW - n * 5 * MINUTE - timedelta(seconds=n % 7, milliseconds=n % 13), f"{60000 + n}.125", f"{n}.5")
        for n in range(3 * 288, -1, -1)
    ]


# Both real clients ---------------------------------------------------------------------------------------------------


def test_pycoingecko_gets_prices_markets_and_charts_from_our_history(pycoingecko: CoinGeckoAPI, store: Store) -> None:
    save(store, *three_days(), tick("BTC-EUR", NOW - MINUTE, "55000.5"))
    assert pycoingecko.ping() == {"gecko_says": "(V3) To the Moon!"}
    assert pycoingecko.get_price(
        ["bitcoin", "no-such-coin"], ["usd", "eur"], include_market_cap=True, include_24hr_vol=True,
        include_24hr_change=True, include_last_updated_at=True, precision="full",
    ) == {
        "bitcoin": {
            "usd": 60000.125,
            "usd_market_cap": 2000000,
            "usd_24h_vol": 0.5,
            "usd_24h_change": pytest.approx((60000.125 / 60288.125 - 1) * 100, abs=1e-12),
            "eur": 55000.5,
            "eur_market_cap": 2000000,
            "eur_24h_vol": 1000,
            "eur_24h_change": None,
            "last_updated_at": int(NOW.timestamp()),
        }
    }  # fmt: skip
    (row,) = pycoingecko.get_coins_markets("usd", ids="bitcoin")
    assert (row["id"], row["symbol"], row["name"], row["current_price"]) == ("bitcoin", "btc", "Bitcoin", 60000)
    chart = pycoingecko.get_coin_market_chart_by_id("bitcoin", "usd", 1)
    assert [len(chart[name]) for name in ("prices", "market_caps", "total_volumes")] == [288] * 3
    assert chart["prices"][-1] == [NOW.timestamp() * 1000, 60000.125]
    assert pycoingecko.get_supported_vs_currencies() == ["eur", "usd"]
    assert [coin["id"] for coin in pycoingecko.get_coins_list()] == ["bitcoin", "dogwifcoin", "ethereum"]
    ranged = pycoingecko.get_coin_market_chart_range_by_id(
        "bitcoin", "usd", int((NOW - 3 * HOUR).timestamp()), int(NOW.timestamp())
    )
    assert ranged["prices"] == chart["prices"][-len(ranged["prices"]) :]
    assert len(ranged["prices"]) == 36
    assert len(pycoingecko.get_coin_ohlc_by_id("bitcoin", "usd", "1")[0]) == 5


def test_the_official_client_gets_prices_markets_and_charts_from_our_history(
    sdk: coingecko_sdk.Coingecko, store: Store
) -> None:
    save(store, *three_days())
    assert sdk.ping.get().gecko_says == "(V3) To the Moon!"
    price = sdk.simple.price.get(
        ids="bitcoin,no-such-coin", vs_currencies="usd", include_24hr_change=True, include_last_updated_at=True
    )
    assert list(price) == ["bitcoin"]
    assert price["bitcoin"].usd == 60000
    assert price["bitcoin"].last_updated_at == NOW.timestamp()
    (row,) = sdk.coins.markets.get(vs_currency="usd", ids="bitcoin", sparkline=True, price_change_percentage="1h,7d")
    assert (row.current_price, row.market_cap_rank, row.last_updated) == (60000, None, NOW)
    assert row.sparkline_in_7d is not None
    assert row.sparkline_in_7d.price is not None
    assert len(row.sparkline_in_7d.price) == 73  # three days of hours, and the one of now
    assert row.price_change_percentage_1h_in_currency == pytest.approx((60000.125 / 60012.125 - 1) * 100)
    assert row.price_change_percentage_7d_in_currency is None
    assert len(sdk.coins.market_chart.get("bitcoin", vs_currency="usd", days="1").prices) == 288
    since, until = (str(int(time.timestamp())) for time in (NOW - 2 * HOUR, NOW))
    ranged = sdk.coins.market_chart.get_range("bitcoin", vs_currency="usd", from_=since, to=until)
    assert len(ranged.prices) == 24
    assert len(sdk.coins.ohlc.get("bitcoin", vs_currency="usd", days="7")) == 19
    assert [coin.symbol for coin in sdk.coins.list.get()] == ["btc", "wif", "eth"]
    assert sdk.simple.supported_vs_currencies.get() == ["eur", "usd"]


def test_both_clients_understand_what_they_are_refused_with(
    pycoingecko: CoinGeckoAPI, sdk: coingecko_sdk.Coingecko
) -> None:
    with pytest.raises(ValueError, match="coin not found"):
        pycoingecko.get_coin_market_chart_by_id("no-such-coin", "usd", 1)
    with pytest.raises(ValueError, match="invalid vs_currency"):
        pycoingecko.get_coins_markets("usdt")
    with pytest.raises(coingecko_sdk.NotFoundError) as not_found:
        sdk.coins.market_chart.get("no-such-coin", vs_currency="usd", days="1")
    assert not_found.value.body == {"error": "coin not found"}
    with pytest.raises(coingecko_sdk.BadRequestError):
        sdk.coins.markets.get(vs_currency="usdt")


# simple/price --------------------------------------------------------------------------------------------------------


def test_what_is_not_watched_is_left_out_and_what_is_watched_elsewise_is_empty(get: Get, store: Store) -> None:
    save(store, tick("BTC", NOW, "1"))
    store.save_instruments("coingecko", [WATCHED[0], WATCHED[2]])  # dogwifcoin is not watched any more
    assert exact(get("/simple/price?ids=dogwifcoin&vs_currencies=usd")) == {}
    assert exact(get("/simple/price?ids=ethereum,bitcoin&vs_currencies=usd,zar")) == {
        "bitcoin": {"usd": 1},
        "ethereum": {},  # no tick yet
    }
    assert exact(get("/simple/price?ids=bitcoin&vs_currencies=zar")) == {"bitcoin": {}}
    # As with the original, a blank behind a comma belongs to the name.
    assert exact(get("/simple/price?ids=ethereum,%20bitcoin&vs_currencies=usd")) == {"ethereum": {}}


def test_coins_are_found_by_name_and_ticker_too(get: Get, store: Store) -> None:
    save(store, tick("BTC", NOW, "67187.33589365664"))
    for query in ("names=bitcoin", "symbols=BTC", "symbols=btc&include_tokens=all", "ids=bitcoin&names=x"):
        assert exact(get(f"/simple/price?{query}&vs_currencies=usd")) == {"bitcoin": {"usd": 67187}}
    for precision, shown in (("full", "67187.33589365664"), ("0", "67187"), ("3", "67187.336")):
        found = exact(get(f"/simple/price?ids=bitcoin&vs_currencies=usd&precision={precision}"))
        assert found == {"bitcoin": {"usd": Decimal(shown)}}


REFUSED: list[tuple[str, int, Any]] = [
    ("/simple/price?vs_currencies=usd", 422, {"error": "Missing parameter ids"}),
    ("/simple/price?ids=bitcoin", 422, {"error": "Missing parameter vs_currencies"}),
    ("/simple/price?ids=bitcoin&vs_currencies=usd&precision=19", 400, {"error": "invalid precision"}),
    ("/coins/markets", 422, {"error": "Missing parameter vs_currency"}),
    ("/coins/markets?vs_currency=zar", 400, {"error": "invalid vs_currency"}),
    ("/coins/markets?vs_currency=usd&page=0", 400, {"error": "invalid page"}),
    ("/coins/nothing/market_chart?vs_currency=usd&days=1", 404, {"error": "coin not found"}),
    ("/coins/ethereum/market_chart?vs_currency=eur&days=1", 400, {"error": "invalid vs_currency"}),
    ("/coins/bitcoin/market_chart?vs_currency=usd", 422, {"error": "Missing parameter days"}),
    ("/coins/bitcoin/market_chart?vs_currency=usd&days=-1", 400, {"error": "invalid days"}),
    ("/coins/bitcoin/market_chart?vs_currency=usd&days=99999", 200, None),
    ("/coins/bitcoin/market_chart/range?vs_currency=usd&from=x&to=1", 400, {"error": "invalid from"}),
    ("/coins/bitcoin/market_chart/range?vs_currency=usd&from=0&to=999999999999999", 200, None),
    ("/coins/bitcoin/market_chart/range?vs_currency=usd&from=2&to=1", 200, None),
    ("/coins/bitcoin/ohlc?vs_currency=usd&days=2", 400, {"error": "invalid days"}),
]


def test_refusals_have_the_words_of_the_original(get: Get) -> None:
    for path, status, body in REFUSED:
        reply = get(path)
        assert (path, reply.status) == (path, status)
        if body is not None:
            assert (path, reply.json) == (path, body)
            assert reply.headers["content-type"] == "application/json"


def test_keys_and_parameters_of_theirs_are_passed_over_and_the_last_of_two_counts(api: Edge, get: Get) -> None:
    path = f"{ROOT}/simple/price?ids=x&ids=bitcoin&vs_currencies=usd&x_cg_pro_api_key=CG-1&what=ever"
    reply = request(api, path, headers={"x-cg-demo-api-key": "CG-1"})
    assert (reply.status, reply.json) == (200, {"bitcoin": {}})


def test_who_may_not_ask_is_told_so_as_the_original_does(api: Edge) -> None:
    reply = request(api, f"{ROOT}/ping", client=("203.0.113.9", 1))
    assert reply.status == 401
    assert set(reply.json) == {"status"}
    assert reply.json["status"]["error_code"] == 401
    assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_database_that_is_away_is_said_as_the_original_says_such(tmp_path: Path) -> None:
    reply = request(
        an_api(tmp_path, lambda: None, FakeClock(NOW)), f"{ROOT}/simple/price?ids=bitcoin&vs_currencies=usd"
    )
    assert reply.status == 503
    assert reply.json["status"] == {"error_code": 503, "error_message": "The database does not answer."}
    assert "retry-after" in reply.headers


# 24 hours ------------------------------------------------------------------------------------------------------------


def test_the_change_of_a_day_is_known_only_where_there_is_a_tick_nearly_a_day_old(get: Get, store: Store) -> None:
    cases = [(DAY, 100), (DAY + HOUR, 100), (DAY - timedelta(seconds=1), None), (DAY + 2 * HOUR, None)]
    coins = [Instrument(f"C{n}", "USD", "coingecko", f"C{n}", f"c-{n}", f"C{n}") for n in range(len(cases))]
    store.save_instruments("coingecko", coins)
    for coin, (before, _) in zip(coins, cases, strict=True):
        save(store, tick(coin.symbol, NOW - before, "50", cap="500"), tick(coin.symbol, NOW, "100", cap="750"))
    found = exact(get("/simple/price?ids=c-0,c-1,c-2,c-3&vs_currencies=usd&include_24hr_change=true"))
    for row, (_, change) in zip(exact(get("/coins/markets?vs_currency=usd")), cases, strict=True):
        assert found[row["id"]]["usd_24h_change"] == change
        assert row["price_change_percentage_24h"] == change
        assert row["price_change_24h"] == (None if change is None else 50)
        assert row["market_cap_change_24h"] == (None if change is None else 250)
        assert row["market_cap_change_percentage_24h"] == (None if change is None else 50)
        assert (row["high_24h"] is None) == (change is None)


def test_the_change_of_a_day_is_unknown_where_the_price_is_old(get: Get, store: Store) -> None:
    save(store, tick("BTC", NOW - DAY - MINUTE, "50"), tick("BTC", NOW - 2 * HOUR, "100"))
    assert exact(get("/simple/price?ids=bitcoin&vs_currencies=usd&include_24hr_change=true")) == {
        "bitcoin": {"usd": 100, "usd_24h_change": None}
    }


def test_high_and_low_are_those_of_the_last_24_hours(get: Get, store: Store) -> None:
    prices = [(DAY + MINUTE, "999"), (DAY - MINUTE, "5"), (23 * HOUR, "20"), (12 * HOUR, "1"), (MINUTE, "10")]
    save(store, *(tick("BTC", NOW - before, price) for before, price in prices))
    (row,) = exact(get("/coins/markets?vs_currency=usd"))
    assert (row["high_24h"], row["low_24h"]) == (20, 1)


# coins/markets -------------------------------------------------------------------------------------------------------


def test_markets_come_largest_first_in_pages_and_without_what_has_no_price(get: Get, store: Store) -> None:
    save(
        store,
        tick("ETH", NOW, "1", "30", "100"),
        tick("BTC", NOW, "1", "20", "900"),
        tick("WIF", NOW, "1", "10", None),
    )

    def ids(query: str = "") -> list[str]:
        return [row["id"] for row in exact(get(f"/coins/markets?vs_currency=usd{query}"))]

    assert ids() == ["bitcoin", "ethereum", "dogwifcoin"]
    assert ids("&order=market_cap_asc") == ["ethereum", "bitcoin", "dogwifcoin"]
    assert ids("&order=volume_desc") == ["ethereum", "bitcoin", "dogwifcoin"]
    assert ids("&order=id_desc") == ["ethereum", "dogwifcoin", "bitcoin"]
    assert ids("&per_page=2&page=2") == ["dogwifcoin"]
    assert ids("&per_page=999") == ["bitcoin", "ethereum", "dogwifcoin"]
    assert ids("&ids=dogwifcoin,nothing") == ["dogwifcoin"]
    assert ids("&ids=nothing") == ids("&category=layer-1") == []
    assert exact(get("/coins/markets?vs_currency=eur")) == []


def test_another_aggregator_s_price_stands_in_for_a_currency_only_for_a_coin_of_the_same_name(
    get: Get, store: Store
) -> None:
    others = [
        Instrument("ETH", "EUR", "coinmarketcap", "ETH-EUR@coinmarketcap", "1027", "ethereum"),
        Instrument("WIF", "EUR", "coinmarketcap", "WIF-EUR@coinmarketcap", "99", "Wifi Coin"),
        Instrument("BTC", "EUR", "coinmarketcap", "BTC-EUR@coinmarketcap", "1", "Bitcoin"),
    ]
    store.save_instruments("coinmarketcap", others)
    store.save_instruments("kraken", [Instrument("ETH", "GBP", "kraken", "ETH-GBP@kraken", "XETHZGBP")])
    save(
        store,
        *(tick(its.symbol, NOW, "7") for its in others),
        tick("BTC-EUR", NOW, "8"),
        tick("ETH-GBP@kraken", NOW, "9"),
    )
    assert exact(get("/simple/price?ids=bitcoin,ethereum,dogwifcoin,1027&vs_currencies=eur,gbp")) == {
        "bitcoin": {"eur": 8},
        "dogwifcoin": {},
        "ethereum": {"eur": 7},
    }
    renamed = Instrument("XBT", "GBP", "coingecko", "XBT-GBP", "bitcoin", "Bitcoin")
    store.save_instruments("coingecko", [*WATCHED, renamed])
    save(store, tick("XBT-GBP", NOW, "6"))
    assert exact(get("/simple/price?ids=bitcoin&vs_currencies=eur,gbp")) == {"bitcoin": {"eur": 8, "gbp": 6}}
    assert exact(get("/coins/bitcoin/market_chart?vs_currency=gbp&days=1"))["prices"][0][1] == 6
    chart = exact(get("/coins/ethereum/market_chart?vs_currency=eur&days=1"))
    assert chart["prices"] == [[int(NOW.timestamp() * 1000), 7]]


# Charts --------------------------------------------------------------------------------------------------------------


def last_of_each(ticks: Sequence[Tick], step: timedelta, since: datetime, until: datetime) -> list[Tick]:
    """By going through them all."""
    found = {int(tick.timestamp.timestamp() // step.total_seconds()): tick for tick in ticks if tick.timestamp <= until}
    return [tick for tick in found.values() if tick.timestamp >= since]


def test_a_chart_has_the_last_tick_of_each_step_under_its_own_time(get: Get, store: Store) -> None:
    ticks = three_days()
    save(store, *ticks)
    for query, step, back in (
        ("days=1", 5 * MINUTE, DAY),
        ("days=0.5", 5 * MINUTE, DAY / 2),
        ("days=2", HOUR, 2 * DAY),
        ("days=90", HOUR, 90 * DAY),
        ("days=1&interval=hourly", HOUR, DAY),
        ("days=2&interval=5m", 5 * MINUTE, 2 * DAY),
    ):
        chart = exact(get(f"/coins/bitcoin/market_chart?{query}&vs_currency=usd"))
        expected = last_of_each(ticks, step, NOW - back, NOW)
        ms = [int(tick.timestamp.timestamp() * 1000) for tick in expected]
        assert chart["prices"] == [[at, tick.price] for at, tick in zip(ms, expected, strict=True)]
        assert chart["market_caps"] == [[at, tick.market_cap] for at, tick in zip(ms, expected, strict=True)]
        assert chart["total_volumes"] == [[at, tick.volume_24h] for at, tick in zip(ms, expected, strict=True)]


def test_a_daily_chart_has_midnights_and_at_its_end_the_newest(get: Get, store: Store) -> None:
    ticks = three_days()
    save(store, *ticks)
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    expected = [
        (end, next(tick for tick in reversed(ticks) if tick.timestamp < end).price)
        for end in (midnight - 2 * DAY, midnight - DAY, midnight)
    ]
    for query in ("days=91", "days=max", "days=5&interval=daily"):
        prices = exact(get(f"/coins/bitcoin/market_chart?vs_currency=usd&{query}"))["prices"]
        assert prices == [[int(at.timestamp() * 1000), price] for at, price in [*expected, (NOW, ticks[-1].price)]]


def test_a_midnight_and_a_tick_at_midnight_are_one_point(get: Get, store: Store) -> None:
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    save(store, tick("BTC", midnight - HOUR, "1"), tick("BTC", midnight, "2"))
    prices = exact(get("/coins/bitcoin/market_chart?vs_currency=usd&days=max"))["prices"]
    assert prices == [[int(midnight.timestamp() * 1000), 2]]


def test_a_range_ends_where_it_is_to_end_and_what_is_not_known_is_null(get: Get, store: Store) -> None:
    save(
        store,
        tick("BTC", NOW - 3 * DAY, "1"),
        tick("BTC", NOW - 2 * DAY, "2.005", None, None),
        tick("BTC", NOW - DAY, "3"),
    )
    until = NOW - 2 * DAY
    since = until - DAY / 2
    form = "/coins/bitcoin/market_chart/range?vs_currency=usd&precision=2&from={}&to={}"
    at = int(until.timestamp() * 1000)
    expected = {"prices": [[at, Decimal("2.01")]], "market_caps": [[at, None]], "total_volumes": [[at, None]]}
    assert exact(get(form.format(int(since.timestamp()), int(until.timestamp())))) == expected
    assert exact(get(form.format("2026-11-20T00:00Z", "2026-11-20T12:00"))) == expected


def test_ohlc_stands_under_the_end_of_each_body(get: Get, store: Store) -> None:
    ticks = three_days()
    save(store, *ticks)
    for days, body in ((1, 30 * MINUTE), (7, 4 * HOUR), (90, 4 * DAY)):
        seconds, since = int(body.total_seconds()), NOW - days * DAY
        bodies: dict[int, list[Decimal]] = {}
        for its in ticks:
            start = int(its.timestamp.timestamp()) // seconds * seconds
            if start >= since.timestamp():
                bodies.setdefault((start + seconds) * 1000, []).append(its.price)
        assert exact(get(f"/coins/bitcoin/ohlc?vs_currency=usd&days={days}")) == [
            [end, prices[0], max(prices), min(prices), prices[-1]] for end, prices in bodies.items()
        ]


# Held against what CoinGecko publishes -------------------------------------------------------------------------------


PUBLISHED = [
    ("/ping", "/ping"),
    ("/simple/price?ids=bitcoin,ethereum&vs_currencies=usd,eur&include_market_cap=true&include_24hr_vol=true"
     "&include_last_updated_at=true", "/simple/price"),
    ("/simple/supported_vs_currencies", "/simple/supported_vs_currencies"),
    ("/coins/list?include_platform=true", "/coins/list"),
    ("/coins/markets?vs_currency=usd&sparkline=true&price_change_percentage=1h,24h,7d,14d,30d,200d,1y",
     "/coins/markets"),
    ("/coins/bitcoin/market_chart?vs_currency=usd&days=2", "/coins/{id}/market_chart"),
    ("/coins/bitcoin/market_chart/range?vs_currency=usd&from=1763596800&to=1795132800",
     "/coins/{id}/market_chart/range"),
    ("/coins/bitcoin/ohlc?vs_currency=usd&days=1", "/coins/{id}/ohlc"),
]  # fmt: skip


def test_replies_fit_the_published_specification(get: Get, store: Store) -> None:
    file = SHARED / "data/apis/coingecko/openapi-demo.json"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    document = json.loads(file.read_text())
    components = _with_nullable(document["components"])
    save(store, *three_days(), *three_days("ETH"), tick("WIF", NOW, "0.000000012345", None, None))
    for path, published in PUBLISHED:
        schema = document["paths"][published]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        reply = exact(get(path))
        assert reply, "an empty reply fits everything"
        whole = {**_with_nullable(schema), "components": components}
        jsonschema_rs.validator_for(whole).validate(json.loads(json.dumps(reply, default=float)))


def _with_nullable(part: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema."""
    if isinstance(part, list):
        return [_with_nullable(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {name: _with_nullable(value) for name, value in part.items()}
    if found.pop("nullable", False) is True and "type" in found:
        found["type"] = [found["type"], "null"]
    return found


def test_a_recorded_row_has_no_member_that_ours_lacks(get: Get, store: Store) -> None:
    file = SHARED / "data/apis/coingecko/coins_markets_usd_250_2025-05-09.json"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    save(store, tick("BTC", NOW, "1"))
    (ours,) = exact(get("/coins/markets?vs_currency=usd"))
    assert list(ours) == list(json.loads(file.read_text())[0])


def test_prices_and_markets_of_250_coins_are_a_few_questions(
    dsn: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instruments = [Instrument(f"C{n}", "USD", "coingecko", f"C{n}", f"coin-{n}", f"Coin {n}") for n in range(250)]
    store = Store(database)
    store.save_instruments("coingecko", instruments)
    save(store, *(tick(its.symbol, NOW - before, "3") for its in instruments for before in (DAY + MINUTE, MINUTE)))
    asked: list[str] = []

    def noted(cursor: Any, name: str, /, **values: object) -> list[tuple[Any, ...]]:
        asked.append(name)
        return execute(cursor, name, **values)

    for module in (markets, mirrored):
        monkeypatch.setattr(module, "execute", noted)
    api = an_api(tmp_path, dsn, FakeClock(NOW))
    ids = ",".join(f"coin-{n}" for n in range(250))
    prices = request(api, f"{ROOT}/simple/price?ids={ids}&vs_currencies=usd&include_24hr_change=true")
    rows = request(api, f"{ROOT}/coins/markets?vs_currency=usd&per_page=250")
    assert (len(prices.json), len(rows.json)) == (250, 250)
    assert asked == ["mirrored_latest", "mirrored_before", "mirrored_latest", "mirrored_range", "mirrored_before"]
