"""The answer is the best there is, proved by trying everything."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from app.transfers.found import Found
from app.transfers.matching import detect
from app.transfers.transaction import Terms, Transaction
from tests.unit.transfers import oracle

MINUTE = 60_000_000

transactions = st.lists(
    st.builds(
        Transaction,
        index=st.just(0),
        tx_id=st.sampled_from("abcdefgh"),
        wallet_id=st.sampled_from("ABC"),
        time=st.integers(0, 6).map(lambda minutes: minutes * MINUTE),
        direction=st.sampled_from(["in", "out"]),
        amount=st.sampled_from([Decimal("1"), Decimal("1.00"), Decimal("1.01"), Decimal("2"), Decimal("0.99")]),
        asset=st.sampled_from(["", "", "BTC"]),
        fee=st.sampled_from([Decimal(0), Decimal(0), Decimal("0.01"), Decimal(1)]),
    ),
    max_size=8,
    unique_by=lambda one: (one.tx_id, one.wallet_id, one.direction, one.asset),
).map(lambda found: [replaced(one, index) for index, one in enumerate(found)])

terms = st.builds(
    Terms,
    window=st.integers(0, 5).map(lambda minutes: timedelta(minutes=minutes)),
    order_slack=st.integers(0, 2).map(lambda minutes: timedelta(minutes=minutes)),
    tolerance=st.sampled_from([Decimal(0), Decimal("0.005"), Decimal("0.011"), Decimal("0.5")]),
)


def replaced(one: Transaction, index: int) -> Transaction:
    return Transaction(index, one.tx_id, one.wallet_id, one.time, one.direction, one.amount, one.asset, one.fee)


def check(given: list[Transaction], terms: Terms) -> Found:
    """Everything that the answer says is as the oracle says."""
    found = detect(given, terms)
    alike, rest = oracle.detect(given, terms)
    assert {(one.out, one.into) for one in found.transfers} == alike.certain | rest.certain
    assert {(one.out, one.into) for one in found.transfers if one.basis == "same tx_id"} == alike.certain
    candidates = {pair for group in found.ambiguous for pair in group.candidates or ()}
    assert candidates == alike.open | rest.open
    counts = [group.count or 0 for group in found.ambiguous]
    assert len(found.transfers) + sum(counts) == alike.count + rest.count
    for group in found.ambiguous:
        ends = {one for pair in group.candidates or () for one in pair}
        assert ends == {*group.outs, *group.ins}
    told = [one for transfer in found.transfers for one in (transfer.out, transfer.into)]
    told += [one for group in found.ambiguous for one in (*group.outs, *group.ins)]
    told += [left.transaction for left in found.left_over]
    assert sorted(one.index for one in told) == list(range(len(given)))
    return found


@settings(max_examples=150, deadline=None)
@given(transactions, terms)
def test_it_is_the_best_of_all_and_tells_what_is_ambiguous(given: list[Transaction], terms: Terms) -> None:
    check(given, terms)


@settings(max_examples=80, deadline=None)
@given(transactions, terms, st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(given: list[Transaction], terms: Terms, chance: random.Random) -> None:
    shuffled = list(given)
    chance.shuffle(shuffled)
    assert detect(shuffled, terms) == detect(given, terms)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ABCD"), st.integers(0, 8), st.sampled_from(["in", "out"])), min_size=4, max_size=9
    ),
    st.integers(1, 5),
    st.integers(0, 1),
)
def test_equal_amounts_are_paired_as_well_as_any_others(
    given: list[tuple[str, int, str]], window: int, slack: int
) -> None:
    """They have a way of their own, which looks at no pair but where wallets forbid it."""
    check(
        [
            Transaction(index, f"t{index}", wallet, minute * MINUTE, direction, Decimal(1))  # type: ignore[arg-type]
            for index, (wallet, minute, direction) in enumerate(given)
        ],
        Terms(timedelta(minutes=window), timedelta(minutes=slack)),
    )
