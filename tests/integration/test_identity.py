"""Who is who: symbols keep their coins; coins that are renamed, delisted, or cannot be looked up now."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.config import load
from app.db import Database
from app.errors import ConfigurationError
from app.fetcher import Fetcher
from app.identity import Identity
from app.sources import coingecko
from app.watch import Entry, parse_watch
from tests.clock import FakeClock
from tests.conftest import Logged
from tests.gecko import Coin, Gecko, gecko
from tests.integration.test_intake import Desk
from tests.unit.test_limits import Book

TICK = 1800.0  # seconds: so that a day is short


class World:
    """A daemon's fetcher, intake and database, beside a CoinGecko."""

    def __init__(self, desk: Desk, gecko: Gecko, clock: FakeClock, stack: ExitStack) -> None:
        self.desk, self.gecko, self.clock, self._stack = desk, gecko, clock, stack
        self.refused: list[str] = []
        self.start()

    def start(self) -> None:
        """As after a restart: what is known is what the database knows."""
        settings = load(None, coingecko_base_url=self.gecko.provider.root)
        source = coingecko.build(settings, self.clock, Book())
        self._stack.callback(source.close)
        self.stop = threading.Event()
        identity = Identity("coingecko", source.coins, self.desk.intake, self.clock)
        self.fetcher = Fetcher(
            *(source, self._entries, self.desk.intake, self.clock, self.stop, TICK),
            refuse=self._refuse,
            identity=identity,
        )

    def rounds(self, count: int, watch: str) -> None:
        """So many rounds with this watch list."""
        self._entry = tuple(parse_watch(watch, default_market="coingecko", default_quote="USD"))
        self._left = count
        self.stop.clear()
        self.fetcher.run()
        self.clock.advance(TICK)

    def _entries(self) -> tuple[Entry, ...]:
        self._left -= 1
        if self._left < 0:
            self.stop.set()  # and this turn asks for nothing
        return self._entry

    def _refuse(self, entry: Entry, error: ConfigurationError) -> None:
        self.refused.append(str(error))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.desk.rows(sql)

    def id_of(self, symbol: str) -> str:
        return str(self.rows(f"SELECT provider_id FROM instruments WHERE symbol = '{symbol}'")[0][0])

    def ticks(self, symbol: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM ticker_data WHERE symbol = '{symbol}'")[0][0])

    def aliases(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT symbol, market, provider_id_before, provider_id, why FROM aliases ORDER BY since")


@contextmanager
def world(folder: Path, dsn: str, **coins: Coin) -> Iterator[World]:
    with ExitStack() as stack:
        clock = FakeClock()
        there = stack.enter_context(gecko(clock, bitcoin=Coin("BTC", "Bitcoin"), **coins))
        yield World(Desk(folder, dsn, stack), there, clock, stack)


@pytest.mark.one_server
def test_a_symbol_keeps_its_coin_whoever_has_its_ticker_later_and_no_call_is_needed(
    tmp_path: Path, dsn: str, database: Database
) -> None:
    with world(tmp_path, dsn, dogwifcoin=Coin("KNI", "dogwifhat")) as it:
        it.rounds(2, "BTC,KNI")
        assert it.id_of("KNI") == "dogwifcoin"
        it.gecko.coins |= {"wif-2": Coin("KNI", "wif"), "wif-3": Coin("KNI", "WIF")}
        it.start()
        it.rounds(2, "BTC,KNI")
        assert (it.id_of("KNI"), it.ticks("KNI")) == ("dogwifcoin", 4)
        assert len(it.gecko.asked("/coins/list")) == 1
        it.rounds(2, "top:9")
        assert [i.symbol for i in it.fetcher.instruments] == ["BTC", "KNI"], "of the ranking, too, it keeps its coin"
        assert it.id_of("KNI") == "dogwifcoin"
        assert it.aliases() == []
        assert it.rows("SELECT name FROM instruments WHERE symbol = 'KNI'") == [("dogwifhat",)]


def test_an_entry_that_names_another_coin_is_followed_said_once_and_written_down(
    tmp_path: Path, dsn: str, database: Database, logged: Logged
) -> None:
    with world(tmp_path, dsn, dogwifcoin=Coin("WIF", "dogwifhat"), wif_2=Coin("WIF", "wif", 2.0)) as it:
        it.rounds(2, "BTC,WIF=dogwifcoin")
        logged.read_new()
        it.rounds(2, "BTC,WIF=wif-2")
        it.start()
        it.rounds(2, "BTC,WIF=wif-2")
        said = [line for line in logged.read_new().splitlines() if "WIF means another coin from now on" in line]
        assert len(said) == 1
        assert "wif-2, and no longer dogwifcoin" in said[0]
        assert it.aliases() == [("WIF", "coingecko", "dogwifcoin", "wif-2", "chosen")]
        assert it.gecko.asked_for() == {"bitcoin", "wif-2"}
        assert it.ticks("WIF") == 6


def test_a_coin_that_is_renamed_goes_on_under_its_new_id_with_its_history(
    tmp_path: Path, dsn: str, database: Database, logged: Logged
) -> None:
    with world(tmp_path, dsn, matic_network=Coin("PLG", "Polygon"), other=Coin("PLG", "Poly Grip")) as it:
        it.rounds(3, "BTC,PLG=matic-network")
        it.rows("UPDATE instruments SET name = 'Polygon' WHERE symbol = 'PLG' RETURNING 1")
        it.start()
        it.rounds(3, "BTC,PLG=matic-network")
        it.gecko.rename("matic-network", "polygon-2")
        it.rounds(19, "BTC,PLG=matic-network")
        assert it.gecko.asked("/coins/list") == []
        logged.read_new()
        it.rounds(5, "BTC,PLG=matic-network")
        assert len(it.gecko.asked("/coins/list")) == 1, "one list, and no other where that explains it"
        assert it.id_of("PLG") == "polygon-2"
        assert it.ticks("PLG") == 6 + 4
        said = logged.read_new()
        assert said.count("has Polygon as polygon-2 now, and no longer as matic-network: PLG goes on with it") == 1
        # The entry still names the old id, and means the same coin by it; also after a restart.
        it.start()
        it.rounds(3, "BTC,PLG=matic-network")
        assert it.gecko.asked_for() == {"bitcoin", "polygon-2"}
        assert it.aliases() == [("PLG", "coingecko", "matic-network", "polygon-2", "renamed")]
        assert "another coin" not in logged.read_new()


def test_a_coin_that_is_delisted_is_said_once_asked_for_no_more_and_looked_for_daily(
    tmp_path: Path, dsn: str, database: Database, logged: Logged
) -> None:
    with world(tmp_path, dsn, gone=Coin("GON", "Gone"), waffle=Coin("WAF", "Waffle")) as it:
        it.rounds(2, "BTC,GON,WAF")
        assert len(it.gecko.asked("/coins/list")) == 1  # for the tickers
        it.gecko.delist("gone")
        it.rounds(22, "BTC,GON,WAF")
        assert [a.query for a in it.gecko.asked("/coins/list")[1:]] == [{}, {"status": "inactive"}]
        said = logged.read_new()
        assert said.count("Delisted: coingecko has no coin gone any more, but says that it had. GON is not asked") == 1
        assert "`watch remove GON`" in said
        assert it.rows("SELECT symbol FROM instruments WHERE delisted_at IS NOT NULL AND watched") == [("GON",)]
        assert it.gecko.asked_for() == {"bitcoin", "waffle"}
        lost = it.fetcher.health.values_lost
        it.rounds(44, "BTC,GON,WAF")
        assert it.fetcher.health.values_lost == lost, "what is not asked for is not lost"
        assert len(it.gecko.asked("/coins/list")) == 3
        it.rounds(10, "BTC,GON,WAF")
        assert len(it.gecko.asked("/coins/list")) == 4, "a day later"
        it.start()
        it.rounds(30, "BTC,GON,WAF")
        assert len(it.gecko.asked("/coins/list")) == 4, "a restart makes no other day"
        assert it.gecko.asked_for() == {"bitcoin", "waffle"}
        assert "GON" not in logged.read_new()
        it.gecko.coins["gone"] = it.gecko.inactive.pop("gone")
        it.rounds(20, "BTC,GON,WAF")
        assert it.gecko.asked_for() == {"bitcoin", "gone", "waffle"}
        assert it.rows("SELECT count(delisted_at) FROM instruments") == [(0,)]
        assert logged.read_new().count("lists gone again, so GON is asked for again") == 1
        assert it.ticks("GON") > 2


@pytest.mark.one_server
def test_where_all_are_delisted_they_are_asked_for_all_the_same(tmp_path: Path, dsn: str, database: Database) -> None:
    """A source that is asked for nothing would look as if it were down."""
    with world(tmp_path, dsn, gone=Coin("GON", "Gone")) as it:
        it.rounds(2, "BTC,GON=gone")
        it.gecko.delist("gone")
        it.rounds(22, "BTC,GON=gone")
        assert it.gecko.asked_for() == {"bitcoin"}
        it.rounds(2, "GON=gone")
        assert it.gecko.asked_for() == {"gone"}


@pytest.mark.one_server
def test_where_several_coins_have_the_ticker_it_is_explained_which_to_choose_from(
    tmp_path: Path, dsn: str, database: Database, logged: Logged
) -> None:
    with world(tmp_path, dsn, gone=Coin("GON", "Gone")) as it:
        it.rounds(2, "BTC,GON")
        it.gecko.delist("gone")
        it.gecko.coins |= {"gon-2": Coin("GON", "Gone"), "gon-3": Coin("GON", "gone"), "gon-4": Coin("GON", "Else")}
        logged.read_new()
        it.rounds(23, "BTC,GON")
        said = logged.read_new()
        assert "These have the ticker GON now; if it is one of them, write which:" in said
        assert all(f"GON=gon-{n}  (" in said for n in (2, 3, 4))
        assert it.aliases() == []
        it.rounds(2, "BTC,GON=gon-3")
        assert it.aliases() == [("GON", "coingecko", "gone", "gon-3", "chosen")]
        assert it.gecko.asked_for() == {"bitcoin", "gon-3"}
        assert it.rows("SELECT count(delisted_at) FROM instruments") == [(0,)]


@pytest.mark.one_server
def test_a_list_that_lacks_coins_with_prices_proves_nothing(tmp_path: Path, dsn: str, database: Database) -> None:
    with world(tmp_path, dsn, gone=Coin("GON", "Gone"), waffle=Coin("WAF", "Waffle")) as it:
        it.rounds(2, "BTC,GON=gone,WAF=waffle")
        it.gecko.coins["gone"].price = None
        whole = it.gecko._answer

        def lame(asked: Any) -> Any:
            if asked.path != "/coins/list":
                return whole(asked)
            it.gecko.coins, kept = {"other": Coin("OTH", "Other")}, it.gecko.coins
            try:
                return whole(asked)
            finally:
                it.gecko.coins = kept

        it.gecko._answer = lame  # type: ignore[method-assign]
        it.rounds(24, "BTC,GON=gone,WAF=waffle")
        assert it.gecko.asked("/coins/list")
        assert it.rows("SELECT count(delisted_at), count(looked_up_at) FROM instruments") == [(0, 0)]


@pytest.mark.one_server
def test_a_coin_that_is_listed_and_has_no_price_stays_who_it_is(
    tmp_path: Path, dsn: str, database: Database, logged: Logged
) -> None:
    with world(tmp_path, dsn, waffle=Coin("WAF", "Waffle", None)) as it:
        it.rounds(100, "BTC,WAF=waffle")
        assert len(it.gecko.asked("/coins/list")) == 2, "once a day"
        assert logged.read_new().count("lists waffle, but gives no price of WAF") == 1
        assert it.rows("SELECT count(delisted_at) FROM instruments") == [(0,)]


@pytest.mark.one_server
def test_what_needs_the_list_waits_for_it_alone(tmp_path: Path, dsn: str, database: Database, logged: Logged) -> None:
    with world(tmp_path, dsn, waffle=Coin("WAF", "Waffle"), foo=Coin("FOO", "Foo"), foo_2=Coin("FOO", "Foo 2")) as it:
        it.gecko.lists = False
        it.rounds(4, "BTC,ETH=foo-2,WAF,FOO")
        assert it.ticks("BTC") == 4
        assert [i.symbol for i in it.fetcher.instruments] == ["BTC", "ETH"]
        it.gecko.lists = True
        it.rounds(2, "BTC,ETH=foo-2,WAF,FOO")
        assert (it.ticks("BTC"), it.ticks("WAF")) == (6, 2)
        assert len(it.refused) == 1
        assert "FOO=foo-2  (Foo 2)" in it.refused[0]
        said = logged.read_new()
        assert said.count("The watch list cannot be read anew yet") == 1
        assert said.count("The watch list is read anew.") == 1


@pytest.mark.one_server
def test_while_the_ranking_cannot_be_had_those_of_the_last_one_go_on(
    tmp_path: Path, dsn: str, database: Database
) -> None:
    with world(tmp_path, dsn, waffle=Coin("WAF", "Waffle"), foo=Coin("FOO", "Foo")) as it:
        it.rounds(1, "top:2,-BTC")
        assert [i.symbol for i in it.fetcher.instruments] == ["WAF"]
        it.gecko.lists = False
        it.start()
        it.rounds(2, "top:2,-BTC,FOO=foo")
        assert sorted(i.symbol for i in it.fetcher.instruments) == ["FOO", "WAF"]
        assert (it.ticks("WAF"), it.ticks("FOO")) == (3, 2)


@pytest.mark.one_server
def test_the_ranking_is_followed_daily_and_a_coin_with_another_ticker_keeps_its_symbol(
    tmp_path: Path, dsn: str, database: Database, logged: Logged
) -> None:
    with world(tmp_path, dsn, terra_luna=Coin("LUNA", "Terra"), foo=Coin("FOO", "Foo")) as it:
        it.rounds(3, "top:3")
        it.gecko.coins = {
            "terra-luna-2": Coin("LUNA", "Terra"),
            "bitcoin": Coin("BTC", "Bitcoin"),
            "terra-luna": Coin("LUNC", "Terra Luna Classic"),
            "new": Coin("NEW", "New"),
            "foo": Coin("FOO", "Foo"),
        }
        it.rounds(50, "top:4")
        assert {i.symbol: i.provider_id for i in it.fetcher.instruments} == {
            "BTC": "bitcoin",
            "LUNA": "terra-luna",
            "NEW": "new",
        }
        said = logged.read_new()
        assert said.count("CoinGecko calls terra-luna LUNC now; its history goes on as LUNA.") == 1
        assert said.count("of the 4 largest coins are left out") == 1
        assert "terra-luna-2: LUNA has been terra-luna" in said
        assert it.rows("SELECT watched FROM instruments WHERE symbol = 'FOO'") == [(False,)]
        # And by choice each has its own.
        it.rounds(2, "top:4,LUNA=terra-luna-2")
        assert {i.symbol: i.provider_id for i in it.fetcher.instruments}["LUNC"] == "terra-luna"
        assert it.id_of("LUNA") == "terra-luna-2"


@pytest.mark.one_server
def test_while_the_database_is_away_what_is_watched_goes_on(tmp_path: Path, dsn: str, database: Database) -> None:
    """A ranking is due every day, whether the database is there or not; ticks go to the spool meanwhile."""
    with world(tmp_path, dsn, foo=Coin("FOO", "Foo")) as it:
        it.rounds(2, "top:2")
        it.desk.away(True)
        it.rounds(60, "top:2")
        assert it.desk.spool.waiting == 60
        it.desk.away(False)
        it.desk.backlog.step(it.desk.stop)
        assert it.ticks("FOO") == 62


@pytest.mark.one_server
def test_five_thousand_symbols_are_asked_for_in_chunks_and_stored_in_one_transaction(
    tmp_path: Path, dsn: str, database: Database
) -> None:
    with world(tmp_path, dsn) as it:
        it.gecko.coins |= {f"coin-number-{n}": Coin(f"C{n}", f"Coin {n}", n + 0.5) for n in range(4999)}
        it.rounds(2, "top:5000")
        assert len(it.fetcher.instruments) == 5000
        assert len(it.gecko.asked("/coins/markets")) == 20
        calls = it.gecko.asked("/simple/price")
        assert len(calls) % 2 == 0
        assert len(calls) / 2 <= 30
        assert all(len(asked.target) <= 4000 for asked in calls)
        stored = 'SELECT count(*), count(DISTINCT xmin::text) FROM ticker_data GROUP BY "timestamp"'
        assert it.rows(stored) == [(5000, 1), (5000, 1)], "a transaction a round"
        assert it.rows("SELECT count(*), count(DISTINCT xmin::text) FROM instruments WHERE watched") == [(5000, 1)]
        it.gecko.lists = False
        it.start()
        it.rounds(1, "top:5000")
        assert it.rows("SELECT count(*) FROM ticker_data") == [(15_000,)], "without a call for the ranking"
