"""The log: a sentence and fields, for people or for machines, never where it must not be."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app import log
from app.errors import CannotWrite
from tests.clock import FakeClock
from tests.conftest import Logged

REPOSITORY = Path(__file__).parents[2]


class Screen(Logged):
    """Standard error, for what is configured in the test."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal

    def configure(self, level: str = "info", style: str = "console", file: Path | None = None) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stderr", self)
            log.configure(level, style, file)


@pytest.fixture
def screen() -> Iterator[Screen]:
    yield Screen()
    log.silence()


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_on_the_console_a_line_is_a_time_a_level_a_sentence_and_fields(screen: Screen) -> None:
    screen.configure()
    log.get("app.store").warning("The database does not answer.", action="database_away", tries=3)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[warning *\] The database does not answer\. "
        r"+action=database_away tries=3\n",
        screen.read_new(),
    )


def test_as_json_a_line_is_one_object(screen: Screen) -> None:
    screen.configure("info", "json")
    log.get("app.store").info('A "quoted"\nsentence: Zürich.', action="said", symbol="BTC", path=Path("data"))
    log.get("app.store").info("Another.", action="said")
    first, second = objects(screen.read_new())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": 'A "quoted"\nsentence: Zürich.',
        "level": "info",
        "action": "said",
        "symbol": "BTC",
        "path": "PosixPath('data')",
    }
    assert second["event"] == "Another."


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_is_shown_once_and_in_json_on_the_same_line(style: str, screen: Screen) -> None:
    screen.configure("info", style)
    try:
        {}["nosuch"]
    except KeyError:
        log.get("app.store").exception("It broke.", action="broke")
    text = screen.read_new()
    assert text.count("KeyError: 'nosuch'") == 1
    assert "Traceback (most recent call last)" in text
    assert (text.count("\n") == 1) == (style == "json")


def test_what_libraries_log_looks_the_same(screen: Screen) -> None:
    screen.configure("info", "json")
    logging.getLogger("some.library").warning("%d of %s", 3, "them")
    (line,) = objects(screen.read_new())
    assert (line["event"], line["level"]) == ("3 of them", "warning")
    assert "timestamp" in line


def test_the_level_decides_what_is_shown(screen: Screen) -> None:
    for level, shown in [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]:
        screen.configure(level)
        for said in ("debug", "info", "warning", "error"):
            getattr(log.get("app"), said)("A sentence.", action="test")
        assert screen.read_new().count("A sentence.") == shown


def test_a_logger_made_before_the_configuration_follows_it(screen: Screen) -> None:
    logger = log.get("app.early")
    screen.configure("error")
    logger.info("Too quiet.", action="test")
    screen.configure("info", "json")
    logger.info("Heard.", action="test")
    assert [line["event"] for line in objects(screen.read_new())] == ["Heard."]


def test_the_requests_of_libraries_are_never_shown(screen: Screen) -> None:
    screen.configure("debug")
    logging.getLogger("urllib3.connectionpool").debug('"GET /simple/price?key=canary"')
    assert screen.read_new() == ""


def test_no_colours_where_nobody_sees_them(screen: Screen) -> None:
    screen.configure()
    log.get("app").error("A sentence.", action="test")
    assert "\x1b" not in screen.read_new()


def test_colours_on_a_terminal_and_none_in_the_file(screen: Screen, tmp_path: Path) -> None:
    screen.terminal = True
    screen.configure(file=tmp_path / "log")
    log.get("app").error("A sentence.", action="test")
    assert "\x1b" in screen.read_new()
    assert "\x1b" not in (tmp_path / "log").read_text()


def test_with_a_file_everything_goes_there_and_only_warnings_to_the_screen(screen: Screen, tmp_path: Path) -> None:
    file = tmp_path / "new" / "cryptomonitor.log"
    screen.configure("info", file=file)
    log.get("app").info("All is well: Zürich.", action="test")
    log.get("app").warning("Not so well.", action="test")
    log.get("app").debug("Nobody asked.", action="test")
    shown = screen.read_new()
    assert "Not so well." in shown
    assert "All is well" not in shown
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [("All is well: Zürich." in line, "Not so well." in line) for line in lines] == [
        (True, False),
        (False, True),
    ]


def test_the_file_is_gone_on_with_and_does_not_grow_for_ever(
    screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_FILE_BYTES", 1000)
    file = tmp_path / "cryptomonitor.log"
    file.write_text("of the last run\n")
    for _ in range(2):
        screen.configure("info", file=file)
        for number in range(100):
            log.get("app").info(f"Sentence {number}.", action="test")
        if file.with_suffix(".log.1").exists():
            assert "Sentence 99." in file.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cryptomonitor.log",
        "cryptomonitor.log.1",
        "cryptomonitor.log.2",
    ]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_named(screen: Screen, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "log"):
        with pytest.raises(CannotWrite) as caught:
            screen.configure(file=path)
        assert str(caught.value).startswith(f"{path}: cannot be written (")


def test_after_silence_nothing_is_said(screen: Screen, tmp_path: Path) -> None:
    screen.configure("debug", file=tmp_path / "log")
    log.silence()
    log.get("app").error("Too late.", action="test")
    logging.getLogger("some.library").error("Too late.")
    assert screen.read_new() == ""
    assert (tmp_path / "log").read_text() == ""


# One message a kind and a minute.


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limited(screen: Screen, clock: FakeClock) -> Screen:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", screen)
        log.configure("debug", "json", clock=clock)
    return screen


