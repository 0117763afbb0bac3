"""A receiver that takes nothing for an hour, in every way that there is, beside one that is well."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from app.channels.delivery import USUAL
from app.db import Database
from app.migrations import migrate
from app.model import Alert
from tests.deliveries import by_symbol, delivering, queue, states, told
from tests.faults.daemon import wait_for
from tests.faults.postgres import Postgres
from tests.faults.scene import Fault, Run
from tests.provider import Answer, hang, reply
from tests.receiver import OK, Received, Receiver, after, receiving, reset

_HOUR = 3600.0
_STATES = 1000  # of an hour, over these symbols
_SYMBOLS = tuple(f"C{number}" for number in range(20))
_CALL_SECONDS = 1.0  # in which a receiver has to answer; sockets wait in real time
_RECOVERED = 300.0  # seconds of the scaled hour, within which it is tried again ...
_SENT = 30.0  # ... and real ones, for all that has queued to be sent, on a busy machine
_UNHURT = 20.0  # real seconds, within which the other channel has an alert, on a busy machine

# Each takes nothing and says so, ...
_NO: tuple[Answer, ...] = (
    reply(b"", 500),
    reply(b"", 502),
    reply(b"<html>", 503),
    reply(b"", 410),
    reply(b"", 404),
    reply(b"", 302, {"Location": "http://127.0.0.1/"}),
    reply(b"", 429, {"Retry-After": "1"}),
    reply(b"", 503, {"Retry-After": "soon"}),
    reply(b"", 400),
    reply(b"", 413),
)
# ... or has taken it, for all that the sender knows.
_IN_DOUBT: tuple[Answer, ...] = (reset, hang(), after(2 * _CALL_SECONDS, OK))


@dataclass(frozen=True)
class Figures:
    """What an hour came to, in real seconds."""

    states: int
    found: int
    messages: int
    repeated: int
    in_doubt: int
    recovery: float
    slowest_beside: float
    problems: tuple[str, ...]


def webhook_hour(dsn: str, dice: random.Random, factor: float = 60.0) -> Figures:
    """An hour, so many times as fast, in which alerts keep coming and one of two channels takes none of them.

    ``dsn``: a database with our schema. For the first half of the hour nobody listens, then the receiver answers, and
    is at fault in another way each time. After the hour it is well, and has to have each state within five minutes, in
    order per symbol, repeated only where it had left the sender in doubt.
    """
    made = states(_SYMBOLS, _STATES // len(_SYMBOLS))
    faulty, well = _Faulty(dice), Receiver()
    with ExitStack() as stack:
        stack.enter_context(receiving(well))
        with receiving(faulty.receiver):
            pass  # now its port is known, and closed
        writer = stack.enter_context(closing(Database(dsn, threading.Event(), "test writer")))
        receivers = {"faulty": faulty.receiver, "well": well}
        stack.enter_context(delivering(dsn, receivers, USUAL.scaled(factor), _CALL_SECONDS))
        queued = _write(writer, made[: _STATES // 2], _HOUR / 2 / factor)
        with receiving(faulty.receiver):
            queued |= _write(writer, made[_STATES // 2 :], _HOUR / 2 / factor)
            faulty.is_well.set()
            began = time.monotonic()
            wait_for(lambda: len({*faulty.taken()}) == _STATES, "the receiver has everything", 120)
            recovery = time.monotonic() - began
            wait_for(lambda: len({*well.states()}) == _STATES, "the other receiver has everything", 60)
    slowest = max(message.at - queued[state] for message in well.received for state in _of(message))
    messages = [received for received, said in faulty.messages if said != "no"]
    repeated = len(messages) - len({received.key for received in messages})
    in_doubt = sum(said == "doubt" for _, said in faulty.messages)
    problems = [
        *_out_of_order("faulty", faulty.taken(), made),
        *_out_of_order("well", well.states(), made),
        *_changed(messages),
    ]
    if repeated > in_doubt:
        problems.append(f"{repeated} messages came again, and only {in_doubt} were in doubt")
    if extra := sum((Counter(well.states()) - Counter(told(made))).values()):
        problems.append(f"{extra} states came twice to the receiver that was well")
    if recovery > _RECOVERED / factor + _SENT:
        problems.append(f"it took {recovery:.1f} s until everything was there")
    if slowest > _UNHURT:
        problems.append(f"the receiver that was well got a state {slowest:.1f} s late")
    found = len({*faulty.taken()}) + len({*well.states()})
    return Figures(2 * _STATES, found, len(messages), repeated, in_doubt, recovery, slowest, tuple(problems))


class _Faulty:
    """A receiver, and what became of each message: "no", "doubt" (it has it, and did not say so), "taken"."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.is_well = threading.Event()
        self.messages: list[tuple[Received, str]] = []
        self.receiver = Receiver(answer=self._answer)

    def taken(self) -> list[tuple[str, str, str]]:
        return [state for message, said in list(self.messages) if said != "no" for state in _of(message)]

    def _answer(self, received: Received) -> Answer:
        if self.is_well.is_set():
            self.messages.append((received, "taken"))
            return OK
        in_doubt = not self.messages or self._dice.random() < 0.3
        self.messages.append((received, "doubt" if in_doubt else "no"))
        return self._dice.choice(_IN_DOUBT if in_doubt else _NO)


