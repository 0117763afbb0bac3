"""What replies bring beside ticks: written when it changed, once an hour, and one bad text costs itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.beside import Beside
from app.errors import DatabaseUnavailable, DataRefused
from app.model import Batch
from app.set_aside import SetAsideFile
from tests.clock import FakeClock

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Cursor:
    """Stands for the database too: it takes all but texts with ``bad`` in them."""

    description = None

    def __init__(self) -> None:
        self.saved: list[dict[str, str]] = []
        self.away = False

    def once(self, work: Callable[[Any], object], *, patience: float) -> object:
        assert patience <= 5
        if self.away:
            raise DatabaseUnavailable("nobody answers")
        return work(self)

    def execute(self, _query: str, values: Mapping[str, Any]) -> None:
        if any("bad" in text for text in values["facts"]):
            raise DataRefused("unsupported Unicode escape sequence")
        self.saved.append(dict(zip(values["symbol"], values["facts"], strict=True)))


@pytest.fixture
def cursor() -> Cursor:
    return Cursor()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def beside(cursor: Cursor, clock: FakeClock, tmp_path: Path) -> Beside:
    return Beside(cursor, SetAsideFile(tmp_path), clock)  # type: ignore[arg-type]


def said_of(**facts: object) -> Batch:
    """A reply that says a name of each symbol."""
    return Batch("coinmarketcap", NOW, (), facts={symbol: {"name": name} for symbol, name in facts.items()})


def test_what_changed_is_written_and_at_most_once_an_hour(beside: Beside, cursor: Cursor, clock: FakeClock) -> None:
    beside.take(said_of(BTC="Bitcoin", ETH="Ether"))
    beside.step()
    beside.take(said_of(BTC="Bitcoin", ETH="Ethereum"))
    beside.step()
    assert cursor.saved == [{"BTC": '{"name":"Bitcoin"}', "ETH": '{"name":"Ether"}'}]
    clock.advance(3600)
    beside.step()
    assert cursor.saved[1:] == [{"ETH": '{"name":"Ethereum"}'}]


def test_a_number_keeps_every_digit(beside: Beside, cursor: Cursor) -> None:
    supply = Decimal("21000000.000000000000000001")
    beside.take(Batch("coinmarketcap", NOW, (), facts={"BTC": {"max_supply": supply}}))
    beside.step()
    assert cursor.saved == [{"BTC": '{"max_supply":21000000.000000000000000001}'}]


def test_a_text_that_the_database_refuses_costs_itself_and_is_said_once(
    beside: Beside, cursor: Cursor, clock: FakeClock
) -> None:
    with capture_logs() as said:
        for number in range(3):
            beside.take(said_of(BTC=f"Bitcoin {number}", ETH=f"bad {number}", ZEC=f"Zcash {number}"))
            beside.step()
            clock.advance(3600)
    assert cursor.saved == [
        {symbol: f'{{"name":"{name} {n}"}}'}
        for n in range(3)
        for symbol, name in (("BTC", "Bitcoin"), ("ZEC", "Zcash"))
    ]
    (line,) = said
    assert line["event"].startswith("What the provider says of ETH beside its price is not kept")
    assert "bad" not in line["event"]


def test_while_the_database_is_away_the_newest_is_kept_for_later(beside: Beside, cursor: Cursor) -> None:
    cursor.away = True
    for name in ("Bit", "Bitcoin"):
        beside.take(said_of(BTC=name))
        beside.step()
    cursor.away = False
    beside.step()
    beside.step()
    assert cursor.saved == [{"BTC": '{"name":"Bitcoin"}'}]


def test_what_comes_no_more_is_forgotten(beside: Beside, clock: FakeClock) -> None:
    with capture_logs():
        for number in range(20):
            beside.take(said_of(**{f"BTC{number}": "Bitcoin", f"ETH{number}": "bad", "ZEC": "Zcash"}))
            beside.step()
            clock.advance(1800)
    assert len(beside._new) <= 1
    assert len(beside._written) <= 5
    assert len(beside._refused) <= 2
