"""Rules, compiled together: from the values of their atoms to the truth of each rule, for one symbol or for many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.alerts.columns import Rows
from app.alerts.expression import Age, Atom, Field, Windowed
from app.alerts.program import Floats, Program, Truths
from app.alerts.rules import Rule
from app.alerts.standing import Terms, text
from app.alerts.states import FALSE, TRUE, UNKNOWN
from app.alerts.windows import FIELDS
from app.model import Tick

_OPPOSITES = bytes.maketrans(bytes([FALSE, TRUE]), bytes([TRUE, FALSE]))


class Evaluation:
    """Some rules. Values come as fields, windows in the order of ``windows``, and age: NaN where unknown.

    ``crosses`` compares with the symbol's last tick: which side it was on is kept here, by the symbol's row.
    """

    def __init__(self, rules: Sequence[Rule], windows: Sequence[Windowed]) -> None:
        self.rules = tuple(rules)
        clears = [rule.clear for rule in self.rules if rule.clear is not None]
        self._program = Program([rule.when for rule in self.rules] + clears)
        given: list[Atom] = [*map(Field, FIELDS), *windows, Age()]
        place = {atom: i for i, atom in enumerate(given)}
        self._given = tuple(given)
        self._order = [place[atom] for atom in self._program.atoms]
        self._cleared = [i for i, rule in enumerate(self.rules) if rule.clear is not None]
        self._unknown = np.ones((self._program.sides, 1), np.int8)
        self._sides = self._unknown.copy()
        self.truths: Truths = np.ones((0, len(self.rules)), np.int8)
        """Of each (row, rule) what it was last."""

    def grow(self, rows: int) -> None:
        """Make room for as many rows."""
        missing = rows - self._sides.shape[1]
        if missing > 0:
            self._sides = np.hstack([self._sides, np.repeat(self._unknown, missing, axis=1)])
        if rows > len(self.truths):
            more = np.ones((rows - len(self.truths), len(self.rules)), np.int8)
            self.truths = np.vstack([self.truths, more])

    def one(self, row: int, values: Sequence[float]) -> tuple[Sequence[int], Sequence[int]]:
        """For each rule whether it is true, and whether what ends it is."""
        before = self._sides[:, row].tolist() if self._program.sides else ()
        truths, sides = self._program.one([values[i] for i in self._order], before)
        if self._program.sides:
            self._sides[:, row] = sides
        whens, overs = self._divided(truths)
        self.truths[row] = np.frombuffer(whens, np.int8)
        return whens, overs

    def forget(self, row: int) -> None:
        """On which side of a level it was is not known."""
        self._sides[:, row] = UNKNOWN

    def clear(self, row: int) -> None:
        """The row is another symbol's now, of which nothing is known."""
        self.forget(row)
        self.truths[row] = UNKNOWN

    def apart(self, values: Sequence[float]) -> tuple[Sequence[int], Sequence[int]]:
        """As ``one``, of something that has no row: it was on no side before."""
        truths, _ = self._program.one([values[i] for i in self._order], [UNKNOWN] * self._program.sides)
        return self._divided(truths)

    def many(self, rows: Rows, values: Sequence[Floats]) -> tuple[Truths, Truths]:
        """The same for many symbols: arrays of shape (symbols, rules)."""
        count = len(self.rules)
        truths, sides = self._program.many([values[i] for i in self._order], self._sides[:, rows])
        if self._program.sides:
            self._sides[:, rows] = sides
        whens = np.empty((len(values[0]), count), np.int8)
        for i in range(count):
            whens[:, i] = truths[i]
        self.truths[rows] = whens
        overs: Truths = TRUE - whens
        for place, i in enumerate(self._cleared, start=count):
            overs[:, i] = truths[place]
        return whens, overs

    def _divided(self, truths: Sequence[int]) -> tuple[bytes, Sequence[int]]:
        # A byte each: far quicker to look through and to keep than a list.
        whens = bytes(truths[: len(self.rules)])
        overs = whens.translate(_OPPOSITES)
        if not self._cleared:
            return whens, overs
        others = bytearray(overs)
        for place, i in enumerate(self._cleared, start=len(self.rules)):
            others[i] = truths[place]
        return whens, others

    def go_on(self, before: Evaluation, rows: int) -> None:
        """Know the sides that were known under other rules, where those had the same ``crosses``."""
        self.grow(rows)
        known = {node: place for place, node in enumerate(before._program.crossings)}
        for place, node in enumerate(self._program.crossings):
            if node in known:
                self._sides[place, :rows] = before._sides[known[node], :rows]

    def unknown(self, selected: NDArray[np.bool_], places: Sequence[int]) -> int:
        """How many rules cannot be told now, counted over all symbols; ``selected``: (row, rule) by all rules."""
        truths = self.truths
        # Other threads ask, while rows are being added.
        count = min(len(truths), len(selected))
        return int(np.count_nonzero((truths[:count] == UNKNOWN) & selected[:count, places]))

    def terms(self, tick: Tick | None, values: Sequence[float]) -> Terms:
        """What a line says of each term of a rule, made when a line is due; ``tick`` has the published digits."""

        def terms(rule: Rule) -> tuple[tuple[str, str], ...]:
            by_atom = dict(zip(self._given, values, strict=True))
            return tuple((str(term), text(term, tick, by_atom)) for term in rule.terms)

        return terms
