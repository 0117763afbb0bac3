"""What breaks a provider's schema is kept with its text, within a limit, and said once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app import set_aside
from app.model import SetAside
from app.set_aside import SetAsideFile

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


def part(place: str = "data[3].quote", text: str = '{"USD": null}') -> SetAside:
    return SetAside("coinmarketcap", place, "should be a list", text)


def test_what_is_set_aside_can_be_read_with_its_text(tmp_path: Path) -> None:
    SetAsideFile(tmp_path).add([part(text='{"name": "Zürich\\n"}')], AT)
    (line,) = (tmp_path / "set_aside.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "at": "2026-11-22T10:00:00+00:00",
        "source": "coinmarketcap",
        "place": "data[3].quote",
        "reason": "should be a list",
        "text": '{"name": "Zürich\\n"}',
    }


def test_the_same_trouble_is_said_once_whatever_row_it_is_in(tmp_path: Path) -> None:
    file = SetAsideFile(tmp_path)
    with capture_logs() as said:
        file.add([part("data[1].quote"), part("data[22].quote"), part("data[1].id")], AT)
    assert [line["place"] for line in said] == ["data[1].quote", "data[1].id"]
    assert file.count == 3


def test_the_file_does_not_grow_with_a_provider_that_changed_for_good(tmp_path: Path) -> None:
    file = SetAsideFile(tmp_path)
    for _ in range(500):
        file.add([part(text="x" * 4000)], AT)
    assert file.path.stat().st_size < 500_000
    assert file.count == 500


def test_a_full_file_gives_way_to_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_aside, "MOST_BYTES", 1000)
    file = SetAsideFile(tmp_path)
    for letter in "abc":
        file.add([part(f"place {letter}", "x" * 400)], AT)
    assert "place c" in file.path.read_text(encoding="utf-8")
    assert "place b" in (tmp_path / "set_aside.jsonl.1").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2000


def test_a_folder_that_takes_nothing_is_said_once_and_ends_nothing(tmp_path: Path) -> None:
    file = SetAsideFile(tmp_path / "gone")
    with capture_logs() as said:
        file.add([part()], AT)
        file.add([part()], AT)
    assert sum("cannot be written" in line["event"] for line in said) == 1


def test_a_key_that_a_provider_repeats_is_not_in_it(tmp_path: Path) -> None:
    file = SetAsideFile(tmp_path, ["", "CG-secret"])
    file.add([part(text='{"key": "CG-secret"}')], AT)
    assert "CG-secret" not in file.path.read_text(encoding="utf-8")
    assert "********" in file.path.read_text(encoding="utf-8")
