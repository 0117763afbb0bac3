"""NOTIFY_URLS and NOTIFY_ALLOW: what they mean, what is refused, and that no address is ever shown."""

from __future__ import annotations

import subprocess
import sys
import traceback
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import describe, load
from app.errors import ConfigurationError
from app.notify import Allowed, Service, Webhook, parse_allowed, parse_channels

CANARY = "canary-5b1e"


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse_channels(text)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    return str(caught.value).removeprefix("NOTIFY_URLS: ")


# Channels.


@pytest.mark.parametrize("text", ["", "  ", ",", "\n"])
def test_nothing_is_no_channel(text: str) -> None:
    assert parse_channels(text) == {}


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("jsons://hooks.example.org/a/b", "https://hooks.example.org/a/b"),
        ("jsons://hooks.example.org", "https://hooks.example.org/"),
        ("json://192.168.1.5:8080/x", "http://192.168.1.5:8080/x"),
        ("json://[fd00::1]:81/", "http://[fd00::1]:81/"),
        ("JSONS://Hooks.Example.ORG./A?-b=C%20d&-e", "https://hooks.example.org./A?b=C%20d&e"),
        ("json://nas_1/x", "http://nas_1/x"),
    ],
)
def test_an_address_is_that_of_apprise(written: str, url: str) -> None:
    assert parse_channels(f"ops={written}") == {"ops": Webhook(url, {})}


def test_several_are_separated_by_spaces_or_commas_and_keep_their_order() -> None:
    text = "ops=jsons://a.example/x,\n night-2=jsons://b.example/y  c=jsons://c.example/z?-to=a,b=c,d=jsons://d.example"
    channels = parse_channels(text)
    assert list(channels) == ["ops", "night-2", "c", "d"]
    assert channels["c"].url == "https://c.example/z?to=a,b=c"


def test_user_password_and_headers_are_sent_as_such_and_are_not_in_the_url() -> None:
    webhook = parse_channels("a=jsons://me%40home:p%3Aw@h.example/x?+X-Token=a%2Bb%20c&-q=1&+Accept=text")["a"]
    assert webhook.url == "https://h.example/x?q=1"
    basic = "Basic " + b64encode(b"me@home:p:w").decode()
    assert webhook.headers == {"X-Token": "a+b c", "Accept": "text", "Authorization": basic}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (f"jsons://h.example/{CANARY}", "entry 1 should be name=URL"),
        (f"Ops=jsons://h.example/{CANARY}", "entry 1 should be name=URL"),
        (f"o p=jsons://h.example/{CANARY}", "entry 1 should be name=URL"),
        (f"a=jsons://h.example/x b=jsons://h/{CANARY} a=jsons://h.example/{CANARY}", "a stands there twice"),
        (f"a={CANARY}", "a: should be an address, like jsons://host/path or slack://"),
        (f"a=//{CANARY}", "a: should be an address, like jsons://host/path or slack://"),
        (f"chat=slack://{CANARY}/b c/d", "chat: has characters that no address has"),
        ("a=", "a: has characters that no address has"),
        (f"a=jsons:///{CANARY}", "a: should be jsons://host:port/path, the host"),
        (f"a=jsons://h.example:99999/{CANARY}", "a: should be jsons://host:port/path"),
        (f"a=jsons://h.example:0/{CANARY}", "a: should be jsons://host:port/path, the host"),
        (f"a=jsons://h.example:x/{CANARY}", "a: should be jsons://host:port/path"),
        (f"a=jsons://[::1/{CANARY}", "a: should be jsons://host:port/path"),
        (f"a=jsons://h.example/x#{CANARY}", "a: should be jsons://host:port/path, the host"),
        (f"a=jsons://h.example/{CANARY} and more", "a: has characters that no address has"),
        (f"a=jsons://h.example/{CANARY}\u00e9", "a: has characters that no address has"),
        (f"a=jsons://h.example\\@{CANARY}/", "a: has characters that no address has"),
        (f"a=jsons://h.example/{CANARY}\r\nHost: x", "a: has characters that no address has"),
        ("a=jsons://127.1/", "a: should be jsons://host:port/path, the host a name or an address in its usual form"),
        ("a=jsons://2130706433/", "a: should be jsons://host:port/path, the host"),
        ("a=jsons://0x7f.1/", "a: should be jsons://host:port/path, the host"),
        ("a=jsons://0177.0.0.1/", "a: should be jsons://host:port/path, the host"),
        ("a=jsons://[fe80::1%25eth0]/", "a: should be jsons://host:port/path, the host"),
        (f"a=jsons://{CANARY}@h.example/", "a: has a user without a password"),
        (f"a=jsons://me:{CANARY}%0d%0a@h.example/", "a: has a user or password that cannot be sent"),
        (f"a=jsons://me@{CANARY}:x@h.example/", "a: has a user or password that cannot be sent"),
        (f"a=jsons://h.example/?token={CANARY}", "a: after the ? only +Header=value and -parameter=value"),
        (f"a=jsons://h.example/?+X={CANARY}%0d%0aY:1", "a: asks for a header that cannot be sent"),
        (f"a=jsons://h.example/?+X%0d%0aY={CANARY}", "a: asks for a header that cannot be sent"),
        (f"a=jsons://h.example/?+Content-Length={CANARY}", "a: the header Content-Length is not its to choose"),
        (f"a=jsons://h.example/?+host={CANARY}", "a: the header host is not its to choose"),
        (f"a=jsons://h.example/?+Idempotency-Key={CANARY}", "a: the header Idempotency-Key is not its to choose"),
    ],
)
def test_a_bad_entry_is_refused_by_its_name_and_its_address_is_not_shown(entry: str, said: str) -> None:
    assert refusal(entry).startswith(said)


