"""When a stream needs a call beside it, and what such a call tells of the stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from app.streams.board import SYMBOL_SECONDS, Board
from app.streams.calls import DOWN_SECONDS, GRACE_SECONDS, SETTLE_SECONDS, Calls
from tests.clock import FakeClock


@dataclass
class FakeStream:
    """app.streams.stream.Stream, as Calls sees it."""

    clock: FakeClock
    is_live: bool = False
    since: float = 0.0
    opened: int = 0
    opened_at: float = 0.0
    refused: frozenset[str] = frozenset()
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.since = self.clock.monotonic()

    def open(self) -> None:
        self.is_live, self.opened = True, self.opened + 1
        self.since = self.opened_at = self.clock.monotonic()

    def lose(self) -> None:
        self.is_live, self.since = False, self.clock.monotonic()

    def connect_again(self, reason: str) -> None:
        self.told.append(reason)


class Market:
    """A stream with its board and its calls, on a clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.board = Board(self.clock)
        self.board.watch({"BTC/USD": "BTC", "ETH/USD": "ETH"})
        self.stream = FakeStream(self.clock)
        self.calls = Calls(self.stream, self.board, self.clock)  # type: ignore[arg-type]

    def needed(self, *, its_turn: bool = True) -> bool:
        return self.calls.are_needed(its_turn=its_turn)

    def call(self, **prices: int) -> None:
        self.calls.begin()
        self.board.know({symbol: Decimal(price) for symbol, price in prices.items()})
        self.calls.answered()

    def streams(self, seconds: float, *pairs: str) -> None:
        """Updates once a second."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            for pair in pairs or ("BTC/USD", "ETH/USD"):
                self.board.note(pair, {})

    def live(self) -> Market:
        """Well, and filled."""
        self.stream.open()
        self.streams(30)
        self.call(BTC=100, ETH=10)
        assert not self.needed()
        return self


def test_the_first_seconds_without_a_connection_are_waited_for() -> None:
    market = Market()
    market.clock.advance(DOWN_SECONDS)
    assert not market.needed()
    market.clock.advance(0.1)
    assert market.needed()
    assert not market.needed(its_turn=False)


def test_a_new_connection_is_filled_once_whosever_turn_it_is() -> None:
    market = Market()
    market.stream.open()
    assert not market.needed()
    market.clock.advance(SETTLE_SECONDS)
    assert market.needed(its_turn=False)
    assert market.needed(its_turn=False)  # until a call was answered
    market.call()
    assert not market.needed()


def test_every_connection_after_the_first_is_filled_too() -> None:
    market = Market().live()
    market.stream.lose()
    market.stream.open()
    market.clock.advance(SETTLE_SECONDS)
    assert market.needed()


def test_a_connection_made_during_a_call_is_filled_by_the_next() -> None:
    market = Market().live()
    market.stream.open()
    market.clock.advance(SETTLE_SECONDS)
    market.calls.begin()
    market.stream.open()
    market.calls.answered()
    market.clock.advance(SETTLE_SECONDS)
    assert market.needed()


def test_calls_are_for_all_without_a_stream_and_after_a_gap_and_else_for_the_silent_ones() -> None:
    market = Market()
    market.calls.begin()
    assert market.calls.only is None
    market.stream.open()
    market.calls.begin()
    assert market.calls.only is None
    market.live().streams(10 * SYMBOL_SECONDS, "BTC/USD")
    assert market.needed()
    market.calls.begin()
    assert set(market.calls.only or ()) == {"ETH"}
    market.stream.lose()
    market.calls.begin()
    assert market.calls.only is None


def test_a_silent_symbol_is_asked_for_once_for_each_such_silence() -> None:
    market = Market().live()
    market.streams(SYMBOL_SECONDS + 1, "BTC/USD")
    assert market.needed()
    market.call(BTC=101, ETH=10)
    market.streams(SYMBOL_SECONDS - 1, "BTC/USD")
    assert not market.needed()
    market.streams(2, "BTC/USD")
    assert market.needed()


def test_a_price_that_has_changed_behind_the_streams_back_gives_it_up() -> None:
    market = Market().live()
    market.streams(SYMBOL_SECONDS + 1, "BTC/USD")
    assert market.needed()
    market.call(BTC=101, ETH=11)
    market.streams(GRACE_SECONDS, "BTC/USD")
    market.needed()
    assert market.stream.told == []
    market.streams(1, "BTC/USD")
    market.needed()
    assert market.stream.told == ["it is silent about ETH, whose price has changed"]


def test_the_price_that_was_known_shows_that_there_was_nothing_to_say() -> None:
    market = Market().live()
    market.streams(SYMBOL_SECONDS + 1, "BTC/USD")
    assert market.needed()
    market.call(BTC=101, ETH=10)
    market.streams(GRACE_SECONDS + 2, "BTC/USD")
    market.needed()
    assert market.stream.told == []


def test_an_update_that_the_call_overtook_clears_the_stream() -> None:
    market = Market().live()
    market.streams(SYMBOL_SECONDS + 1, "BTC/USD")
    assert market.needed()
    market.call(ETH=11)
    market.streams(1)
    market.streams(GRACE_SECONDS + 1, "BTC/USD")
    market.needed()
    assert market.stream.told == []


def test_an_update_during_the_call_clears_the_stream() -> None:
    market = Market().live()
    market.streams(SYMBOL_SECONDS + 1, "BTC/USD")
    assert market.needed()
    market.calls.begin()
    market.streams(1)
    market.board.know({"ETH": Decimal(11)})
    market.calls.answered()
    market.streams(GRACE_SECONDS + 2, "BTC/USD")
    market.needed()
    assert market.stream.told == []


def test_of_a_symbol_that_the_exchange_does_not_stream_nothing_is_expected() -> None:
    market = Market().live()
    market.stream.refused = frozenset({"ETH"})
    market.streams(SYMBOL_SECONDS + 1, "BTC/USD")
    assert market.needed()
    market.call(ETH=11)
    market.streams(GRACE_SECONDS + 2, "BTC/USD")
    market.needed()
    assert market.stream.told == []


def test_a_lost_connection_is_suspected_of_nothing() -> None:
    market = Market().live()
    market.streams(SYMBOL_SECONDS + 1, "BTC/USD")
    assert market.needed()
    market.call(ETH=11)
    market.stream.lose()
    market.needed()
    market.stream.open()
    market.clock.advance(GRACE_SECONDS + 1)
    market.call(ETH=11)
    market.needed()
    assert market.stream.told == []
