"""The tick loop: cadence, back-off, pauses, and what it says about them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.errors import (
    ConfigurationError,
    CryptoMonitorError,
    DatabaseUnavailable,
    Deposed,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    Stopping,
)
from app.fetcher import Fetcher
from app.limits import CallBudget
from app.model import Batch, Instrument, Lost, Tick
from app.sources.base import Limits, Source
from app.watch import Entry, Top, Wanted
from tests.clock import FakeClock
from tests.conftest import Logged
from tests.unit.test_limits import Book

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ENTRIES = (Wanted("BTC", "USD", "fake", "BTC"), Wanted("ETH", "USD", "fake", "ETH"))


def entries() -> tuple[Entry, ...]:
    return ENTRIES


Answer = CryptoMonitorError | float | Sequence[Lost] | None
"""What a call brings: an error, a reply after so many seconds, a reply with values lost, or just a reply."""


class FakeSource(Source):
    """Answers by a script, then sets ``stop``."""

    name = "fake"

    def __init__(self, clock: FakeClock, stop: threading.Event, script: Iterable[Answer], **limits: float) -> None:
        self.clock, self.stop, self.script = clock, stop, iter(script)
        self.limits = Limits(floor_seconds=limits.get("floor", 0.0))
        self.budget = CallBudget("fake", int(limits.get("per_minute", 0)), 0, clock, Book())
        self.chunk_size = 10
        self.asked_at: list[float] = []
        self.asked_for: list[list[str]] = []
        self.resolving: Callable[[], None] = lambda: None

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        self.resolving()
        return [Instrument(e.base, e.quote, "fake", e.symbol) for e in entries if isinstance(e, Wanted)]

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        size = self.chunk_size
        return [tuple(instruments[i : i + size]) for i in range(0, len(instruments), size)]

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        with self.budget.call():
            self.asked_at.append(round(self.clock.monotonic() - 1000, 3))
            self.asked_for.append([i.symbol for i in chunk])
            try:
                answer = next(self.script)
            except StopIteration:
                self.stop.set()
                answer = None
            if isinstance(answer, CryptoMonitorError):
                raise answer
            if isinstance(answer, float):
                self.clock.advance(answer)
        lost = tuple(answer) if isinstance(answer, (list, tuple)) else ()
        ticks = tuple(Tick(i.symbol, NOW, Decimal(1), None, None, NOW, "fake") for i in chunk)
        return Batch("fake", NOW, ticks, lost)

    def ping(self) -> str:
        return "here"


class FakeIntake:
    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.watched: list[str] = []
        self.error: Exception | None = None

    def watch(self, market: str, instruments: Sequence[Instrument]) -> None:
        self.watched += [i.symbol for i in instruments]

    def accept(self, batch: Batch) -> None:
        if self.error:
            raise self.error
        self.batches.append(batch)


def run(script: Iterable[Answer], tick_seconds: float = 1.0, **limits: Any) -> tuple[Fetcher, FakeSource, FakeIntake]:
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    chunk_size = limits.pop("chunk_size", 10)
    source = FakeSource(clock, stop, script, **limits)
    source.chunk_size = chunk_size
    fetcher = Fetcher(source, entries, intake, clock, stop, tick_seconds)  # type: ignore[arg-type]
    fetcher.run()
    return fetcher, source, intake


def test_it_asks_on_a_fixed_cadence_whatever_a_call_takes() -> None:
    fetcher, source, intake = run([0.3, 0.9, 0.1, None])
    assert source.asked_at == [0, 1, 2, 3, 4]
    assert fetcher.health.overruns == 0
    assert len(intake.batches) == 5


def test_a_call_that_takes_longer_than_its_turn_skips_turns_and_never_makes_up_for_them() -> None:
    fetcher, source, _ = run([None, 3.5, None])
    assert source.asked_at == [0, 1, 5, 6]
    assert fetcher.health.overruns == 3


def test_one_failure_delays_nothing() -> None:
    fetcher, source, _ = run([None, ProviderUnavailable("HTTP 500"), None])
    assert source.asked_at == [0, 1, 2, 3]
    assert fetcher.health.state == "ok"
    assert fetcher.health.failures == 1


DOWN = ProviderUnavailable("down")


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("app.breaker", "app.fetcher"):
        monkeypatch.setattr(f"{module}.jittered", lambda seconds: seconds)


@pytest.mark.usefixtures("no_jitter")
def test_after_five_failures_in_a_row_it_asks_now_and_then_and_after_a_success_at_the_cadence_again() -> None:
    fetcher, source, _ = run([*[DOWN] * 12, None, *[DOWN] * 4, None], tick_seconds=0.5)
    waits = [round(b - a, 1) for a, b in zip(source.asked_at, source.asked_at[1:], strict=False)]
    assert waits == [0.5, 0.5, 0.5, 0.5, 1, 2, 4, 8, 16, 30, 30, 30, *[0.5] * 6]
    assert (fetcher.health.state, fetcher.health.consecutive_failures) == ("ok", 0)
    assert fetcher.health.overruns == 0


@pytest.mark.usefixtures("no_jitter")
def test_a_provider_that_is_slower_to_renew_than_the_pause_is_asked_at_its_own_pace() -> None:
    _, source, _ = run([DOWN] * 8, floor=60)
    assert source.asked_at == [60 * n for n in range(9)]


def test_after_many_failures_a_single_call_shows_whether_the_provider_is_back() -> None:
    """Of many chunks not each may have to run into its deadline first; and another one is tried each time."""
    _, source, intake = run([*[DOWN] * 10, DOWN, DOWN, DOWN, None, None], chunk_size=1)
    rounds = [source.asked_at.count(time) for time in dict.fromkeys(source.asked_at)]
    assert rounds == [2, 2, 2, 2, 2, 1, 1, 1, 1, 2]
    probes = source.asked_for[10:14]
    assert probes == [["BTC"], ["ETH"], ["BTC"], ["ETH"]]
    assert [tick.symbol for batch in intake.batches for tick in batch.ticks] == ["ETH", "BTC", "ETH"]


def test_a_probe_that_is_answered_is_followed_by_the_rest_of_its_round() -> None:
    _, source, _ = run([*[DOWN] * 10, None, None, None], chunk_size=1)
    assert source.asked_for[10:] == [["BTC"], ["ETH"], ["BTC"], ["ETH"]]
    assert source.asked_at[10] == source.asked_at[11]


def test_a_limit_or_a_refusal_neither_opens_nor_closes_it() -> None:
    limited = RateLimited("slow down", 5)
    _, source, _ = run([*[DOWN, limited] * 4, DOWN, limited, DOWN, None], chunk_size=2)
    waits = [b - a for a, b in zip(source.asked_at, source.asked_at[1:], strict=False)]
    assert waits[:8] == [1, 5] * 4
    assert waits[8] >= 1  # the fifth failure: open; limits in between do not make it forget the four before
    assert waits[10] >= 1  # the probe got a limit, the next one failed: still open


def test_while_some_calls_are_answered_the_provider_is_there_and_the_cadence_stays() -> None:
    """One coin that a provider cannot serve must not cost the others their ticks."""
    script = [answer for _ in range(20) for answer in (DOWN, None)]
    fetcher, source, intake = run(script, chunk_size=1)
    assert sorted(set(source.asked_at)) == list(range(21))
    assert fetcher.health.state == "ok"  # the very last round
    assert fetcher.health.failures == 20
    assert len(intake.batches) == 21


def test_a_provider_that_cannot_say_what_the_watch_list_means_is_asked_now_and_then() -> None:
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    source = FakeSource(clock, stop, [None])
    asked_at: list[float] = []

    def resolving() -> None:
        asked_at.append(clock.monotonic() - 1000)
        if len(asked_at) < 12:
            raise DOWN

    source.resolving = resolving
    Fetcher(source, entries, intake, clock, stop, 1.0).run()  # type: ignore[arg-type]
    assert asked_at[:6] == [0, 1, 2, 3, 4, 5]
    assert asked_at[11] - asked_at[10] >= 15
    assert len(intake.batches) == 2


def test_that_it_gives_a_provider_up_and_has_it_back_is_said_once(logged: Logged) -> None:
    run([None, *[DOWN] * 9, None])
    lines = logged.read_new().splitlines()
    assert sum("fake has failed 5 times in a row; from now on a single call" in line for line in lines) == 1
    assert sum("answers again; failed calls in a row: 9." in line for line in lines) == 1


def test_a_rate_limit_is_obeyed_to_the_second_and_no_longer_than_a_quarter_of_an_hour() -> None:
    _, source, _ = run([RateLimited("slow down", 53), RateLimited("slow down", 86400), None])
    assert source.asked_at == [0, 53, 953, 954]


def test_a_rate_limit_that_says_nothing_backs_off_with_jitter() -> None:
    _, source, _ = run([RateLimited("slow down")] * 8)
    waits = [b - a for a, b in zip(source.asked_at, source.asked_at[1:], strict=False)]
    for wait, longest in zip(waits, [5, 10, 20, 40, 80, 160, 300, 300], strict=True):
        assert longest / 2 <= wait <= longest + 1


def test_a_refusal_pauses_for_a_quarter_of_an_hour_and_says_what_to_change(logged: Logged) -> None:
    fetcher, source, _ = run([ProviderRefused("The key is wrong; change COINGECKO_API_KEY."), None])
    assert source.asked_at == [0, 900, 901]
    said = logged.read_new()
    assert said.count("change COINGECKO_API_KEY. Looking again in 15 minutes.") == 1
    assert fetcher.health.state == "ok"


def test_a_fault_is_said_once_and_its_end_too(logged: Logged) -> None:
    run([None, *[ProviderUnavailable("no route")] * 3, None, None])
    lines = logged.read_new().splitlines()
    assert sum("warning" in line and "no route" in line for line in lines) == 1
    assert sum("answers again; failed calls in a row: 3." in line for line in lines) == 1


def test_a_lost_value_is_said_once_until_it_comes_back(logged: Logged) -> None:
    lost = [Lost("ETH", "price", "it is null")]
    fetcher, _, _ = run([lost, lost, None, lost, None])
    lines = logged.read_new().splitlines()
    assert sum("The price of ETH cannot be used: it is null." in line for line in lines) == 2
    assert sum("The price of ETH can be used again." in line for line in lines) == 2
    assert fetcher.health.values_lost == 3


def test_the_provider_s_own_pace_is_not_outrun() -> None:
    fetcher, source, _ = run([None, None], tick_seconds=1, floor=60)
    assert source.asked_at == [0, 60, 120]
    assert fetcher.interval == 60


def test_calls_a_minute_are_spread_over_the_chunks_of_a_round() -> None:
    _, source, _ = run([None] * 5, chunk_size=1, per_minute=6)
    assert source.asked_at == [round(n // 2 * 2 * 62 / 6, 3) for n in range(len(source.asked_at))]


def test_a_failed_chunk_does_not_stop_the_others() -> None:
    _, source, intake = run([ProviderUnavailable("HTTP 500"), None, None], chunk_size=1)
    assert source.asked_at == [0, 0, 1, 1]
    assert [tick.symbol for batch in intake.batches for tick in batch.ticks] == ["ETH", "BTC", "ETH"]
    assert source.budget.calls == 4


def test_after_a_limit_the_round_goes_on_where_it_broke_off() -> None:
    """Otherwise the last of many coins would never be asked for."""
    _, source, intake = run([None, RateLimited("slow down", 10), None, None], chunk_size=1)
    assert source.asked_at == [0, 0, 10, 11, 11]
    assert [tick.symbol for batch in intake.batches for tick in batch.ticks] == ["BTC", "ETH", "BTC", "ETH"]


def test_a_retry_after_of_nothing_is_no_leave_to_ask_at_every_turn() -> None:
    _, source, _ = run([RateLimited("slow down", 0)] * 3, tick_seconds=0.05)
    assert source.asked_at[1] >= 2.5
    assert source.asked_at[2] - source.asked_at[1] >= 5


def test_what_is_watched_is_written_down_once_it_is_known() -> None:
    _, _, intake = run([None])
    assert intake.watched == ["BTC", "ETH"]


def test_an_unreachable_provider_at_the_start_is_asked_again_for_the_watch_list() -> None:
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    source = FakeSource(clock, stop, [None])
    failures: Iterator[int] = iter(range(2))

    def resolving() -> None:
        if next(failures, None) is not None:
            raise ProviderUnavailable("no network")

    source.resolving = resolving
    Fetcher(source, entries, intake, clock, stop, 1.0).run()  # type: ignore[arg-type]
    assert intake.watched == ["BTC", "ETH"]
    assert len(intake.batches) == 2


def test_a_watch_list_that_means_nothing_to_the_provider_ends_the_task() -> None:
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    source = FakeSource(clock, stop, [])

    def resolving() -> None:
        raise ConfigurationError("WATCH: 'FOO': no such coin")

    source.resolving = resolving
    with pytest.raises(ConfigurationError, match="FOO"):
        Fetcher(source, entries, intake, clock, stop, 1.0).run()  # type: ignore[arg-type]


def test_a_reply_that_arrives_while_stopping_is_still_handed_on() -> None:
    _, _, intake = run([])  # the only call sets stop, and then answers
    assert len(intake.batches) == 1


def test_a_batch_that_cannot_be_stored_any_more_is_not_lost_silently(logged: Logged) -> None:
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    intake.error = Stopping("gone")
    Fetcher(FakeSource(clock, stop, []), entries, intake, clock, stop, 1.0).run()  # type: ignore[arg-type]
    assert "The last reply's 2 ticks are lost" in logged.read_new()


def test_nothing_is_polled_before_the_windows_could_be_read() -> None:
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    source = FakeSource(clock, stop, [None])
    away = iter([DatabaseUnavailable("connection refused")] * 3)

    def watch(market: str, instruments: Sequence[Instrument]) -> None:
        assert not source.asked_at
        for error in away:
            raise error

    intake.watch = watch  # type: ignore[method-assign]
    fetcher = Fetcher(source, entries, intake, clock, stop, 60.0)  # type: ignore[arg-type]
    fetcher.run()
    assert len(source.asked_at) == 2
    assert source.asked_at[0] >= 3, "a second after each vain attempt, not a turn"
    assert fetcher.health.state == "ok"


def test_who_is_deposed_asks_no_more() -> None:
    for when in ("watch", "accept"):
        clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()

        def deposed(*_: object) -> None:
            raise Deposed("epoch 1 is over: another daemon leads since")

        setattr(intake, when, deposed)
        source = FakeSource(clock, stop, [None] * 9)
        Fetcher(source, entries, intake, clock, stop, 1.0).run()  # type: ignore[arg-type]
        assert stop.is_set()
        assert len(source.asked_at) == (0 if when == "watch" else 1)


# Several chunks, and a watch list that changes.


def test_all_that_a_round_brings_is_accepted_together() -> None:
    _, _, intake = run([None, [Lost("ETH", "price", "is zero")], None], chunk_size=1)
    assert [[tick.symbol for tick in batch.ticks] for batch in intake.batches] == [["BTC", "ETH"]] * 2
    assert [len(batch.lost) for batch in intake.batches] == [1, 0]


def test_what_was_brought_before_a_limit_is_accepted_all_the_same() -> None:
    _, _, intake = run([None, RateLimited("slow down", 10), None], chunk_size=1)
    assert [[tick.symbol for tick in batch.ticks] for batch in intake.batches] == [["BTC"], ["ETH"], ["BTC"]]


def follow(steps: Sequence[tuple[Entry, ...]]) -> tuple[FakeSource, FakeIntake, Fetcher]:
    """Fetch with another watch list at each turn."""
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    source = FakeSource(clock, stop, [None] * 99)
    left = list(steps)

    def now() -> tuple[Entry, ...]:
        if len(left) == 1:
            stop.set()
        return left.pop(0)

    fetcher = Fetcher(source, now, intake, clock, stop, 1.0)  # type: ignore[arg-type]
    fetcher.run()
    return source, intake, fetcher


def test_a_watch_list_that_changes_is_followed_at_the_next_turn() -> None:
    btc, eth = ENTRIES
    source, intake, fetcher = follow([(btc,), (btc,), (btc, eth), (eth,), (eth,)])
    assert source.asked_for == [["BTC"], ["BTC"], ["BTC", "ETH"], ["ETH"]]
    assert intake.watched == ["BTC", "BTC", "ETH", "ETH"]
    assert [i.symbol for i in fetcher.instruments] == ["ETH"]


def test_with_nothing_to_ask_for_it_is_idle_and_nobody_is_watched() -> None:
    btc, _ = ENTRIES
    source, _, fetcher = follow([(btc,), (), (), ()])
    assert source.asked_for == [["BTC"]]
    assert (fetcher.health.state, fetcher.health.symbols, fetcher.instruments) == ("idle", 0, [])
    assert fetcher.silent_seconds == 0


def test_an_entry_that_means_nothing_costs_itself_where_it_is_not_fatal() -> None:
    class Picky(FakeSource):
        def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
            found = super().resolve(entries)
            for instrument in found:
                if instrument.base.startswith("BAD"):
                    raise ConfigurationError(f"{instrument.base}?")
            return found

    clock, stop, intake, refused = FakeClock(), threading.Event(), FakeIntake(), []
    source = Picky(clock, stop, [None])
    good, bad = [Wanted(f"S{n}", "USD", "fake", f"S{n}") for n in range(40)], Wanted("BAD", "USD", "fake", "BAD")
    entries = (*good[:7], bad, *good[7:], Wanted("BAD2", "USD", "fake", "BAD2"))
    refuse = lambda entry, error: refused.append((entry.symbol, str(error)))  # noqa: E731
    Fetcher(source, lambda: entries, intake, clock, stop, 1.0, refuse=refuse).run()  # type: ignore[arg-type]
    assert refused == [("BAD", "BAD?"), ("BAD2", "BAD2?")]
    assert intake.watched == [entry.symbol for entry in good]


def test_while_a_change_cannot_be_resolved_what_was_known_goes_on() -> None:
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    source = FakeSource(clock, stop, [None] * 4)
    btc, _ = ENTRIES
    lists = iter([(btc,), ENTRIES, ENTRIES, ENTRIES, ENTRIES, ENTRIES])

    def now() -> tuple[Entry, ...]:
        found = next(lists)
        if found is ENTRIES:
            source.resolving = away
        return found

    def away() -> None:
        raise ProviderUnavailable("no list of coins")

    Fetcher(source, now, intake, clock, stop, 1.0).run()  # type: ignore[arg-type]
    assert source.asked_for == [["BTC"]] * 5


def test_a_ranking_is_looked_at_anew_every_day() -> None:
    clock, stop, intake = FakeClock(), threading.Event(), FakeIntake()
    source, resolved = FakeSource(clock, stop, [None] * 3), []
    source.resolving = lambda: resolved.append(clock.monotonic())
    entries = (*ENTRIES, Top(5, "USD", "fake"))
    Fetcher(source, lambda: entries, intake, clock, stop, 40_000.0).run()  # type: ignore[arg-type]
    assert [at - resolved[0] for at in resolved] == [0, 120_000]
