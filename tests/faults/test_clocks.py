"""Whatever the clocks do, ours, the provider's or those in a payload: nothing twice, nothing lost, no false alert."""

from __future__ import annotations

import ast
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from app import freshness
from app.clock import SystemClock, TheirClock
from app.errors import RateLimited
from app.http import Http
from app.limits import CallBudget
from app.tasks import Tasks
from tests import provider
from tests.acceptance.oracle import expected_lines
from tests.acceptance.scripted import Row
from tests.clock import FakeClock
from tests.conftest import new_database
from tests.faults.lives import Act, Found, Kill, Machine, bodies, machine
from tests.faults.test_restart import our_own
from tests.servers import Installed, available
from tests.unit.test_limits import Book

START = datetime(2024, 2, 29, 23, 50, tzinfo=UTC)
REPLIES = 18
HOUR, DAY = 3600, 86400


@dataclass(frozen=True)
class Market:
    """What is served, and what stands when no clock jumps."""

    replies: Sequence[Sequence[Row]]
    found: Found


@pytest.fixture(scope="module")
def desk(servers: Callable[[Installed], str], templates: Callable[[str], str]) -> Iterator[Machine]:
    server = servers(available()[0])
    with (
        new_database(server, templates(server)) as dsn,
        pytest.MonkeyPatch.context() as patch,
        machine(dsn, patch) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def market(desk: Machine) -> Market:
    replies = our_own(random.Random(11), REPLIES, START)
    begin(desk, replies)
    assert desk.live().killed is None
    found = desk.found()
    assert len({line.split()[0] for line in found.lines}) > 5, "a market without alerts tests nothing"
    return Market(replies, found)


def begin(
    desk: Machine,
    replies: Sequence[Sequence[Row]],
    acts: Mapping[int, Sequence[Act]] | None = None,
) -> None:
    """Everything forgotten, our clock right, and the provider's always."""
    desk.forget()
    desk.clock, desk.database = FakeClock(START), "here"
    desk.script(bodies(replies), acts, dates_of(replies))


def dates_of(replies: Sequence[Sequence[Row]]) -> list[datetime]:
    """The provider's own clock: a moment after what it has published so far."""
    newest = accumulate((max(row.time for row in rows) for rows in replies), max)
    return [time + timedelta(seconds=2) for time in newest]


# The wall clock, and the machine's sleep.


def by(seconds: float) -> Act:
    """The wall clock is set by so much."""
    return lambda desk: desk.clock.jump(seconds)


def to(moment: datetime) -> Act:
    """The wall clock is set to this."""
    return lambda desk: desk.clock.jump((moment - desk.clock.now()).total_seconds())


def slept(seconds: float) -> Act:
    """The machine slept, and its monotonic clock went on (elsewhere it stands still, as when the wall clock is set)."""
    return lambda desk: desk.clock.advance(seconds)


def at_each(*acts: Act) -> dict[int, list[Act]]:
    """These in turn, one before each reply."""
    return {number: [acts[number % len(acts)]] for number in range(REPLIES)}


def wild(seed: int, most: float) -> dict[int, list[Act]]:
    dice = random.Random(seed)
    return at_each(*(by(dice.uniform(-most, most)) for _ in range(REPLIES)))


YEAR_2038 = datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC)
JUMPS: Mapping[str, Mapping[int, Sequence[Act]]] = {
    "an hour ahead": {8: [by(HOUR)]},
    "an hour back": {8: [by(-HOUR)]},
    "an hour ahead and back again": {7: [by(HOUR)], 11: [by(-HOUR)]},
    "an hour back and ahead again": {7: [by(-HOUR)], 11: [by(HOUR)]},
    "a second back each time": at_each(by(-1)),
    "more than a second back each time": at_each(by(-1.7)),
    "a second ahead each time": at_each(by(1)),
    "half an hour, to and fro": at_each(by(1800), by(-1800)),
    "a day ahead": {8: [by(DAY)]},
    "a day back": {8: [by(-DAY)]},
    "ten days ahead and back again": {6: [by(10 * DAY)], 10: [by(-10 * DAY)]},
    "to the end of 32 bits": {8: [to(YEAR_2038)]},
    "to the end of 32 bits and back again": {6: [to(YEAR_2038)], 10: [to(START)]},
    "an empty battery: 1970": {0: [to(datetime(1970, 1, 1, tzinfo=UTC))]},
    "an empty battery, then right": {0: [to(datetime(2000, 1, 1, tzinfo=UTC))], 9: [to(START)]},
    "across the end of the year and back": {6: [to(datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC))], 10: [to(START)]},
    "slept 30 seconds": {8: [slept(30)]},
    "slept eight hours": {8: [slept(8 * HOUR)]},
    "slept eight hours by the wall alone": {8: [by(8 * HOUR)]},
    "slept for three weeks, twice": {6: [slept(21 * DAY)], 11: [slept(21 * DAY)]},
    "woke up with the clock an hour off, then set": {6: [slept(8 * HOUR), by(-HOUR)], 9: [by(HOUR)]},
    "anywhere within a minute": wild(1, 60),
    "anywhere within a day": wild(2, DAY),
    "anywhere within a year": wild(3, 365 * DAY),
}


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps_changes_nothing(jump: str, desk: Machine, market: Market) -> None:
    begin(desk, market.replies, JUMPS[jump])
    assert desk.live().killed is None
    assert desk.found() == market.found
    leaps = sum(len(acts) for acts in JUMPS[jump].values()) if "slept" in jump or "woke" in jump else 0
    calm(desk.asked_at, leaps)


