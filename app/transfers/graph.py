"""Two questions to a graph: what lies on common circles, and what hangs together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import TypeVar

Out = TypeVar("Out", bound=Hashable)
In = TypeVar("In", bound=Hashable)


def circles(after: Sequence[Collection[int]]) -> list[int]:
    """A number for each node of a directed graph, the same for two if each can be reached from the other (Kosaraju)."""
    before: list[list[int]] = [[] for _ in after]
    for node, following in enumerate(after):
        for other in following:
            before[other].append(node)
    number = [-1] * len(after)
    for start in reversed(_finished(after)):
        stack = [start] if number[start] < 0 else []
        while stack:
            node = stack.pop()
            if number[node] < 0:
                number[node] = start
                stack += [other for other in before[node] if number[other] < 0]
    return number


def _finished(after: Sequence[Collection[int]]) -> list[int]:
    """All nodes, each when everything that is reached from it first has been gone through."""
    seen, order = [False] * len(after), []
    for start in range(len(after)):
        stack = [] if seen[start] else [(start, iter(after[start]))]
        seen[start] = True
        while stack:
            node, rest = stack[-1]
            following = next((other for other in rest if not seen[other]), None)
            if following is None:
                order.append(node)
                stack.pop()
            else:
                seen[following] = True
                stack.append((following, iter(after[following])))
    return order


class Sets:
    """Disjoint sets of the numbers up to ``size``, united one by one."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, one: int) -> int:
        """The number that stands for the whole set."""
        parent = self._parent
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    def unite(self, one: int, other: int) -> None:
        """They are in one set from now on."""
        self._parent[self.find(one)] = self.find(other)


def connected(edges: Iterable[tuple[Out, In]]) -> list[list[tuple[Out, In]]]:
    """The edges between outs and ins, in groups that have no end in common, each in the order given."""
    listed = list(edges)
    outs: dict[Out, int] = {}
    ins: dict[In, int] = {}
    sets = Sets(2 * len(listed))
    for out, into in listed:
        sets.unite(outs.setdefault(out, len(outs)), len(listed) + ins.setdefault(into, len(ins)))
    groups: defaultdict[int, list[tuple[Out, In]]] = defaultdict(list)
    for out, into in listed:
        groups[sets.find(outs[out])].append((out, into))
    return list(groups.values())
