"""The table of rules: the file's are shown there, the API's are read from it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.db import Database
from app.errors import DataRefused, Deposed
from app.rules_store import RuleStore

pytestmark = pytest.mark.one_server

UP = {"name": "up", "when": "abs(price / avg(price, 5m) - 1) > 2%", "for": "30s", "channels": ["ops"]}
DOWN = {"when": "price < 1e-9", "severity": "critical"}


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []

    return database.run(fetch)


def of_api(database: Database, name: str, definition: str) -> None:
    """As the API makes one."""
    rows(database, f"INSERT INTO rules (name, origin, definition) VALUES ('{name}', 'api', '{definition}')")


def test_the_rules_of_the_file_stand_in_the_table_as_they_are_now(database: Database) -> None:
    store = RuleStore(database)
    store.file_rules_are([("up", UP, "d1"), ("down", DOWN, "d2")], epoch=0)
    shown = "SELECT name, origin, definition, digest, error FROM rules ORDER BY name"
    assert rows(database, shown) == [("down", "file", DOWN, "d2", None), ("up", "file", UP, "d1", None)]
    rows(database, "UPDATE rules SET updated_at = '2020-01-01'")
    store.file_rules_are(
        [("up", UP, "d1"), ("down", {**DOWN, "for": "1m"}, "d3"), ("new", {"when": "price > 1"}, "d4")], 0
    )
    assert [row[0] for row in rows(database, shown)] == ["down", "new", "up"]
    untouched = rows(database, "SELECT name FROM rules WHERE updated_at = '2020-01-01'")
    assert untouched == [("up",)]
    store.file_rules_are([], 0)
    assert rows(database, shown) == []


def test_a_daemon_that_does_not_lead_shows_nothing(database: Database) -> None:
    rows(database, "UPDATE leader SET epoch = 7")
    with pytest.raises(Deposed, match="epoch 6 is over"):
        RuleStore(database).file_rules_are([("up", UP, "d1")], epoch=6)
    assert rows(database, "SELECT count(*) FROM rules") == [(0,)]


def test_rules_of_the_api_are_read_and_left_alone(database: Database) -> None:
    store = RuleStore(database)
    of_api(database, "zig", '{"when": "price > 1"}')
    of_api(database, "Zag", '{"when": "nonsense"}')
    of_api(database, "up", '{"when": "volume > 1"}')
    expected = [("Zag", {"when": "nonsense"}), ("up", {"when": "volume > 1"}), ("zig", {"when": "price > 1"})]
    assert [(name, json.loads(text)) for name, text in store.api_rules()] == expected
    store.file_rules_are([("up", UP, "d1")], 0)  # the same name: both stand there
    assert [(name, json.loads(text)) for name, text in store.api_rules()] == expected
    store.file_rules_are([], 0)
    assert [(name, json.loads(text)) for name, text in store.api_rules()] == expected
    assert rows(database, "SELECT count(*) FROM rules") == [(3,)]


def test_why_a_rule_of_the_api_is_not_used_is_written_to_it_alone(database: Database) -> None:
    store = RuleStore(database)
    of_api(database, "up", '{"when": "nonsense"}')
    store.file_rules_are([("up", UP, "d1")], 0)
    errors = "SELECT origin, error FROM rules ORDER BY origin"
    store.api_rule_failed("up", "line 1: nonsense is nothing")
    store.api_rule_failed("none of this name", "?")
    assert rows(database, errors) == [("api", "line 1: nonsense is nothing"), ("file", None)]
    store.api_rule_failed("up", None)
    assert rows(database, errors) == [("api", None), ("file", None)]


def test_the_version_changes_with_every_change_of_the_api_and_with_nothing_else(database: Database) -> None:
    store = RuleStore(database)
    versions = [store.rules_version()]

    def changed(sql: str) -> bool:
        rows(database, sql)
        versions.append(store.rules_version())
        return versions[-1] != versions[-2]

    add = "INSERT INTO rules (name, origin, definition) VALUES"
    assert changed(f"""{add} ('a', 'api', '{{"when": "price > 1"}}')""")
    assert changed(f"""{add} ('b', 'api', '{{"when": "price > 1"}}')""")
    assert changed("""UPDATE rules SET definition = '{"when": "price > 2"}' WHERE name = 'a'""")
    assert changed("UPDATE rules SET name = 'c' WHERE name = 'b'")
    assert changed("DELETE FROM rules WHERE name = 'a'")
    # One goes and another comes, however old it says it is.
    assert changed(f"""DELETE FROM rules; {add} ('d', 'api', '{{"when": "price > 1"}}')""")
    assert not changed(f"""{add} ('d', 'file', '{{"when": "price > 3"}}')""")
    store.api_rule_failed("d", "no")
    assert not changed("SELECT 1")
    assert changed("DELETE FROM rules")
    assert versions[-1] == versions[0]


def test_a_rule_that_cannot_be_is_refused_whoever_writes_it(database: Database) -> None:
    of_api(database, "up", '{"when": "price > 1", "name": "up"}')
    for change in (
        "name = ''",
        "name = 'two words', definition = '{}'",
        "name = E'a\\tb', definition = '{}'",
        "name = 'other'",
        "origin = 'psql'",
        "definition = '[]'",
        "definition = NULL",
        """definition = '{"name": 7}'""",
        "error = ''",
    ):
        with pytest.raises(DataRefused):
            rows(database, f"UPDATE rules SET {change}")
    with pytest.raises(DataRefused):
        of_api(database, "up", "{}")


def test_a_definition_comes_back_as_it_was(database: Database) -> None:
    definition = {"when": 'price > 1 "%s" %(x)s é', "repeat": "0s", "n": [1, 2.5, None, True]}
    RuleStore(database).file_rules_are([("é-%", definition, "d")], 0)
    assert rows(database, "SELECT name, definition FROM rules") == [("é-%", definition)]
    (when,) = rows(database, "SELECT updated_at FROM rules")[0]
    assert abs((when - datetime.now(UTC)).total_seconds()) < 300
