"""A month on the demo plan, simulated: its credits last, to the end and no further, whatever comes between."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count

import pytest

from app.errors import ProviderUnavailable, RateLimited
from app.limits import Account, Agree, CallBudget, PlanFacts, Spending, Standing
from app.minute import Recent
from app.pacing import Learned, Pace
from tests.clock import FakeClock
from tests.conftest import Logged

NOVEMBER = date(2026, 11, 1)
BEGIN, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
MONTH, MINUTE = 10_000, 30
FLOOR = 60.0
HOUR, DAY = 3600.0, 86400.0


class Table:
    """What the database has, for all who share an account."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.credits: Counter[tuple[date, str]] = Counter()
        self.backfill: Counter[tuple[date, str]] = Counter()
        self.polled: dict[str, float] = {}
        self.made: list[tuple[float, str, bool]] = []
        self.learned: tuple[int, float] | None = None
        self.said: set[date] = set()


class Teller:
    """app.limits.Ledger, of one who shares the table."""

    def __init__(self, table: Table, name: str) -> None:
        self.table, self.name = table, name
        self.budgets: dict[Account, CallBudget] = {}

    def recent(self, account: Account) -> Sequence[Recent]:
        now = self.table.clock.monotonic()
        return [Recent(max(0.0, now - at - 10), b) for at, who, b in self.table.made if who == self.name]

    def look(self, account: Account, month: date) -> Standing:
        table, now = self.table, self.table.clock.monotonic()
        table.made = [made for made in table.made if made[0] > now - 150]
        ours, ours_backfill = table.credits[month, self.name], table.backfill[month, self.name]
        return Standing(
            ours,
            sum(n for (m, _), n in table.credits.items() if m == month) - ours,
            ours_backfill,
            sum(n for (m, _), n in table.backfill.items() if m == month) - ours_backfill,
            sum(at > now - 1200 for who, at in table.polled.items() if who != self.name),
            [Recent(max(0.0, now - at - 10), b) for at, who, b in table.made if who != self.name],
            table.learned and Learned(table.learned[0], now - table.learned[1]),
        )

    def spend(self, account: Account, month: date, spending: Spending, agree: Agree) -> Standing:
        table, now = self.table, self.table.clock.monotonic()
        agree(self.look(account, month))
        table.credits[month, self.name] += spending.credits
        table.backfill[month, self.name] += spending.credits * spending.backfill
        table.made.append((now, self.name, spending.backfill))
        if not spending.backfill:
            table.polled[self.name] = now
        return self.look(account, month)

    def learn(self, account: Account, per_minute: int) -> None:
        self.table.learned = per_minute, self.table.clock.monotonic()

    def correct(self, account: Account, month: date, spent: int) -> Standing:
        others = sum(n for (m, who), n in self.table.credits.items() if m == month and who != "elsewhere")
        self.table.credits[month, "elsewhere"] = max(0, spent - others)
        return self.look(account, month)

    def first_to_say(self, account: Account, month: date) -> bool:
        first = month not in self.table.said
        self.table.said.add(month)
        return first


class Provider:
    """Charges for what it answers, as CoinGecko says it does; refuses more than a limit of its own in a minute."""

    def __init__(self, clock: FakeClock, dice: random.Random, per_minute: int = MINUTE) -> None:
        self.clock, self.dice, self.per_minute = clock, dice, per_minute
        self.is_down = False
        self.charged: Counter[date] = Counter()
        self.arrived: list[float] = []
        self.limited = 0

    def answer(self) -> None:
        """One call. It takes up to some seconds."""
        self.clock.advance(self.dice.uniform(0, 0.4))
        now = self.clock.monotonic()
        self.arrived.append(now)
        if sum(at > now - 60 for at in self.arrived[-self.per_minute - 1 :]) > self.per_minute:
            self.limited += 1
            raise RateLimited("HTTP 429", 53)
        if self.is_down or self.dice.random() < 0.005:
            raise ProviderUnavailable("HTTP 503")
        if self.dice.random() < 0.002:
            self.limited += 1
            raise RateLimited("HTTP 429", None)
        self.charged[self.clock.now().date().replace(day=1)] += 1
        if self.dice.random() < 0.003:
            self.clock.advance(9)
            raise ProviderUnavailable("the reply did not come in time")


