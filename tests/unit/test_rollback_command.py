"""``python -m app rollback`` before it asks the database: what it is told, and whether it may."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import rollback
from app.errors import ConfigurationError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a .env."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(rollback.command, list(arguments))


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--to", "2026-01-01", "--undo")])
def test_one_thing_is_to_be_done(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "give either --to TIME or --undo" in result.output


def test_a_time_that_is_to_come_is_refused() -> None:
    time = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    error = run("--to", time).exception
    assert isinstance(error, ConfigurationError)
    assert str(error) == f"--to={time}: is not in the past; what is known now is what there is"


def test_a_time_that_is_none_is_refused() -> None:
    error = run("--to", "yesterday").exception
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith("--to=yesterday: should be a time in ISO 8601")


def test_where_nobody_can_be_asked_it_has_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigurationError, match="give --yes"):
        rollback._demand_consent("Remove it?", yes=False)
    rollback._demand_consent("Remove it?", yes=True)


def test_elsewhere_than_on_a_terminal_it_says_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    say = rollback._lines()
    say("taking ticks away", 0.0)
    for share in range(100):
        say("making candles anew", share / 100)
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == ["taking ticks away", "making candles anew", "making candles anew 10%"]
    assert len(said) == 11
