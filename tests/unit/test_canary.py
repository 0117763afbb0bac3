"""A canary in what is refused, and in what a provider repeats: no sentence of ours shows it.

What whole processes show is in tests/acceptance/test_canary.py.
"""

from __future__ import annotations

import base64
import re
import traceback
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from app.clock import SystemClock
from app.config import KEYS, SECRETS, Settings, describe, exposed, load
from app.errors import ConfigurationError, CryptoMonitorError
from app.sources import build
from app.watch import parse_watch
from tests.acceptance.canary import BASIC, CANARY, KEY, PASSWORD, PROXY, leaks, secrets_of
from tests.acceptance.echoing import REPLIES, Echoing, serving
from tests.conftest import Logged
from tests.unit.test_limits import Book


def test_a_leak_would_be_found() -> None:
    for text in (f"x{KEY}y", quote(PASSWORD), PROXY.upper(), base64.b64encode(f"me:{BASIC}".encode()).decode()):
        assert len(leaks(text)) == 1


def test_there_is_a_canary_for_every_secret_that_there_is() -> None:
    assert set(secrets_of(Echoing((), "http://x:1"), "postgresql://x@/x")) == SECRETS


WRONG: list[dict[str, str]] = [
    {"COINGECKO_API_KEY": KEY},
    {"COINGECKO_API_KEY": f"{KEY} {KEY}", "COINGECKO_PLAN": "demo"},
    {"COINGECKO_API_KEY": f"{KEY}\x01é", "COINGECKO_PLAN": "pro"},
    {"COINGECKO_KEY": KEY},
    {"COINGECKO_API_KEY_FILES": KEY},
    {"COINGECKO_BASE_URL": f"https://me:{CANARY}@example.com/api"},
    {"COINGECKO_BASE_URL": f"https://{CANARY}@example.com/api"},
    {"COINGECKO_BASE_URL": f"https://example.com/api?key={CANARY}"},
    {"COINGECKO_BASE_URL": f"https://example.com/api#{CANARY}"},
    {"COINGECKO_BASE_URL": f"ftp://me:{CANARY}@example.com"},
    {"COINGECKO_BASE_URL": f"//me:{CANARY}@example.com"},
    {"COINGECKO_BASE_URL": f"me:{CANARY}@example.com"},
    {"COINGECKO_BASE_URL": f"https://me:{CANARY}/x@example.com:99999"},
    {"DATABASE_URL": f"mysql://me:{CANARY}@localhost/x"},
    {"DATABASE_URL": f"postgresql://me:{CANARY}@db.example.com/x"},
    {"DATABASE_URL": f"postgresql://me:{CANARY}/x@localhost/x"},
    {"DATABASE_URL": f"postgresql://me:a@{CANARY}@localhost/x"},
    {"DATABASE_URL": f"postgresql://me:{CANARY}%zz@localhost/x"},
    {"DATABASE_URL": f"postgresql://me@localhost:{CANARY}/x"},
    {"DATABASE_URL": f"postgresql://me@localhost/x?passwort={CANARY}"},
    {"DATABASE_URL": f"host=localhost password='{CANARY}"},
    {"DATABASE_URL": f"password {CANARY}"},
    {"NOTIFY_URLS": f"jsons://me:{CANARY}@example.com/{CANARY}"},
    {"NOTIFY_URLS": f"hook=json://me:{CANARY}@example.com/{CANARY}"},
    {"NOTIFY_URLS": f"hook=jsons://me:{CANARY}@10.0.0.1/{CANARY}"},
    {"NOTIFY_URLS": f"hook=jsons://me:{CANARY}@[::1/{CANARY}"},
    {"NOTIFY_URLS": f"hook=jsons://{CANARY}@example.com/"},
    {"NOTIFY_URLS": f"hook=jsons://example.com/?{CANARY}=1"},
    {"NOTIFY_URLS": f"hook=jsons://example.com/?+Host={CANARY}"},
    {"NOTIFY_URLS": f"hook=jsons://example.com:{CANARY}/"},
    {"NOTIFY_URLS": f"a=jsons://me:{CANARY}@example.com/, {CANARY}"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: " ".join(f"{k}={v}" for k, v in wrong.items()))
@pytest.mark.parametrize("place", ["environment", ".env", "file"])
def test_a_setting_that_is_refused(
    wrong: dict[str, str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    lines = []
    for key, value in wrong.items():
        if place == "file" and key in SECRETS:
            (tmp_path / key).write_text(value, encoding="utf-8")
            lines.append(f"{key}_FILE='{tmp_path / key}'")
        elif place == "environment":
            monkeypatch.setenv(key, value)
        else:
            lines.append(f'{key}="{value}"' if "'" in value else f"{key}='{value}'")
    env_file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(env_file)
    assert next(iter(wrong)) in str(caught.value)
    assert leaks("".join(traceback.format_exception(caught.value))) == []


def test_a_line_of_the_file_that_cannot_be_understood(tmp_path: Path) -> None:
    for text in (f"COINGECKO_API_KEY='{KEY}", f"{KEY}", f"export {KEY}", f"X={KEY}\nX={KEY}", f"API_TOKEN={KEY}\n"):
        (tmp_path / ".env").write_text(text)
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path / ".env")
        # A line that is no KEY=value may be a key, and is not repeated; nor is a value.
        assert leaks("".join(traceback.format_exception(caught.value))) == []


def test_the_settings_in_effect_and_what_python_shows_of_them() -> None:
    secrets = {key.lower(): value for key, value in secrets_of(Echoing((), "http://x:1"), "postgresql://x@/x").items()}
    settings = load(None, coingecko_plan="demo", notify_allow="127.0.0.1", **secrets)
    assert all(getattr(settings, KEYS[key]).get_secret_value() for key in SECRETS)
    for shown in (
        describe(settings),
        settings,
        vars(settings),
        settings.model_dump(),
        settings.model_dump_json(),
        exposed(None),
    ):
        assert leaks(f"{shown} {shown!r}") == []


# What a provider repeats


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize("way", ["straight", "proxy", "tunnel"])
def test_a_reply_that_repeats_the_key(name: str, way: str, logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(REPLIES[name]) as echoing:
        root = {"straight": echoing.url, "proxy": "http://prices.example.com", "tunnel": "https://prices.example.com"}
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(variable, echoing.url.replace("//", f"//me:{CANARY}proxy@"))
        said = asked(load(None, coingecko_plan="demo", coingecko_api_key=KEY, coingecko_base_url=root[way]))
        assert echoing.asked or way == "tunnel"
    assert len(said) == 2, said
    assert leaks("\n".join(said) + logged.read_new()) == []


@pytest.mark.parametrize(
    "proxy",
    [
        PROXY,
        f"http://me:{CANARY}@127.0.0.1:port",
        f"http://me:{CANARY}@127.0.0.1:99999",
        f"http://me:{CANARY}@[::1",
        f"http://me:{CANARY}@",
        f"me:{CANARY}@127.0.0.1:9",
        f"socks5://me:{CANARY}@127.0.0.1:9",
        f"nosuch://me:{CANARY}@127.0.0.1:9",
        f"http://me:{CANARY}@no such host:9",
        f"http://me:{CANARY}@\xff.example.com",
        f"https://me:{CANARY}@127.0.0.1:9",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_used(proxy: str, scheme: str, logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, proxy)
    root = f"{scheme}://prices.example.com"
    settings = load(None, coingecko_plan="demo", coingecko_api_key=KEY, coingecko_base_url=root)
    try:
        said = asked(settings)
        assert len(said) == 2
    except ConfigurationError as error:
        assert re.fullmatch(r"HTTPS?_PROXY=\*+: should be http://host:port, .*", str(error))
        said = traceback.format_exception(error)
    assert leaks("\n".join(said) + logged.read_new()) == []


def asked(settings: Settings) -> list[str]:
    """Ask the provider for prices and whether it is there; what of it is said, or lost."""
    (source,) = build(["coingecko"], settings, SystemClock(), Book()).values()
    said = []
    with closing(source):
        entries = parse_watch("BTC=bitcoin,ETH=ethereum", default_market="coingecko", default_quote="USD")
        for ask in (lambda: source.fetch(source.resolve(entries)), source.ping):
            try:
                said.append(repr(ask()))
            except CryptoMonitorError as error:
                said.append("".join(traceback.format_exception(error)))
    return said
