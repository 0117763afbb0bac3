"""How long a channel is left alone."""

from __future__ import annotations

import pytest

from app.channels.delivery import USUAL
from app.outbound import DEADLINE_SECONDS


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
    assert USUAL.claim / 2 >= DEADLINE_SECONDS
