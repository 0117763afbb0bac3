"""kill -9 at the system calls that its promises rest on: each time before the call is carried out.

One database and one folder for all of them: each start has to cope with what the kill before has left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from random import Random

from tests.faults.daemon import Broken, wait_for
from tests.faults.stand import Stand
from tests.faults.trace import CALLS, Trace, call_of

PHASES = ("up", "away", "start")
"""PostgreSQL is there; it is away, and the spool in use; a start, with what is in the spool to be stored."""

_SURVEYED = 10  # replies in which the calls of a phase are counted
_PATIENCE_SECONDS = 4.0  # for a call that was counted before to come again

Survey = Mapping[str, Counter[str]]


class Points:
    """Kills a stand's daemon at sampled calls. ``killed`` counts by phase and call."""

    def __init__(self, stand: Stand, dice: Random) -> None:
        self._stand, self._dice = stand, dice
        self.killed: Counter[tuple[str, str]] = Counter()
        self.missed = 0

    def survey(self) -> Survey:
        """How often each call comes in each phase. Leaves a spool behind that the next start has to store."""
        return {phase: self._watch(phase, CALLS) + self._watch(phase, ("sendto",)) for phase in PHASES}

    def kill(self, times: int, survey: Survey) -> None:
        """So many kills, the phases in turn. Raises Broken where the calls are not to be met again."""
        turn = 0
        while self.killed.total() < times:
            phase = PHASES[turn % len(PHASES)]
            turn += 1
            call = self._dice.choice(sorted(survey[phase]))
            self._kill_at(phase, call, self._dice.randint(1, survey[phase][call]))
            if self.missed > times / 4 + 5:
                raise Broken(f"{self.missed} times the call to be killed at did not come: nothing is tested")

    def _kill_at(self, phase: str, call: str, k: int) -> None:
        stand = self._stand
        with suppress(ProcessLookupError):  # it was killed before strace had told us that it is there
            trace = self._enter(phase, (call,), f"{call}:signal=KILL:when={k}")
            try:
                with suppress(Broken):
                    wait_for(lambda: not stand.warm.alive, f"{call} {k}", _PATIENCE_SECONDS)
            finally:
                trace.end()
        if stand.warm.alive:
            self.missed += 1
        else:
            self.killed[phase, call] += 1
        stand.kill()
        stand.back()

    def _watch(self, phase: str, calls: tuple[str, ...]) -> Counter[str]:
        stand = self._stand
        trace = self._enter(phase, calls)
        stand.polls(_SURVEYED)
        counts = Counter(call_of(line) for line in trace.end())
        stand.kill()
        stand.back()
        return counts

    def _enter(self, phase: str, calls: tuple[str, ...], inject: str = "") -> Trace:
        """Bring the daemon into the phase, and begin to trace it."""
        stand = self._stand
        stand.warm.start(stopped=phase == "start")
        if phase != "start":
            stand.polls(2)
        if phase == "away":
            stand.away()
        # What is sent to PostgreSQL goes to a socket, which is no file; and so do the questions to the provider.
        return Trace(stand.pid, calls, () if calls == ("sendto",) else stand.durable, inject, stopped=phase == "start")
