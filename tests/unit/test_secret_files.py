"""Secrets in files: every one can be, and which files are better closed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app import given
from app.config import SECRETS, exposed, load
from app.errors import ConfigurationError

CANARY = "canary-3f9a"
GOOD = {
    "COINGECKO_API_KEY": CANARY,
    "COINMARKETCAP_API_KEY": CANARY,
    "DATABASE_URL": f"postgresql://me:{CANARY}@localhost/x",
    "NOTIFY_URLS": f"mine=jsons://me:{CANARY}@hooks.example.com/x",
}

every_secret = pytest.mark.parametrize("key", sorted(SECRETS))


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user of this machine may walk into; pytest's own is closed."""
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        if not all(above.stat().st_mode & 0o001 for above in folder.parents):
            pytest.skip(f"{folder.parent} is closed to others")
        yield folder


def settings_of(key: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(f"{key}_FILE", str(file))
    plan = {"coingecko_plan": "demo"} if key == "COINGECKO_API_KEY" else {}
    return str(getattr(load(None, **plan), key.lower()).get_secret_value())


@every_secret
@pytest.mark.parametrize("around", ["{}", "{}\n", "\n {} \r\n\n", "\ufeff{}\n"])
def test_every_secret_can_be_in_a_file_and_white_space_around_it_does_not_count(
    key: str, around: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(around.format(GOOD[key]), encoding="utf-8")
    assert settings_of(key, tmp_path / "secret", monkeypatch) == GOOD[key]


@every_secret
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nosuch", "No such file or directory"),
        ("folder", "Is a directory"),
        ("below/a/file", "Not a directory"),
        ("binary", "it is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_read_ends_the_start_and_is_named(
    key: str, name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "below").write_text("")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + CANARY.encode())
    with pytest.raises(ConfigurationError) as caught:
        settings_of(key, tmp_path / name, monkeypatch)
    file = tmp_path / name
    assert str(caught.value) == f"{key}_FILE={file} (in the environment): cannot be read ({reason})"


@every_secret
def test_a_file_that_is_not_ours_to_read_ends_the_start(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "secret").write_text(GOOD[key])
    (tmp_path / "secret").chmod(0)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        settings_of(key, tmp_path / "secret", monkeypatch)


@every_secret
def test_an_empty_file_is_no_secret(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("\n")
    monkeypatch.setenv(f"{key}_FILE", str(tmp_path / "secret"))
    assert getattr(load(None), key.lower()).get_secret_value() == ""


@every_secret
def test_a_secret_in_a_file_that_is_wrong_is_not_shown(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(f"{CANARY} \x01 {CANARY}")
    with pytest.raises(ConfigurationError) as caught:
        settings_of(key, tmp_path / "secret", monkeypatch)
    assert str(caught.value).startswith(f"{key}=******** (in the environment): ")
    assert CANARY not in str(caught.value)


# Who else can read them.


@every_secret
def test_a_secret_that_everybody_can_read_is_told_of(key: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, env_file = folder / "secret", folder / ".env"
    secret.write_text(GOOD[key])
    env_file.write_text(f"WATCH=BTC\n{key}='{GOOD[key]}'\n")
    secret.chmod(0o644)
    env_file.chmod(0o604)
    assert exposed(env_file) == [
        f"{env_file} holds a secret, and every user of this machine can read it: chmod o-r '{env_file}'"
    ]
    env_file.write_text(f"{key}_FILE='{secret}'\n")
    (said,) = exposed(env_file)
    assert said.startswith(f"{secret} holds a secret, and every user")
    monkeypatch.setattr(given, "_DOCKER_SECRETS", folder)
    assert exposed(env_file) == [], "in a container nobody else can"


@pytest.mark.parametrize(("mode", "folder_mode"), [(0o600, 0o755), (0o640, 0o755), (0o644, 0o700), (0o644, 0o750)])
def test_a_secret_that_not_everybody_can_reach_is_nothing_to_tell_of(mode: int, folder_mode: int, folder: Path) -> None:
    env_file = folder / ".env"
    env_file.write_text(f"COINGECKO_API_KEY={CANARY}\n")
    env_file.chmod(mode)
    folder.chmod(folder_mode)
    assert exposed(env_file) == []


def test_a_file_without_a_secret_may_be_open_or_not_there(folder: Path) -> None:
    assert exposed(folder / ".env") == []
    (folder / ".env").write_text("WATCH=BTC\nCOINGECKO_API_KEY=\n")
    (folder / ".env").chmod(0o644)
    assert exposed(folder / ".env") == []


def test_a_pipe_is_not_read_a_second_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    assert exposed(tmp_path / ".env") == []