class World:
    """Processes that take turns on one clock. What runs is a generator of the seconds to its next turn."""

    def __init__(self, seed: int, per_minute: int = MINUTE) -> None:
        self.clock = FakeClock(BEGIN)
        self.table, self.provider = Table(self.clock), Provider(self.clock, random.Random(seed), per_minute)
        self.begun = self.clock.monotonic()
        self.turns: list[tuple[float, int, Iterator[float]]] = []
        self.number = count()

    def budget(self, name: str, pace: Pace = "sustain") -> CallBudget:
        ledger = Teller(self.table, name)
        return CallBudget("coingecko", MINUTE, MONTH, self.clock, ledger, account="0123456789ab", pace=pace)

    def at(self, seconds: float, process: Iterator[float]) -> None:
        """Begin so long after the month's beginning."""
        heapq.heappush(self.turns, (self.begun + seconds, next(self.number), process))

    def run(self, until: datetime = END) -> None:
        end = self.begun + (until - BEGIN).total_seconds()
        while self.turns and self.turns[0][0] < end:
            due, _, process = heapq.heappop(self.turns)
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            pause = next(process, None)
            if pause is not None:
                heapq.heappush(self.turns, (max(due, self.clock.monotonic()) + pause, next(self.number), process))

    def polling(self, budget: CallBudget, calls: int = 1, until: datetime = END) -> Iterator[float]:
        """As app.fetcher does it: rounds on a cadence, a rest after a 429."""
        while self.clock.now() < until:
            pause = max(FLOOR, budget.pace(calls))
            for _ in range(calls):
                try:
                    with budget.call():
                        self.provider.answer()
                except RateLimited as error:
                    pause = max(pause, min(900.0, error.retry_after or 5.0))
                    break
                except ProviderUnavailable:
                    pass
            yield pause

    def filling(self, budget: CallBudget, pages: int) -> Iterator[float]:
        """As fast as it may."""
        while pages:
            try:
                with budget.call(backfill=True):
                    self.provider.answer()
                pages -= 1
                yield 0.0
            except RateLimited as error:
                if (error.retry_after or 0.0) > DAY:
                    return
                yield max(1.0, error.retry_after or 60.0)
            except ProviderUnavailable:
                yield 1.0

    def outage(self, hours: float) -> Iterator[float]:
        self.provider.is_down = True
        yield hours * HOUR
        self.provider.is_down = False

    @property
    def counted(self) -> int:
        return sum(n for (month, _), n in self.table.credits.items() if month == NOVEMBER)

    @property
    def charged(self) -> int:
        return self.provider.charged[NOVEMBER]

    def most_in_a_minute(self) -> int:
        arrived, first, most = self.provider.arrived, 0, 0
        for last, at in enumerate(arrived):
            while arrived[first] <= at - 60:
                first += 1
            most = max(most, last - first + 1)
        return most


def all_of_it_and_no_more(world: World) -> None:
    assert world.charged <= world.counted <= MONTH
    assert world.charged >= 0.98 * MONTH
    assert world.most_in_a_minute() <= MINUTE


