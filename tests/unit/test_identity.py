"""Who is who, as the tick loop has to do with it; the rest is in tests/integration/test_identity.py."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.errors import DatabaseUnavailable, Deposed, ProviderUnavailable, RateLimited
from app.fetcher import Fetcher
from app.identity import Identity
from app.model import Batch, Finding, Instrument, Known, Lost, Tick
from app.sources.coins import Listed
from app.watch import Entry
from tests.clock import FakeClock
from tests.unit.sources.test_coins import Fake
from tests.unit.test_fetcher import ENTRIES, FakeIntake, FakeSource

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BTC, GON = Instrument("BTC", "USD", "fake", "BTC", "1", "Bitcoin"), Instrument("GON", "USD", "fake", "GON", "2", "Gone")


class Notes:
    """Who is known, and what was found out."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.error: Exception | None = None

    def known(self, market: str) -> list[Known]:
        return [Known(BTC), Known(GON)]

    def settle(self, market: str, findings: Sequence[Finding], at: datetime) -> None:
        if self.error:
            raise self.error
        self.findings += findings


class Coins(Fake):
    """Lists what it is told, and counts."""

    def __init__(self, *ids: str) -> None:
        super().__init__()
        self.ids, self.lists, self.error = ids, 0, None

    error: Exception | None

    def listed(self) -> list[Listed]:
        self.lists += 1
        if self.error:
            raise self.error
        return [Listed(id_, "X", f"Coin {id_}") for id_ in self.ids]


def batch(*symbols: str, lost: Sequence[str] = (), field: str = "price") -> Batch:
    ticks = tuple(Tick(s, NOW, Decimal(1), None, None, NOW, "fake") for s in symbols)
    return Batch("fake", NOW, ticks, tuple(Lost(s, field, "it is missing") for s in lost))


def looking(*ids: str) -> tuple[Identity, Coins, Notes, FakeClock]:
    clock, coins, notes = FakeClock(), Coins(*ids), Notes()
    identity = Identity("fake", coins, notes, clock)
    identity.begin()
    return identity, coins, notes, clock


def missing(identity: Identity, clock: FakeClock, rounds: int, seconds: float, reply: Batch) -> bool:
    for _ in range(rounds):
        identity.note(reply, (BTC, GON))
        clock.advance(seconds)
    return identity.step((BTC, GON))


@pytest.mark.parametrize(
    ("rounds", "seconds", "reply", "looks"),
    [
        (20, 60, batch("BTC", lost=["GON"]), 1),
        (19, 60, batch("BTC", lost=["GON"]), 0),  # too few
        (50, 10, batch("BTC", lost=["GON"]), 0),  # too soon
        (60, 10, batch("BTC", lost=["GON"]), 1),
        (90, 60, batch(lost=["BTC", "GON"]), 0),  # there is nobody who is not missing
        (90, 60, batch("BTC", "GON", lost=["GON"], field="volume_24h"), 0),
        (90, 60, batch("BTC"), 0),  # of a chunk it was not lost from
    ],
)
def test_who_is_missing_for_a_while_beside_others_is_looked_up(
    rounds: int, seconds: float, reply: Batch, looks: int
) -> None:
    identity, coins, notes, clock = looking("1")
    assert missing(identity, clock, rounds, seconds, reply) == bool(looks)
    assert coins.lists == looks
    assert [finding.is_delisted for finding in notes.findings] == [True] * looks


def test_who_is_back_in_time_is_not_looked_up() -> None:
    identity, coins, _, clock = looking("1")
    missing(identity, clock, 19, 60, batch("BTC", lost=["GON"]))
    identity.note(batch("BTC", "GON"), (BTC, GON))
    assert not missing(identity, clock, 19, 60, batch("BTC", lost=["GON"]))
    assert coins.lists == 0


@pytest.mark.parametrize("error", [RateLimited("slow down"), DatabaseUnavailable("away")])
def test_what_fails_is_tried_again_after_a_while(error: Exception) -> None:
    identity, coins, notes, clock = looking("1")
    if isinstance(error, ProviderUnavailable):
        coins.error = error
    else:
        notes.error = error
    lost = batch("BTC", lost=["GON"])
    assert not missing(identity, clock, 20, 60, lost)
    assert not missing(identity, clock, 9, 60, lost)
    assert coins.lists == 1
    coins.error = notes.error = None
    assert missing(identity, clock, 1, 60, lost)
    assert (coins.lists, len(notes.findings)) == (2, 1)


def test_who_is_deposed_finds_nothing_out() -> None:
    identity, _, notes, clock = looking("1")
    notes.error = Deposed("another leads")
    with pytest.raises(Deposed):
        missing(identity, clock, 20, 60, batch("BTC", lost=["GON"]))


def test_a_list_that_is_asked_for_in_vain_does_not_begin_the_round_anew() -> None:
    """Else the last of many coins would never be asked for, as both compete for the calls of a minute."""
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    source = FakeSource(clock, stop, [None, RateLimited("slow down", 90), None, RateLimited("slow down", 90)])
    source.chunk_size, asked = 1, []

    def limited() -> None:
        asked.append(clock.monotonic())
        raise RateLimited("slow down", 90)

    source.resolving = limited

    class Half(Identity):
        def without_asking(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[Instrument]]:
            return [], [Instrument(e.base, e.quote, "fake", e.symbol) for e in ENTRIES]  # type: ignore[union-attr]

    source.resolve = lambda entries: limited() if entries else []  # type: ignore[assignment,func-returns-value]
    identity = Half("fake", Coins(), Notes(), clock)
    fetcher = Fetcher(source, lambda: ENTRIES, intake, clock, stop, 1.0, identity=identity)  # type: ignore[arg-type]
    fetcher.run()
    assert len(asked) > 2
    assert source.asked_for[:3] == [["BTC"], ["ETH"], ["ETH"]]
    assert intake.watched == ["BTC", "ETH"], "and is written down once"
