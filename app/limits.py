"""Calls and credits spent against a provider's limits: each is written down before the call is made, and they last.

For those who write a source: take a ``CallBudget.shared`` (``account_of`` says whose limits they are), make each call
inside ``with budget.call(credits):``, let a 429 be raised in it as RateLimited, and plan rounds with
``budget.pace(credits)``.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from urllib.parse import urlsplit

from app import log
from app.clock import Clock
from app.errors import ProviderRefused, ProviderUnavailable, RateLimited
from app.minute import Minute, Recent, Slot
from app.outlook import Outlook
from app.pacing import Learned, Lesson, Pace, month_of, reserve, seconds_left, spread, sustained

_PLAN_SECONDS = 6 * 3600.0  # until the provider is asked again what our plan is
_PLAN_AGAIN = 60.0  # the same where it did not say; twice as long each time
_NOT_OF_A_MINUTE = 900.0  # a 429 that asks for a longer wait is about a day or a month
MINUTE = 62.0
"""Seconds to plan for a minute's calls: as many fit into them, also where some take a little longer than others."""
KEYLESS = "keyless"


def account_of(key: str, elsewhere: str | None = None) -> str:
    """Whose limits those of this key are: the same for all who use it, and nothing from which it could be learned.

    ``elsewhere``: the address that is asked, where it is not the provider's own: limits there are others.
    """
    name = hashlib.sha256(f"cryptomonitor {key}".encode()).hexdigest()[:12] if key else KEYLESS
    return name if elsewhere is None else f"{name} at {urlsplit(elsewhere).netloc.rpartition('@')[2].lower()}"


@dataclass(frozen=True, slots=True)
class Account:
    """Whose limits they are: a provider's, and of whom it knows by one key."""

    source: str
    name: str = KEYLESS


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What a provider says of our plan. None: it does not say, or the settings do, which go first."""

    per_minute: int | None = None
    per_month: int | None = None
    spent: int | None = None
    """Credits of this month that are gone, whoever spent them."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an account stands: the credits that we, and all others who share it, have spent in the month.

    ``*_backfill`` is the part of them that backfill had. ``pollers``: who polled lately, beside us.
    ``recent``: calls of the others, None where nobody can tell now.
    """

    ours: int = 0
    others: int = 0
    ours_backfill: int = 0
    others_backfill: int = 0
    pollers: int = 0
    recent: Sequence[Recent] | None = None
    learned: Learned | None = None

    @property
    def spent(self) -> int:
        return self.ours + self.others

    @property
    def backfilled(self) -> int:
        return self.ours_backfill + self.others_backfill


@dataclass(frozen=True, slots=True)
class Spending:
    """A call that is about to be made, and what it costs."""

    credits: int
    backfill: bool = False


Agree = Callable[[Standing], None]
"""Raises RateLimited where, as things stand, a call must not be made."""


class Ledger(Protocol):
    """Where calls are written down, so that neither a restart nor a database that is away makes any forgotten.

    It is one spender: it tells nobody of calls of its own. So all who use it share a budget for each account.
    """

    @property
    def budgets(self) -> dict[Account, CallBudget]:
        """Those that were made for it, empty at first; for ``CallBudget.shared``."""
        ...

    def recent(self, account: Account) -> Sequence[Recent]:
        """Our own calls of the last minutes, of those before a restart.

        Raises CannotWrite where nothing can be written down at all.
        """
        ...

    def look(self, account: Account, month: date) -> Standing:
        """Where it stands, as far as that is known."""
        ...

    def spend(self, account: Account, month: date, spending: Spending, agree: Agree) -> Standing:
        """Write down a call and where it stands then. What ``agree`` raises comes through, and nothing is written.

        Nobody else who shares the account spends between ``agree`` and the writing.
        """
        ...

    def learn(self, account: Account, per_minute: int) -> None:
        """A 429 has taught all who share the account to make no more than so many calls a minute now."""
        ...

    def correct(self, account: Account, month: date, spent: int) -> Standing:
        """The provider says that so many credits are gone. What none of us spent was spent elsewhere."""
        ...

    def first_to_say(self, account: Account, month: date) -> bool:
        """Whether nobody who shares the account has said before that this month's credits will not last."""
        ...


