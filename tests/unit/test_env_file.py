"""Reading ``.env``: what editors and people make of it, and which line is refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from app.config import load
from app.env_file import read
from app.errors import ConfigurationError


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(path)
    return str(caught.value)


def test_where_there_is_no_file_nothing_is_set(env_file: Path) -> None:
    assert read(env_file) == {}


def test_comments_quotes_and_export_are_understood(env_file: Path) -> None:
    env_file.write_text(
        "# A comment\n\nWATCH=BTC,ETH # two\nexport QUOTE=EUR\nDATA_DIR=\"with a space\"\nALERTS_FILE='a#b'\n"
        "API_HOST=a#b\nSOURCE=\nLOG_LEVEL= # empty\n  API_PORT = 9000\n"
    )
    assert read(env_file) == {
        "WATCH": "BTC,ETH",
        "QUOTE": "EUR",
        "DATA_DIR": "with a space",
        "ALERTS_FILE": "a#b",
        "API_HOST": "a#b",
        "SOURCE": "",
        "LOG_LEVEL": "",
        "API_PORT": "9000",
    }


def test_what_windows_makes_of_it_is_understood(env_file: Path) -> None:
    env_file.write_bytes(b"\xef\xbb\xbfWATCH=BTC\r\nTICK_SECONDS=5\r\nDATA_DIR='d'\r\n")
    settings = load(env_file)
    assert (settings.watch, settings.tick_seconds, settings.data_dir) == ("BTC", 5, Path("d"))


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_dollar_sign_is_a_dollar_sign(quote: str, env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/expanded")
    env_file.write_text(f"DATABASE_URL={quote}postgresql://me:$HOME${{HOME}}$$@localhost/x{quote}\n")
    assert load(env_file).database_url.get_secret_value() == "postgresql://me:$HOME${HOME}$$@localhost/x"


def test_the_same_key_twice_is_refused_by_its_lines(env_file: Path) -> None:
    env_file.write_text("# first\nTICK_SECONDS=1\n\nQUOTE=EUR\n\n\nTICK_SECONDS=canary\n")
    assert refusal(env_file) == f"{env_file}: TICK_SECONDS stands there twice, in lines 2 and 7; keep one"


@pytest.mark.parametrize("line", ["TICK_SECONDS", "TICK_SECONDS: canary", "KEY canary", "K='canary", 'K="canary" x'])
def test_a_line_that_is_not_understood_is_refused_by_its_number_alone(line: str, env_file: Path) -> None:
    env_file.write_text(f"WATCH=BTC\n\n# comment\n\n{line}\nQUOTE=EUR\n")
    assert refusal(env_file) == f"{env_file}, line 5: should be KEY=value (and each quote needs its second)"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: cannot be read (Is a directory)"


def test_a_file_in_another_encoding_is_refused(env_file: Path) -> None:
    for text in ("WATCH=BTC\n".encode("utf-16"), b"DATA_DIR=\xe4\n"):
        env_file.write_bytes(text)
        assert refusal(env_file) == f"{env_file}: cannot be read (it is not UTF-8 text); save it as UTF-8"


def test_a_file_that_may_not_be_read_is_refused(env_file: Path) -> None:
    env_file.symlink_to(env_file)  # unreadable for everybody, root too
    assert refusal(env_file).startswith(f"{env_file}: cannot be read (")


def test_a_pipe_is_read_once(env_file: Path) -> None:
    os.mkfifo(env_file)
    writer = threading.Thread(target=env_file.write_text, args=("API_PORT=9000\n",), daemon=True)
    writer.start()
    assert load(env_file).api_port == 9000
    writer.join()
