"""The table outbox as one who sends sees it: take a message in hand, send it, say what became of it."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, TypeVar

from psycopg2 import extensions as pg

from app import log
from app.channels.base import Message
from app.db import Database, execute
from app.errors import Stopping
from app.model import Alert, State

T = TypeVar("T")

_GIVE_UP_SECONDS = 86_400.0
_GIVE_UP_EVERY = 3600.0  # seconds from one look at what waits for names that there are not to the next
_NOT_NAMED = "NOTIFY_URLS does not name this channel"


@dataclass(frozen=True, slots=True)
class InHand:
    """A message that is about to be sent.

    ``numbers`` are its rows, ``tries`` how often they went out before, ``refused`` whether the receiver has said then
    that it will not have it; ``failures`` how often in a row the channel took nothing.
    """

    message: Message
    numbers: tuple[int, ...]
    tries: int
    refused: bool
    failures: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message was not taken, and what follows, in seconds.

    ``pause``: nothing is sent to the channel. ``refused_for``: this alert, the receiver having refused it, is held
    back, and later ones of its symbol with it; None where the receiver refused nothing. ``give_up``: alerts that were
    tried in vain for so long are dead. ``counts_at_most``: of the time since the last failure, which counts for that.
    """

    error: str
    pause: float
    refused_for: float | None
    give_up: float
    counts_at_most: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How a channel does, whoever sends to it. ``trouble``: why it takes nothing now."""

    queued: int
    dead: int
    trouble: str | None
    delivered_at: datetime | None


class Outbox:
    """What the channels' threads share: one connection, which each of them uses for a moment at a time.

    Each channel is claimed by one sender at a time, in all processes, and so gets its messages in order. The claim of
    one who was killed runs out. Everything waits for a database that is away; raises Stopping when told to stop then.
    """

    def __init__(self, database: Database, names: Sequence[str], stop: threading.Event) -> None:
        self._database, self._names, self._stop = database, list(names), stop
        self._lock = threading.Lock()
        self._registered = False
        self._gave_up_at = 0.0
        self._worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def look(self, channel: str, most: int, seconds: float) -> tuple[Counts, InHand | None]:
        """How the channel does, and its next message if it is time for one: for these seconds nobody else sends it."""

        def work(cursor: pg.cursor) -> tuple[Counts, InHand | None]:
            in_hand = self._claim(cursor, channel, most, seconds)
            queued, dead, failures, error, delivered_at = execute(cursor, "channel_counts", channel=channel)[0]
            # A single failure is no trouble yet.
            return Counts(queued, dead, error if failures > 1 else None, delivered_at), in_hand

        return self._run(work, before_stop=True)

    def delivered(self, channel: str, sent: InHand) -> None:
        """The receiver has it."""

        def work(cursor: pg.cursor) -> None:
            execute(cursor, "message_delivered", numbers=list(sent.numbers))
            execute(cursor, "channel_delivered", channel=channel, worker=self._worker)

        self._run(work)

    def failed(self, channel: str, sent: InHand, failure: Failure) -> int:
        """The message was not taken; how many of the channel's alerts were given up with that."""
        on_channel = {
            "error": failure.error,
            "pause": failure.pause,
            "longest": failure.counts_at_most,
            "refused": failure.refused_for is not None,
        }

        def work(cursor: pg.cursor) -> int:
            numbers = list(sent.numbers)
            if failure.refused_for is None:
                execute(cursor, "message_failed", numbers=numbers, error=failure.error)
            else:
                execute(cursor, "message_refused", numbers=numbers, error=failure.error, pause=failure.refused_for)
            execute(cursor, "channel_failed", channel=channel, worker=self._worker, **on_channel)
            dead = execute(cursor, "give_up", channel=channel, seconds=failure.give_up)
            if dead:
                execute(cursor, "open_message", channel=channel)
            return len(dead)

        return self._run(work)

    def divided(self, channel: str, sent: InHand, error: str) -> None:
        """The receiver will not have this message; each of its alerts is sent alone next."""

        def work(cursor: pg.cursor) -> None:
            execute(cursor, "divide_message", numbers=list(sent.numbers), error=error)
            execute(cursor, "release_channel", channel=channel, worker=self._worker)

        self._run(work)

    def _run(self, work: Callable[[pg.cursor], T], *, before_stop: bool = False) -> T:
        with self._lock:
            if before_stop and self._stop.is_set():
                raise Stopping("nothing new is begun")
            self.register()
            return self._database.run(work)

    def register(self) -> None:
        """Make our channels known, once, and give up what has waited for a day for others, each hour."""
        if not self._registered or time.monotonic() - self._gave_up_at >= _GIVE_UP_EVERY:
            dead, waiting = self._database.run(self._register)
            for channel, count in dead:
                _say_of_other(
                    channel, f"{count} alerts for it are given up after a day: `alerts replay-dead {channel}`"
                )
            for channel, count in waiting if not self._registered else ():
                _say_of_other(channel, f"{count} alerts wait for it, for a day at most")
            self._registered, self._gave_up_at = True, time.monotonic()

    def _register(self, cursor: pg.cursor) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """For channels of other names: how many alerts are dead from now on, and how many still wait."""
        others = {"names": self._names, "seconds": _GIVE_UP_SECONDS, "error": _NOT_NAMED}
        execute(cursor, "register_channels", names=self._names)
        dead = execute(cursor, "give_up_for_others", **others)
        for channel, _ in dead:
            execute(cursor, "open_message", channel=channel)
        return dead, execute(cursor, "waiting_for_others", names=self._names)

    def _claim(self, cursor: pg.cursor, channel: str, most: int, seconds: float) -> InHand | None:
        claimed = execute(cursor, "claim_channel", channel=channel, worker=self._worker, seconds=seconds)
        if not claimed:
            return None
        if rows := execute(cursor, "message_in_hand", channel=channel):
            return _in_hand(rows[0][0], rows, claimed[0][0])
        due = execute(cursor, "outbox_due", channel=channel, limit=most)
        # What was refused in company goes alone: if it is refused again it has harmed no other.
        rows = due[:1] if due and due[0][0] else list(takewhile(lambda row: not row[0], due))
        if not rows:
            execute(cursor, "release_channel", channel=channel, worker=self._worker)
            return None
        in_hand = _in_hand(_key(rows), rows, claimed[0][0])
        execute(cursor, "set_message", message=in_hand.message.key, numbers=list(in_hand.numbers))
        return in_hand


def _say_of_other(channel: str, what: str) -> None:
    log.get(__name__).warning(
        f"The channel {channel} is not in NOTIFY_URLS any more; {what}.", action="channel_unknown", channel=channel
    )


def _key(rows: Sequence[tuple[Any, ...]]) -> str:
    """Of a single alert ``<id>.<state>``; of several the first one's, and how many more."""
    id_, state = rows[0][4:6]
    return f"{id_}.{state}" + (f"+{len(rows) - 1}" if len(rows) > 1 else "")


def _in_hand(key: str, rows: Sequence[tuple[Any, ...]], failures: int) -> InHand:
    alerts = tuple(
        Alert(id_, State(state), timestamp, symbol, rule, tuple(terms.items()), severity)
        for _, _, _, _, id_, state, timestamp, symbol, rule, terms, severity in rows
    )
    _, numbers, tries, refused, *_ = zip(*rows, strict=True)
    return InHand(Message(key, alerts), numbers, max(tries), any(refused), failures)
