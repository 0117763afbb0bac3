"""What doctor says of budgets, and that what it asks counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.calls import CallLedger
from app.cli import doctor
from app.clock import SystemClock
from app.config import Settings, load
from app.db import Database, execute
from app.limits import Account, Spending, account_of
from app.pacing import month_of
from tests.provider import reply, serving

KEY = "CG-of-nobody"


@pytest.fixture
def root() -> Iterator[str]:
    with serving(reply({"gecko_says": "(V3) To the Moon!"})) as provider:
        yield f"{provider.root}/api/v3"


def settings(root: str, dsn: str, data_dir: Path) -> Settings:
    return load(
        None,
        coingecko_plan="demo",
        coingecko_api_key=KEY,
        coingecko_base_url=root,
        coingecko_calls_per_minute=30,
        coingecko_calls_per_month=10_000,
        database_url=dsn,
        data_dir=data_dir,
    )


def test_it_says_what_is_left_and_its_own_calls_count(dsn: str, database: Database, root: str, tmp_path: Path) -> None:
    here = Account("coingecko", account_of(KEY, root))
    other = {
        "source": here.source,
        "account": here.name,
        "month": month_of(datetime.now(UTC)),
        "spender": "other",
        "caller": "other",
    }
    with closing(CallLedger(database, tmp_path / "calls.sqlite", SystemClock())) as daemon:
        daemon.spend(here, month_of(datetime.now(UTC)), Spending(1200), lambda _: None)
        daemon.learn(here, 15)
    for spent in (1201, 1202):
        said = doctor._provider(settings(root, dsn, tmp_path))
        assert "; 30 calls a minute; 15 for now, after a 429" in said
        assert f"; {spent} of 10000 credits spent this month, {10_000 - spent} left (4" in said
        assert "; PACE=sustain, a credit in " in said
    assert database.run(lambda cursor: execute(cursor, "calls_standing", **other))[0][4] == 1  # polls: the daemon alone


def test_without_a_database_it_says_who_would_know(root: str, tmp_path: Path) -> None:
    away = f"host={tmp_path} user=nobody dbname=nothing"
    said = doctor._provider(settings(root, away, tmp_path))
    assert "; 10000 credits a month; how many are spent, the database knows." in said
