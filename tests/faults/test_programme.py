"""The fault programme in its short form, about three minutes; `make faults` runs the whole one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from tests.faults import runner

_BUDGET_SECONDS = 130.0  # what has not begun by then is left out, and said

pytestmark = pytest.mark.acceptance


def test_nothing_is_lost_and_nothing_is_there_twice_whatever_befalls_it(said: Callable[[str], None]) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or runner.new_seed())
    began = time.monotonic()
    results = runner.run(runner.ALL, "short", seed, budget=_BUDGET_SECONDS)
    report = runner.report(results, "short", seed, time.monotonic() - began)
    said(report)
    broken = [result.name for result in results if not result.held]
    assert not broken, report
    assert sum(result.skipped is None for result in results) > len(results) / 3, "hardly anything was tried"