def away(number: int, purpose: str = "writer") -> None:
    log.get("app.db").warning(f"Away, {number}.", action="database_away", purpose=purpose)


def heard(screen: Screen) -> list[tuple[str, int]]:
    """What was said since the last look, and how many like it were left out."""
    return [(line["event"], line.get("left_out", 0)) for line in objects(screen.read_new())]


def test_of_one_kind_one_a_minute_is_said_and_the_next_says_how_many_were_left_out(
    limited: Screen, clock: FakeClock
) -> None:
    for number in range(9):
        away(number)
        clock.advance(7)
    assert heard(limited) == [("Away, 0.", 0)]
    away(9)
    assert heard(limited) == [("Away, 9.", 8)]
    clock.advance(60)
    away(10)
    assert heard(limited) == [("Away, 10.", 0)]


def test_the_last_word_on_a_fault_is_said_when_its_minute_is_over_with_its_own_time(
    limited: Screen, clock: FakeClock
) -> None:
    logger = log.get("app.db")
    away(1)
    logger.info("Back.", action="database_back")
    away(2)
    away(3)
    assert heard(limited) == [("Away, 1.", 0), ("Back.", 0)]
    clock.advance(59.9)
    logger.info("A minute's summary.", action="summary")
    assert heard(limited) == [("A minute's summary.", 0)]
    clock.advance(0.2)
    logger.info("A minute's summary.", action="summary")
    late, summary = objects(limited.read_new())
    assert (late["event"], late["left_out"], late["level"]) == ("Away, 3.", 1, "warning")
    assert late["timestamp"] < summary["timestamp"]
    away(4)
    clock.advance(61)
    logger.debug("Anything.", action="test")
    assert heard(limited) == [("Away, 4.", 0), ("Anything.", 0)]


def test_a_message_of_another_kind_is_never_left_out(limited: Screen) -> None:
    db, other = log.get("app.db"), log.get("app.store")
    for _ in range(2):
        away(1)
        away(1, purpose="upkeep")
        db.error("Away.", action="database_away", purpose="writer")
        db.warning("Refused.", action="database_refused", purpose="writer")
        other.warning("Away.", action="database_away", purpose="writer")
        for field in ("source", "market", "symbol", "field", "rule", "channel", "task", "path"):
            db.warning("Away.", action="database_away", **{field: "x"})
    assert len(heard(limited)) == 5 + 8


def test_information_is_never_left_out(limited: Screen) -> None:
    for level in ("debug", "info") * 20:
        getattr(log.get("app.db"), level)("The database is back.", action="database_back", purpose="writer")
    assert len(heard(limited)) == 40


def test_what_libraries_repeat_is_left_out_too(limited: Screen, clock: FakeClock) -> None:
    logger = logging.getLogger("some.library")
    for number in range(5):
        logger.warning("Connection %d is lost", number)
    logger.warning("Pool is full")
    clock.advance(61)
    logger.warning("Connection %d is lost", 5)
    assert heard(limited) == [
        ("Connection 0 is lost", 0),
        ("Pool is full", 0),
        ("Connection 5 is lost (4 more like it were left out)", 0),
    ]


def test_an_error_that_was_left_out_keeps_its_traceback(limited: Screen, clock: FakeClock) -> None:
    for key in ("first", "second"):
        try:
            {}[key]
        except KeyError:
            log.get("app").exception("It broke.", action="broke")
    clock.advance(61)
    log.get("app").info("Go on.", action="test")
    first, second, _ = objects(limited.read_new())
    assert "KeyError: 'first'" in first["exception"]
    assert "KeyError: 'second'" in second["exception"]


def test_what_is_remembered_of_messages_is_bounded(
    limited: Screen, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_KINDS_AT_MOST", 10)
    (limiter,) = logging.getLogger().handlers[0].filters
    assert isinstance(limiter, log._Limiter)
    for number in range(100):
        for _ in range(2):
            log.get("app").warning("Lost.", action="value_lost", symbol=f"S{number}")
        assert len(limiter._said) <= 10
    said = heard(limited)
    assert len(said) >= 190, "what had to make room has been said"
    clock.advance(61)
    log.get("app").info("Go on.", action="test")
    clock.advance(61)
    log.get("app").info("Go on.", action="test")
    assert limiter._said == {}


def test_file_and_screen_show_the_same(screen: Screen, clock: FakeClock, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", screen)
        log.configure("info", "json", tmp_path / "log", clock)
    for number in range(3):
        away(number)
    clock.advance(61)
    log.get("app").info("Go on.", action="test")
    in_file = objects((tmp_path / "log").read_text())
    assert [(line["event"], line.get("left_out", 0)) for line in in_file if line["level"] == "warning"] == heard(screen)
    assert [line["event"] for line in in_file] == ["Away, 0.", "Away, 2.", "Go on."]


def test_threads_that_complain_at_once_are_heard_once(limited: Screen) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(away, range(400)))
    assert len(heard(limited)) == 1


def test_each_warning_of_a_file_has_an_action_of_its_own() -> None:
    """Two that share one would hide each other for a minute."""
    seen: set[tuple[object, ...]] = set()
    for path in sorted((REPOSITORY / "app").rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr in ("warning", "error", "exception"):
                given = {keyword.arg: keyword.value for keyword in call.keywords}
                action = given.get("action")
                if isinstance(action, ast.Constant):
                    kind = (path, call.func.attr, action.value, *sorted(given.keys() & set(log._WHOSE)))
                    assert kind not in seen, f"{path}:{call.lineno}"
                    seen.add(kind)
    assert len(seen) > 10
