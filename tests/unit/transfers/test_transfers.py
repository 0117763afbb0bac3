"""What counts as a transfer, what is ambiguous, and what is said of each."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app.transfers.matching import detect
from app.transfers.reading import from_json
from app.transfers.reasons import words
from app.transfers.transaction import Terms, Transaction
from tests.unit.transfers.cases import answer, candidates, left_over, pairs

HOUR = timedelta(hours=1)

# As it was published with the first of these trackers. Its answer was [("tx_id_1", "tx_id_3")], by order of the input.
PUBLISHED = """[
  ["tx_id_1", "wallet_id_1", "2020-01-01 15:30:20 UTC", "out", 5.3],
  ["tx_id_2", "wallet_id_1", "2020-01-03 12:05:25 UTC", "out", 3.2],
  ["tx_id_3", "wallet_id_2", "2020-01-01 15:30:20 UTC", "in", 5.3],
  ["tx_id_4", "wallet_id_3", "2020-01-01 15:30:20 UTC", "in", 5.3]
]"""


def test_the_published_example_is_ambiguous_and_says_so() -> None:
    found = detect(from_json(PUBLISHED), Terms())
    assert pairs(found) == []
    assert candidates(found) == [{("tx_id_1", "tx_id_3"), ("tx_id_1", "tx_id_4")}]
    assert found.ambiguous[0].count == 1
    assert found.ambiguous[0].why == "1 out and 2 ins make 1 transfer in several ways that are equally good"
    assert left_over(found) == {"tx_id_2": "no in of that amount"}


def test_the_published_example_without_the_tie_has_its_published_answer() -> None:
    found = detect(
        from_json(PUBLISHED.replace('"wallet_id_3", "2020-01-01 15:30:20 UTC"', '"wallet_id_3", "2020-01-02"')), Terms()
    )
    assert pairs(found) == [("tx_id_1", "tx_id_3")]
    assert found.transfers[0].basis == "best total"
    assert left_over(found)["tx_id_4"] == (
        "tx_id_1 (wallet_id_1) fits, but with tx_id_3 (wallet_id_2) it fits better, or all together does"
    )


def test_two_outs_and_two_ins_of_the_same_time_and_amount_can_be_paired_in_two_ways() -> None:
    found = answer("a A 10:00 out 5", "b A 10:00 out 5", "c B 10:00 in 5", "d C 10:00 in 5")
    assert (pairs(found), left_over(found)) == ([], {})
    assert candidates(found) == [{("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")}]
    assert found.ambiguous[0].count == 2


def test_wallets_can_settle_what_time_and_amount_do_not() -> None:
    found = answer("a A 10:00 out 5", "b B 10:00 out 5", "c A 10:00 in 5", "d B 10:00 in 5")
    assert pairs(found) == [("a", "d"), ("b", "c")]


def test_as_many_pairs_as_possible_come_before_the_nearest_ones() -> None:
    found = answer("a A 10:00 out 5", "b B 11:00 out 5", "c C 11:01 in 5", "d B 20:00 in 5")
    assert pairs(found) == [("a", "d"), ("b", "c")]
    found = answer("a A 10:00 out 5", "b B 11:00 out 5", "c C 11:01 in 5", "d B 20:00 in 5", terms=Terms(2 * HOUR))
    assert pairs(found) == [("b", "c")]


def test_of_two_that_are_under_way_at_once_the_first_out_has_the_first_in() -> None:
    found = answer("a A 10:00 out 5", "b A 10:05 out 5", "c B 10:10 in 5", "d B 10:20 in 5")
    assert pairs(found) == [("a", "c"), ("b", "d")]
    assert {one.basis for one in found.transfers} == {"best total"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("a A 10:00 out 5", "b B 10:00 in 6"), "no in of that amount"),
        (("a A 10:00 out 5 BTC", "b B 10:00 in 5 ETH"), "no in of that amount but of another asset (ETH)"),
        (("a A 10:00 out 5", "b A 10:00 in 5"), "only the same wallet has a counterpart of that amount"),
        (
            ("a A 10:00 out 5", "b B 09:59 in 5"),
            "b (B) has that amount, but its in came 1m before the out; order_slack is 0s",
        ),
        (
            ("a A 10:00 out 5", "b B 2026-01-02T10:00:01 in 5"),
            "b (B) has that amount, but 1d 1s lie between them; the window is 1d",
        ),
    ],
)
def test_what_is_left_over_is_told_why(lines: tuple[str, str], reason: str) -> None:
    found = answer(*lines)
    assert pairs(found) == []
    assert left_over(found)["a"] == reason
    assert set(left_over(found)) == {"a", "b"}


def test_both_ends_of_the_window_count() -> None:
    assert pairs(answer("a A 10:00 out 5", "b B 2026-01-02T10:00 in 5")) == [("a", "b")]
    assert pairs(answer("a A 10:00 out 5", "b B 09:59 in 5", terms=Terms(order_slack=timedelta(minutes=1)))) == [
        ("a", "b")
    ]


@pytest.mark.parametrize("line", ["b B 10:30 in 4.9", "b B 10:30 in 5.0", "b B 10:30 in 4.8 BTC 0.1"])
def test_a_fee_explains_a_difference_and_need_not(line: str) -> None:
    fields = line.split()
    found = answer("a A 10:00 out 5 BTC 0.1", " ".join([*fields[:5], "BTC", *fields[6:]]))
    assert pairs(found) == [("a", "b")]


def test_what_neither_fee_nor_tolerance_explains_does_not_fit() -> None:
    lines = ("a A 10:00 out 5 BTC 0.1", "b B 10:30 in 4.89 BTC")
    assert pairs(answer(*lines)) == []
    assert pairs(answer(*lines, terms=Terms(tolerance=Decimal("0.0019")))) == []
    found = answer(*lines, terms=Terms(tolerance=Decimal("0.002")))
    assert found.transfers[0].why == (
        "5 BTC left A and 4.89 came (within the tolerance) to B 30m later; neither fits any other"
    )


def test_not_a_digit_is_lost() -> None:
    near = "1234567890.123456789012345678901234567"
    assert pairs(answer(f"a A 10:00 out {near}8", f"b B 10:01 in {near}9", f"c B 10:09 in {near}8")) == [("a", "c")]


def test_an_id_in_common_comes_first() -> None:
    lines = ["x A 10:00 out 5", "y A 10:01 out 5", "y B 10:02 in 5", "x B 10:30 in 5"]
    assert pairs(answer(*lines)) == [("x", "x"), ("y", "y")]
    found = answer("x A 10:00 out 5", "z C 10:01 in 5", "x B 20:00 in 5")
    assert pairs(found) == [("x", "x")]
    assert found.transfers[0].basis == "same tx_id"


def test_an_id_in_common_does_not_make_what_does_not_fit_fit() -> None:
    assert pairs(answer("x A 10:00 out 5", "x B 10:00 in 6")) == []
    assert pairs(answer("x A 10:00 out 5", "x A 10:00 in 5")) == []


def test_a_stranger_is_no_candidate() -> None:
    found = answer("a A 10:00 out 5 btc", "b B 10:01 in 5 BTC", "c B 10:01 in 5")
    assert pairs(found) == [("a", "b")]
    assert found.transfers[0].why == "5 BTC left A and came to B 1m later; neither fits any other"
    assert left_over(found) == {"c": "no out of that amount"}


def test_nothing_comes_of_nothing() -> None:
    assert answer() == answer() and left_over(answer("a A 10:00 out 5")) == {"a": "no in of that amount"}


# So many that not every pair can be looked at.

DAY = 86_400_000_000


def many(count: int, wallets: str, seconds: int) -> list[Transaction]:
    """Outs and ins by turns, each in the next wallet, so many seconds apart, of one amount."""
    return [
        Transaction(
            i, f"t{i}", wallets[i % len(wallets)], i // 2 * seconds * 1_000_000, "in" if i % 2 else "out", Decimal(1)
        )
        for i in range(count)
    ]


def test_a_long_chain_of_equal_amounts_is_paired_in_order() -> None:
    found = detect(many(10_000, "AB", 60), Terms())
    assert pairs(found) == [(f"t{i}", f"t{i + 1}") for i in range(0, 10_000, 2)]


def test_equal_amounts_of_one_moment_are_one_group_without_a_list() -> None:
    found = detect(many(10_000, "AB", 0), Terms())
    (group,) = found.ambiguous
    assert (len(group.outs), len(group.ins), group.count, group.candidates) == (5_000, 5_000, 5_000, None)
    assert group.why.endswith("equally good, too many to list")


def test_what_would_take_too_long_says_so_and_costs_others_nothing() -> None:
    few = [Transaction(i, f"f{i}", w, 0, d, Decimal(7)) for i, w, d in ((0, "A", "out"), (1, "B", "in"))]  # type: ignore[arg-type]
    tangled = [
        Transaction(i, f"t{i}", "ABC"[i * i % 7 % 3], i * 7919 % 3600 * 1_000_000, "in" if i % 2 else "out", Decimal(1))
        for i in range(2, 10_000)
    ]
    found = detect([*few, *tangled], Terms())
    assert pairs(found) == [("f0", "f1")]
    (group,) = found.ambiguous
    assert (group.count, group.candidates) == (None, None)
    assert "in too many ways to find the best" in group.why
    assert len(group.outs) + len(group.ins) == len(tangled)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0s"),
        (1, "0.000001s"),
        (4_500_000, "4.5s"),
        (60_000_000, "1m"),
        (3_600_000_000, "1h"),
        (DAY + 1_000_000, "1d 1s"),
    ],
)
def test_lengths_of_time_are_written_as_people_do(micros: int, text: str) -> None:
    assert words(micros) == text
