"""A webhook that is down for an hour, made short. `make faults` has it longer."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.webhook import webhook_hour

pytestmark = pytest.mark.one_server


def test_after_an_hour_of_every_fault_a_receiver_has_each_state_in_order_and_the_other_never_waited(
    dsn: str,
) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(10**9))
    print(f"FAULTS_SEED={seed}")
    figures = webhook_hour(dsn, random.Random(seed), factor=600.0)
    print(figures)
    assert figures.problems == ()
    assert (figures.states, figures.found) == (2000, 2000)
    assert figures.in_doubt > 0