@pytest.mark.parametrize("jump", JUMPS)
def test_kills_between_commit_and_file_while_the_clock_jumps_lose_no_line(
    jump: str, desk: Machine, market: Market
) -> None:
    begin(desk, market.replies, JUMPS[jump])
    for number in (6, 9, 12):
        assert desk.live(Kill(number, "AlertsFile.write")).killed is not None
        desk.serve_from(number + 1)  # it was accepted: nobody serves it again
    assert desk.live().killed is None
    assert desk.found() == market.found


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps_while_the_database_is_away_changes_nothing(
    jump: str, desk: Machine, market: Market
) -> None:
    def database(where: str) -> Act:
        return lambda machine: setattr(machine, "database", where)

    acts = {number: [*acts] for number, acts in JUMPS[jump].items()}
    acts.setdefault(5, []).append(database("lost"))
    acts.setdefault(12, []).append(database("here"))
    begin(desk, market.replies, acts)
    assert desk.live(Kill(13, "AlertsFile.write")).killed is not None
    desk.serve_from(13)
    assert desk.live().killed is None
    assert desk.found() == market.found


def calm(asked_at: Sequence[float], leaps: int) -> None:
    """Every call comes at its turn, a second after the last, but for the two around a leap of the monotonic clock."""
    gaps = [round(after - before, 6) for before, after in pairwise(asked_at)]
    assert sum(gap != 1 for gap in gaps) <= 2 * leaps, gaps
    assert sum(gap < 1 for gap in gaps) <= leaps, gaps
    assert len(gaps) == REPLIES


def test_a_line_is_not_lost_when_the_clock_was_days_ahead_and_the_machine_off_for_days(
    desk: Machine, market: Market
) -> None:
    # Else all that was accepted in these days would be taken for written.
    one = next(n for n in range(REPLIES) if causes_lines(market, n) and causes_lines(market, n + 1))
    quiet = [market.replies[one]] * 2  # known already: nothing is written meanwhile
    replies = [*market.replies[: one + 1], *quiet, *market.replies[one + 1 :]]
    begin(desk, replies, {one: [by(3 * DAY)], one + 1: [by(-3 * DAY)]})
    other = one + len(quiet) + 1
    desk.clock = FakeClock(datetime.now(UTC))  # as that of the database, which says when alerts were recorded
    assert desk.live(Kill(other, "AlertsFile.write")).killed is not None
    desk.serve_from(other + 1)
    desk.clock.advance(3 * DAY)
    assert desk.live().killed is None
    assert desk.found().lines == market.found.lines


def causes_lines(market: Market, number: int) -> bool:
    times = {row.time.strftime("%Y-%m-%dT%H:%M:%S.000Z") for row in market.replies[number]}
    return any(line.split()[0] in times for line in market.found.lines)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, 10 * DAY, -10 * DAY])
def test_the_first_new_tick_after_a_jump_makes_the_data_fresh_again(
    seconds: float, desk: Machine, market: Market
) -> None:
    seen: list[tuple[bool, int]] = []

    def look(machine: Machine) -> None:
        machine.report.state = "running"
        machine.report.write_status()
        _, runs, reasons = freshness.look(machine.settings.data_dir, machine.clock.now())
        seen.append((runs, len(reasons)))

    begin(desk, market.replies, {3: [look], 4: [by(seconds), look], 5: [look]})
    assert desk.live().killed is None
    assert seen[0] == (True, 0)
    assert seen[1][0], "it runs, whatever the clock says"
    assert seen[2] == (True, 0)


