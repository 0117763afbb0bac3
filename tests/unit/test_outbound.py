"""Messages go out to the Internet, or to receivers that are allowed, and nowhere else; no error tells of elsewhere."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.errors import ChannelRefused, ChannelUnavailable, CryptoMonitorError
from app.notify import parse_allowed
from app.outbound import DEADLINE_SECONDS, Answer, Outbound
from tests.provider import drip, flood, hang, raw, reply
from tests.receiver import Receiver, receiving, reset, scripted

PRIVATE = "it leads into a private or reserved network; if it is meant, name its host in NOTIFY_ALLOW"
PUBLIC = "93.184.215.14"
SECRET = "T0KEN-canary"

# Loopback, private and reserved networks, in all the ways to write them.
FORMS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "0X7F.0.0.0X1",
    "0177.1",
    "0177.0.0.01",
    "017700000001",
    "localhost",
    "LOCALHOST",
    "0.0.0.0",
    "0",
    "0.1.2.3",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:7f00:1]",
    "[::127.0.0.1]",
    "169.254.169.254",
    "2852039166",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "10.0.0.1",
    "0xa000001",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "224.0.0.1",
    "233.252.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff0e::1]",
    "[::ffff:8.8.8.8]",
    "example.org@127.0.0.1",
    "example.org:secret@127.0.0.1",
    "example.org%2f@127.0.0.1",
]
# Some systems look these up and some do not.
STRANGE_FORMS = ["127.0.0.1.", "localhost.", "[fe80::1%25lo]", "[fe80::1%lo]", "\u2460\u2461\u2466.0.0.1"]

Connected = list[tuple[str, int]]


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Connected:
    """Where connections were asked for. None is made but to loopback."""
    seen: Connected = []
    make = socket.create_connection

    def spy(address: tuple[str, int], *rest: Any) -> socket.socket:
        seen.append(address)
        if not address[0].startswith("127."):
            raise ConnectionRefusedError
        return make(address, *rest[:1])

    monkeypatch.setattr("app.deadline.create_connection", spy)
    return seen


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A name server that gives these answers, one after another; the names that it was asked for."""
    asked: list[str] = []

    find = socket.getaddrinfo

    def lookup(host: str, port: int, *rest: Any, **_: Any) -> list[tuple[Any, ...]]:
        if rest:  # the connection to an address that was found
            return find(host, port, *rest)
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, 1, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr("app.deadline.socket.getaddrinfo", lookup)
    return asked


def send(url: str, allow: str = "", **options: Any) -> Answer:
    return Outbound(parse_allowed(allow), **{"deadline_seconds": 30.0, **options}).post(
        url, b"{}", {"Idempotency-Key": "a.FIRING"}
    )


# Addresses that are not outside.


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_an_address_inside_is_refused_and_nothing_is_connected(form: str, scheme: str, connected: Connected) -> None:
    with receiving(Receiver()) as receiver:
        with pytest.raises(ChannelRefused) as caught:
            send(f"{scheme}://{form}:{receiver.port}/{SECRET}")
        assert receiver.connections == 0
    assert str(caught.value) == PRIVATE
    assert caught.value.__suppress_context__
    assert connected == []


@pytest.mark.parametrize("form", STRANGE_FORMS)
def test_a_strange_way_to_write_an_address_leads_nowhere(form: str, connected: Connected) -> None:
    with pytest.raises((ChannelRefused, ChannelUnavailable)):
        send(f"https://{form}/{SECRET}")
    assert connected == []


