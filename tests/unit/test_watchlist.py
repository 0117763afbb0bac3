"""The watch list in effect: WATCH, and what was changed at run time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from app.errors import ConfigurationError
from app.watch import Entry, parse_watch, written
from app.watchlist import Change, Watchlist, in_effect

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def changed(*texts: str) -> list[Change]:
    """``+BTC`` adds, ``-BTC`` takes off."""
    return [Change(t[1:], t[0] == "+", NOW + timedelta(seconds=n)) for n, t in enumerate(texts)]


def after(watch: str, *texts: str) -> list[str]:
    entries = parse_watch(watch, default_market="coingecko", default_quote="USD")
    return [written(entry) for entry in in_effect(entries, changed(*texts), "coingecko", "USD")]


@pytest.mark.parametrize(
    ("watch", "texts", "expected"),
    [
        ("BTC,ETH", [], ["BTC", "ETH"]),
        ("BTC,ETH", ["+ZEC", "+BTC@kraken"], ["BTC", "ETH", "ZEC", "BTC@kraken"]),
        ("BTC,ETH", ["-ETH"], ["BTC", "-ETH"]),
        ("BTC,ETH", ["+BTC"], ["ETH", "BTC"]),
        ("BTC", ["+WIF=dogwifcoin", "-WIF", "+WIF=dogwifcoin"], ["BTC", "WIF=dogwifcoin"]),
        ("top:5", ["-USDT"], ["top:5@coingecko", "-USDT"]),
        ("top:5,-USDT", ["+USDT"], ["top:5@coingecko", "USDT"]),
        ("top:5,BTC", ["-top:5@coingecko"], ["BTC"]),
        ("BTC", ["-BTC"], ["-BTC"]),
        ("WIF=dogwifcoin", ["+WIF=wif-2"], ["WIF=wif-2"]),
        ("WIF=dogwifcoin", ["-WIF"], ["-WIF"]),
        ("BTC,BTC@kraken", ["+BTC@all", "-BTC@all"], ["BTC", "BTC@kraken", "-BTC@all"]),
    ],
)
def test_changes_in_their_order_make_the_list(watch: str, texts: Sequence[str], expected: list[str]) -> None:
    assert after(watch, *texts) == expected


def test_a_change_that_cannot_be_read_costs_itself() -> None:
    with capture_logs() as said:
        assert after("BTC", "+B TC", "+ETH") == ["BTC", "ETH"]
    assert "'B TC'" in said[0]["event"]


class Store:
    def __init__(self) -> None:
        self.rows: list[Change] = []
        self.told: list[tuple[str, str | None]] = []

    def changes(self) -> list[Change]:
        return self.rows

    def failed(self, entry: Entry, error: str | None) -> None:
        self.told.append((written(entry), error))


def watchlist(watch: str = "BTC,ETH@kraken") -> tuple[Watchlist, Store]:
    store, entries = Store(), parse_watch(watch, default_market="coingecko", default_quote="USD")
    return Watchlist(entries, "coingecko", "USD", store), store  # type: ignore[arg-type]


def test_a_step_tells_whether_anything_changed_and_what_did_not_is_the_same() -> None:
    watched, store = watchlist()
    before = watched.entries("kraken")
    assert not watched.step()
    store.rows = changed("+ZEC")
    assert watched.step()
    assert not watched.step()
    assert [written(entry) for entry in watched.entries("coingecko")] == ["BTC", "ZEC"]
    assert watched.entries("kraken") == before


def test_a_market_of_watch_stays_known_when_all_of_it_is_taken_off_and_a_new_one_comes() -> None:
    watched, store = watchlist()
    store.rows = changed("+BTC@coinbase", "-ETH@kraken")
    watched.step()
    assert watched.markets == ["coingecko", "kraken", "coinbase"]


def test_an_entry_of_watch_that_means_nothing_ends_the_start_and_later_only_itself() -> None:
    watched, _ = watchlist()
    (entry,) = watched.entries("coingecko")
    error = ConfigurationError("WATCH: 'BTC': no such coin")
    with pytest.raises(ConfigurationError):
        watched.refuse(entry, error, at_start=True)
    with capture_logs() as said:
        watched.refuse(entry, error, at_start=False)
        watched.refuse(entry, error, at_start=False)
    assert [line["event"] for line in said] == ["Not watched: 'BTC': no such coin"]


def test_why_an_added_entry_cannot_be_watched_is_told_where_it_was_added() -> None:
    watched, store = watchlist()
    store.rows = changed("+NOPE")
    watched.step()
    watched.refuse(watched.entries("coingecko")[-1], ConfigurationError("WATCH: 'NOPE': unknown"), at_start=True)
    assert store.told == []
    watched.step()
    watched.step()
    assert store.told == [("NOPE", "'NOPE': unknown")]
