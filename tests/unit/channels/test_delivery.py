"""How long a channel is left alone."""

from __future__ import annotations

import threading

import pytest

from app.channels.base import Message
from app.channels.delivery import USUAL, Delivery
from app.channels.outbox import Counts, InHand, Outbox
from app.channels.sending import ANSWER_SECONDS, START_SECONDS
from app.outbound import DEADLINE_SECONDS
from tests.clock import FakeClock


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (11, 300), (10**6, 300)]
)
def test_pauses_double_to_five_minutes_and_are_shortened_by_up_to_a_half(failures: int, longest: float) -> None:
    pauses = [USUAL.pause(failures) for _ in range(200)]
    assert longest / 2 <= min(pauses) < max(pauses) <= longest
    assert max(pauses) - min(pauses) > longest / 4


def test_an_hour_can_be_made_short_but_a_message_takes_as_long_as_it_does() -> None:
    fast = USUAL.scaled(3600)
    assert (fast.longest_pause, fast.give_up) == pytest.approx((300 / 3600, 24))
    assert (fast.look, fast.claim) == (0.02, USUAL.claim)


def test_a_claim_is_longer_than_a_message_takes() -> None:
    assert USUAL.message >= max(DEADLINE_SECONDS, START_SECONDS + ANSWER_SECONDS + ANSWER_SECONDS)
    assert USUAL.claim >= USUAL.message + 3


@pytest.mark.parametrize(("look_seconds", "sent"), [(3.5, 1), (4.5, 0)])
def test_no_message_is_begun_that_its_claim_may_not_outlast(look_seconds: float, sent: int) -> None:
    clock = FakeClock()
    messages: list[Message] = []

    class Slow(Outbox):
        def __init__(self) -> None: ...

        def look(self, channel: str, most: int, seconds: float) -> tuple[Counts, InHand | None]:
            clock.advance(look_seconds)
            return Counts(1, 0, None, None), InHand(Message("key", ()), (1,), 0, False, 0)

        def delivered(self, channel: str, sent: InHand) -> None: ...

    class Taking:
        most = 1

        def send(self, message: Message) -> None:
            messages.append(message)

    Delivery("ops", Taking(), Slow(), clock, threading.Event()).step()
    assert len(messages) == sent