def test_tasks_that_slept_do_not_make_up_for_their_turns() -> None:
    clock, stop, steps = FakeClock(), threading.Event(), list[float]()
    tasks = Tasks(stop, clock)

    def step() -> None:
        steps.append(clock.monotonic())
        if len(steps) == 3:
            clock.advance(8 * HOUR + 0.5)
        if len(steps) == 5:
            clock.jump(-DAY)
        if len(steps) == 8:
            stop.set()

    tasks.every("status", 1.0, step)
    assert tasks.join(60) == []
    assert [round(after - before, 6) for before, after in pairwise(steps)] == [
        1, 1, 8 * HOUR + 1, 1, 1, 1, 1
    ]  # fmt: skip


# Limits and what providers ask for.


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, -1, 10 * DAY, -10 * DAY])
def test_a_jump_frees_no_call_of_the_minute(seconds: float) -> None:
    clock = FakeClock()
    budget = CallBudget("coingecko", 3, 0, clock, Book())
    for _ in range(3):
        with budget.call():
            clock.advance(1)
    clock.jump(seconds)
    with pytest.raises(RateLimited) as refused, budget.call():
        pass
    assert 55 < (refused.value.retry_after or 0) <= 62


def test_a_month_that_the_clock_visits_by_mistake_has_no_calls_to_give_to_ours() -> None:
    clock, book = FakeClock(), Book()
    budget = CallBudget("coingecko", 0, 5, clock, book)
    made: dict[int, int] = {}
    for days in (0, 20, 0, 4000, 0, 20, 0):
        clock.jump(days * DAY)
        for _ in range(3):
            try:
                with budget.call():
                    made[days] = made.get(days, 0) + 1
            except RateLimited:
                pass
        clock.jump(-days * DAY)
    assert made == {0: 5, 20: 5, 4000: 3}


@pytest.mark.parametrize("ours", [-10 * 365 * DAY, -HOUR, 0, HOUR])
def test_a_date_to_wait_for_is_by_the_providers_clock(ours: float) -> None:
    headers = {"Date": "Sun, 22 Nov 2026 10:00:00 GMT", "Retry-After": "Sun, 22 Nov 2026 10:01:30 GMT"}
    clock = FakeClock()
    clock.jump(ours)
    with (
        provider.serving(provider.reply(status=429, headers=headers)) as served,
        closing(Http("here", served.root, clock)) as http,
        pytest.raises(RateLimited) as refused,
    ):
        http.get("/ping")
    assert refused.value.retry_after == 90


# The provider's clock.

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def test_a_single_date_years_ahead_is_not_believed() -> None:
    clock = FakeClock(NOW)
    theirs = TheirClock(clock)
    assert theirs.read(NOW) == NOW
    clock.advance(60)
    assert theirs.read(NOW + timedelta(days=2000)) == NOW + timedelta(seconds=60)
    clock.advance(60)
    assert theirs.read(NOW + timedelta(seconds=120)) == NOW + timedelta(seconds=120)


def test_a_call_goes_by_a_believable_date() -> None:
    dates = ["Sun, 22 Nov 2026 10:00:00 GMT", "Thu, 22 Nov 2046 10:00:00 GMT", "Sun, 22 Nov 2026 10:00:02 GMT"]
    answers = [provider.reply({}, headers={"Date": date}) for date in dates]
    with provider.serving(*answers) as served, closing(Http("here", served.root, FakeClock(NOW))) as http:
        assert [http.get("/ping").now for _ in dates] == [NOW, NOW, NOW + timedelta(seconds=2)]


@pytest.mark.parametrize("ours", [-50 * 365 * DAY, -DAY, -HOUR, HOUR, DAY, 5000 * DAY])
def test_a_date_is_believed_when_it_is_our_clock_that_is_wrong(ours: float) -> None:
    clock = FakeClock(NOW)
    clock.jump(ours)
    theirs = TheirClock(clock)
    for minute in range(5):
        right = NOW + timedelta(minutes=minute)
        assert theirs.read(right) == right
        clock.advance(60)


def test_a_date_is_believed_after_a_sleep_in_which_our_monotonic_clock_stood_still() -> None:
    clock = FakeClock(NOW)
    theirs = TheirClock(clock)
    theirs.read(NOW)
    clock.jump(8 * HOUR)
    assert theirs.read(NOW + timedelta(hours=8)) == NOW + timedelta(hours=8)


def test_a_date_that_leaps_is_believed_when_the_next_one_agrees() -> None:
    clock = FakeClock(datetime(1970, 1, 1, tzinfo=UTC))
    theirs = TheirClock(clock)
    theirs.read(NOW)
    assert theirs.read(NOW + timedelta(hours=8)) == NOW  # our clock cannot tell, and slept too
    clock.advance(60)
    later = NOW + timedelta(hours=8, minutes=1)
    assert theirs.read(later) == later


