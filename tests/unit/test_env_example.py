""".env.example documents every setting, with its real default, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app import config

EXAMPLE = Path(__file__).parents[2] / ".env.example"

TEXT = EXAMPLE.read_text(encoding="utf-8")
# A setting that is shown has no space after its #, a sentence has one.
SHOWN = re.findall(r"^#?([A-Za-z_]+)=(.*)$", TEXT, flags=re.MULTILINE)


def test_every_setting_is_shown_once_and_nothing_else_is() -> None:
    assert sorted(key for key, _ in SHOWN) == sorted(config.KEYS)


@pytest.mark.parametrize("key", config.KEYS)
def test_the_value_shown_is_the_default(key: str) -> None:
    defaults = {name: value for name, value, _ in config.describe(config.load(None))}
    assert dict(SHOWN)[key] == defaults[key]


@pytest.mark.parametrize("key", config.KEYS)
def test_every_setting_has_a_description(key: str) -> None:
    description = config.Settings.model_fields[config.KEYS[key]].description
    assert description
    assert len(description) > 10
    # ... and a comment above it, at most a line or two of its group away.
    lines = TEXT.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"#{key}="))
    assert any(line.startswith("# ") and not line.startswith("# ---") for line in lines[max(0, at - 3) : at])


def test_as_it_is_it_sets_nothing() -> None:
    assert config.load(EXAMPLE) == config.load(None)
    assert all(line.startswith("#") or not line for line in TEXT.splitlines())


def test_with_every_setting_taken_in_it_gives_the_defaults(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(re.sub(r"^#([A-Z_]+=)", r"\1", TEXT, flags=re.MULTILINE))
    assert f"\n{SHOWN[0][0]}={SHOWN[0][1]}\n" in env_file.read_text()
    assert config.load(env_file) == config.load(None)


def test_no_key_that_its_sentences_name_is_unknown() -> None:
    named = set(re.findall(r"\b(?:COINGECKO|TICK|VIEW|DATABASE|DATA|ALERTS|API|LOG)_[A-Z_]+\b", TEXT))
    assert named <= {*config.KEYS, *(f"{key}_FILE" for key in config.SECRETS)}
