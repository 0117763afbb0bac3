"""What people read: one alert, a flood, hostile names, and what no limit ever cuts in the middle."""

from __future__ import annotations

import html
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channels.text import Form, compose
from app.model import Alert, State

NOON = datetime(2026, 11, 22, 10, 15, 3, 123456, tzinfo=UTC)
TERMS = (("price", "67187.34"), ("avg(price,5m)", "65670.118"))
ALERT = Alert("3f2a9c0d11e4", State.FIRING, NOON, "BTC", "price-2pct-5m", TERMS, "warning")
ROOMY = Form(title=250, body=32768)


def many(count: int) -> list[Alert]:
    return [
        replace(ALERT, id=f"{n:012x}", symbol=f"C{n}", state=State.RESOLVED if n % 4 == 3 else State.FIRING)
        for n in range(count)
    ]


def test_one_alert_says_what_in_its_title_and_all_else_in_its_body() -> None:
    text = compose([ALERT], ROOMY)
    assert text.title == "FIRING BTC price-2pct-5m"
    assert text.body == "price=67187.34 avg(price,5m)=65670.118\n2026-11-22T10:15:03Z id=3f2a9c0d11e4"


def test_an_alert_without_terms_has_a_body_too() -> None:
    assert compose([replace(ALERT, terms=())], ROOMY).body == "2026-11-22T10:15:03Z id=3f2a9c0d11e4"


def test_several_are_counted_in_the_title_and_have_a_line_each_in_order() -> None:
    text = compose(many(12), ROOMY)
    assert text.title == "12 alerts: 9 FIRING, 3 RESOLVED"
    lines = text.body.split("\n")
    assert lines[0] == "FIRING C0 price-2pct-5m 2026-11-22T10:15:03Z price=67187.34 avg(price,5m)=65670.118"
    assert [line.split()[1] for line in lines] == [f"C{n}" for n in range(12)]


@pytest.mark.parametrize("markup", ["text", "html", "markdown"])
@pytest.mark.parametrize("room", [300, 1024, 2000, 4096])
def test_a_flood_is_cut_at_a_line_and_says_how_many_more_there_are(markup: str, room: int) -> None:
    form = Form(title=250, body=room, markup=markup, title_in_body=True)  # type: ignore[arg-type]
    text = compose(many(2000), form)
    *lines, rest = [line.rstrip() for line in text.body.split("\n")]
    assert len(lines) >= room // 180
    assert all(line.endswith("=65670.118") for line in lines)
    assert rest == f"... and {2000 - len(lines)} more, all in alerts.txt"
    sent = html.escape(text.body).replace("\n", "<br />") if markup == "html" else text.body
    assert len(text.title) + len(sent) < room


def test_a_service_of_few_lines_gets_few_lines() -> None:
    assert compose(many(3), replace(ROOMY, lines=2)).body.split("\n")[1:] == ["... and 2 more, all in alerts.txt"]
    assert compose([ALERT], replace(ROOMY, lines=2)).body.count("\n") == 1


def test_a_short_message_has_at_least_what_there_is_room_for() -> None:
    sms = Form(title=250, body=160, title_in_body=True)
    text = compose([replace(ALERT, terms=(("price", "1" * 200),))], sms)
    assert text.body.startswith("price=111")
    assert text.body.endswith("1...")
    assert len(text.title + text.body) < 160
    assert compose(many(9), replace(sms, body=100)).body == "... and 9 more, all in alerts.txt"


@pytest.mark.parametrize(
    ("states", "severities", "kind"),
    [
        ("R", ["critical"], "success"),
        ("F", ["warning"], "warning"),
        ("F", [""], "warning"),
        ("F", ["info"], "info"),
        ("F", ["critical"], "failure"),
        ("FFR", ["info", "warning", "critical"], "warning"),
        ("FRF", ["info", "warning", "critical"], "failure"),
    ],
)
def test_the_worst_that_fires_gives_a_message_its_colour(states: str, severities: list[str], kind: str) -> None:
    made = [
        replace(ALERT, state=State.FIRING if state == "F" else State.RESOLVED, severity=severity)
        for state, severity in zip(states, severities, strict=True)
    ]
    assert compose(made, ROOMY).kind == kind


HOSTILE = replace(ALERT, symbol="BTC@kraken", rule="a_b*c <b>@everyone [x](http://evil/) <@123> `q`\nRESOLVED x")


def test_text_stays_as_it_is_but_calls_nobody_and_begins_no_tag_and_no_line() -> None:
    text = compose([HOSTILE, ALERT], ROOMY)
    first, *_ = text.body.split("\n")
    assert "\u200b" in first
    assert first.replace("\u200b", "").startswith(
        "FIRING BTC@kraken a_b*c <b>@everyone [x](http://evil/) <@123> `q` RESOLVED x 2026-11-22T10:15:03Z price="
    )
    for called in ("@everyone", "<@", "@123", "<b"):
        assert called not in first
    assert "BTC@kraken" in first
    assert text.body.count("\n") == 1


def test_markdown_is_escaped_and_numbers_are_left_alone() -> None:
    text = compose([HOSTILE, ALERT], replace(ROOMY, markup="markdown"))
    assert r"a\_b\*c " in text.body
    assert r"\[x\](http" in text.body
    assert r"\`q\`" in text.body
    assert "price=67187.34 avg(price,5m)=65670.118" in text.body
    assert "\\_" in compose([HOSTILE], replace(ROOMY, markup="markdown", title_in_body=True)).title
    assert "\\" not in compose([HOSTILE], replace(ROOMY, markup="markdown")).title


@given(
    st.lists(st.tuples(st.text(max_size=300), st.text(max_size=300)), min_size=1, max_size=30),
    st.integers(60, 700),
    st.sampled_from(["text", "html", "markdown"]),
    st.booleans(),
)
def test_whatever_alerts_hold_no_limit_is_passed(
    names: list[tuple[str, str]], room: int, markup: str, together: bool
) -> None:
    made = [replace(ALERT, symbol=symbol, rule=rule) for symbol, rule in names if (symbol + rule).isprintable()]
    form = Form(title=30, body=room, markup=markup, title_in_body=together)  # type: ignore[arg-type]
    text = compose(made or [ALERT], form)
    assert text.body
    assert len(text.title.encode()) <= 30
    assert len(text.body.encode()) + (len(text.title.encode()) if together else 0) <= room
