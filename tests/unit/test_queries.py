"""The named queries of sql/queries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.queries import QUERIES, SQL_DIR, _load

APP = Path(__file__).parents[2] / "app"


def test_a_file_holds_many_queries_each_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(
        "-- Of this file.\n-- name: one\n-- 100 % of it.\nSELECT 1;\n\n-- name: two\nSELECT %(x)s\n  -- and\n;\n"
    )
    (tmp_path / "b.sql").write_text("-- name: three\nSELECT 3;")
    assert _load(tmp_path) == {"one": "SELECT 1;", "two": "SELECT %(x)s\n;", "three": "SELECT 3;"}


def test_two_queries_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.sql", "b.sql"):
        (tmp_path / name).write_text("-- name: same\nSELECT 1;")
    with pytest.raises(ValueError, match=r"b\.sql: there are two queries named same"):
        _load(tmp_path)


def test_every_query_is_described() -> None:
    for file in (SQL_DIR / "queries").glob("*.sql"):
        text = file.read_text()
        names = re.findall(r"^-- name: (\w+)\n(.*)", text, flags=re.MULTILINE)
        assert names, file
        for name, next_line in names:
            assert re.match(r"-- \S", next_line), f"{file.name}: {name} says nothing of itself"


def test_every_query_is_used_and_every_one_used_exists() -> None:
    code = "\n".join(file.read_text() for file in APP.rglob("*.py"))
    for name in QUERIES:
        assert f'"{name}"' in code, f"nobody asks {name}"
    used = re.findall(r'(?:execute\(\w+|\.query\(|QUERIES\[)[,(]?\s*"(\w+)"', code)
    assert used
    assert set(used) <= set(QUERIES)
