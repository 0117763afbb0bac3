"""Why two are a pair, why some cannot be told apart, why one is left over: in words, with names and numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal

from app.transfers.found import Ambiguous, Found, Group, LeftOver, Pair, Settled, Transfer
from app.transfers.legs import Ends, Leg, fits, gap, span_of
from app.transfers.transaction import Terms, Transaction

_LOOKED_AT = 20  # on each side of a transaction, to say what would nearly have fitted
_MICROSECOND = timedelta(microseconds=1)

_BASES = {
    "same tx_id": "their tx_id is the same",
    "only candidate": "neither fits any other",
    "best total": "others fit, but all together less well",
}


def explained(assets: Mapping[str, Ends], settled: Settled, terms: Terms) -> Found:
    """Everything in order of time, and with its reason."""
    transfers = sorted((_transfer(pair) for pair in settled.pairs), key=lambda one: _place(one.out))
    ambiguous = sorted(map(_ambiguous, settled.groups), key=lambda one: _place(one.outs[0]))
    done, partners = settled.legs(), _partners(settled)
    elsewhere = _Elsewhere(leg for ends in assets.values() for leg in (*ends.outs, *ends.ins) if leg not in done)
    left_over = [
        LeftOver(leg.transaction, why)
        for ends in assets.values()
        for leg, why in _Nearly(ends, partners, elsewhere, terms).reasons(done)
    ]
    left_over.sort(key=lambda one: _place(one.transaction))
    return Found(tuple(transfers), tuple(ambiguous), tuple(left_over))


def words(micros: int) -> str:
    """A length of time as ``1d 2h 3m 4.5s``, without what is zero."""
    minutes, rest = divmod(micros, 60_000_000)
    seconds = str(rest // 1_000_000) if rest % 1_000_000 == 0 else f"{rest / 1_000_000:.6f}".rstrip("0")
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "m"))
    text = [f"{number}{unit}" for number, unit in parts if number]
    return " ".join([*text, f"{seconds}s"] if rest or not text else text)


def _place(one: Transaction) -> tuple[int, str, str, str]:
    return one.time, one.wallet_id, one.tx_id, one.asset


def _transfer(pair: Pair) -> Transfer:
    out, into = pair.out.transaction, pair.into.transaction
    moved = f"{_amount(out)} left {out.wallet_id} and {_came(pair)} to {into.wallet_id} {_later(into.time - out.time)}"
    return Transfer(out, into, pair.basis, f"{moved}; {_BASES[pair.basis]}")


def _came(pair: Pair) -> str:
    out, into = pair.out.transaction, pair.into.transaction
    if out.amount == into.amount:
        return "came"
    cause = "within the tolerance" if gap(pair.out, pair.into) else "as the fee says"
    return f"{_plain(into.amount)} came ({cause})"


def _later(micros: int) -> str:
    if micros == 0:
        return "at the same time"
    return f"{words(micros)} later" if micros > 0 else f"{words(-micros)} before"


def _amount(one: Transaction) -> str:
    return f"{_plain(one.amount)} {one.asset}".rstrip()


def _plain(amount: Decimal) -> str:
    text = str(amount)
    return text if "E" not in text else f"{amount:f}"


def _ambiguous(group: Group) -> Ambiguous:
    outs = tuple(sorted((leg.transaction for leg in group.outs), key=_place))
    ins = tuple(sorted((leg.transaction for leg in group.ins), key=_place))
    sides = f"{counted(len(outs), 'out')} and {counted(len(ins), 'in')}"
    if group.count is None:
        why = f"{sides} fit each other in too many ways to find the best: a shorter window or less tolerance may help"
        return Ambiguous(outs, ins, None, None, why)
    why = f"{sides} make {counted(group.count, 'transfer')} in several ways that are equally good"
    if group.candidates is None:
        return Ambiguous(outs, ins, group.count, None, f"{why}, too many to list")
    fit = sorted(
        ((out.transaction, into.transaction) for out, into in group.candidates),
        key=lambda pair: (_place(pair[0]), _place(pair[1])),
    )
    return Ambiguous(outs, ins, group.count, tuple(fit), why)


def counted(number: int, what: str) -> str:
    """``1 out``, ``2,000 outs``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _partners(settled: Settled) -> dict[Leg, Leg]:
    pairs = {pair.out: pair.into for pair in settled.pairs}
    return pairs | {into: out for out, into in pairs.items()}


