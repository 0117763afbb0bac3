"""Calls are spent against limits that hold, and that last for the month."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ProviderRefused, ProviderUnavailable, RateLimited
from app.limits import MINUTE, Account, Agree, CallBudget, PlanFacts, Spending, Standing, account_of
from app.minute import Recent
from tests.clock import FakeClock
from tests.conftest import Logged

NOVEMBER = date(2026, 11, 1)
HERE = Account("coingecko")


class Book:
    """A ledger in memory, for all who share it. Its calls of the last minute are those of ``before`` alone."""

    def __init__(self, before: Sequence[float] = ()) -> None:
        self.counted: Counter[tuple[Account, date]] = Counter()
        self.backfilled: Counter[tuple[Account, date]] = Counter()
        self.before = [Recent(age) for age in before]
        self.learned: dict[Account, int] = {}
        self.warned: set[tuple[Account, date]] = set()
        self.touched = 0
        self.budgets: dict[Account, CallBudget] = {}

    def recent(self, account: Account) -> Sequence[Recent]:
        self.touched += 1
        return self.before

    def look(self, account: Account, month: date) -> Standing:
        self.touched += 1
        return Standing(ours=self.counted[account, month], ours_backfill=self.backfilled[account, month])

    def spend(self, account: Account, month: date, spending: Spending, agree: Agree) -> Standing:
        self.touched += 1
        agree(self.look(account, month))
        self.counted[account, month] += spending.credits
        self.backfilled[account, month] += spending.credits * spending.backfill
        return self.look(account, month)

    def learn(self, account: Account, per_minute: int) -> None:
        self.touched += 1
        self.learned[account] = per_minute

    def correct(self, account: Account, month: date, spent: int) -> Standing:
        self.touched += 1
        self.counted[account, month] = max(self.counted[account, month], spent)
        return self.look(account, month)

    def first_to_say(self, account: Account, month: date) -> bool:
        self.touched += 1
        first = (account, month) not in self.warned
        self.warned.add((account, month))
        return first


def budget(
    per_minute: int = 0, per_month: int = 0, clock: FakeClock | None = None, book: Book | None = None
) -> CallBudget:
    return CallBudget("coingecko", per_minute, per_month, clock or FakeClock(), book or Book())


def spend(from_: CallBudget) -> None:
    with from_.call():
        pass


def calls_until_refused(spent: CallBudget) -> int:
    for made in range(10_000):
        try:
            spend(spent)
        except RateLimited:
            return made
    raise AssertionError("nothing refuses")


def test_without_limits_nothing_is_refused_counted_or_even_touched() -> None:
    book = Book()
    free = budget(book=book)
    for _ in range(1000):
        spend(free)
    assert (free.pace(), free.spent_this_month, book.touched) == (0.0, None, 0)
    assert free.calls == 1000


def test_a_minutes_calls_are_free_again_one_by_one() -> None:
    clock = FakeClock()
    five = budget(per_minute=5, clock=clock)
    for _ in range(5):
        spend(five)
        clock.advance(1)
    with pytest.raises(RateLimited, match="5 calls a minute") as caught:
        spend(five)
    assert caught.value.retry_after is not None
    clock.advance(caught.value.retry_after)
    spend(five)
    with pytest.raises(RateLimited):
        spend(five)
    clock.advance(1)
    spend(five)


def test_a_call_counts_until_a_minute_after_its_end_as_nobody_knows_when_it_arrived() -> None:
    clock = FakeClock()
    one = budget(per_minute=1, clock=clock)
    with one.call():
        clock.advance(9)
        with pytest.raises(RateLimited) as caught:
            spend(one)
        assert caught.value.retry_after is not None
        assert caught.value.retry_after > 60
    clock.advance(60)
    with pytest.raises(RateLimited):
        spend(one)
    clock.advance(1)
    spend(one)


def test_a_call_that_fails_is_spent_all_the_same() -> None:
    one = budget(per_minute=1)
    with pytest.raises(ZeroDivisionError), one.call():
        raise ZeroDivisionError
    with pytest.raises(RateLimited):
        spend(one)
    assert one.calls == 1


@given(
    st.lists(st.tuples(st.floats(0, 30), st.floats(0, 10), st.floats(0, 1)), min_size=20, max_size=80),
    st.integers(1, 8),
)
def test_no_minute_ever_has_more_calls_than_allowed_however_late_one_arrives(
    calls: list[tuple[float, float, float]], per_minute: int
) -> None:
    clock = FakeClock()
    limited = budget(per_minute=per_minute, clock=clock)
    arrived = []
    for pause, lasts, share in calls:
        clock.advance(pause)
        try:
            with limited.call():
                arrived.append(clock.monotonic() + lasts * share)
                clock.advance(lasts)
        except RateLimited as error:
            assert error.retry_after is not None
            assert error.retry_after > 0
    assert arrived
    assert all(sum(start <= call < start + 60 for call in arrived) <= per_minute for start in arrived)


def test_who_asks_at_the_pace_of_a_minutes_calls_is_never_refused() -> None:
    """app.sources.base plans with MINUTE; a call that takes a second longer than another does not upset it."""
    clock = FakeClock()
    limited = budget(per_minute=6, clock=clock)
    for number in range(100):
        with limited.call():
            clock.advance(lasts := 0.9 * (number % 2))
        clock.advance(MINUTE / 6 - lasts)
    assert limited.calls == 100


def test_what_was_called_before_a_restart_fills_the_minute_too() -> None:
    clock = FakeClock()
    limited = budget(per_minute=3, clock=clock, book=Book(before=[300.0, 40.0, 10.0]))
    spend(limited)
    with pytest.raises(RateLimited) as caught:
        spend(limited)
    assert caught.value.retry_after == pytest.approx(21)


def test_a_months_calls_are_spent_to_the_last_and_no_further() -> None:
    book = Book()
    month = budget(per_month=25, book=book)
    assert calls_until_refused(month) == 25
    assert month.spent_this_month == 25
    assert book.counted[HERE, NOVEMBER] == 25


def test_a_spent_month_says_when_the_next_begins() -> None:
    month = budget(per_month=1)
    spend(month)
    with pytest.raises(RateLimited, match=r"8\.6 days") as caught:
        spend(month)
    assert caught.value.retry_after == (datetime(2026, 12, 1, tzinfo=UTC) - FakeClock().now()).total_seconds()


@pytest.mark.parametrize("month", [11, 12])
def test_the_next_month_begins_anew(month: int) -> None:
    clock, book = FakeClock(datetime(2026, month, 30, 23, 59, tzinfo=UTC)), Book()
    monthly = budget(per_month=12, clock=clock, book=book)
    assert calls_until_refused(monthly) == 12
    clock.advance(2 * 86400)
    assert calls_until_refused(monthly) == 12
    assert book.counted[HERE, date(2026 + month // 12, month % 12 + 1, 1)] == 12


def test_a_clock_that_is_set_a_month_ahead_and_back_makes_no_call_forgotten() -> None:
    clock = FakeClock()
    monthly = budget(per_month=20, clock=clock)
    for _ in range(15):
        spend(monthly)
    clock.jump(30 * 86400)
    spend(monthly)
    clock.jump(-30 * 86400)
    assert calls_until_refused(monthly) == 5


def test_two_processes_share_a_month() -> None:
    book = Book()
    one, other = budget(per_month=30, book=book), budget(per_month=30, book=book)
    made = 0
    for _ in range(40):
        for process in (one, other):
            try:
                spend(process)
                made += 1
            except RateLimited:
                pass
    assert made == 30


def test_a_restart_forgets_no_call() -> None:
    book = Book()
    before = budget(per_month=30, book=book)
    for _ in range(11):
        spend(before)
    assert calls_until_refused(budget(per_month=30, book=book)) == 19


def test_the_pace_makes_the_credits_that_are_left_last_less_a_reserve_for_backfill() -> None:
    clock = FakeClock(datetime(2026, 11, 21, tzinfo=UTC))
    month = budget(per_month=1000, clock=clock)
    assert month.pace() == 10 * 86400 / 950
    assert month.pace(5) == 5 * month.pace()
    for _ in range(500):
        spend(month)
    assert month.pace() == 10 * 86400 / 475
    assert calls_until_refused(month) == 500
    assert month.pace() == 30 * 86400 / 1000  # call() is what says no now; who waits must not look healthy for days


def test_a_call_that_a_limit_refuses_is_not_counted() -> None:
    both = budget(per_minute=1, per_month=100)
    spend(both)
    with pytest.raises(RateLimited):
        spend(both)
    assert (both.spent_this_month, both.calls) == (1, 1)


def test_several_threads_spend_no_more_than_there_is() -> None:
    month, made = budget(per_month=95), []
    threads = [threading.Thread(target=lambda: made.append(calls_until_refused(month))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == 95


# Credits.


def fail(from_: CallBudget, error: Exception, cost: int = 1) -> None:
    with pytest.raises(type(error)), from_.call(cost):
        raise error


def test_a_call_may_cost_several_credits_or_none() -> None:
    month = budget(per_month=10)
    with month.call(4):
        pass
    with month.call(0):
        pass
    assert (month.spent_this_month, month.left_this_month, month.calls) == (4, 6, 2)
    with pytest.raises(RateLimited), month.call(7):
        pass
    with month.call(6):
        pass
    with month.call(0):  # such as to ask what the plan is
        pass


@pytest.mark.parametrize("error", [RateLimited("HTTP 429", 5), ProviderRefused("HTTP 401")])
def test_what_the_provider_refuses_it_does_not_charge_and_the_next_call_has_it(error: Exception) -> None:
    month = budget(per_month=10)
    fail(month, error, 3)
    assert (month.spent_this_month, month.pace()) == (3, budget(per_month=10).pace())
    with month.call(5):
        pass
    assert month.spent_this_month == 5


def test_a_reply_that_is_none_of_http_200_is_not_charged() -> None:
    month, failed = budget(per_month=10), ProviderUnavailable("HTTP 503")
    failed.status = 503
    fail(month, failed, 3)
    assert calls_until_refused(month) == 10


def test_what_nobody_knows_of_is_charged() -> None:
    month = budget(per_month=10)
    fail(month, ProviderUnavailable("no reply in time"), 3)
    assert calls_until_refused(month) == 7


def test_what_a_reply_says_it_cost_counts_with_the_next_call() -> None:
    month = budget(per_month=20)
    spend(month)
    month.spend_more(4)
    assert month.pace() > 0
    assert (month.spent_this_month, month.left_this_month) == (1, 15)
    spend(month)
    assert month.spent_this_month == 6
    month.spend_more(-2)
    assert calls_until_refused(month) == 16


def test_a_credit_given_back_is_of_its_month() -> None:
    clock = FakeClock(datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    month = budget(per_month=10, clock=clock)
    fail(month, RateLimited("HTTP 429", 5), 4)
    clock.advance(120)
    assert calls_until_refused(month) == 10


def test_what_is_owed_is_paid_in_the_next_month_too() -> None:
    clock = FakeClock(datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    month = budget(per_month=10, clock=clock)
    spend(month)
    month.spend_more(4)
    clock.advance(120)
    assert calls_until_refused(month) == 6


# Backfill.


def backfill_until_refused(spent: CallBudget) -> tuple[int, RateLimited]:
    for made in range(10_000):
        try:
            with spent.call(backfill=True):
                pass
        except RateLimited as error:
            return made, error
    raise AssertionError("nothing refuses")


def test_backfill_has_a_reserve_and_none_of_what_polling_needs() -> None:
    month = budget(per_month=1000)
    assert month.pace() and month.left_for_backfill == 50
    before = month.pace()
    made, refused = backfill_until_refused(month)
    assert made == 50
    assert "what backfill may spend" in str(refused)
    assert refused.retry_after == (datetime(2026, 12, 1, tzinfo=UTC) - FakeClock().now()).total_seconds()
    assert month.pace() == before
    assert month.left_for_backfill == 0
    assert calls_until_refused(month) == 950


def test_backfill_takes_no_credit_that_polling_was_given_back() -> None:
    month = budget(per_month=1000)
    fail(month, RateLimited("HTTP 429", 5), 10)
    with month.call(backfill=True):
        pass
    assert month.spent_this_month == 11
    assert calls_until_refused(month) == 999


def test_of_a_minute_backfill_leaves_as_much_as_polling_takes() -> None:
    clock = FakeClock()
    limited = budget(per_minute=10, clock=clock)
    for _ in range(4):
        spend(limited)
    clock.advance(268)  # rounds may be far from each other
    made, refused = backfill_until_refused(limited)
    assert (made, str(refused)) == (6, "coingecko: 4 of 10 calls a minute are kept for polling")
    assert refused.retry_after == pytest.approx(61)
    for _ in range(4):
        spend(limited)
    with pytest.raises(RateLimited, match="our own limit"):
        spend(limited)


def test_where_nobody_polls_backfill_leaves_room_for_one_who_begins() -> None:
    assert backfill_until_refused(budget(per_minute=10))[0] == 9
    assert backfill_until_refused(budget(per_minute=1))[0] == 0


def test_what_a_minute_needs_to_know_does_not_grow_with_the_month() -> None:
    clock = FakeClock()
    month = budget(per_month=1000, clock=clock)
    for _ in range(500):
        spend(month)
        clock.advance(10)
    assert len(month._minute._ours) < 10


# Learning.


def test_a_429_teaches_fewer_calls_a_minute_and_says_so(logged: Logged) -> None:
    clock, book = FakeClock(), Book()
    limited = budget(per_minute=30, clock=clock, book=book)
    fail(limited, RateLimited("HTTP 429", 53))
    assert (limited.per_minute, limited.per_minute_of_plan, book.learned) == (15, 30, {HERE: 15})
    assert "30 calls a minute are too many: 15 for now" in logged.read_new()
    clock.advance(62)
    assert calls_until_refused(limited) == 15
    clock.advance(3000)
    assert calls_until_refused(limited) == 30


def test_our_own_limit_teaches_nothing() -> None:
    limited = budget(per_minute=3)
    assert calls_until_refused(limited) == 3
    assert limited.per_minute == 3


def test_a_429_that_is_about_a_day_or_a_month_says_nothing_of_a_minute() -> None:
    limited = budget(per_minute=30)
    fail(limited, RateLimited("the month's credits are gone", 86400))
    assert limited.per_minute == 30


def test_without_a_limit_a_429_is_not_ours_to_learn_from() -> None:
    book = Book()
    free = budget(book=book)
    fail(free, RateLimited("HTTP 429", 5))
    assert (free.per_minute, book.touched, len(free._changes)) == (0, 0, 0)


def test_what_the_provider_says_of_the_plan_takes_the_place_of_what_we_thought() -> None:
    paid = budget(per_minute=250, per_month=100_000)
    spend(paid)
    paid.learn(PlanFacts(per_minute=500, per_month=500_000, spent=123_456))
    assert (paid.per_minute, paid.per_month, paid.left_this_month) == (500, 500_000, 376_544)
    paid.learn(PlanFacts())
    assert (paid.per_minute, paid.per_month) == (500, 500_000)


def test_what_is_spent_of_the_plan_says_nothing_of_a_limit_that_somebody_set() -> None:
    own = budget(per_month=1000)
    own.learn(PlanFacts(spent=50_000))
    spend(own)
    assert own.spent_this_month == 1


def test_the_plan_is_asked_for_at_first_and_every_few_hours() -> None:
    clock = FakeClock()
    paid = budget(per_month=10, clock=clock)
    assert [paid.wants_plan(), paid.wants_plan()] == [True, False]
    clock.advance(6 * 3600)
    assert [paid.wants_plan(), paid.wants_plan()] == [True, False]


def test_a_plan_that_the_provider_did_not_say_is_asked_for_again_in_a_minute_and_then_ever_more_seldom() -> None:
    clock = FakeClock()
    paid = budget(per_month=10, clock=clock)
    asked = []
    for minute in range(24 * 60):
        if paid.wants_plan():
            asked.append(minute)
        clock.advance(60)
    assert asked[:5] == [0, 1, 3, 7, 15]
    assert len(asked) < 14
    paid.learn(PlanFacts())
    clock.advance(6 * 3600 - 1)
    assert not paid.wants_plan()
    clock.advance(1)
    assert paid.wants_plan()
    clock.advance(60)
    assert paid.wants_plan()


def test_all_who_have_one_ledger_share_the_calls_of_a_minute() -> None:
    book, clock = Book(), FakeClock()
    poller, filler = (CallBudget.shared("coingecko", 30, 0, clock, book, account="abc") for _ in range(2))
    for _ in range(10):
        spend(poller)
    made, _ = backfill_until_refused(filler)
    assert made == 20  # as a round takes ten
    assert calls_until_refused(poller) == 0
    with pytest.raises(RateLimited, match="our own limit"):
        spend(filler)


def test_what_one_of_them_learns_all_of_them_know() -> None:
    book, clock = Book(), FakeClock()
    poller, filler = (CallBudget.shared("coingecko", 30, 0, clock, book) for _ in range(2))
    fail(filler, RateLimited("HTTP 429", 5))
    assert poller.per_minute == 15
    assert [poller.wants_plan(), filler.wants_plan()] == [True, False]


def test_other_accounts_and_other_ledgers_have_budgets_of_their_own() -> None:
    book, clock = Book(), FakeClock()
    here, there = (CallBudget.shared("coingecko", 3, 0, clock, book, account=key) for key in ("a", "b"))
    other = CallBudget.shared("coinmarketcap", 3, 0, clock, book, account="a")
    elsewhere = CallBudget.shared("coingecko", 3, 0, clock, Book(), account="a")
    assert [calls_until_refused(one) for one in (here, there, other, elsewhere)] == [3, 3, 3, 3]


def test_an_address_that_is_not_the_providers_own_has_limits_of_its_own() -> None:
    assert account_of("", "http://user:secret@Here.example:8900/api/v3") == "keyless at here.example:8900"
    assert account_of("CG-one", "http://here.example/").startswith(account_of("CG-one") + " at ")


def test_a_key_is_told_by_a_digest_that_tells_nothing_of_it() -> None:
    assert account_of("") == "keyless"
    assert len({account_of("CG-one"), account_of("CG-two"), account_of("CG-one")}) == 2
    assert "CG" not in account_of("CG-one")


def test_with_pace_fast_nothing_is_spread_until_nothing_is_left() -> None:
    fast = CallBudget("coingecko", 0, 100, FakeClock(), Book(), pace="fast")
    assert fast.pace() == 0
    assert calls_until_refused(fast) == 100
    assert fast.pace() == 30 * 86400 / 100