class CallBudget:
    """Says before each call whether it may be made; knows the pace at which the month's credits last.

    A call costs one credit unless said otherwise. Without a limit the ledger is not touched. Safe for several threads;
    budgets of one account that have ledgers of their own (in other processes) share it by way of these.
    """

    def __init__(
        self,
        source: str,
        per_minute: int,
        per_month: int,
        clock: Clock,
        ledger: Ledger,
        *,
        account: str = KEYLESS,
        pace: Pace = "sustain",
    ) -> None:
        self._account, self._clock, self._ledger = Account(source, account), clock, ledger
        self._of_plan, self.per_month, self.mode = per_minute, per_month, pace
        self._lock = threading.Lock()
        self._month: date | None = None
        self._standing = Standing()
        self._in_hand = 0  # credits that are written down and were not charged; below 0: charged and not yet written
        self._changes: deque[int] = deque()  # to what is in hand, by those who cannot wait for the lock
        self._outlook, self._lesson = Outlook(clock, pace), Lesson()
        self._warned: date | None = None
        self._corrected: date | None = None
        self._ask_at, self._ask_again = float("-inf"), _PLAN_AGAIN  # what our plan is
        self.calls = 0
        """Calls made since the start."""
        self._minute = Minute(clock, ledger.recent(self._account) if per_minute or per_month else ())

    @classmethod
    def shared(
        cls,
        source: str,
        per_minute: int,
        per_month: int,
        clock: Clock,
        ledger: Ledger,
        *,
        account: str = KEYLESS,
        pace: Pace = "sustain",
    ) -> CallBudget:
        """The one that all who have this ledger share for this account; made for the first of them, with his limits.

        Whoever polls, stands in or fills holes in a process calls for the same account: their calls count together.
        """
        whose = Account(source, account)
        if (made := ledger.budgets.get(whose)) is not None:
            return made
        new = cls(source, per_minute, per_month, clock, ledger, account=account, pace=pace)
        return ledger.budgets.setdefault(whose, new)  # of two threads that make one, the first's stays

    @contextmanager
    def call(self, credits: int = 1, *, backfill: bool = False) -> Iterator[None]:
        """Spend so many credits for a call, which is made inside.

        Raises RateLimited, with the seconds until there is room, at a limit; for ``backfill``, which takes what polling
        leaves of a minute and a reserve of the month, sooner. A RateLimited raised inside is the provider's own, and is
        learned from. Replies that are not HTTP 200 cost no credit, as providers say; where none came, nobody knows.
        """
        slot = self._take(credits, backfill)
        try:
            yield
        except (ProviderUnavailable, ProviderRefused) as error:
            if isinstance(error, RateLimited | ProviderRefused) or error.status is not None:
                self.spend_more(-credits)
            if isinstance(error, RateLimited):
                self._learn_from(error)
            raise
        finally:
            # Nothing else: a reply waits to be taken. The ledger assumes for others that a call took its longest.
            slot.ended = self._clock.monotonic()

    def spend_more(self, credits: int) -> None:
        """The last call cost so many credits more than was said (below 0: fewer). Written down with the next one."""
        if self._is_limited:
            self._changes.append(-credits)

    def pace(self, credits: int = 1) -> float:
        """Seconds between rounds that cost so many credits each, at which the month's last; 0 without a limit.

        When none are left, that of a month that is spent evenly: ``call`` is what says no then. With PACE=fast 0
        until then.
        """
        if not self.per_month:
            return 0.0
        with self._lock:
            self._turn_month()
            left = self._left()
            if left < credits:
                return credits * spread(self.per_month)
            if self.mode == "fast":
                return 0.0
            seconds = seconds_left(self._clock.now())
            return min(
                seconds, credits * sustained(left, self._standing.backfilled, seconds, 1 + self._standing.pollers)
            )

    def wants_plan(self) -> bool:
        """Whether it is time to ask the provider what our plan is: at first, and every few hours.

        Who is told so asks, and hands on the answer to ``learn``; without one it is time sooner, at first in a minute.
        """
        with self._lock:
            now = self._clock.monotonic()
            if now < self._ask_at:
                return False
            self._ask_at = now + self._ask_again
            self._ask_again = min(2 * self._ask_again, _PLAN_SECONDS)
            return True

    def learn(self, plan: PlanFacts) -> None:
        """Take over what the provider says of our plan."""
        with self._lock:
            self._ask_at, self._ask_again = self._clock.monotonic() + _PLAN_SECONDS, _PLAN_AGAIN
            self._of_plan = self._of_plan if plan.per_minute is None else plan.per_minute
            self.per_month = self.per_month if plan.per_month is None else plan.per_month
            if plan.spent is not None and plan.per_month:  # of a limit that somebody set, it says nothing
                month = self._turn_month()
                self._stands(self._ledger.correct(self._account, month, plan.spent))
                if self._corrected != month:  # all that was spent elsewhere before is no sign of how fast it goes
                    self._corrected = month
                    self._outlook.begin()

    # What is known, for who reports. Without the lock: who reports must not wait for who calls.

    @property
    def per_minute(self) -> int:
        """Calls allowed in a minute now, 0 = any number: the plan's, or fewer for a while after a 429."""
        return self._lesson.allowed(self._of_plan, self._clock.monotonic())

    @property
    def per_minute_of_plan(self) -> int:
        """Calls allowed in a minute by plan or settings, 0 = any number."""
        return self._of_plan

    @property
    def spent_this_month(self) -> int | None:
        """Credits counted in this month by all who share the limit, None where no limit asks for a count."""
        return None if self._month is None or not self.per_month else self._standing.spent

    @property
    def left_this_month(self) -> int | None:
        """Credits that are left of this month, None without a limit."""
        return None if self._month is None or not self.per_month else max(0, self._left())

    @property
    def ends_at(self) -> datetime | None:
        """When they will be gone, if they go on like this and do not last."""
        return self._outlook.ends_at

    @property
    def left_for_backfill(self) -> int | None:
        """How many of them backfill may have, None without a limit."""
        left = self.left_this_month
        return None if left is None else reserve(left, self._standing.backfilled)

    def look(self) -> None:
        """Ask where the account stands, without a call."""
        if self._is_limited:
            with self._lock:
                self._turn_month(again=True)

    @property
    def _is_limited(self) -> bool:
        return bool(self._of_plan or self.per_month)

    # Taking.

    def _take(self, credits: int, backfill: bool) -> Slot:
        with self._lock:
            slot = Slot(backfill)
            if self._is_limited:
                self._spend(credits, backfill)
                self._minute.add(slot)
            self.calls += 1
            return slot

    def _spend(self, credits: int, backfill: bool) -> None:
        month = self._turn_month()
        # What polling has in hand is no gift to backfill; what is owed is paid by whoever comes next.
        due = credits - min(self._in_hand, 0) if backfill else max(0, credits - self._in_hand)
        self._look_at_limits(due, backfill)  # by what is known already: to be refused costs nobody anything

        def agree(standing: Standing) -> None:
            self._stands(standing)
            self._look_at_limits(due, backfill)

        self._stands(self._ledger.spend(self._account, month, Spending(due, backfill), agree))
        self._in_hand += due - credits
        self._look_ahead(month)

    def _look_at_limits(self, due: int, backfill: bool) -> None:
        if full := self._minute.full(self.per_minute, backfill=backfill):
            raise RateLimited(f"{self._account.source}: {full.why}", retry_after=full.seconds)
        if not self.per_month or not due:
            return
        left = self.per_month - self._standing.spent
        if due > left:
            seconds = seconds_left(self._clock.now())
            raise RateLimited(
                f"{self._account.source}: this month's {self.per_month} credits are spent; the next month starts in"
                f" {seconds / 86400:.1f} days",
                retry_after=seconds,
            )
        if backfill and due > reserve(left, self._standing.backfilled):
            raise RateLimited(
                f"{self._account.source}: what backfill may spend of this month's {self.per_month} credits is spent",
                retry_after=seconds_left(self._clock.now()),
            )

    # Knowing.

    def _left(self) -> int:
        return self.per_month - self._standing.spent + self._in_hand

    def _turn_month(self, *, again: bool = False) -> date:
        month = month_of(self._clock.now())
        if again or month != self._month:
            # Others, or we before a restart, may have spent some of it already.
            self._stands(self._ledger.look(self._account, month))
        while self._changes:
            self._in_hand += self._changes.popleft()
        if month != self._month:
            self._month = month
            self._in_hand = min(0, self._in_hand)  # the rest was counted in another month
            self._outlook.begin()
        return month

    def _stands(self, standing: Standing) -> None:
        self._standing = standing
        if standing.recent is not None:
            self._minute.know(standing.recent)
        self._lesson.hear(standing.learned, self._clock.monotonic())

    def _learn_from(self, error: RateLimited) -> None:
        if not self._of_plan or (error.retry_after or 0.0) > _NOT_OF_A_MINUTE:
            return
        with self._lock:
            before = self.per_minute
            per_minute = self._lesson.learn(self._of_plan, self._clock.monotonic())
            self._ledger.learn(self._account, per_minute)
        if per_minute < before:
            log.get(__name__).warning(
                f"{self._account.source} says that {before} calls a minute are too many: {per_minute} for now, and a"
                " tenth of the plan's more with every ten minutes in which it does not say so again.",
                action="limit_learned",
                source=self._account.source,
                per_minute=per_minute,
            )

    # Looking ahead.

    def _look_ahead(self, month: date) -> None:
        standing, outlook = self._standing, self._outlook
        if not self.per_month:
            return
        ours, others = standing.ours - standing.ours_backfill, standing.others - standing.others_backfill
        outlook.look(ours, others, self._left())
        if outlook.ends_at is not None and self._warned != month:
            self._warned = month
            if self._ledger.first_to_say(self._account, month):
                log.get(__name__).warning(
                    f"{self._account.source}: {outlook.sentence(self.per_month, outlook.ends_at)}",
                    action="credits_will_end",
                    source=self._account.source,
                    ends_at=outlook.ends_at.isoformat(),
                )