@pytest.mark.parametrize("year", [1, 9999])
def test_a_date_at_the_end_of_time_breaks_nothing(year: int) -> None:
    clock = FakeClock(NOW)
    theirs = TheirClock(clock)
    for date in (datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC), None, NOW, datetime(year, 1, 1, tzinfo=UTC), NOW):
        theirs.read(date)
        clock.advance(60)
    assert theirs.read(NOW + timedelta(seconds=300)) == NOW + timedelta(seconds=300)


def test_a_tick_from_a_future_that_one_false_date_vouches_for_makes_no_other_late(
    desk: Machine, market: Market
) -> None:
    false = datetime(2031, 1, 1, tzinfo=UTC)
    replies, dates = [*market.replies], dates_of(market.replies)
    replies.insert(9, [replace(row, time=false) for row in replies[9]])
    dates.insert(9, false)
    begin(desk, replies)
    theirs = TheirClock(desk.clock)
    desk.script(bodies(replies), None, [theirs.read(date) for date in dates])
    assert desk.live().killed is None
    assert desk.found() == market.found


# Zones, and times in a payload.

CHANGES = {
    "America/New_York": (datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
}


@pytest.mark.parametrize(("zone", "change"), [(zone, change) for zone in CHANGES for change in CHANGES[zone]], ids=str)
def test_a_change_to_or_from_summer_time_shows_nowhere(
    zone: str, change: datetime, desk: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = our_own(random.Random(5), REPLIES, change - timedelta(minutes=5))
    plain = [[replace(row, volume="1") for row in rows] for rows in replies]
    found = {}
    for here in ("UTC", zone):
        monkeypatch.setenv("TZ", here)
        monkeypatch.setenv("PGTZ", here)
        time.tzset()
        try:
            begin(desk, replies, at_each(by(29)))
            desk.query(f"ALTER DATABASE {desk.query('SELECT current_database()')[0][0]} SET timezone TO '{here}'")
            desk.clock = FakeClock(change - timedelta(minutes=5))
            assert desk.live(Kill(REPLIES // 2, "AlertsFile.write")).killed is not None
            assert desk.live().killed is None
            found[here] = desk.found()
        finally:
            monkeypatch.undo()
            time.tzset()
    assert found[zone] == found["UTC"]
    lines = [line.rpartition(" id=")[0] for line in found[zone].lines if " price-2pct-5m " in line]
    assert lines == [line for line in expected_lines(plain) if " price-2pct-5m " in line]
    times = {row.time for rows in replies for row in rows}
    days = {bucket for width, _, bucket, *_ in found[zone].rows["candles"] if width == "1d"}
    assert days == {at.replace(hour=0, minute=0, second=0) for at in times}


LEAP_SECOND = 1483228800  # 2016-12-31T23:59:60Z, and 2017-01-01T00:00:00Z too: UNIX time gives it no number of its own
ODD: Mapping[str, str] = {
    "a leap second as text": '"2016-12-31T23:59:60Z"',
    "the time as text": '"2024-02-29T23:52:00Z"',
    "seconds as text": '"1709250720"',
    "milliseconds": "1709250720000",
    "microseconds": "1709250720000000",
    "61 seconds after the reply": "AFTER 61",
    "an hour after the reply": "AFTER 3600",
    "years after the reply": "4102444800",
    "before any market": "1230940799",
    "zero": "0",
    "below zero": "-1709250720",
    "half a second": "1709250720.5",
    "beyond all dates": "1e30",
    "not a number": "NaN",
    "true": "true",
    "a list": "[1709250720]",
    "an object": '{"t":1709250720}',
}


def test_odd_times_in_a_payload_cost_their_coin_and_nothing_else(desk: Machine, market: Market) -> None:
    replies, dates, without = list[bytes](), dates_of(market.replies), list[list[Row]]()
    for number, (rows, date) in enumerate(zip(market.replies, dates, strict=True)):
        odd = list(ODD.values())[number % len(ODD)]
        if odd.startswith("AFTER"):
            odd = str(int(date.timestamp()) + int(odd.split()[1]))
        time_of_btc = f'"last_updated_at":{int(rows[0].time.timestamp())}'
        replies.append(bodies([rows])[0].replace(time_of_btc.encode(), f'"last_updated_at":{odd}'.encode(), 1))
        without.append([row for row in rows if row.symbol != "BTC"])
    begin(desk, market.replies)
    desk.script(replies, None, dates)
    assert desk.live().killed is None
    found = desk.found()
    assert {symbol for symbol, *_ in found.rows["ticks"]} == {"ETH", "ZEC"}
    stored = {(symbol, at) for symbol, at, *_ in found.rows["ticks"]}
    assert stored == {(row.symbol, row.time) for rows in without for row in rows}
    assert found.lines == [line for line in market.found.lines if line.split()[2] != "BTC"]


def test_a_leap_second_is_one_tick_with_the_second_after_it(desk: Machine) -> None:
    at = datetime.fromtimestamp(LEAP_SECOND, UTC)
    rows = [Row(at + timedelta(seconds=s), "BTC", "963.5", "1000") for s in (-1, 0, 0, 1)]
    begin(desk, [[row] for row in rows])
    assert desk.live().killed is None
    ticks = [(symbol, time) for symbol, time, *_ in desk.found().rows["ticks"]]
    assert ticks == [("BTC", at + timedelta(seconds=s)) for s in (-1, 0, 1)]


def test_a_reply_dated_in_a_leap_second_is_taken_by_our_clock() -> None:
    clock = FakeClock()
    headers = {"Date": "Sat, 31 Dec 2016 23:59:60 GMT"}
    with (
        provider.serving(provider.reply({}, headers=headers)) as served,
        closing(Http("here", served.root, clock)) as http,
    ):
        assert http.get("/ping").now == clock.now()


def test_a_source_that_only_repeats_itself_stores_nothing_and_is_called_stale(desk: Machine, market: Market) -> None:
    seen: list[tuple[str, ...]] = []

    def look(machine: Machine) -> None:
        machine.report.state = "running"
        machine.report.write_status()
        seen.append(freshness.look(machine.settings.data_dir, machine.clock.now())[2])

    stale = [market.replies[0]] * 10
    begin(desk, stale, {2: [look], 9: [slept(200), look]})
    assert desk.live().killed is None
    assert len(desk.found().rows["ticks"]) == len(market.replies[0])
    assert seen[0] == ()
    assert "180 s are allowed" in seen[1][0]


# The clock is an object.

PAST_THE_CLOCK: Mapping[str, str] = {
    "clock.py": "it is the clock",
    "db.py": "waits for a server's socket, in a callback of psycopg2's; retry sleeps between attempts to connect",
    "deadline.py": "waits for sockets, in real time",
    "api/listen.py": "retry sleeps between attempts to have the port",
    "http.py": "how long a socket was idle, or took",
    "api/edge.py": "how long an answer took, for the log",
    "api/aside.py": "waits for its child's answer",
    "api/gate.py": "waits for nothing: how long a caller would have to, by the clock that it was given",
    "api/stream.py": "waits for the first of two tasks, without a limit",
    "api/stream_feed.py": "waits for the database's notices, in real time; how long ago the last client went",
    "api/stream_teller.py": "how long ago a client was sent anything",
    "embedded/process.py": "waits for processes of PostgreSQL",
    "child.py": "waits for its child to end",
    "channels/sending.py": "waits for its child's answer",
    "channels/outbox.py": "how long ago it gave up what waits for channels that are gone",
    "cli/backtest.py": "a command: there is nobody to pass it a clock",
    "cli/doctor.py": "a command: there is nobody to pass it a clock",
    "cli/token.py": "a command: there is nobody to pass it a clock",
    "cli/simulate.py": "waits for Ctrl-C, without a limit",
    "health.py": "a command, and a short one",
}
_CALLS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "sleep", "perf_counter", "localtime", "gmtime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


def test_nobody_asks_for_the_time_but_the_clock() -> None:
    app = Path(__file__).parents[2] / "app"
    found = {
        str(file.relative_to(app)) for file in app.rglob("*.py") if any(_asks(node) for node in ast.walk(_tree(file)))
    }
    assert found == set(PAST_THE_CLOCK)


def _tree(file: Path) -> ast.AST:
    return ast.parse(file.read_text(encoding="utf-8"))


def _asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id == "retry_call"
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    called, of = node.func.attr, ast.unparse(node.func.value)
    if called == "wait":
        return "clock" not in of
    return called in _CALLS.get(of, ())


def test_the_machines_clock_waits_by_monotonic_time_and_its_time_is_utc() -> None:
    clock, event = SystemClock(), threading.Event()
    before = clock.monotonic()
    assert not clock.wait(event, 0.02)
    assert clock.monotonic() - before >= 0.02
    assert not clock.wait(event, -1)
    assert clock.now().utcoffset() == timedelta(0)
    assert abs((clock.now() - datetime.now(UTC)).total_seconds()) < 60
