"""The watch list read and changed by HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from app.db import Database
from app.model import Instrument
from app.store import Store
from app.watch import parse_entry, parse_watch
from app.watchlist import Watchlist, WatchStore
from tests.api import an_api
from tests.asgi import request
from tests.written import Client, a_token

pytestmark = pytest.mark.one_server

WATCH = "/api/v1/watch"
SETTING = "BTC,ETH,top:250"


@pytest.fixture
def client(tmp_path: Path, dsn: str, database: Database) -> Client:
    return Client(an_api(tmp_path, dsn, watch=SETTING), a_token(database))


@pytest.fixture
def daemon(database: Database) -> Watchlist:
    """The watch list as a daemon keeps it."""
    entries = parse_watch(SETTING, default_market="coingecko", default_quote="USD")
    return Watchlist(entries, "coingecko", "USD", WatchStore(database))


def path(entry: str) -> str:
    return f"{WATCH}/{quote(entry, safe='')}"


def watched(client: Client) -> list[str]:
    return [entry["entry"] for entry in client.get(WATCH).json["entries"]]


def test_what_the_setting_says_is_in_effect(client: Client) -> None:
    found = client.get(WATCH).json
    assert [entry["entry"] for entry in found["entries"]] == ["BTC", "ETH", "top:250@coingecko"]
    assert found["entries"][0] == {
        **{"entry": "BTC", "origin": "WATCH", "watched": True},
        **{"changed_at": None, "error": None},
    }
    assert (found["symbols"], found["next"]) == ([], None)


def test_what_was_added_is_watched_by_the_daemon(client: Client, daemon: Watchlist) -> None:
    for text in ("wif=dogwifcoin", "*@kraken", "BTC@all", "ETH-EUR@kraken"):
        made = client.ask("POST", WATCH, {"entry": text})
        assert (made.status, made.json["origin"], made.json["watched"]) == (201, "run time", True)
        assert client.get(made.headers["location"]).json == made.json
        again = client.ask("POST", WATCH, {"entry": text})
        assert (again.status, again.json) == (200, made.json)
    assert watched(client)[3:] == ["WIF=dogwifcoin", "*@kraken", "BTC@all", "ETH-EUR@kraken"]
    assert daemon.step()
    entry = parse_entry("ETH-EUR@kraken", "coingecko", "USD")
    assert entry in daemon.entries("kraken")


def test_what_the_setting_says_already_is_not_added(client: Client, database: Database) -> None:
    assert client.ask("POST", WATCH, {"entry": "btc"}).status == 200
    assert WatchStore(database).changes() == []


def test_what_the_daemon_cannot_watch_is_said(client: Client, database: Database) -> None:
    client.ask("POST", WATCH, {"entry": "NOPE=no-such-coin"})
    entry = parse_entry("NOPE=no-such-coin", "coingecko", "USD")
    WatchStore(database).failed(entry, "coingecko knows no coin no-such-coin")
    assert client.get(path("NOPE=no-such-coin")).json["error"] == "coingecko knows no coin no-such-coin"


def test_what_was_removed_is_watched_no_more(client: Client, daemon: Watchlist) -> None:
    client.ask("POST", WATCH, {"entry": "*@kraken"})
    for entry in ("BTC", "top:250", "*@kraken"):
        gone = client.ask("DELETE", path(entry))
        assert (gone.status, gone.body) == (204, b"")
        assert client.ask("DELETE", path(entry)).status == 404
    assert watched(client) == ["ETH", "-BTC"]
    (taken_off,) = (entry for entry in client.get(WATCH).json["entries"] if entry["entry"] == "-BTC")
    assert (taken_off["origin"], taken_off["watched"]) == ("run time", False)
    assert daemon.step()
    assert daemon.markets == ["coingecko"]
    again = client.ask("POST", WATCH, {"entry": "BTC"})
    assert (again.status, again.json["origin"], again.json["error"]) == (201, "run time", None)
    assert datetime.fromisoformat(again.json["changed_at"]).tzinfo == UTC, "the setting has it, and it was said since"
    assert client.get(again.headers["location"]).json == again.json
    assert watched(client) == ["ETH", "BTC"]


def test_one_of_many_that_an_entry_means_can_be_removed(client: Client, database: Database) -> None:
    Store(database).save_instruments("coingecko", [Instrument("USDT", "USD", "coingecko", "USDT", "tether")])
    assert client.ask("DELETE", path("USDT")).status == 204
    assert "-USDT" in watched(client)


def test_what_is_no_entry_is_refused(client: Client, database: Database) -> None:
    for text in ("", "BTC,ETH", "two words", "top:0", "*@all", "-BTC", "BTC@all=x", "BTC\n", "é", "x" * 301, 7, None):
        (wrong,) = client.wrong("POST", WATCH, {"entry": text})
        assert wrong["where"] == "body.entry", text
    for text in ("top:0", "-BTC", "two words"):
        (wrong,) = client.wrong("DELETE", path(text))
        assert wrong["where"] == "path.entry", text
    assert client.get(path("DOGE")).status == client.ask("DELETE", path("DOGE")).status == 404
    assert WatchStore(database).changes() == []


def test_the_symbols_come_in_pages_with_their_newest_ticks(client: Client, database: Database) -> None:
    instruments = [Instrument(base, "USD", "coingecko", base, base.lower(), base) for base in ("BTC", "ETH", "ZEC")]
    Store(database).save_instruments("coingecko", instruments)
    Store(database).save_instruments("binance", [Instrument("BTC", "USD", "binance", "BTC@binance")])
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    database.run(
        lambda cursor: cursor.execute(
            "SELECT make_partition('2026-11-01');"
            " INSERT INTO ticker_data (timestamp, symbol, price, fetched_at, source)"
            " SELECT t, 'ETH', 1, t, 'coinmarketcap' FROM (VALUES (%(t)s), (%(t)s - interval '1 h')) AS v (t)",
            {"t": noon},
        )
    )
    page = client.get(f"{WATCH}?limit=3").json
    assert [it["symbol"] for it in page["symbols"]] == ["BTC@binance", "BTC", "ETH"]
    assert page["symbols"][0]["newest_at"] is page["symbols"][0]["provider_id"] is None
    assert (page["symbols"][2]["newest_at"], page["symbols"][2]["source"]) == ("2026-11-22T12:00:00Z", "coinmarketcap")
    rest = client.get(f"{WATCH}?limit=3&cursor={page['next']}").json
    assert ([it["symbol"] for it in rest["symbols"]], rest["next"]) == (["ZEC"], None)


def test_readers_change_nothing(client: Client) -> None:
    assert request(client.api, path("BTC"), "DELETE").status == 401