@given(st.text(max_size=60))
def test_whatever_is_written_it_is_understood_or_refused(text: str) -> None:
    for form in (text, f"a={text}", f"a=jsons://{text}", f"a=jsons://h.example/{text}"):
        try:
            channels = parse_channels(form)
        except ConfigurationError as error:
            assert error.__suppress_context__ or error.__context__ is None
            continue
        for receiver in channels.values():
            assert receiver.url.isascii()
            assert not any(c.isspace() for c in receiver.url)
            if isinstance(receiver, Webhook):
                assert "\r" not in f"{receiver.headers}"


def test_a_channel_does_not_print_its_address() -> None:
    assert CANARY not in repr(parse_channels(f"a=jsons://me:{CANARY}@h.example/{CANARY} b=slack://{CANARY}/b/c"))


def test_whatever_is_no_webhook_is_a_service_to_be_asked_for_later() -> None:
    text = "a=slack://T/A/x/#c, b=JSONS://h.example c=Mailtos://me:pw@h.example?to=x@h.example,y@h.example"
    assert parse_channels(text) == {
        "a": Service("slack", "slack://T/A/x/#c"),
        "b": Webhook("https://h.example/", {}),
        "c": Service("mailtos", "Mailtos://me:pw@h.example?to=x@h.example,y@h.example"),
    }


def test_settings_with_webhooks_alone_import_no_apprise() -> None:
    program = (
        "import sys; from app import channels, config; from app.clock import SystemClock;"
        "found = channels.connect(config.load(None, notify_urls='a=jsons://h.example/x'), SystemClock());"
        "assert list(found) == ['a'] and 'apprise' not in sys.modules and 'app.sender' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


# What is allowed.


def test_hosts_addresses_and_networks_are_told_apart() -> None:
    allowed = parse_allowed("NAS.home., 192.168.1.0/24 fd00::/8,127.0.0.1\n[::1]")
    assert allowed.hosts == {"nas.home"}
    assert [str(network) for network in allowed.networks] == ["192.168.1.0/24", "fd00::/8", "127.0.0.1/32", "::1/128"]
    assert parse_allowed("") == Allowed()
    assert parse_allowed(allowed.text) == allowed


@pytest.mark.parametrize("entry", ["127.1", "0x7f.1", "192.168.1.5/24", "*.home", "http://nas/", "nas:80", "a b/8"])
def test_what_is_none_of_them_is_refused(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="should be a host name, an address, or a network"):
        parse_allowed(entry)


# In the settings.


def settings(monkeypatch: pytest.MonkeyPatch, urls: str, allow: str = "") -> str | None:
    monkeypatch.setenv("NOTIFY_URLS", urls)
    monkeypatch.setenv("NOTIFY_ALLOW", allow)
    try:
        load(None)
    except ConfigurationError as error:
        assert CANARY not in "".join(traceback.format_exception(error))
        return str(error)
    return None


@pytest.mark.parametrize(
    ("url", "allow", "said"),
    [
        ("jsons://h.example/x", "", None),
        ("jsons://192.168.1.5/x", "", "it leads into a private or reserved network"),
        ("json://192.168.1.5/x", "192.168.0.0/16", None),
        ("json://nas.home/x", "nas.home", None),
        ("json://nas.home/x", "192.168.0.0/16", None),  # perhaps: its name is looked up when it is sent to
        ("json://nas.home/x", "other.home", "json:// is not encrypted: use jsons://, or name its host in NOTIFY_ALLOW"),
        ("json://8.8.8.8/x", "192.168.0.0/16", "json:// is not encrypted"),
        ("json://[::1]/x", "", "it leads into a private or reserved network"),
    ],
)
def test_an_address_that_can_never_be_sent_to_stops_the_start(
    url: str, allow: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = settings(monkeypatch, f"good=jsons://h.example/y,ops={url}/{CANARY}", allow)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(f"NOTIFY_URLS=******** (in the environment): ops: {said}")


def test_a_bad_allow_list_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch, "", "192.168.1.5/24")
    assert found is not None
    assert found.startswith("NOTIFY_ALLOW=192.168.1.5/24 (in the environment): '192.168.1.5/24': should be a host name")


def test_the_addresses_can_be_in_a_file_and_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "urls").write_text(f"ops=jsons://h.example/{CANARY}\nnight=jsons://h.example/{CANARY}\n")
    monkeypatch.setenv("NOTIFY_URLS_FILE", str(tmp_path / "urls"))
    found = load(None)
    assert list(parse_channels(found.notify_urls.get_secret_value())) == ["ops", "night"]
    assert CANARY not in f"{found!r} {describe(found)}"
