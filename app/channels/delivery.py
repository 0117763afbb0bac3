"""The loop of one channel: one message, sent and marked, or left for later.

A message is taken in hand (a row is written), sent, marked. A crash between the last two sends it again: at least
once, with the same Idempotency-Key. Each channel has its own thread, so that none waits for another.
"""

from __future__ import annotations

import threading
import traceback
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from app import log
from app.breaker import jittered
from app.channels.base import Channel, Message
from app.channels.outbox import Failure, InHand, Outbox
from app.channels.service import LONGEST_SECONDS
from app.clock import Clock
from app.errors import ChannelRefused, ChannelUnavailable, CryptoMonitorError, MessageRefused, Stopping


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. The pauses double from the first to the longest, each shortened at random by up to a half."""

    look: float = 1.0
    """From one look for something to send to the next."""
    first_pause: float = 1.0
    longest_pause: float = 300.0
    longest_retry_after: float = 900.0
    """A receiver that asks for more is asked again all the same."""
    give_up: float = 86_400.0
    """Of trying in vain, until an alert is dead."""
    claim: float = 30.0
    """For which a channel belongs to who sends to it."""
    message: float = LONGEST_SECONDS
    """That a message takes, at most: none is begun when less is left of the claim."""

    def scaled(self, factor: float) -> Timing:
        """The same so many times as fast; but a message still takes as long as it does."""
        return replace(
            self,
            look=max(0.02, self.look / factor),
            first_pause=self.first_pause / factor,
            longest_pause=self.longest_pause / factor,
            longest_retry_after=self.longest_retry_after / factor,
            give_up=self.give_up / factor,
        )

    def pause(self, failures: int) -> float:
        """After so many failures in a row, this one included."""
        return jittered(min(self.longest_pause, self.first_pause * 2.0 ** min(failures - 1, 30)))


USUAL = Timing()
_SAID_AGAIN = 60.0  # seconds until another reason for the same trouble is logged


@dataclass(slots=True)
class Health:
    """How a channel does. ``delivered``: alerts, by this process since its start; the rest counts for all."""

    queued: int = 0
    delivered: int = 0
    dead: int = 0
    trouble: str | None = None
    """Why it takes nothing now, a sentence without its address."""
    last_delivered_at: datetime | None = None


class Delivery:
    """Sends what waits in the outbox for one channel. ``run`` is a task of its own."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        outbox: Outbox,
        clock: Clock,
        stop: threading.Event,
        timing: Timing = USUAL,
    ) -> None:
        self.name, self._channel, self._outbox = name, channel, outbox
        self._clock, self._stop, self._timing = clock, stop, timing
        self._log = log.get(__name__).bind(channel=name)
        self._said: str | None = None
        self._said_at = 0.0
        self.health = Health()

    def run(self) -> None:
        """Deliver until ``stop`` is set. A channel whose code fails is tried again, as one that takes nothing is."""
        pause = 0.0
        while not self._clock.wait(self._stop, pause):
            try:
                pause = 0.0 if self.step() else self._timing.look
            except Stopping:
                return
            except CryptoMonitorError as error:
                pause = self._broken(str(error))
            except Exception as error:  # noqa: BLE001  one channel's bug must stop neither the others nor the daemon
                pause = self._broken(_where(error))

    def step(self) -> bool:
        """Send one message, if there is one and it is time for it; whether there was."""
        began = self._clock.monotonic()
        counts, in_hand = self._outbox.look(self.name, self._channel.most, self._timing.claim)
        health = self.health
        health.queued, health.dead, health.last_delivered_at = counts.queued, counts.dead, counts.delivered_at
        self._tell(counts.trouble)
        # Who was frozen since may find, next time, that another one has taken over.
        if in_hand is not None and self._clock.monotonic() - began < self._timing.claim - self._timing.message:
            self._send(in_hand)
        return in_hand is not None

    def _send(self, in_hand: InHand) -> None:
        try:
            self._channel.send(in_hand.message)
        except (ChannelUnavailable, ChannelRefused) as error:
            self._put_off(in_hand, error)
        except MessageRefused as error:
            if len(in_hand.numbers) > 1:
                self._outbox.divided(self.name, in_hand, str(error))
            else:
                self._put_off(in_hand, error)
        else:
            self._outbox.delivered(self.name, in_hand)
            self.health.delivered += len(in_hand.numbers)

    def _put_off(self, in_hand: InHand, error: ChannelUnavailable | ChannelRefused | MessageRefused) -> None:
        timing = self._timing
        pause, refused_for = timing.pause(in_hand.failures + 1), None
        if isinstance(error, ChannelUnavailable):
            pause = max(pause, min(error.retry_after or 0.0, timing.longest_retry_after))
        elif isinstance(error, ChannelRefused):
            pause = jittered(timing.longest_pause)
        else:
            refused_for = timing.pause(in_hand.tries + 1)
            if not in_hand.refused:
                self._report_refused(in_hand.message, error)
        at_most = 2 * max(timing.longest_pause, timing.longest_retry_after)
        failure = Failure(str(error), pause, refused_for, timing.give_up, at_most)
        if dead := self._outbox.failed(self.name, in_hand, failure):
            self._log.error(
                f"{dead} alerts for the channel {self.name} are given up, after a day of trying;"
                " they are in the table outbox, with dead_at.",
                action="alerts_dead",
                alerts=dead,
            )

    def _report_refused(self, message: Message, error: MessageRefused) -> None:
        alert = message.alerts[0]
        self._log.warning(
            f"The channel {self.name} does not take the alert {message.key} ({error}); it is tried again, and later"
            f" ones of {alert.symbol} wait for it.",
            action="alert_refused",
            alert=message.key,
        )

    def _tell(self, trouble: str | None) -> None:
        self.health.trouble = trouble
        now = self._clock.monotonic()
        # One that fails in another way each time is not worth a line each time.
        if trouble == self._said or (trouble and self._said and now - self._said_at < _SAID_AGAIN):
            return
        self._said, self._said_at = trouble, now
        if trouble is None:
            self._log.info(f"The channel {self.name} takes alerts again.", action="channel_back")
        else:
            self._log.warning(
                f"The channel {self.name} takes nothing ({trouble}); alerts wait for it, and it is tried again.",
                action="channel_away",
            )

    def _broken(self, reason: str) -> float:
        self._tell(reason)
        return self._timing.longest_pause / 10


def _where(error: Exception) -> str:
    """What broke, and where: not its text, which may hold the address."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"a {type(error).__name__} in {Path(last.filename).name}, line {last.lineno}: a bug, please report it"
