"""Transactions made comparable: one asset, whole numbers, clocks already moved by the slack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import NamedTuple

from app.transfers.transaction import Terms, Transaction

_PRECISION = 500  # digits: amounts have at most 100, within 1e-36 and 1e36, so that nothing is ever rounded
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True, eq=False)  # not frozen: there are many, and freezing makes them three times as slow to make
class Leg:
    """One end of what may be a transfer.

    ``at``: microseconds; of an out the earliest moment at which its in may come. ``forms``: what it may have been at
    the other end, in units of its asset: the amount, and that with the fee off (of an in: on). ``reach``: of an out, by
    how many units its in may differ from that.
    """

    transaction: Transaction
    at: int
    forms: tuple[int, ...]
    reach: int = 0

    @property
    def wallet(self) -> str:
        return self.transaction.wallet_id


class Ends(NamedTuple):
    """Outs and ins that may belong together, each in order of time; of the same time by name, never by input."""

    outs: Sequence[Leg]
    ins: Sequence[Leg]


def by_asset(transactions: Iterable[Transaction], terms: Terms) -> dict[str, Ends]:
    """The legs of each asset, whose units are as small as its amounts need."""
    found: defaultdict[str, list[Transaction]] = defaultdict(list)
    for one in transactions:
        found[one.asset].append(one)
    return {asset: _ends(found[asset], terms) for asset in sorted(found)}


def span_of(terms: Terms) -> int:
    """How much later than its out an in may be, by ``at``, in microseconds."""
    return (terms.window + terms.order_slack) // _MICROSECOND


def gap(out: Leg, into: Leg) -> int:
    """By how many units the two differ beyond what fees explain."""
    if len(out.forms) == len(into.forms) == 1:
        return abs(out.forms[0] - into.forms[0])
    return min(abs(left - came) for left in out.forms for came in into.forms)


def fits(out: Leg, into: Leg, span: int) -> bool:
    """Whether the two can be one transfer."""
    return out.wallet != into.wallet and 0 <= into.at - out.at <= span and gap(out, into) <= out.reach


def _ends(transactions: Iterable[Transaction], terms: Terms) -> Ends:
    ordered = sorted(transactions, key=lambda one: (one.time, one.wallet_id, one.tx_id))
    digits = max(_digits(number) for one in ordered for number in (one.amount, one.fee) if number)
    slack = terms.order_slack // _MICROSECOND
    with localcontext(prec=_PRECISION):
        scale = Decimal(10) ** digits
        outs = [_leg(one, scale, -1, -slack, terms.tolerance) for one in ordered if one.direction == "out"]
        ins = [_leg(one, scale, 1, 0, Decimal(0)) for one in ordered if one.direction == "in"]
    return Ends(outs, ins)


def _digits(number: Decimal) -> int:
    """After the point."""
    return max(0, -int(number.as_tuple().exponent))


def _leg(one: Transaction, scale: Decimal, sign: int, moved: int, tolerance: Decimal) -> Leg:
    amount = int(one.amount * scale)
    forms = (amount, amount + sign * int(one.fee * scale)) if one.fee else (amount,)
    return Leg(one, one.time + moved, forms, int(amount * tolerance) if tolerance else 0)
