"""The documents name what there is, all of it, and nothing that is gone. (.env.example: test_env_example.py)"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from app import addresses, config, errors
from app.alerts import states
from app.api.routes import ROUTES
from app.cli import COMMANDS
from app.sources import SOURCES

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    file
    for folder, pattern in ((".", "*.md"), ("docs", "**/*.md"), ("alerts", "*.md"))
    for file in (REPOSITORY / folder).glob(pattern)
)
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MAP = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")

# What comes into being when it runs, or stands for any name.
MADE_LATER = re.compile(r"alerts/(alerts\.txt\*?|demo(/alerts\.txt\*?)?)|.*(<.*>|NNNN).*")
# Keys that a .env beside docker-compose.yml may hold for others.
KEYS_OF_OTHERS = re.compile(r"FAULTS_SEED|(COMPOSE|DOCKER|POSTGRES)_[A-Z_]+")

_BLOCK = re.compile(r"^ *```.*?^ *```$", flags=re.MULTILINE | re.DOTALL)


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {title!r}"
    return found[1]


def table(text: str, title: str) -> dict[str, str]:
    """The names (in code style) in the first column of the tables under a heading, and the rest of their row."""
    rows = re.findall(r"^\| *(.*?) *\|(.*)\|$", section(text, title), flags=re.MULTILINE)
    return {name: rest.strip() for cell, rest in rows for name in re.findall(r"`([^`]+)`", cell)}


def code(text: str) -> str:
    """Everything in code style or in a code block."""
    blocks = re.findall(_BLOCK, text)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", re.sub(_BLOCK, "", text))])


def anchors(text: str) -> set[str]:
    """What links to the headings of a page end with."""
    titles = re.findall(r"^#+ (.*)$", re.sub(_BLOCK, "", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# The README's tables.


def test_every_command_is_in_the_table_and_none_that_is_gone() -> None:
    named = table(README, "Commands")
    assert {name.removeprefix("python -m app ") for name in named if name.startswith("python -m")} == set(COMMANDS)
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    assert {name.removeprefix("make ") for name in named if name.startswith("make")} == targets
    assert all(named.values())


def test_every_table_and_view_is_in_the_table_and_none_that_is_gone() -> None:
    sql = "\n".join(file.read_text(encoding="utf-8") for file in (REPOSITORY / "sql").rglob("*.sql"))
    made = re.findall(r"^CREATE (?:TABLE|VIEW|MATERIALIZED VIEW)(?: IF NOT EXISTS)? (\w+)", sql, flags=re.MULTILINE)
    dropped = re.findall(r"^DROP (?:TABLE|VIEW|MATERIALIZED VIEW)(?: IF EXISTS)? (\w+)", sql, flags=re.MULTILINE)
    assert len(made) > 10
    assert set(table(README, "Tables")) == set(made) - set(dropped)


def test_every_source_is_in_the_table_and_none_that_is_gone() -> None:
    assert set(table(README, "Sources")) == set(SOURCES)


def test_every_path_of_the_api_is_in_the_table_and_none_that_is_gone() -> None:
    assert set(table(README, "HTTP")) == {route.path for route in ROUTES} | {"/openapi.json"}


def test_every_exit_code_is_in_the_table_and_none_that_is_gone() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    ours = {kind.exit_code for kind in kinds if issubclass(kind, errors.CryptoMonitorError)}
    listed = re.findall(r"^\| (\d+) \| ", section(README, "Exit codes"), flags=re.MULTILINE)
    # 0: done; 2: click's for a wrong call; 130: Ctrl-C.
    assert sorted(map(int, listed)) == sorted({0, 2, 130} | ours)


def test_every_direct_dependency_has_its_reason_and_none_that_is_gone() -> None:
    named = table(README, "Dependencies")
    assert set(named) == direct_dependencies()
    assert all(len(reason) > 10 for reason in named.values())


def direct_dependencies() -> set[str]:
    names: set[str] = set()
    for file in REPOSITORY.glob("requirements*.txt"):
        asked_for, brought = file.read_text(encoding="utf-8").split("# Brought along", 1)
        assert brought.strip(), file
        names |= {Requirement(line).name for line in asked_for.splitlines() if line and not line.startswith("#")}
    return names


def test_the_accepted_advisory_is_named_with_the_package_that_brings_it() -> None:
    assert re.search(r"`retry` brings `py`, for which PYSEC-2022-42969", section(README, "Dependencies"))


def test_every_guarantee_names_a_test_that_there_is() -> None:
    rows = re.findall(r"^\| (?!-)(.+?) \| (.+) \|$", section(README, "Guarantees"), flags=re.MULTILINE)
    assert len(rows) > 5
    for promise, proof in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", proof)
        assert tests, promise
        for file, name in tests:
            assert re.search(rf"^def {name}\(", (REPOSITORY / file).read_text(encoding="utf-8"), flags=re.MULTILINE)


# The map.


def test_every_file_of_the_program_is_on_the_map() -> None:
    missing = [
        name
        for entry in sorted((REPOSITORY / "app").iterdir())
        if (entry.suffix == ".py" and entry.name != "__init__.py") or (entry / "__init__.py").exists()
        if (name := f"app/{entry.name}" + ("/" if entry.is_dir() else "")) not in MAP
    ]
    assert missing == []


def test_the_graph_of_states_has_the_letters_of_the_code() -> None:
    letters = re.findall(r"# \(([a-z])\)", inspect.getsource(states))
    assert len(letters) > 6
    rules = (REPOSITORY / "docs" / "rules.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(([a-z])\) ", section(rules, "States"))) == set(letters)


# All documents.


each = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(REPOSITORY)))


@each
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@each
def test_every_file_it_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w./-])(?:app|sql|tests|docs|bench|alerts|\.ci)/[\w./<>*-]*[\w/>*]", text)
    assert [name for name in named if not MADE_LATER.fullmatch(name) and not list(REPOSITORY.glob(name))] == []


@each
def test_every_command_it_names_is_there(document: Path) -> None:
    text = code(document.read_text(encoding="utf-8"))
    targets = {name.removeprefix("make ") for name in table(README, "Commands")}
    assert set(re.findall(r"python -m app ([a-z][\w-]*)", text)) <= set(COMMANDS)
    assert set(re.findall(r"\bmake ([a-z]+)", text)) <= targets


@each
def test_every_setting_it_names_is_there(document: Path) -> None:
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", code(document.read_text(encoding="utf-8"))))
    ours = {*config.KEYS, *(f"{key}_FILE" for key in config.SECRETS)}
    unknown = {name for name in named - ours if not KEYS_OF_OTHERS.fullmatch(name)}
    assert {name for name in unknown if not addresses.KEY.fullmatch(name)} == set()


def test_every_document_that_the_program_names_is_there() -> None:
    sources = [*REPOSITORY.glob("app/**/*.py"), *REPOSITORY.glob("*.yml"), REPOSITORY / "Makefile"]
    named = {name for file in sources for name in re.findall(r"\b(?:docs|alerts)/[\w-]+\.md", file.read_text("utf-8"))}
    assert "docs/embedded-postgresql.md" in named
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_the_changelog_opens_with_what_is_not_released() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE)[0] == "Unreleased"