class _Elsewhere:
    """The assets of what is left over, by amount."""

    def __init__(self, left_over: Iterable[Leg]) -> None:
        self._of: defaultdict[tuple[str, Decimal], set[str]] = defaultdict(set)
        for leg in left_over:
            self._of[leg.transaction.direction, leg.transaction.amount].add(leg.transaction.asset or "none given")

    def why(self, leg: Leg) -> str:
        """Of a leg whose amount nothing fits that has the same asset."""
        other = "in" if leg.transaction.direction == "out" else "out"
        assets = sorted(self._of.get((other, leg.transaction.amount), ()))
        return f"no {other} of that amount" + (f" but of another asset ({', '.join(assets[:3])})" if assets else "")


def _near(leg: Leg, reach: int, shelf: list[tuple[int, int, int]]) -> Iterator[int]:
    """Some of about that amount, the nearest in amount and then in time."""
    for form in leg.forms:
        place = bisect_left(shelf, (form, leg.at))
        around = shelf[max(0, place - _LOOKED_AT) : place + _LOOKED_AT]
        yield from (number for other, _, number in around if abs(other - form) <= reach)


class _Nearly:
    """What would have fitted the legs of one asset, but for something."""

    def __init__(self, ends: Ends, partners: Mapping[Leg, Leg], elsewhere: _Elsewhere, terms: Terms) -> None:
        self._ends, self._partners, self._elsewhere, self._terms = ends, partners, elsewhere, terms
        self._span = span_of(terms)

    def reasons(self, done: set[Leg]) -> Iterator[tuple[Leg, str]]:
        """Of each leg that is not done, why not."""
        for legs, others in (self._ends, self._ends[::-1]):
            shelf = sorted((form, leg.at, number) for number, leg in enumerate(others) for form in leg.forms)
            widest = max((leg.reach for leg in (*legs, *others)), default=0)
            for leg in legs:
                if leg not in done:
                    yield leg, self._why(leg, [others[number] for number in _near(leg, widest, shelf)])

    def _why(self, leg: Leg, near: list[Leg]) -> str:
        pairs = [self._in_order(leg, other) for other in near]
        like = sorted(
            (pair for pair in pairs if gap(*pair) <= pair[0].reach), key=lambda pair: abs(pair[1].at - pair[0].at)
        )
        if not like:
            return self._elsewhere.why(leg)
        for pair in like:
            if fits(*pair, self._span):
                return self._taken(pair[0] if pair[1] is leg else pair[1])
        for out, into in like:
            if out.wallet != into.wallet:
                return self._wrong_time(leg, out, into)
        return "only the same wallet has a counterpart of that amount"

    @staticmethod
    def _in_order(leg: Leg, other: Leg) -> tuple[Leg, Leg]:
        return (leg, other) if leg.transaction.direction == "out" else (other, leg)

    def _taken(self, other: Leg) -> str:
        partner = self._partners.get(other)
        if partner is None:
            return f"{other.transaction} fits, but is needed among those that are ambiguous"
        return f"{other.transaction} fits, but with {partner.transaction} it fits better, or all together does"

    def _wrong_time(self, leg: Leg, out: Leg, into: Leg) -> str:
        micros = into.transaction.time - out.transaction.time
        other = (into if leg is out else out).transaction
        if micros < 0:
            slack = words(self._terms.order_slack // _MICROSECOND)
            return f"{other} has that amount, but its in came {words(-micros)} before the out; order_slack is {slack}"
        window = words(self._terms.window // _MICROSECOND)
        return f"{other} has that amount, but {words(micros)} lie between them; the window is {window}"
