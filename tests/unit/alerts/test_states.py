"""Where a rule stands, edge by edge, and against a machine that was written the other way round."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
from hypothesis import given

from app.alerts.rules import Rule
from app.alerts.states import FALSE, TRUE, UNKNOWN, Episode, step
from app.model import State
from tests.rules import rule

T0 = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def walk(of: Rule, *truths: int | tuple[int, int], every: float = 10) -> list[str]:
    """The state after each truth, one every so many seconds; with a * where a line is written."""
    episode: Episode | None = None
    found = []
    for n, truth in enumerate(truths):
        when, over = truth if isinstance(truth, tuple) else (truth, TRUE - truth)
        after = step(of, "BTC", episode, T0 + timedelta(seconds=every * n), when, over)
        lines = 0 if episode is None else episode.lines
        ended = after is not None and after.state is State.INACTIVE
        said = after is not None and (after.lines > lines or (ended and episode is not None and episode.lines > 0))
        found.append(("inactive" if after is None or ended else after.state.value.lower()) + "*" * said)
        episode = None if ended else after
    return found


def one(**options: str) -> Rule:
    [made] = rule("price > 100", **options).rules
    return made


def test_what_is_true_fires_and_what_is_not_resolves() -> None:
    assert walk(one(), FALSE, TRUE, TRUE, FALSE, FALSE) == ["inactive", "firing*", "firing", "inactive*", "inactive"]


def test_unknown_changes_nothing_in_any_state() -> None:
    assert walk(one(), UNKNOWN, TRUE, UNKNOWN, FALSE) == ["inactive", "firing*", "firing", "inactive*"]
    assert walk(one(hold="20s"), TRUE, UNKNOWN, TRUE) == ["pending", "pending", "firing*"]
    assert walk(one(keep_firing_for="20s"), TRUE, FALSE, UNKNOWN, FALSE) == [
        "firing*", "recovering", "recovering", "inactive*",
    ]  # fmt: skip


def test_for_begins_anew_when_it_was_not_true_once() -> None:
    assert walk(one(hold="20s"), TRUE, TRUE, FALSE, TRUE, TRUE, TRUE) == [
        "pending", "pending", "inactive", "pending", "pending", "firing*",
    ]  # fmt: skip


def test_keep_firing_for_begins_anew_when_it_was_true_again() -> None:
    assert walk(one(keep_firing_for="20s"), TRUE, FALSE, TRUE, FALSE, FALSE, FALSE) == [
        "firing*", "recovering", "firing", "recovering", "recovering", "inactive*",
    ]  # fmt: skip


def test_with_clear_only_clear_ends_it() -> None:
    cleared = one(clear="price < 90")
    assert walk(cleared, (TRUE, FALSE), (FALSE, FALSE), (FALSE, UNKNOWN), (FALSE, TRUE)) == [
        "firing*", "firing", "firing", "inactive*",
    ]  # fmt: skip


def test_it_is_said_again_only_while_it_is_true() -> None:
    again = one(repeat="20s", keep_firing_for="60s")
    assert walk(again, TRUE, TRUE, TRUE, FALSE, FALSE, TRUE, TRUE) == [
        "firing*", "firing", "firing*", "recovering", "recovering", "firing*", "firing",
    ]  # fmt: skip


def test_nothing_that_changes_nothing_makes_a_new_episode() -> None:
    fired = step(one(), "BTC", None, T0, TRUE, FALSE)
    assert fired is not None
    assert step(one(), "BTC", fired, T0 + timedelta(seconds=1), TRUE, FALSE) is fired


@given(
    truths=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30),
    hold=st.sampled_from([0, 20]),
    keep=st.sampled_from([0, 20]),
    has_clear=st.booleans(),
)
def test_it_agrees_with_a_look_back_over_all_that_was(
    truths: list[tuple[int, int]], hold: int, keep: int, has_clear: bool
) -> None:
    options = {"hold": f"{hold}s", "keep_firing_for": f"{keep}s"} | ({"clear": "price < 9"} if has_clear else {})
    given_truths = [(when, over if has_clear else TRUE - when) for when, over in truths]
    found = walk(one(**options), *given_truths)
    # By spans: how long has what ends it, or what begins it, stood without its opposite, unknowns left out?
    alerting, begin, end = False, None, None
    for n, ((when, over), state) in enumerate(zip(given_truths, found, strict=True)):
        if not alerting:
            begin = None if when == FALSE else n if begin is None and when == TRUE else begin
            if when == TRUE and begin is not None and 10 * (n - begin) >= hold:
                alerting, end = True, None
        else:
            end = None if over == FALSE else n if end is None and over == TRUE else end
            if over == TRUE and end is not None and 10 * (n - end) >= keep:
                alerting, begin = False, None
        assert (state.rstrip("*") in ("firing", "recovering")) == alerting
