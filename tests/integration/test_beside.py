"""What providers say of instruments, in the table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.beside import Beside
from app.db import Database
from app.model import Batch
from app.set_aside import SetAsideFile
from tests.clock import FakeClock

pytestmark = pytest.mark.one_server


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []

    return database.run(fetch)


def test_a_text_that_jsonb_refuses_costs_itself(database: Database, tmp_path: Path) -> None:
    rows(
        database,
        "INSERT INTO instruments (symbol, base, quote, market)"
        " SELECT s, s, 'USD', 'coinmarketcap' FROM unnest(ARRAY['BTC', 'ETH', 'ZEC']) AS t (s)",
    )
    beside = Beside(database, SetAsideFile(tmp_path), FakeClock())
    names = {"BTC": "Bitcoin", "ETH": "Ether\0eum", "ZEC": "Zcash"}
    facts = {symbol: {"name": name} for symbol, name in names.items()}
    beside.take(Batch("coinmarketcap", datetime(2026, 11, 22, tzinfo=UTC), (), facts=facts))
    with capture_logs() as said:
        beside.step()
    assert [line["symbol"] for line in said] == ["ETH"]
    assert rows(database, "SELECT symbol, metadata FROM instruments ORDER BY symbol") == [
        ("BTC", {"name": "Bitcoin"}),
        ("ETH", {}),
        ("ZEC", {"name": "Zcash"}),
    ]
