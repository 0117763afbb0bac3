"""A restart at any moment gives what no restart gives: the same lines, ticks, candles, alerts and states.

Each set of kills is drawn at random: before and after every call of ours, in the start too, in the midst of a write to
alerts.txt, and while the database is away. FAULTS=long draws more; FAULTS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.oracle import expected_lines
from tests.acceptance.scripted import IDS, Row, recorded
from tests.acceptance.test_recorded_market import CRASH
from tests.faults.lives import Act, Found, Kill, Life, Machine, bodies, machine

pytestmark = [
    pytest.mark.one_server,
    # Who is killed closes nothing.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SETS = 1000 if os.environ.get("FAULTS") == "long" else 25
_SHIPPED = {"price-2pct-5m", "volume-2pct-5m"}


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(10**9))
    print(f"{request.node.name}: FAULTS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def desk(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with machine(dsn, monkeypatch) as made:
        yield made


def test_kills_anywhere_on_the_recorded_crash_day(desk: Machine, dice: random.Random) -> None:
    if not CRASH.exists():
        pytest.skip(f"the recorded prices are not here: {CRASH.name}")
    replies = recorded(CRASH, 386, 23)  # the steepest fall of the day
    found, _ = one_life(desk, replies)
    shipped = [line.rpartition(" id=")[0] for line in found.lines if line.split()[3] in _SHIPPED]
    assert shipped == expected_lines(replies)
    desk.forget()
    kill_again_and_again(desk, replies, dice)


def test_kills_anywhere_on_a_day_of_our_own_with_late_and_missing_values(desk: Machine, dice: random.Random) -> None:
    kill_again_and_again(desk, our_own(dice, 26), dice)


def test_a_restart_at_every_single_reply(desk: Machine, dice: random.Random) -> None:
    replies = our_own(dice, 26)
    untouched, _ = one_life(desk, replies)
    desk.forget()
    desk.script(bodies(replies))
    for number in range(1, len(replies)):
        desk.live(Kill(number, 1))
        desk.serve_from(number)
    desk.live()
    assert desk.found() == untouched


def test_calls_spent_before_a_restart_count_against_the_limit_after_it(desk: Machine, dice: random.Random) -> None:
    replies = our_own(dice, 26)
    desk.script(bodies(replies))
    for number in (7, 15, 22):
        desk.live(Kill(number, dice.randint(1, 1500)))
        desk.serve_from(number)
        assert len(desk.asked_at) <= desk.calls_counted <= len(desk.asked_at) + 3
    desk.live()
    assert len(desk.asked_at) <= desk.calls_counted <= len(desk.asked_at) + 3


def kill_again_and_again(desk: Machine, replies: Sequence[Sequence[Row]], dice: random.Random) -> None:
    """Many sets of kills; what stands after each has to be what stands after a life without any."""
    untouched, reference = one_life(desk, replies)
    lively = alerting(replies, untouched)
    assert len(lively) > 5, "a day without alerts tests nothing"
    happened = Counter[str]()
    for _ in range(SETS):
        kills, outages = draw(reference, lively, dice), some_outages(len(replies), dice)
        desk.forget()
        desk.script(bodies(replies), outages)
        deaths = play(desk, kills, replies, outages, dice)
        found, asked = desk.found(), len(desk.asked_at)
        story = f"{kills}, killed at {deaths}; the database: {outages}"
        assert found.lines == untouched.lines, story
        assert found.rows == untouched.rows, story
        assert asked <= desk.calls_counted <= asked + len(deaths), story
        happened.update(death.partition(": ")[0] for death in deaths)
        happened["with an outage"] += bool(outages)
    print(f"{SETS} sets of kills: {dict(happened)}")
    assert happened["in the start"] > SETS / 10
    assert happened["in a reply"] > SETS / 2
    assert happened["half a write"] > SETS / 20


def one_life(desk: Machine, replies: Sequence[Sequence[Row]]) -> tuple[Found, Life]:
    """What stands when nothing is killed, and how many events that took."""
    desk.script(bodies(replies))
    life = desk.live(count=True)
    assert life.killed is None
    return desk.found(), life


def draw(reference: Life, lively: Sequence[int], dice: random.Random) -> list[Kill]:
    """One to four kills: in starts, and, in order, in replies, more often in those that alert."""
    kills = []
    for number in sorted(dice.choice(dice.choice((lively, [*reference.handling]))) for _ in range(dice.randint(1, 4))):
        events = reference.handling[number]
        torn = number in lively and dice.random() < 0.2
        kills.append(Kill(number, 0, torn=True) if torn else Kill(number, dice.randint(1, events)))
        if dice.random() < 0.25:
            kills.append(Kill(None, dice.randint(1, reference.start)))
    return kills


def play(
    desk: Machine,
    kills: Sequence[Kill],
    replies: Sequence[Sequence[Row]],
    outages: Mapping[int, Sequence[Act]],
    dice: random.Random,
) -> list[str]:
    """Life after life; where each was killed. The provider goes on with the reply that was in hand, or before it."""
    deaths = []
    for kill in kills:
        life = desk.live(kill)
        if life.killed is None:
            break  # it never came so far, and has done all there was
        if not outages:  # else some may be accepted by the spool
            nothing_in_the_file_alone(desk.found())
        desk.database = "here"  # a start waits for it
        deaths.append(f"{'in the start' if life.during is None else 'in a reply'}: {life.killed}")
        if kill.torn:
            deaths[-1] = f"half a write: {life.killed}"
        if life.during is not None:
            accepted = desk.stored(replies[life.during]) and dice.random() < 0.5
            desk.serve_from(life.during + accepted - dice.choice((0, 0, 1, 2)))
    else:
        assert desk.live().killed is None
    return deaths


def nothing_in_the_file_alone(found: Found) -> None:
    """A line is written when what it tells is accepted, and not before."""
    accepted = {(state, id_) for id_, state, *_ in found.rows["alerts"]}
    whole = [line for line in found.lines if not line.endswith("(not ended)")]
    written = {(line.split()[1], line.rpartition("id=")[2]) for line in whole}
    assert written <= accepted


def some_outages(replies: int, dice: random.Random) -> dict[int, list[Act]]:
    """In every other set the database is away for a while; sometimes it is a COMMIT whose answer is lost."""
    if dice.random() < 0.5:
        return {}
    first = dice.randrange(replies - 8)
    return {first: [dice.choice((_away, _lost))], first + dice.randint(1, 6): [_back]}


def _away(desk: Machine) -> None:
    desk.database = "away"


def _lost(desk: Machine) -> None:
    desk.database = "lost"


def _back(desk: Machine) -> None:
    desk.database = "here"


def alerting(replies: Sequence[Sequence[Row]], found: Found) -> list[int]:
    """The replies that cause lines."""
    times = {line.split()[0] for line in found.lines}
    return [n for n, rows in enumerate(replies) if any(f"{row.time:%Y-%m-%dT%H:%M:%S}.000Z" in times for row in rows)]


def our_own(
    dice: random.Random, replies: int, start: datetime = datetime(2024, 2, 29, 23, 50, tzinfo=UTC)
) -> list[list[Row]]:
    """A wild market across midnight, with late ticks, ticks that come twice, and volumes that are missing."""
    prices, volumes = {"BTC": 60781.97, "ETH": 2388.18, "ZEC": 29.455}, {"BTC": 3.6e9, "ETH": 1.5e9, "ZEC": 1.4e8}
    market: list[list[Row]] = []
    for number in range(replies):
        rows = []
        for symbol in IDS:
            prices[symbol] *= 1 + dice.gauss(0, 0.012)
            volumes[symbol] *= 1 + dice.gauss(0, 0.02)
            volume = "null" if dice.random() < 0.08 else f"{volumes[symbol]:.3f}"
            row = Row(start + number * timedelta(seconds=30), symbol, f"{prices[symbol]:.5f}", volume)
            odd = dice.random()
            if number > 3 and odd < 0.06:
                row = replace(row, time=row.time - timedelta(seconds=dice.choice((35, 65, 95, 400))))
            elif market and odd < 0.12:
                row = next((other for other in market[-1] if other.symbol == symbol), row)
            rows.append(row)
        market.append(rows)
    return market
