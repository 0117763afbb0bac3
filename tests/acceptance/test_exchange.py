"""The daemon over an exchange: all of its pairs with one call, then listened to, every digit in the table."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.acceptance.daemon import running, stop, wait_until
from tests.exchanges import kraken, ws_kraken
from tests.servers import available, started

pytest.importorskip("ccxt", reason="exchanges are not installed")


def test_an_exchange_is_asked_then_listened_to(tmp_path: Path) -> None:
    entries = [kraken.pair("BTC", "USD"), kraken.pair("ETH", "EUR"), kraken.pair("ZEC", "USD")]
    ids = [kraken.id_of(entry) for entry in entries]
    tickers = {ids[0]: kraken.ticker("60934.80000"), ids[1]: kraken.ticker("1800.10"), ids[2]: kraken.dead()}
    with (
        kraken.kraken(dict(zip(ids, entries, strict=True)), tickers) as site,
        ws_kraken.KrakenStream() as stream,
        started(available()[0]) as dsn,
        running(
            tmp_path,
            "run",
            "--no-api",
            SOURCE="kraken",
            WATCH="*@kraken",
            STREAM="kraken",
            KRAKEN_BASE_URL=site.root,
            KRAKEN_WS_URL=stream.url,
            DATABASE_URL=dsn,
            TICK_SECONDS=0.2,
        ) as process,
        closing(psycopg2.connect(dsn)) as connection,
    ):

        def rows(sql: str) -> list[tuple[Any, ...]]:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())

        def until(sql: str) -> None:
            wait_until(lambda: bool(rows(sql)), process, 90, tmp_path)

        until("SELECT 1 FROM pg_class WHERE relname = 'ticker_data'")
        until("SELECT 1 FROM ticker_data WHERE symbol = 'ETH-EUR'")
        # The dead pair is watched, as it may come to life, and is no tick.
        assert rows("SELECT symbol, source, price FROM ticker_data ORDER BY symbol, timestamp LIMIT 1") == [
            ("BTC", "kraken", Decimal("60934.80000"))
        ]
        assert site.paths().count("/0/public/AssetPairs") == 1

        wait_until(lambda: len(stream.subscribed) >= 2, process, 90, tmp_path)
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        stream.send(ws_kraken.ticker("BTC/USD", "61001.123456789", now))
        until("SELECT 1 FROM ticker_data WHERE price = 61001.123456789")
        (found,) = rows("SELECT symbol, timestamp, volume_24h FROM ticker_data WHERE price = 61001.123456789")
        assert found == ("BTC", datetime.fromisoformat(now), Decimal("1947.83637005") * Decimal("63392.2"))
        assert stop(process)[0] == 0
    assert "[error" not in (tmp_path / "output.txt").read_text()
