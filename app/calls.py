"""The calls that were made, for app.limits: in PostgreSQL for all who share a key, in a file while that is away."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from psycopg2 import extensions as pg

from app import log
from app.call_file import CallFile
from app.clock import Clock
from app.db import Database, execute
from app.errors import CannotWrite, DatabaseRefused, DatabaseUnavailable
from app.http import DEADLINE_SECONDS
from app.limits import Account, Agree, CallBudget, Spending, Standing
from app.minute import Recent
from app.pacing import Learned

T = TypeVar("T")

_PATIENCE_SECONDS = 2.0  # for one answer of the database: a call waits for it
_AWAY_SECONDS = 30.0  # until a database that was away is asked again, as the file has it all


@contextmanager
def of_command(name: str, database: Database, clock: Clock) -> Iterator[CallLedger]:
    """The ledger of a command, beside a daemon or without one: its calls count, where the database answers."""
    with (
        TemporaryDirectory() as folder,
        closing(CallLedger(database, Path(folder) / "calls.sqlite", clock, name)) as its,
    ):
        yield its


class CallLedger:
    """app.limits.Ledger. All sources share it; it is safe for their threads.

    Each call is in the file, on disk, before it is made, and in the database, if that answers. The database holds the
    count of each spender, not sums of calls, so that telling it again is harmless. While it is away, the others have
    spent what they had when it last answered. While the file cannot be written, the database and memory have to do.

    ``spender``: what a command calls itself that keeps no file from one run to the next. It takes no part in the pace.
    """

    def __init__(self, database: Database, path: Path, clock: Clock, spender: str | None = None) -> None:
        self._database, self._file, self._clock = database, CallFile(path, spender), clock
        # A command has no file in which it would find the calls of its last run: they are another's.
        self._caller = None if spender is None else f"{spender} {uuid.uuid4()}"
        self.budgets: dict[Account, CallBudget] = {}
        """As app.limits.Ledger says."""
        self._lock = threading.Lock()
        self._known: dict[tuple[Account, date], Standing] = {}
        self._away_until: float | None = None
        self._unwritten: str | None = None

    def recent(self, account: Account) -> list[Recent]:
        """As app.limits.Ledger says. The first use of the file: raises CannotWrite."""
        now, monotonic = self._clock.now().timestamp(), self._clock.monotonic()
        with self._lock:
            written = self._file.recent(account)
        return [Recent(_age(now - wall, monotonic - then), bool(backfill)) for wall, then, backfill in written]

    def look(self, account: Account, month: date) -> Standing:
        """As app.limits.Ledger says."""
        with self._lock:
            known = self._what_is_known(account, month)
            asked = self._ask(lambda cursor: self._standing(cursor, account, month, known))
            return self._know(account, month, asked or known)

    def spend(self, account: Account, month: date, spending: Spending, agree: Agree) -> Standing:
        """As app.limits.Ledger says."""
        with self._lock:
            known = self._what_is_known(account, month)

            def work(cursor: pg.cursor) -> Standing:
                execute(cursor, "lock_calls", source=account.source, account=account.name)
                standing = self._standing(cursor, account, month, known)
                agree(standing)
                standing = _after(standing, spending)
                execute(
                    cursor,
                    "spend_calls",
                    source=account.source,
                    account=account.name,
                    month=month,
                    spender=self._file.spender,
                    caller=self._caller or self._file.spender,
                    calls=standing.ours,
                    backfill=standing.ours_backfill,
                    is_backfill=spending.backfill,
                    polls=self._caller is None and not spending.backfill,
                )
                return standing

            standing = self._ask(work)
            if standing is None:
                agree(known)
                standing = _after(known, spending)
            self._know(account, month, standing)
            self._write_down(account, month, spending)
            return standing

    def learn(self, account: Account, per_minute: int) -> None:
        """As app.limits.Ledger says."""
        with self._lock:
            values = {"source": account.source, "account": account.name, "per_minute": per_minute}
            self._ask(lambda cursor: execute(cursor, "learn_calls_a_minute", **values))
            with suppress(CannotWrite):  # said when a call is to be written
                self._file.learn(account, per_minute, self._clock.now().timestamp())

    def correct(self, account: Account, month: date, spent: int) -> Standing:
        """As app.limits.Ledger says."""
        with self._lock:
            known = self._what_is_known(account, month)

            def work(cursor: pg.cursor) -> Standing:
                values = {"source": account.source, "account": account.name, "month": month}
                execute(cursor, "lock_calls", source=account.source, account=account.name)
                execute(cursor, "calls_elsewhere", spent=spent, **values)
                return self._standing(cursor, account, month, known)

            standing = self._ask(work) or replace(known, others=max(known.others, spent - known.ours))
            return self._know(account, month, standing)

    def first_to_say(self, account: Account, month: date) -> bool:
        """As app.limits.Ledger says; while the database is away, we are."""
        with self._lock:
            values = {"source": account.source, "account": account.name, "month": month}
            said = self._ask(lambda cursor: execute(cursor, "warn_of_month", **values))
            return said is None or bool(said)

    @property
    def is_shared(self) -> bool:
        """Whether the database answered, when it was last asked."""
        return self._away_until is None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _what_is_known(self, account: Account, month: date) -> Standing:
        """Without the database: others' calls of the last minutes are then unknown."""
        if (account, month) not in self._known:
            with suppress(CannotWrite):  # said when it is to be written
                learned = self._file.learned(account, self._clock.now().timestamp())
                return Standing(*self._file.spent(account, month), learned=learned)
        return self._known.get((account, month), Standing())

    def _know(self, account: Account, month: date, standing: Standing) -> Standing:
        # What was learned has an age; who asks has it already.
        self._known[account, month] = replace(standing, recent=None, learned=None)
        return standing

    def _standing(self, cursor: pg.cursor, account: Account, month: date, known: Standing) -> Standing:
        ((ours, others, our_backfill, others_backfill, pollers, polls, backfills, learned, age),) = execute(
            cursor,
            "calls_standing",
            source=account.source,
            account=account.name,
            month=month,
            spender=self._file.spender,
            caller=self._caller or self._file.spender,
        )
        ages = [(age, False) for age in polls] + [(age, True) for age in backfills]
        return Standing(
            max(known.ours, ours),
            others,
            max(known.ours_backfill, our_backfill),
            others_backfill,
            pollers,
            [Recent(max(0.0, age - DEADLINE_SECONDS), backfill) for age, backfill in ages],
            _newer(known.learned, None if learned is None else Learned(learned, max(0.0, age))),
        )

    def _ask(self, work: Callable[[pg.cursor], T]) -> T | None:
        """What the database answers, None while it is away."""
        if self._away_until is not None and self._clock.monotonic() < self._away_until:
            return None
        try:
            answer = self._database.once(work, patience=_PATIENCE_SECONDS)
        except (DatabaseUnavailable, DatabaseRefused) as error:
            if self._away_until is None:
                log.get(__name__).warning(
                    f"Calls are counted in {self._file.path} alone: {error}.", action="calls_not_shared"
                )
            self._away_until = self._clock.monotonic() + _AWAY_SECONDS
            return None
        if self._away_until is not None:
            log.get(__name__).info("Calls are counted in the database again.", action="calls_shared")
            self._away_until = None
        return answer

    def _write_down(self, account: Account, month: date, spending: Spending) -> None:
        trouble, time = None, (self._clock.now().timestamp(), self._clock.monotonic())
        try:
            self._file.write(account, month, self._known[account, month], time, spending)
        except CannotWrite as error:
            trouble = str(error)
        if (trouble is None) != (self._unwritten is None):
            say = log.get(__name__).warning if trouble else log.get(__name__).info
            say(
                f"{trouble}. Calls go on; after a restart some would not be counted."
                if trouble
                else f"Calls are written to {self._file.path} again.",
                action="calls_not_written" if trouble else "calls_written",
            )
        self._unwritten = trouble


def _after(standing: Standing, spending: Spending) -> Standing:
    backfill = spending.credits if spending.backfill else 0
    return replace(standing, ours=standing.ours + spending.credits, ours_backfill=standing.ours_backfill + backfill)


def _newer(one: Learned | None, other: Learned | None) -> Learned | None:
    if one is None or other is None:
        return one or other
    return one if one.age < other.age else other


def _age(by_wall: float, by_monotonic: float) -> float:
    """Seconds since a call may have reached the provider, rather too few.

    A wall clock that was set differs from the monotonic one, which a restart of the machine sets back; and a call may
    arrive as late as its deadline after it was written down.
    """
    age = by_wall if by_monotonic < 0 else min(by_wall, by_monotonic)
    return max(0.0, age - DEADLINE_SECONDS)
