"""Several markets: composites, a watch list that changes under the daemon, one that stands in for another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.acceptance.daemon import environment, running, stop, wait_until
from tests.exchanges.site import Query, Said, serving
from tests.servers import available, started

NAMES = {"bitcoin": ("1", "BTC"), "ethereum": ("1027", "ETH"), "zcash": ("1437", "ZEC")}


@dataclass
class World:
    """A CoinGecko and a CoinMarketCap that do not quite agree. Observations are of the moment at which one asks."""

    prices: dict[str, str] = field(default_factory=lambda: {"1": "100.5", "1027": "50.25", "1437": "20"})
    dearer: float = 1.05  # CoinMarketCap
    coingecko_is_down: bool = False

    def answer(self, path: str, query: Query) -> Any:
        if path == "/api/v3/simple/price":
            if self.coingecko_is_down:
                return Said({}, 503)
            ids = query["ids"].split(",")
            return {id_: {"usd": float(self.prices[NAMES[id_][0]]), "usd_24h_vol": 1000} for id_ in ids}
        if path.endswith("/v3/cryptocurrency/quotes/latest"):
            return self._quotes(query["id"].split(","))
        return Said({"error": "nothing here"}, 404)

    def _quotes(self, ids: list[str]) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        ticker = dict(NAMES.values())
        rows = []
        for id_ in ids:
            price = round(float(self.prices[id_]) * self.dearer, 4)
            quote = {
                "id": 2781,
                "symbol": "USD",
                "price": price,
                "volume_24h": 2000,
                "market_cap": 9000,
                "last_updated": now,
            }
            row = {"id": int(id_), "name": ticker[id_].title(), "symbol": ticker[id_], "slug": ticker[id_].lower()}
            rows.append({**row, "cmc_rank": 1, "circulating_supply": 19000000, "last_updated": now, "quote": [quote]})
        status = {"timestamp": now, "error_code": "0", "error_message": "", "elapsed": 1, "credit_count": 1}
        return {"status": status, "data": rows}


@dataclass
class Scene:
    """A daemon over the two, and questions to its database."""

    world: World
    folder: Path
    settings: dict[str, object]
    process: subprocess.Popen[str]
    connection: psycopg2.extensions.connection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def until(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        wait_until(condition, self.process, seconds, self.folder)

    def until_rows(self, sql: str) -> None:
        self.until(lambda: bool(self.rows(sql)))

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            cwd=self.folder,
            env=environment(self.folder, **self.settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self, source: str) -> str:
        """What status.json says of it."""
        status = json.loads((self.folder / "data" / "status.json").read_text())
        return str(status["sources"][source]["state"])

    @property
    def alerts(self) -> str:
        path = self.folder / "alerts" / "alerts.txt"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    world = World()
    with serving(world.answer) as site, started(available()[0]) as dsn:
        root = site.root
        settings: dict[str, object] = {
            "WATCH": "BTC,ETH,BTC@coinmarketcap,BTC@all",
            "FALLBACK": "coinmarketcap",
            "COINGECKO_BASE_URL": f"{root}/api/v3",
            "COINMARKETCAP_BASE_URL": root,
            "DATABASE_URL": dsn,
            "TICK_SECONDS": 0.1,
        }
        with running(tmp_path, "run", "--no-api", **settings) as process:
            connection = psycopg2.connect(dsn)
            try:
                yield Scene(world, tmp_path, settings, process, connection)
            finally:
                connection.close()
            assert stop(process)[0] == 0


def test_markets_are_composed_changed_under_the_daemon_and_stand_in_for_each_other(scene: Scene) -> None:
    scene.until(lambda: bool(scene.rows("SELECT 1 FROM pg_class WHERE relname = 'watch'")))
    scene.until_rows("SELECT 1 FROM ticker_data WHERE symbol = 'BTC@all' AND markets = 2")

    # The composite: the mean of 100.5 and 105.525, and the sum of their volumes.
    ((price, volume),) = scene.rows(
        "SELECT DISTINCT price, volume_24h FROM ticker_data WHERE symbol = 'BTC@all' AND markets = 2"
    )
    assert (float(price), volume) == (103.0125, 3000)
    assert scene.rows("SELECT market, watched FROM instruments WHERE symbol = 'BTC@all'") == [("all", True)]

    # The watch list changes under the running daemon.
    scene.command("watch", "add", "ZEC")
    scene.until_rows("SELECT 1 FROM ticker_data WHERE symbol = 'ZEC'")
    scene.command("watch", "remove", "ETH")
    scene.until_rows("SELECT 1 FROM instruments WHERE symbol = 'ETH' AND NOT watched")
    assert scene.rows("SELECT count(*) > 0 FROM ticker_data WHERE symbol = 'ETH'") == [(True,)]
    listed = scene.command("watch", "list")
    assert "ZEC" in listed
    assert "-ETH" in listed
    assert "taken off" in listed
    assert "coinmarketcap" in scene.command("watch", "list", "--symbols")

    # CoinGecko is gone: CoinMarketCap, five per cent dearer, stands in, and that alone fires nothing.
    scene.world.coingecko_is_down = True
    scene.until_rows("SELECT 1 FROM ticker_data WHERE symbol = 'BTC' AND source = 'coinmarketcap'")
    scene.until_rows("SELECT 1 FROM ticker_data WHERE symbol = 'ZEC' AND source = 'coinmarketcap'")
    scene.until(lambda: scene.state("coinmarketcap (stand-in)") == "ok")
    assert scene.state("coingecko") == "failing"
    scene.world.coingecko_is_down = False
    scene.until_rows(
        "SELECT 1 FROM ticker_data WHERE symbol = 'BTC' AND source = 'coingecko' AND timestamp > (SELECT max(timestamp)"
        " FROM ticker_data WHERE symbol = 'BTC' AND source = 'coinmarketcap') + interval '2 s'"
    )
    assert scene.alerts == ""
    assert scene.rows("SELECT count(*) FROM ticker_data WHERE symbol = 'ETH' AND source <> 'coingecko'") == [(0,)]
