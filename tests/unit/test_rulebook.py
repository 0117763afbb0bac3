"""The rules file while the daemon runs: another one, a bad one, none; and the rules that the database keeps."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.rulebook import Rulebook, difference
from tests.conftest import Logged
from tests.rules import rule, rules

HIGH = '[[rule]]\nname = "high"\nwhen = "price > 100"\n'
LOW = '[[rule]]\nname = "low"\nwhen = "price < 10"\n'


@pytest.fixture
def book(tmp_path: Path) -> Rulebook:
    path = tmp_path / "rules.toml"
    path.write_text(HIGH)
    book = Rulebook(path, ["ops"], "coingecko", threading.Event())
    book.open()
    return book


def look(book: Rulebook) -> bool:
    """Two looks: a change is taken up when it has settled."""
    assert not book.look()
    return book.look()


def names(book: Rulebook) -> list[str]:
    return [rule.name for rule in book.file.rules]


def test_a_file_that_is_missing_at_the_start_is_a_failure(tmp_path: Path) -> None:
    book = Rulebook(tmp_path / "rules.toml", (), "coingecko", threading.Event())
    with pytest.raises(ConfigurationError, match="RULES_FILE"):
        book.open()


def test_a_file_is_read_again_when_it_is_another_one(book: Rulebook) -> None:
    assert not book.look()
    book.path.write_text(HIGH + LOW)
    assert look(book)
    assert names(book) == ["high", "low"]
    assert not book.look()


def test_a_file_that_is_being_written_is_left_alone_until_it_has_settled(book: Rulebook) -> None:
    for text in ("", HIGH[:20], HIGH, HIGH + LOW[:-3], HIGH + LOW):
        book.path.write_text(text)
        assert not book.look()
    assert names(book) == ["high"]
    assert book.look()
    assert names(book) == ["high", "low"]


def test_a_file_put_in_its_place_with_the_same_times_is_another_one(book: Rulebook) -> None:
    before = book.path.stat()
    new = book.path.with_name("new")
    new.write_text(HIGH.replace("100", "200"))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(book.path)
    assert look(book)
    assert book.file == rule("price > 200")


def test_a_bad_file_changes_nothing_and_is_reported_once(book: Rulebook, logged: Logged) -> None:
    book.path.write_text(HIGH + LOW.replace("price", "prise"))
    assert not look(book)
    assert names(book) == ["high"]
    assert book.trouble is not None
    assert "prise" in book.trouble
    assert not book.look()
    assert logged.read_new().count("The rules stay as they are") == 1
    book.path.write_text(HIGH + LOW)
    assert look(book)
    assert book.trouble is None


def test_a_file_that_is_gone_changes_nothing(book: Rulebook) -> None:
    book.path.unlink()
    assert not look(book)
    assert names(book) == ["high"]
    assert book.trouble is not None
    book.path.write_text(HIGH)
    assert not look(book)  # the same rules as before
    assert book.trouble is None


def test_a_signal_has_it_read_also_where_nothing_seems_to_have_changed(tmp_path: Path, logged: Logged) -> None:
    path, reread = tmp_path / "rules.toml", threading.Event()
    path.write_text(HIGH)
    book = Rulebook(path, (), "coingecko", reread)
    book.open()
    reread.set()
    assert not book.look()
    assert not reread.is_set()
    assert "has no other rules than before" in logged.read_new()


def test_rules_of_the_database_come_after_those_of_the_file(book: Rulebook) -> None:
    both, refused = book.together([("low", '{"when": "price < 10", "for": "30s"}')])
    assert [rule.name for rule in both.rules] == ["high", "low"]
    assert both.rules[1].hold == 30
    assert refused == {}


def test_a_rule_of_the_database_that_is_none_is_left_out_and_the_others_stand(book: Rulebook) -> None:
    both, refused = book.together(
        [
            ("bad", '{"when": "prise > 1"}'),
            ("deep", "[" * 100_000),
            ("high", '{"when": "price > 1"}'),
            ("long", f'{{"when": {"1" * 5000}}}'),
            ("low", '{"when": "price < 10"}'),
        ]
    )
    assert [str(rule.when) for rule in both.rules] == ["price > 100", "price < 10"]
    assert "price" in refused["bad"]
    assert "name" in refused["high"]
    assert refused["deep"] == refused["long"] == "its definition is beyond reason"


def test_what_has_changed_is_said_in_a_sentence() -> None:
    before = rules({"name": "a", "when": "price > 1"}, {"name": "b", "when": "price > 1"})
    after = rules({"name": "b", "when": "price > 2"}, {"name": "c", "when": "price > 1"})
    assert difference(before, after) == "new: c; gone: a; changed: b; as before: 0"
    assert difference(before, before) == "as before: 2"
