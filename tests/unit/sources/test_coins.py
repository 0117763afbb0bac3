"""What all aggregators have in common: a symbol that is known keeps its coin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from app.errors import ConfigurationError
from app.model import Instrument, Known
from app.sources.coins import Coin, Coins, Listed
from app.watch import Top, Wanted, parse_watch
from tests.conftest import Logged


class Fake(Coins):
    """Knows BTC by itself, and asks for all else."""

    provider, quotes, id_hint = "Fake", frozenset({"USD", "EUR"}), "its number"
    table: ClassVar[dict[str, Coin]] = {"BTC": Coin("1", "Bitcoin")}

    def __init__(self, *ranking: tuple[str, Coin]) -> None:
        super().__init__("fake")
        self.ranking, self.asked = list(ranking), 0

    def find(self, wanted: Sequence[Wanted]) -> list[Coin]:
        return [self._coin(entry) for entry in wanted]

    def _coin(self, entry: Wanted) -> Coin:
        if entry.provider_id:
            return Coin(entry.provider_id, "")
        if entry.base not in self.table:
            self.asked += 1
        return self.table.get(entry.base, Coin(f"found-{entry.base}", "Found"))

    def largest(self, top: Top) -> list[tuple[str, Coin]]:
        self.asked += 1
        return self.ranking[: top.count]

    def listed(self) -> list[Listed]:
        raise AssertionError

    def forget(self) -> None:
        raise AssertionError


def known(symbol: str, id_: str, *, former: Sequence[str] = (), watched: bool = True) -> Known:
    base, _, quote = symbol.partition("-")
    instrument = Instrument(base, quote or "USD", "fake", symbol, id_, f"Name of {id_}")
    return Known(instrument, watched, frozenset(former))


def resolve(coins: Coins, watch: str) -> list[tuple[str, str | None, str | None]]:
    entries = parse_watch(watch, default_market="fake", default_quote="USD")
    return [(i.symbol, i.provider_id, i.name) for i in coins.resolve(entries)]


def knowing(coins: Fake, *them: Known) -> Fake:
    coins.know({it.instrument.symbol: it for it in them})
    return coins


def test_what_was_watched_before_means_the_same_coin_without_a_call() -> None:
    coins = knowing(Fake(), known("WIF", "7"), known("BTC", "2"), known("OLD", "9", watched=False))
    assert resolve(coins, "WIF,BTC,OLD") == [
        ("WIF", "7", "Name of 7"),
        ("BTC", "2", "Name of 2"),
        ("OLD", "9", "Name of 9"),
    ]
    assert coins.asked == 0


def test_another_quote_of_it_is_another_symbol() -> None:
    coins = knowing(Fake(), known("WIF", "7"))
    assert resolve(coins, "WIF-EUR") == [("WIF-EUR", "found-WIF", "Found")]


@pytest.mark.parametrize(("written", "meant"), [("8", "8"), ("7", "7"), ("6", "7"), ("5", "7")])
def test_an_id_that_is_written_is_taken_unless_its_provider_has_renamed_it(written: str, meant: str) -> None:
    coins = knowing(Fake(), known("WIF", "7", former=("6", "5")))
    assert [id_ for _, id_, _ in resolve(coins, f"WIF={written}")] == [meant]


def test_two_ids_for_one_symbol_are_refused_as_ever() -> None:
    coins = knowing(Fake(), known("WIF", "7"))
    with pytest.raises(ConfigurationError, match="stands for both 7 and 8"):
        resolve(coins, "WIF,WIF=8")


def test_of_the_largest_none_takes_the_symbol_of_a_coin_with_history(logged: Logged) -> None:
    ranking = ("WIF", Coin("8", "Other")), ("WIF", Coin("7", "First")), ("NEW", Coin("3", "New"))
    coins = knowing(Fake(*ranking), known("WIF", "7", watched=False))
    for _ in range(3):
        assert resolve(coins, "top:3") == [("WIF", "7", "First"), ("NEW", "3", "New")]
    said = logged.read_new()
    assert said.count("1 of the 3 largest coins are left out") == 1
    assert "8: WIF has been 7" in said
    coins.ranking[0] = ("WIF", Coin("9", "Yet another"))
    resolve(coins, "top:3")
    assert "9: WIF has been 7" in logged.read_new(), "news"


@pytest.mark.parametrize(
    ("watch", "them", "symbols"),
    [
        ("top:1", [("OLD", True)], ["OLD"]),
        ("top:1", [("OLD", False)], ["NEW"]),
        ("top:1", [("OLD", True), ("NEW", False)], ["NEW"]),
        ("top:1,OLD=8", [("OLD", True)], ["OLD", "NEW"]),
        ("top:1,MY=7", [("OLD", True)], ["MY"]),
    ],
)
def test_a_coin_whose_ticker_changes_goes_on_under_the_symbol_that_is_watched(
    watch: str, them: Sequence[tuple[str, bool]], symbols: Sequence[str]
) -> None:
    coins = knowing(Fake(("NEW", Coin("7", "Coin"))), *(known(s, "7", watched=watched) for s, watched in them))
    assert [symbol for symbol, *_ in resolve(coins, watch)] == symbols


def test_it_can_be_told_what_needs_no_call() -> None:
    coins = knowing(Fake(), known("WIF", "7"))
    entries = parse_watch("BTC,BTC-EUR,WIF,FOO=3,FOO2,top:5,*@fake", default_market="fake", default_quote="USD")
    assert [coins.is_settled(entry) for entry in entries] == [True, True, True, True, False, False, True]
