"""docs/rules.md: its examples are good, its mistakes are mistakes, and it leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.alerts import rules_file
from app.alerts.definition import Known, read_rule
from app.alerts.expression import seconds_of
from app.alerts.language import parse
from app.alerts.meaning import FUNCTIONS, TERMS
from app.alerts.place import RuleError
from app.alerts.rules import Rule
from app.alerts.windows import bucket

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")


def rows(first: str) -> list[list[str]]:
    """The cells of the tables whose first column is called so."""
    tables = re.findall(rf"^\| {first} \|.*\n\|[ |-]+\n((?:\|.*\n?)+)", PAGE, flags=re.MULTILINE)
    assert tables
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for table in tables for line in table.splitlines()]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("example", [quoted(row[-1])[0] for first in ("term", "what else") for row in rows(first)])
def test_every_example_is_good(example: str) -> None:
    assert parse(example)


def test_every_rule_that_it_shows_is_good() -> None:
    shown = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(shown) > 2
    for text in shown:
        assert rules_file.parse(text, "rules.md", channels=["phone"], default_market="coingecko").rules


def test_every_term_and_function_has_its_row_and_an_example_of_itself() -> None:
    named = {quoted(row[0])[0].partition("(")[0]: quoted(row[-1])[0] for row in rows("term")}
    assert list(named) == [*TERMS, *FUNCTIONS]
    assert all(name in example for name, example in named.items())


def test_every_key_of_a_rule_has_its_row() -> None:
    _, problems = read_rule({"name": "x", "when": "price > 1", "?": 1}, Known(None, "coingecko"))
    (reason,) = [problem.reason for problem in problems]
    keys = reason.partition("there are ")[2].split(", ")
    assert sorted(quoted(row[0])[0] for row in rows("key")) == sorted(keys)


@pytest.mark.parametrize("row", rows("refused"), ids=lambda row: row[0])
def test_every_mistake_is_refused_as_it_says(row: list[str]) -> None:
    with pytest.raises(RuleError) as caught:
        parse(quoted(row[0])[0])
    assert str(caught.value) == row[1]


@pytest.mark.parametrize("row", rows("W"), ids=lambda row: row[0])
def test_every_bucket_is_as_long_as_it_says(row: list[str]) -> None:
    window, width = (seconds_of(quoted(cell)[0]) for cell in row)
    assert window
    assert bucket(window) == width


def test_every_pattern_is_good() -> None:
    for pattern, _ in rows("pattern"):
        definition = {"name": "x", "when": "price > 1", "symbols": quoted(pattern)}
        assert isinstance(rules_file.rule_from(definition, default_market="coingecko"), Rule)
