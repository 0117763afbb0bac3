"""Where a rule stands for a symbol, and where a tick takes it: the state machine, a letter an edge.

docs/rules.md draws it. All times are those of ticks (for rules that look at ``age``, of the clock).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.alerts.rules import Rule
from app.model import Alert, State

Key = tuple[str, str]
"""(rule, symbol)"""

FALSE, UNKNOWN, TRUE = 0, 1, 2
"""Truth, as expressions yield it."""

ALERTING = (State.FIRING, State.RECOVERING)
"""The states in which a FIRING line has been written, and its RESOLVED line has not."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A rule that is not INACTIVE for a symbol, or was and is INACTIVE again. ``lines`` counts its FIRING lines.

    ``since``: the time of its first tick, ``as_of``: of the tick that brought it where it is, or just after the state
    before where that is later. ``digest``: of the rule
    that did, empty where an older version wrote it down without.
    """

    state: State
    id: str
    since: datetime
    as_of: datetime
    last_line_at: datetime | None = None
    lines: int = 0
    recovering_since: datetime | None = None
    digest: str = ""


@dataclass(slots=True)
class Outcome:
    """What a batch caused. ``episodes``: by (rule, symbol) those that changed, INACTIVE where one ended.

    ``epoch`` is that of the lease under which it was found out: the states of an older one are not what stands.
    """

    epoch: int = 0
    alerts: list[Alert] = field(default_factory=list)
    episodes: dict[Key, Episode] = field(default_factory=dict)
    new: int = 0
    late: int = 0
    known: int = 0


def step(rule: Rule, symbol: str, episode: Episode | None, time: datetime, when: int, over: int) -> Episode | None:
    """Where the rule stands after a tick: the same object where nothing changes, INACTIVE where the episode ended.

    ``when`` and ``over`` are the truth of its condition and of what ends it. Unknown changes nothing.
    """
    if episode is None:
        if when != TRUE:
            return None
        started = Episode(State.PENDING, _id(rule.name, symbol, time), since=time, as_of=time, digest=rule.digest)
        return _if_long_enough(rule, started, time)  # (a)
    if episode.state is State.PENDING:
        if when == FALSE:  # (c) it was not for long enough
            return replace(episode, state=State.INACTIVE, as_of=time)
        return _if_long_enough(rule, episode, time) if when == TRUE else episode
    if over == TRUE:
        return _recovering(rule, episode, time)
    if episode.state is State.RECOVERING:
        if over == UNKNOWN:  # (u)
            return episode
        episode = replace(episode, state=State.FIRING, as_of=time, recovering_since=None)  # (f) again
    return _said_again(rule, episode, time) if when == TRUE else episode


def ended(episode: Episode, *, after: timedelta = timedelta(microseconds=1)) -> Episode:
    """It is over, by no tick: the rule is another one now, or none."""
    return replace(episode, state=State.INACTIVE, as_of=episode.as_of + after, recovering_since=None)


def _if_long_enough(rule: Rule, episode: Episode, time: datetime) -> Episode:
    if time - episode.since < timedelta(seconds=rule.hold):
        return episode
    return replace(episode, state=State.FIRING, as_of=time, last_line_at=time, lines=1)  # (b)


def _recovering(rule: Rule, episode: Episode, time: datetime) -> Episode:
    since = episode.recovering_since or time
    if time - since >= timedelta(seconds=rule.keep):
        return replace(episode, state=State.INACTIVE, as_of=time, recovering_since=None)  # (d)
    if episode.state is State.RECOVERING:
        return episode
    return replace(episode, state=State.RECOVERING, as_of=time, recovering_since=time)  # (e)


def _said_again(rule: Rule, episode: Episode, time: datetime) -> Episode:
    last = episode.last_line_at
    if rule.repeat is None or (last is not None and time - last < timedelta(seconds=rule.repeat)):
        return episode
    return replace(episode, as_of=time, last_line_at=time, lines=episode.lines + 1)  # (r)


def _id(rule: str, symbol: str, since: datetime) -> str:
    """The id of an episode: the same from whichever run computes it."""
    return hashlib.sha256("\0".join((rule, symbol, since.isoformat())).encode()).hexdigest()[:12]
