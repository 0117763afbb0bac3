"""Alerts as a title and a body for people: no longer than a service takes, and with nothing in it that it obeys."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.model import Alert, State

Kind = Literal["info", "success", "warning", "failure"]

_SPACE = "\u200b"  # of no width: it is not seen, and takes a word its meaning
# An @ that begins a word calls people (BTC@kraken calls nobody), a < may begin a tag or a call.
_CALLS = re.compile(r"(?<!\w)@(?=[\w*\\])|<(?=[^\s\d=])")
_MARKS = re.compile(r"[\\`*_~|\[\]]|^[#>+-](?=\s)", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_BESIDE_TITLE = 20  # what is put around a title that goes into the body


@dataclass(frozen=True, slots=True)
class Form:
    """How a service wants its texts: how long (characters; lines 0: as many as there are), and what it reads in them.

    ``title_in_body``: both together may be as long as the body.
    """

    title: int
    body: int
    lines: int = 0
    markup: Literal["text", "html", "markdown"] = "text"
    title_in_body: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """What is sent."""

    title: str
    body: str
    kind: Kind


def compose(alerts: Sequence[Alert], form: Form) -> Text:
    """One alert with all that is known of it; of several a line each, in order, as many as there is room for."""
    title = _title(alerts)
    if form.markup == "markdown" and form.title_in_body:
        title = _escaped(title, form)
    title = _cut(_uncalled(title), form.title, form)
    room = form.body - (_cost(title, form) + _BESIDE_TITLE if form.title_in_body else 0)
    lines = _facts(alerts[0]) if len(alerts) == 1 else [_line(alert) for alert in alerts]
    lines = [_uncalled(_escaped(line, form)) for line in lines]
    return Text(title, _fitted(lines, room, form, of_one=len(alerts) == 1), _kind(alerts))


def _title(alerts: Sequence[Alert]) -> str:
    if len(alerts) == 1:
        (alert,) = alerts
        return _clean(f"{alert.state} {alert.symbol} {alert.rule}")
    counts = Counter(alert.state.value for alert in alerts)
    return f"{len(alerts)} alerts: " + ", ".join(f"{counts[state]} {state}" for state in sorted(counts))


def _facts(alert: Alert) -> list[str]:
    return [_clean(line) for line in (_terms(alert), f"{_time(alert)} id={alert.id}") if line]


def _line(alert: Alert) -> str:
    return _clean(" ".join(filter(None, [alert.state, alert.symbol, alert.rule, _time(alert), _terms(alert)])))


def _terms(alert: Alert) -> str:
    return " ".join(f"{term}={value}" for term, value in alert.terms)


def _time(alert: Alert) -> str:
    time, *_ = alert.line.split(" ", 1)
    return re.sub(r"\.\d+Z", "Z", time)


def _kind(alerts: Sequence[Alert]) -> Kind:
    severities = {alert.severity for alert in alerts if alert.state is State.FIRING}
    if not severities:
        return "success"
    if "critical" in severities:
        return "failure"
    return "info" if severities == {"info"} else "warning"


def _fitted(lines: list[str], room: int, form: Form, *, of_one: bool) -> str:
    """As many lines as fit, and how many do not."""
    most = form.lines or len(lines)
    end = "  \n" if form.markup == "markdown" else "\n"  # without the two spaces some make one line of all
    if len(lines) <= most and _cost(end.join(lines), form) <= room:
        return end.join(lines)
    kept: list[str] = []
    for line in lines[: max(0, most - 1)]:
        if _cost(end.join([*kept, line, _rest(len(lines), of_one=of_one)]), form) > room:
            break
        kept.append(line)
    if kept:
        return end.join([*kept, _rest(len(lines) - len(kept), of_one=of_one)])
    # Not even one: as much as there is of it.
    return _cut(lines[0] if of_one else _rest(len(lines), of_one=False), room, form)


def _rest(count: int, *, of_one: bool) -> str:
    return "... the rest is in alerts.txt" if of_one else f"... and {count} more, all in alerts.txt"


def _cut(text: str, room: int, form: Form) -> str:
    if _cost(text, form) <= room:
        return text
    while text and _cost(f"{text}...", form) > room:
        text = text[:-1]
    return f"{text.rstrip()}..." if text else ""


def _cost(text: str, form: Form) -> int:
    """How long it counts as: in bytes, which no service counts more than; a line of HTML ends with a tag."""
    if form.markup == "html":
        text = html.escape(text).replace("\n", "<br />\r\n")
    return len(text.encode())


def _escaped(text: str, form: Form) -> str:
    return _MARKS.sub(r"\\\g<0>", text) if form.markup == "markdown" else text


def _uncalled(text: str) -> str:
    return _CALLS.sub(rf"\g<0>{_SPACE}", text)


def _clean(text: str) -> str:
    """Names and values are one line, whatever somebody managed to put into them."""
    return _CONTROL.sub(" ", text).strip()