def test_a_month_of_one_daemon_spends_its_credits_and_ends_with_them() -> None:
    world = World(1)
    world.at(0, world.polling(world.budget("one")))
    world.run()
    all_of_it_and_no_more(world)
    pauses = [b - a for a, b in zip(world.provider.arrived, world.provider.arrived[1:], strict=False)]
    assert sorted(pauses)[len(pauses) // 2] == pytest.approx(262, abs=8)  # spread evenly: not all at the beginning


@pytest.mark.parametrize("seed", range(2))
def test_a_month_with_outages_restarts_backfill_and_a_second_daemon_ends_with_its_credits_too(seed: int) -> None:
    world = World(seed)
    one = world.budget("one")
    world.at(0, world.polling(one, calls=3, until=BEGIN + timedelta(days=11)))
    world.at(2 * DAY, world.outage(8))
    world.at(2 * DAY + 8 * HOUR, world.filling(one, 60))
    world.at(7 * DAY, world.polling(world.budget("other"), until=BEGIN + timedelta(days=19)))
    # Eleven days in it is stopped, is away for two days, and finds again what it had.
    world.at(13 * DAY, world.polling(again := world.budget("one"), calls=3))
    world.at(13 * DAY, world.filling(again, 300))
    world.at(13 * DAY, world.filling(world.budget("a command"), 300))
    world.at(26 * DAY, world.filling(again, 10_000))
    world.run()
    all_of_it_and_no_more(world)
    filled = sum(world.table.backfill.values())
    assert 60 < filled <= 0.05 * MONTH


def test_a_provider_that_allows_less_than_it_says_is_soon_asked_no_more_than_that() -> None:
    world = World(5, per_minute=12)
    world.at(0, world.filling(world.budget("one"), 400))
    world.run(BEGIN + timedelta(hours=4))
    first = sum(at < world.begun + HOUR for at in world.provider.arrived)
    assert first > 200
    assert world.provider.limited < 0.1 * len(world.provider.arrived)
    assert world.most_in_a_minute() <= 20


def test_a_fast_month_is_over_early_and_says_so_once_long_before(logged: Logged) -> None:
    world = World(3)
    world.at(0, world.polling(world.budget("one", "fast"), until=BEGIN + timedelta(days=2)))
    world.at(2 * DAY, world.polling(again := world.budget("one", "fast")))
    world.run(BEGIN + timedelta(days=4))
    said = logged.read_new()
    assert said.count("credits end on 2026-11-0") == 1
    assert "PACE=sustain makes them last" in said
    assert again.ends_at == pytest.approx(BEGIN + timedelta(days=7), abs=timedelta(hours=6))
    world.run()
    assert world.counted == MONTH
    assert world.most_in_a_minute() <= MINUTE
    assert again.left_this_month == 0
    assert again.ends_at is None
    assert "credits end on" not in logged.read_new()


def test_a_sustained_month_predicts_no_end_unless_others_spend_it(logged: Logged) -> None:
    world = World(4)
    one, other = world.budget("one"), world.budget("other")
    world.at(0, world.polling(one))
    world.at(0, world.polling(other))
    world.at(3 * DAY, world.filling(one, 200))
    world.run(BEGIN + timedelta(days=6))
    assert one.ends_at is None
    assert other.ends_at is None
    assert "credits end on" not in logged.read_new()

    one.learn(PlanFacts(per_month=MONTH, spent=world.counted))
    spent = count(world.counted, 400)

    def elsewhere() -> Iterator[float]:
        while True:
            one.learn(PlanFacts(per_month=MONTH, spent=next(spent)))
            yield 6 * HOUR

    world.at(6 * DAY, elsewhere())
    world.run(BEGIN + timedelta(days=9))
    assert logged.read_new().count("others spend them faster than they last, with the same key") == 1


def test_the_next_month_begins_at_once() -> None:
    world = World(6)
    world.at(25 * DAY, world.polling(budget := world.budget("one", "fast"), until=END + timedelta(days=1)))
    world.table.credits[NOVEMBER, "other"] = MONTH - 100
    world.run(END + timedelta(hours=2))
    assert world.counted == MONTH
    assert budget.spent_this_month is not None
    assert 100 <= budget.spent_this_month <= 121  # a call a minute since, but for the last rest of the old month