@pytest.mark.parametrize("form", ["127.0.0.1.", "localhost.", "127.0.0.1.nip.example"])
def test_a_name_that_stands_for_loopback_is_refused(
    form: str, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    with pytest.raises(ChannelRefused) as caught:
        send(f"https://{form}/{SECRET}")
    assert (str(caught.value), connected) == (PRIVATE, [])


def test_there_are_at_least_the_forty_forms() -> None:
    assert len(set(FORMS)) >= 40


@pytest.mark.parametrize(
    "found",
    [["10.1.2.3"], ["127.0.0.1"], [PUBLIC, "10.1.2.3"], ["10.1.2.3", PUBLIC], ["fd00::7"], [PUBLIC, "::ffff:10.1.2.3"]],
)
def test_a_name_of_which_any_address_is_inside_is_refused_without_a_word_of_it(
    found: list[str], connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, found)
    with pytest.raises(ChannelRefused) as caught:
        send(f"https://hooks.example.org/{SECRET}")
    assert str(caught.value) == PRIVATE
    assert connected == []


def test_a_name_that_is_outside_for_the_look_and_inside_a_moment_later_gets_what_was_looked_at(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: there is one look, and what it found is what is connected to."""
    asked = resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
    with receiving(Receiver()) as receiver:
        with pytest.raises(ChannelUnavailable, match="connection refused"):
            send(f"https://rebind.example.org:{receiver.port}/")
        assert connected == [(PUBLIC, receiver.port)]
        assert asked == ["rebind.example.org"]
        # At the next message it is looked at again.
        with pytest.raises(ChannelRefused, match="private or reserved"):
            send(f"https://rebind.example.org:{receiver.port}/")
        assert (len(connected), receiver.connections) == (1, 0)


@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/inside", "//10.0.0.1/", "file:///etc/passwd"])
def test_a_redirect_is_not_followed(target: str, connected: Connected) -> None:
    with receiving(Receiver()) as receiver:
        to = target.format(port=receiver.port)
        receiver.answer = scripted(reply(b"", 307, {"Location": to}))
        assert send(f"{receiver.root}/hook", allow="127.0.0.1").status == 307
        assert [received.target for received in receiver.received] == ["/hook"]
    assert len(connected) == 1


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/_x",
        "ftp://127.0.0.1/",
        "unix:///run/docker.sock",
        "127.0.0.1",
        "https:///nothing",
        "https://[::1/",
        "https://a b/",
        "https://127.0.0.1\\@example.org/",
        "https://127.0.0.1#@example.org/",
        "https://127.0.0.1\r\nHost: example.org/",
        "https://127.0.0.1\t/",
    ],
)
def test_what_is_no_web_address_leads_nowhere(url: str, connected: Connected) -> None:
    with pytest.raises((ChannelRefused, ChannelUnavailable)) as caught:
        send(url, allow="10.0.0.0/8")
    assert connected == []
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize("name", ["X-Good", "X-Bad\r\nX-Other"])
def test_a_line_break_in_a_header_is_not_sent(name: str, connected: Connected) -> None:
    with receiving(Receiver()) as receiver:
        with pytest.raises(CryptoMonitorError) as caught:
            Outbound(parse_allowed("127.0.0.1")).post(receiver.root, b"", {name: f"{SECRET}\r\nX-Other: 1"})
        assert receiver.received == []
    assert SECRET not in str(caught.value)


# Addresses that are allowed.


@pytest.mark.parametrize("allow", ["127.0.0.1", "127.0.0.0/8", "10.0.0.0/8, 127.0.0.1/32", "nas.home 127.0.0.1"])
def test_an_allowed_network_can_be_sent_to_by_http(allow: str) -> None:
    with receiving(Receiver()) as receiver:
        assert send(f"{receiver.root}/hook?x=1", allow=allow) == Answer(200, None)
        received = receiver.received[0]
    assert (received.target, received.body, received.key) == ("/hook?x=1", b"{}", "a.FIRING")
    assert received.headers["user-agent"].startswith("CryptoMonitor/")


@pytest.mark.parametrize("host", ["nas.home", "NAS.home.", "nas.HOME"])
def test_an_allowed_host_can_be_sent_to_wherever_it_is(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    with receiving(Receiver()) as receiver:
        assert send(f"http://{host}:{receiver.port}/", allow="nas.home").status == 200


@pytest.mark.parametrize(
    ("host", "found", "allow"),
    [
        ("127.0.0.1", ["127.0.0.1"], "10.0.0.0/8"),
        ("127.0.0.1", ["127.0.0.1"], "127.0.0.2"),
        ("nas.home.example.org", ["127.0.0.1"], "nas.home"),
        ("nas.home", ["127.0.0.1"], "home"),
        ("nas.home", ["127.0.0.1", "10.0.0.1"], "127.0.0.1"),
        ("nas.home", ["::ffff:127.0.0.1"], "127.0.0.1"),
        ("nas.home", ["::1"], "127.0.0.1"),
    ],
)
def test_what_is_allowed_allows_no_other(
    host: str, found: list[str], allow: str, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, found)
    with pytest.raises(ChannelRefused, match="private or reserved"):
        send(f"http://{host}/", allow=allow)
    assert connected == []


def test_what_is_not_allowed_is_sent_to_by_https_only(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [PUBLIC])
    with pytest.raises(ChannelRefused, match="is not encrypted: use jsons://"):
        send("http://hooks.example.org/", allow="10.0.0.0/8")
    assert connected == []
    with pytest.raises(ChannelUnavailable):
        send("https://hooks.example.org/")
    assert connected == [(PUBLIC, 443)]


# What the environment and the receiver may not do.


def test_a_proxy_and_a_netrc_of_the_environment_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with receiving(Receiver()) as receiver, receiving(Receiver()) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.root)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert send(receiver.root, allow="127.0.0.1").status == 200
        assert proxy.connections == 0
        assert "authorization" not in receiver.received[0].headers


def test_a_cookie_is_not_sent_back_and_each_message_has_its_connection() -> None:
    with receiving(Receiver(answer=scripted(reply(b"", headers={"Set-Cookie": "a=b; path=/"})))) as receiver:
        outbound = Outbound(parse_allowed("127.0.0.1"))
        for _ in range(2):
            outbound.post(receiver.root, b"{}", {})
        assert "cookie" not in receiver.received[1].headers
        assert receiver.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"), id="drips"),
        pytest.param(flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536), id="floods"),
        pytest.param(hang(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nin"), id="hangs"),
    ],
)
def test_the_body_of_an_answer_is_not_waited_for(answer: Any) -> None:
    with receiving(Receiver(answer=scripted(answer))) as receiver:
        began = time.monotonic()
        assert send(receiver.root, allow="127.0.0.1").status == 200
        assert time.monotonic() - began < DEADLINE_SECONDS


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(hang(), "no answer in time", id="silent"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nX-Slow: "), "no answer in time", id="drips its head"),
        pytest.param(reset, "the connection broke off before it answered", id="tears it down"),
        pytest.param(raw(b"", then_close=True), "the connection broke off before it answered", id="hangs up"),
        pytest.param(raw(b"220 smtp.internal ready\r\n\r\n"), "what it answers is not HTTP", id="is mail"),
    ],
)
def test_without_an_answer_it_says_why_in_words_of_its_own(answer: Any, words: str) -> None:
    with receiving(Receiver(answer=scripted(answer))) as receiver:
        began = time.monotonic()
        with pytest.raises(ChannelUnavailable) as caught:
            send(f"{receiver.root}/{SECRET}", allow="127.0.0.1", deadline_seconds=0.4)
        assert time.monotonic() - began < DEADLINE_SECONDS
    assert str(caught.value) == words
    assert caught.value.__suppress_context__


def test_a_receiver_may_think_for_almost_all_of_the_time() -> None:
    """Many do all their work before they answer: silence is no reason to hang up."""
    with receiving(Receiver()) as receiver:
        held = threading.Event()

        def late(connection: socket.socket, closing: threading.Event) -> None:
            held.wait(0.7)
            reply(b"")(connection, closing)

        receiver.answer = scripted(late)
        assert send(receiver.root, allow="127.0.0.1", deadline_seconds=2.0).status == 200


def test_a_name_that_is_unknown_or_a_name_server_that_is_silent_is_left_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, f"Name or service not known: {SECRET}")

    monkeypatch.setattr("app.deadline.socket.getaddrinfo", unknown)
    with pytest.raises(ChannelUnavailable) as caught:
        send("https://hooks.example.org/")
    assert str(caught.value) == "its name cannot be looked up"
    over = threading.Event()
    monkeypatch.setattr("app.deadline.socket.getaddrinfo", lambda *_, **__: over.wait(120) and [])
    with pytest.raises(ChannelUnavailable, match="no answer in time"):
        send("https://hooks.example.org/", deadline_seconds=0.3)
    over.set()


# Certificates.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes self-signed certificates for a name, key and all in one file."""
    folder = tmp_path_factory.mktemp("certificates")

    def make(name: str) -> Path:
        file = folder / f"{name}.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", "2"]
        try:
            subprocess.run(
                [*command, *names, "-keyout", str(file), "-out", f"{file}.crt"], check=True, capture_output=True
            )
        except FileNotFoundError:
            pytest.skip("there is no openssl to make certificates with")
        file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
        return file

    return make


@contextmanager
def encrypted(file: Path) -> Iterator[int]:
    """A server that answers 200 by TLS; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)

        def serve() -> None:
            try:
                connection, _ = listening.accept()
                with connection, context.wrap_socket(connection, server_side=True) as wrapped:
                    asked = b""
                    while not asked.endswith(b"\r\n\r\n{}") and (more := wrapped.recv(65536)):
                        asked += more  # to its end: what is left unread takes the answer with it
                    wrapped.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            except OSError:
                pass  # it hung up: that is what is tested

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            thread.join()


def test_a_certificate_is_held_against_the_name_and_not_the_address(
    certificate: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    file = certificate("nas.home")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    with encrypted(file) as port:
        assert send(f"https://nas.home:{port}/", allow="nas.home") == Answer(204, None)
    with encrypted(file) as port, pytest.raises(ChannelRefused) as caught:
        send(f"https://other.home:{port}/", allow="other.home")
    assert str(caught.value) == "its certificate is not good: it is for another name"


def test_a_certificate_of_nobody_is_refused(
    certificate: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with encrypted(certificate("nas.home")) as port, pytest.raises(ChannelRefused) as caught:
        send(f"https://nas.home:{port}/{SECRET}", allow="nas.home")
    assert str(caught.value) == "its certificate is not good: self-signed certificate"


def test_an_encrypted_channel_to_a_server_without_encryption_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ChannelUnavailable, match="no encrypted connection comes about"):
            send(f"https://127.0.0.1:{listening.getsockname()[1]}/", allow="127.0.0.1")
        thread.join()
