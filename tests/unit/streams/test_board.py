"""The latest update of each pair, and the silent ones."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from app.streams.board import ALL_SECONDS, SYMBOL_SECONDS, UNKNOWN_SECONDS, Board
from tests.clock import FakeClock


def board(*pairs: str) -> tuple[Board, FakeClock]:
    clock = FakeClock()
    found = Board(clock)
    found.watch({pair: pair.split("/")[0] for pair in pairs})
    return found, clock


def paced(found: Board, clock: FakeClock, pair: str, gap: float, times: int = 20) -> None:
    for _ in range(times):
        clock.advance(gap)
        found.note(pair, {})


def test_only_the_last_update_of_a_pair_is_taken_and_only_once() -> None:
    found, clock = board("BTC/USD", "ETH/USD")
    for price in ("1", "2", "3"):
        clock.advance(0.1)
        found.note("BTC/USD", {"last": price})
    (update,) = found.take()
    assert (update.symbol, update.ticker["last"], update.received_at) == ("BTC", "3", clock.now())
    assert found.take() == []


def test_what_is_not_watched_is_left_out() -> None:
    found, _ = board("BTC/USD")
    found.note("DOGE/USD", {"last": "1"})
    assert found.take() == []


def test_an_event_at_the_same_time_is_not_new() -> None:
    found, clock = board("BTC/USD", "ETH/USD")
    assert found.is_new("BTC", clock.now())
    assert not found.is_new("BTC", clock.now())
    assert found.is_new("ETH", clock.now())
    assert found.is_new("BTC", clock.now() + timedelta(microseconds=1))
    assert not found.is_new("DOGE", clock.now())


def test_a_symbol_is_silent_after_ten_times_its_own_pace() -> None:
    found, clock = board("BTC/USD", "ETH/USD")
    for _ in range(20):
        paced(found, clock, "BTC/USD", 1, 20)
        found.note("ETH/USD", {})
    paced(found, clock, "BTC/USD", 1, 200)
    assert found.silent() == []
    paced(found, clock, "BTC/USD", 1, 1)
    assert found.silent() == ["ETH"]


def test_thirty_seconds_are_always_borne() -> None:
    found, clock = board("BTC/USD")
    paced(found, clock, "BTC/USD", 0.1)
    clock.advance(SYMBOL_SECONDS)
    assert found.silent() == []
    clock.advance(0.1)
    assert found.silent() == ["BTC"]


def test_of_whom_little_is_known_a_minute_is_borne() -> None:
    found, clock = board("BTC/USD")
    clock.advance(UNKNOWN_SECONDS)
    assert found.silent() == []
    clock.advance(0.1)
    assert found.silent() == ["BTC"]


def test_the_silence_of_one_who_was_asked_for_begins_anew() -> None:
    found, clock = board("BTC/USD", "ETH/USD")
    clock.advance(UNKNOWN_SECONDS + 1)
    found.asked(["BTC"])
    assert found.silent() == ["ETH"]


def test_a_new_connection_ends_all_silences() -> None:
    found, clock = board("BTC/USD")
    paced(found, clock, "BTC/USD", 1)
    clock.advance(1000)
    found.listen_again()
    assert found.silent() == []
    assert found.silence() is None


def test_the_time_without_a_connection_is_nobodys_pace() -> None:
    found, clock = board("BTC/USD")
    paced(found, clock, "BTC/USD", 0.1)
    clock.advance(10_000)
    found.listen_again()
    paced(found, clock, "BTC/USD", 0.1)
    clock.advance(SYMBOL_SECONDS + 1)
    assert found.silent() == ["BTC"]
    assert found.silence() is not None


def test_all_together_are_silent_sooner_than_one() -> None:
    found, clock = board("BTC/USD", "ETH/USD")
    for _ in range(20):
        paced(found, clock, "BTC/USD", 0.5, 1)
        paced(found, clock, "ETH/USD", 0.5, 1)
    clock.advance(ALL_SECONDS)
    assert found.silence() is None
    clock.advance(0.1)
    assert found.silence() is not None
    assert found.silent() == []


def test_a_market_of_which_little_is_known_is_never_silent_as_a_whole() -> None:
    found, clock = board("BTC/USD")
    paced(found, clock, "BTC/USD", 1, 5)
    clock.advance(100_000)
    assert found.silence() is None


def test_a_slow_market_is_given_time() -> None:
    found, clock = board("BTC/USD")
    paced(found, clock, "BTC/USD", 10)
    clock.advance(100)
    assert found.silence() is None
    clock.advance(1)
    assert found.silence() is not None


def test_setting_the_clock_makes_nobody_silent() -> None:
    found, clock = board("BTC/USD")
    paced(found, clock, "BTC/USD", 1)
    clock.jump(86_400)
    assert found.silent() == []
    assert found.silence() is None


def test_what_is_watched_no_more_is_forgotten_and_the_rest_is_kept() -> None:
    found, clock = board("BTC/USD", "ETH/USD")
    paced(found, clock, "BTC/USD", 0.1)
    found.know({"BTC": Decimal(1), "ETH": Decimal(2), "DOGE": Decimal(3)})
    found.watch({"BTC/USD": "BTC", "SOL/USD": "SOL"})
    assert [found.price(symbol) for symbol in ("BTC", "ETH", "SOL", "DOGE")] == [Decimal(1), None, None, None]
    assert [update.symbol for update in found.take()] == ["BTC"]
    clock.advance(SYMBOL_SECONDS + 1)
    assert found.silent() == ["BTC"]
