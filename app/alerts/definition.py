"""A rule as it is written down, in a rules file or as JSON: its keys, and what may stand there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from app.alerts.expression import Condition, seconds_of
from app.alerts.language import parse
from app.alerts.place import RuleError
from app.alerts.rules import SEVERITIES, Rule
from app.model import USD

_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_PATTERN = re.compile(
    r"(?P<base>[A-Z0-9*][A-Z0-9.$_*]{0,39})(-(?P<quote>[A-Z0-9*][A-Z0-9.$_*]{0,39}))?(@(?P<market>[a-z0-9_*]{0,40}))?"
)
_LONGEST_DAYS = 365


@dataclass(frozen=True, slots=True)
class Known:
    """What a rule may name. ``channels``: None where nobody knows yet which there are. ``market``: the default one."""

    channels: Collection[str] | None
    market: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is no rule. ``key``: which is meant, None for the whole. ``error``: where in a condition it is."""

    key: str | None
    reason: str
    error: RuleError | None = None

    def sentence(self, *, placed: bool = False) -> str:
        """``placed``: where in a condition it is has been said already."""
        reason = self.reason if placed or self.error is None else str(self.error)
        return reason if self.key is None else f"{plain(self.key)}: {reason}"


def read_rule(definition: Mapping[str, Any], known: Known) -> tuple[Rule | None, list[Problem]]:
    """The rule, or all that is wrong with it. What is None is taken for left out."""
    given = {key: value for key, value in definition.items() if value is not None}
    problems = [Problem(key, unknown_key(key, _KEYS)) for key in given if key not in _KEYS]
    problems += [Problem(None, f"has no {key}") for key in ("name", "when") if key not in given]
    values: dict[str, Any] = {}
    for key, (field, read) in _KEYS.items():
        if key in given:
            try:
                values[field] = read(given[key], known)
            except RuleError as error:
                problems.append(Problem(key, error.reason, error))
            except ValueError as error:
                problems.append(Problem(key, str(error)))
    return (None, problems) if problems else (Rule(**values), [])


def read_channels(value: object, known: Known) -> tuple[str, ...]:
    """Names of channels; none is meant as none. Raises ValueError."""
    names = _texts(value, '["ops"]')
    for name in names:
        if not _CHANNEL.fullmatch(name):
            raise ValueError(f"{_shown(name)} is no name of a channel: those have a to z, 0 to 9, - and _")
        if known.channels is not None and name not in known.channels:
            there = f"there are {', '.join(known.channels)}" if known.channels else "NOTIFY_URLS names none"
            raise ValueError(f"there is no channel {name}; {there}")
    return names


def canonical_pattern(text: str, default_market: str) -> str:
    """A pattern of symbols as Rule.selects takes it, and the database's function ``selects``: of the default market's
    symbols the one without a market, ``*@`` for all of these. Raises ValueError."""
    pair, at, market = text.strip().partition("@")
    match = _PATTERN.fullmatch(pair.upper() + at + market.lower())
    if match is None or not text.isascii():
        raise ValueError(f"{_shown(text)} should be a symbol, with * for any text: BTC, BTC-EUR@*, *@kraken, *")
    base, quote, market = match["base"], match["quote"], match["market"] or ""
    if quote == USD and "*" in base:
        # Symbols do not say USD, so that what is left would also be every other quote.
        raise ValueError(
            f"{_shown(text)}: symbols in USD do not name it, so that only single ones can be told: BTC, ETH"
        )
    pair = base if quote in (None, USD) else f"{base}-{quote}"
    if market and market != default_market:
        return f"{pair}@{market}"
    return "*@" if at and pair == "*" else pair


def plain(text: str) -> str:
    """A text of somebody's, fit to stand in a message: on one line, and not for ever."""
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def unknown_key(key: str, keys: Collection[str]) -> str:
    """The sentence for a key that means nothing here."""
    near = difflib.get_close_matches(key.lower(), keys, n=1)
    return (
        f"means nothing here; did you mean {near[0]}?" if near else f"means nothing here; there are {', '.join(keys)}"
    )


def _name(value: object, known: Known) -> str:  # noqa: ARG001
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{_shown(value)} should be 1 to 60 of a to z, A to Z, 0 to 9, . _ and -")
    return value


def _condition(value: object, known: Known) -> Condition:  # noqa: ARG001
    if not isinstance(value, str):
        raise ValueError(f'{_shown(value)} should be a condition in quotes, such as "price > 70000"')  # noqa: TRY004
    condition = parse(value)
    if not any(condition.atoms()):
        raise ValueError("looks at nothing: price, volume, market_cap or age should be in it")
    return condition


def _length(value: object, known: Known) -> float:  # noqa: ARG001
    seconds = seconds_of(value) if isinstance(value, str) else None
    if seconds is None:
        raise ValueError(f'{_shown(value)} should be a length of time in quotes: "30s", "5m", "1h" or "7d"')
    if seconds > _LONGEST_DAYS * 86400:
        raise ValueError(f"{_shown(value)} is longer than {_LONGEST_DAYS}d")
    return float(seconds)


def _patterns(value: object, known: Known) -> tuple[str, ...]:
    patterns = _texts(value, '["BTC", "*@kraken"]')
    if not patterns:
        raise ValueError("names none; left out it is every symbol")
    return tuple(dict.fromkeys(canonical_pattern(pattern, known.market) for pattern in patterns))


def _severity(value: object, known: Known) -> str:  # noqa: ARG001
    if value not in SEVERITIES:
        raise ValueError(f"{_shown(value)} should be one of {', '.join(SEVERITIES)}")
    return str(value)


def _shown(value: object) -> str:
    try:
        return plain(repr(value)) if isinstance(value, str | int | float) else "this"
    except ValueError:  # Python shows no whole number of thousands of digits
        return "this"


def _texts(value: object, example: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{_shown(value)} should be a list of texts in quotes, such as {example}")
    return tuple(dict.fromkeys(value))


_KEYS: dict[str, tuple[str, Callable[[Any, Known], Any]]] = {
    "name": ("name", _name),
    "when": ("when", _condition),
    "for": ("hold", _length),
    "repeat": ("repeat", _length),
    "clear": ("clear", _condition),
    "keep_firing_for": ("keep", _length),
    "symbols": ("symbols", _patterns),
    "channels": ("channels", read_channels),
    "severity": ("severity", _severity),
}
"""Of each key the field of Rule, and what makes its value. That raises ValueError or RuleError."""