def _of(message: Received) -> Iterator[tuple[str, str, str]]:
    return ((alert["symbol"], alert["id"], alert["state"]) for alert in message.alerts)


def _write(database: Database, made: Sequence[Alert], seconds: float) -> dict[tuple[str, str, str], float]:
    """Record these, spread over so long; when each was."""
    began, queued = time.monotonic(), {}
    step = len(_SYMBOLS)
    for first in range(0, len(made), step):
        batch = made[first : first + step]
        time.sleep(max(0.0, began + first / len(made) * seconds - time.monotonic()))
        queued.update(dict.fromkeys(told(batch), time.monotonic()))
        queue(database, batch, "faulty", "well")
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    return queued


def _out_of_order(name: str, came: Sequence[tuple[str, str, str]], made: Sequence[Alert]) -> Iterator[str]:
    wanted, found = by_symbol(told(made)), by_symbol(came)
    for symbol, order in wanted.items():
        if found.get(symbol) != order:
            yield f"{name}: the states of {symbol} came in another order, or not all of them"


def _changed(messages: Sequence[Received]) -> Iterator[str]:
    bodies: dict[str, bytes] = {}
    for message in messages:
        if bodies.setdefault(message.key, message.body) != message.body:
            yield f"two messages with the key {message.key} differ"


@contextmanager
def _database(run: Run) -> Iterator[str]:
    with Postgres(run.folder / "server", run.dice.choice(run.installed)) as postgres:
        dsn = postgres.database()
        with closing(Database(dsn, threading.Event())) as database:
            migrate(database)
        yield dsn


def down_for_an_hour(run: Run, times: int) -> None:
    """The programme's form of it: a minute for the hour, ten seconds in the short run."""
    run.folder.mkdir(parents=True, exist_ok=True)
    factor = 360.0 if run.scale == "short" else 60.0
    for _ in range(times):
        with _database(run) as dsn:
            figures = webhook_hour(dsn, run.dice, factor)
        run.result.findings.expected += figures.states
        run.result.findings.found += figures.found
        for problem in figures.problems:
            run.problem(problem)
        run.note(
            f"a webhook that was down had all {_STATES} states {figures.recovery:.1f} s after it was back,"
            f" {figures.repeated} messages again of {figures.in_doubt} in doubt; the one beside it waited"
            f" {figures.slowest_beside:.1f} s at most"
        )


FAULTS = (Fault("webhook down for a scaled hour", down_for_an_hour, (1, 1, 3)),)
