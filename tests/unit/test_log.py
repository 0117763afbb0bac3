"""The log: a sentence and fields, for people or for machines, never where it must not be."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import log
from app.errors import CannotWrite
from tests.conftest import Logged


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
