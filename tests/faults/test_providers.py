"""Providers at their worst: bodies, silence, bombs, TLS, DNS. Nothing of it costs a tick of another coin or source.

FAULTS=long runs the larger counts. Random tests print their seed; FAULTS_SEED repeats one.
"""

from __future__ import annotations

import json
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from app.clock import SystemClock
from app.errors import ProviderRefused, ProviderUnavailable, RateLimited
from app.fetcher import Fetcher
from app.http import Http
from app.limits import CallBudget
from app.model import Batch, Instrument
from app.sources.base import Limits
from app.sources.coingecko import CoinGecko
from app.watch import Wanted
from tests.certificates import WEAK, Authority, can_be_made, self_signed, serves
from tests.clock import FakeClock
from tests.faults.bodies import COINS, Hostile, Kept, bomb, hostile, mangled, odd, truncated
from tests.provider import Answer, Provider, drip, flood, hang, raw, reply, serving
from tests.unit.test_limits import Book

LONG = os.environ.get("FAULTS") == "long"
SECONDS = 0.3
LEEWAY = 20.0  # the machine may be busy; a call without deadline never ends
NOW = FakeClock().now()
CHUNK = tuple(Instrument(coin[:3].upper(), "USD", "coingecko", coin[:3].upper(), coin) for coin in COINS)
GOOD = json.dumps({coin: {"usd": 5.25, "last_updated_at": int(NOW.timestamp())} for coin in COINS}).encode()
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SERVED = {"Date": format_datetime(NOW, usegmt=True)}


def source(root: str, seconds: float = 5.0, **secrets: str) -> CoinGecko:
    clock = FakeClock()
    http = Http("coingecko", root, clock, deadline_seconds=seconds, secret_headers=secrets)
    return CoinGecko(http, Limits(), CallBudget("coingecko", 0, 0, clock, Book()), "coingecko")


def refused(answer: Answer, seconds: float = 5.0) -> ProviderUnavailable | ProviderRefused:
    """What the source makes of it; and the next call is all right."""
    with serving(answer, reply(GOOD)) as provider, closing(source(provider.root, seconds)) as asking:
        begun = time.monotonic()
        with pytest.raises((ProviderUnavailable, ProviderRefused)) as caught:
            asking.fetch(CHUNK)
        assert time.monotonic() - begun < seconds + LEEWAY
        asking.close()  # else the next call may be the one to notice that the other side has hung up
        assert len(asking.fetch(CHUNK).ticks) == 3
    assert str(caught.value).startswith("coingecko: ")
    assert str(caught.value).isprintable()
    return caught.value


# Bodies.


@pytest.mark.parametrize("kind", hostile(GOOD), ids=lambda kind: kind.what)
def test_of_a_hostile_reply_nothing_survives_and_the_next_is_taken(kind: Hostile) -> None:
    error = refused(kind.answer)
    assert isinstance(error, (ProviderRefused, RateLimited)) == kind.pauses


def test_a_reply_that_is_cut_anywhere_is_none() -> None:
    cuts = list(truncated(GOOD))
    with (
        serving(*(cut.answer for cut in cuts), reply(GOOD)) as provider,
        closing(source(provider.root)) as asking,
    ):
        for _ in cuts:
            with pytest.raises(ProviderUnavailable):
                asking.fetch(CHUNK)
        assert len(asking.fetch(CHUNK).ticks) == 3
        assert provider.connections == 1
    assert len(cuts) >= 150


def test_odd_values_cost_themselves_and_the_rest_is_kept_to_the_last_digit() -> None:
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(10**9))
    print(f"FAULTS_SEED={seed}")
    dice = random.Random(seed)
    replies = [odd(dice, int(NOW.timestamp())) for _ in range(20_000 if LONG else 500)]
    answers = [reply(one.body, headers=SERVED) for one in replies]
    with serving(*answers) as provider, closing(source(provider.root)) as asking:
        for one in replies:
            batch = asking.fetch(CHUNK)
            expected = {coin: _values(NOW if kept.time is None else kept.time, kept) for coin, kept in one.kept.items()}
            assert _found(batch) == expected, one.what
            assert {lost.symbol for lost in batch.lost} >= {i.symbol for i in CHUNK if i.provider_id not in one.kept}, (
                one.what
            )
        assert provider.connections == 1


def _values(time: datetime | int, kept: Kept) -> tuple[object, ...]:
    at = time if isinstance(time, datetime) else datetime.fromtimestamp(time, UTC)
    return at, *(value and str(Decimal(value)) for value in (kept.price, kept.volume, kept.cap))


def _found(batch: Batch) -> dict[str, tuple[object, ...]]:
    ids = {instrument.symbol: instrument.provider_id or "" for instrument in CHUNK}
    return {
        ids[tick.symbol]: (
            tick.timestamp,
            *(None if value is None else str(value) for value in (tick.price, tick.volume_24h, tick.market_cap)),
        )
        for tick in batch.ticks
    }


def test_whatever_is_wrong_with_a_reply_it_is_a_foreseen_error() -> None:
    """An exception that slipped through would end the daemon."""
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(10**9))
    print(f"FAULTS_SEED={seed}")
    dice = random.Random(seed)
    count = 20_000 if LONG else 400
    answers = [raw(mangled(dice, GOOD), then_close=True) for _ in range(count)]
    with serving(*answers) as provider, closing(source(provider.root, 2)) as asking:
        for _ in range(count):
            with suppress(ProviderUnavailable, ProviderRefused):
                asking.fetch(CHUNK)


# Time.


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(hang(), id="hangs"),
        pytest.param(hang(HEAD + b"Content-Length: 20\r\n\r\n{"), id="hangs in the body"),
        pytest.param(drip(HEAD + b"X-Slow: "), id="slow headers"),
        pytest.param(drip(HEAD + b"Content-Length: 9999\r\n\r\n", b" "), id="drips"),
        pytest.param(drip(CHUNKED, b"1\r\n \r\n"), id="endless chunks"),
        pytest.param(drip(CHUNKED + b"0\r\n", b"A: b\r\n"), id="endless trailers"),
        pytest.param(flood(HEAD + b"Content-Encoding: gzip\r\n\r\n", bomb(64 * 2**20)[:10] + b"\x00"), id="no end"),
        pytest.param(flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), id="hints for ever"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_whatever_it_does_a_call_ends_by_its_deadline(
    answer: Answer, scheme: str, authority: Authority, trusted: ssl.SSLContext
) -> None:
    tls = trusted if scheme == "https" else None
    with serving(answer, tls=tls) as provider, closing(source(provider.root, SECONDS)) as asking:
        begun = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            asking.fetch(CHUNK)
        assert time.monotonic() - begun < SECONDS + LEEWAY


def test_a_reset_is_a_failed_call_and_no_more() -> None:
    def reset(connection: socket.socket, closing_: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())

    assert "reset" in str(refused(reset)).lower()


# Memory.

GREEDY = """
import sys
from app.clock import SystemClock
from app.errors import CryptoMonitorError
from app.http import Http

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

for root in map(str.strip, sys.stdin):
    http = Http("coingecko", root, SystemClock(), deadline_seconds=5)
    http.get("/ping")
    with open("/proc/self/clear_refs", "w") as forget:
        forget.write("5")
    before = peak()
    try:
        http.get("/simple/price")
    except CryptoMonitorError:
        pass
    print(peak() - before, flush=True)
    http.close()
"""


@pytest.fixture(scope="module")
def greedy() -> Iterator[subprocess.Popen[str]]:
    """Given an address, calls it and says by how many KiB its memory had grown at most."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not say how much memory is used")
    command = [sys.executable, "-c", GREEDY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def _packed(body: bytes) -> Answer:
    return reply(body, headers={"Content-Encoding": "gzip"})


def _members(count: int) -> bytes:
    return b"".join(b'"%030x":1,' % number for number in range(count))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_packed(bomb(10 * 2**30)), id="a bomb of 10 GB"),
        pytest.param(_packed(bomb(64 * 2**20) * 20), id="a row of bombs"),
        pytest.param(reply(bomb(10 * 2**30), 500, {"Content-Encoding": "gzip"}), id="a bomb as an error page"),
        pytest.param(flood(HEAD + b"Content-Length: 104857600\r\n\r\n", b" " * 65536), id="100 MB"),
        pytest.param(flood(CHUNKED, b"4000\r\n" + b" " * 0x4000 + b"\r\n"), id="endless chunks"),
        pytest.param(flood(CHUNKED + b"40000000\r\n", b" " * 65536), id="one chunk of 1 GB"),
        pytest.param(flood(CHUNKED + b"-1\r\n", b" " * 65536), id="a chunk of minus one byte"),
        pytest.param(flood(CHUNKED, b"0" * 65536), id="an endless size of a chunk"),
        pytest.param(flood(CHUNKED + b"0\r\n", b"a" * 65536), id="an endless trailer"),
        pytest.param(flood(HEAD, b"A: " + b"b" * 65000 + b"\r\n"), id="endless headers"),
        pytest.param(reply(b"[" + b"1," * 1_500_000 + b"1]"), id="a million numbers"),
        pytest.param(reply(b"[" + b"[]," * 1_000_000 + b"1]"), id="a million lists"),
        pytest.param(reply(b"{" + _members(87_000) + b'"\xf0\x9f\x98\x80":1}'), id="as many names as are read"),
        pytest.param(reply(b'["\xf0\x9f\x98\x80' + b"x" * (3 * 2**20 - 8) + b'"]'), id="a text of wide characters"),
        pytest.param(reply(b'["\xf0\x9f\x98\x80' + b"x" * (12 * 2**20) + b'"]'), id="a far longer one"),
        pytest.param(reply(b"[" * 3_000_000), id="a million levels"),
    ],
)
def test_no_reply_takes_more_than_fifty_mebibytes(answer: Answer, greedy: subprocess.Popen[str]) -> None:
    assert greedy.stdin is not None
    assert greedy.stdout is not None
    with serving(reply({}), answer) as provider:
        greedy.stdin.write(f"{provider.root}\n")
        greedy.stdin.flush()
        growth = int(greedy.stdout.readline()) / 1024
    print(f"{growth:.0f} MiB")
    assert growth < 50


# TLS.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not can_be_made():
        pytest.skip("there is no openssl to make certificates with")
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Iterator[Authority]:
    """Trusted by all calls while it is there."""
    made = Authority(folder, "ca")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(made.pem))
        yield made


@pytest.fixture(scope="module")
def trusted(authority: Authority) -> ssl.SSLContext:
    return serves(authority.sign("good"))


BAD_TLS: dict[str, tuple[Callable[[Authority, Path], ssl.SSLContext], str]] = {
    "expired": (lambda ca, _: serves(ca.sign("old", days=(-3, -1))), "certificate has expired"),
    "not yet valid": (lambda ca, _: serves(ca.sign("new", days=(1, 3))), "certificate is not yet valid"),
    "of another host": (lambda ca, _: serves(ca.sign("other", names="DNS:other.example")), "not valid for '127.0.0.1'"),
    "self-signed": (lambda _, folder: serves(self_signed(folder)), "self-signed certificate"),
    "of an unknown authority": (
        lambda _, folder: serves(Authority(folder, "stranger").sign("strange")),
        "unable to get local issuer certificate",
    ),
    "TLS 1.0": (lambda ca, _: serves(ca.sign("tls10"), ssl.TLSVersion.TLSv1), "protocol"),
    "TLS 1.1": (lambda ca, _: serves(ca.sign("tls11"), ssl.TLSVersion.TLSv1_1), "protocol"),
    "a weak key": (lambda ca, _: serves(ca.sign("weak", key=WEAK)), "key too weak"),
    "a weak signature": (lambda ca, _: serves(ca.sign("sha1", digest="sha1")), "too weak"),
}


def test_a_good_certificate_is_trusted(trusted: ssl.SSLContext) -> None:
    with serving(reply(GOOD), tls=trusted) as provider, closing(source(provider.root)) as asking:
        assert len(asking.fetch(CHUNK).ticks) == 3
        assert len(asking.fetch(CHUNK).ticks) == 3
        assert provider.connections == 1


@pytest.mark.parametrize("kind", BAD_TLS)
def test_a_bad_certificate_is_told_by_host_and_reason_and_no_request_is_sent(
    kind: str, authority: Authority, folder: Path
) -> None:
    make, reason = BAD_TLS[kind]
    with serving(reply(GOOD), tls=make(authority, folder)) as provider:
        error = _no_call(provider)
    assert "127.0.0.1" in str(error)
    assert reason in str(error)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28"])
def test_a_handshake_that_is_broken_off_is_not_followed_by_a_call_without_tls(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard: list[bytes] = []

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(4096))
                    connection.sendall(answer)

        thread = threading.Thread(target=listen)
        thread.start()
        root = f"https://127.0.0.1:{server.getsockname()[1]}"
        with (
            closing(source(root, **{"x-cg-pro-api-key": "CG-canary"})) as asking,
            pytest.raises(ProviderUnavailable, match=r"127\.0\.0\.1") as caught,
        ):
            asking.fetch(CHUNK)
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert len(heard) == 1
    assert heard[0].startswith(b"\x16\x03")
    assert b"canary" not in heard[0]
    assert "SSL" in str(caught.value) or "closed" in str(caught.value).lower()


def _no_call(provider: Provider) -> ProviderUnavailable:
    with (
        closing(source(provider.root, **{"x-cg-pro-api-key": "CG-canary"})) as asking,
        pytest.raises(ProviderUnavailable) as caught,
    ):
        asking.fetch(CHUNK)
    assert provider.asked == []
    assert provider.connections == 1
    return caught.value


# DNS.

Resolver = Callable[[str], list[Any]]


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[[Resolver], None]:
    """Puts a resolver in the place of the system's, which goes on to read addresses that are numbers."""
    systems = socket.getaddrinfo

    def put(resolver: Resolver) -> None:
        def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> list[Any]:
            return systems(host, *args, **kwargs) if host.startswith("127.") else resolver(host)

        monkeypatch.setattr("app.deadline.socket.getaddrinfo", getaddrinfo)

    return put


def at(*addresses: str) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


@pytest.mark.parametrize(
    ("number", "said"),
    [(socket.EAI_NONAME, "Name or service not known"), (socket.EAI_AGAIN, "Temporary failure in name resolution")],
    ids=["NXDOMAIN", "SERVFAIL"],
)
def test_a_name_server_that_says_no_is_told_with_the_name(
    number: int, said: str, resolves: Callable[[Resolver], None]
) -> None:
    def no(_: str) -> list[Any]:
        raise socket.gaierror(number, said)

    resolves(no)
    with closing(source("http://api.example.test")) as asking, pytest.raises(ProviderUnavailable) as caught:
        asking.fetch(CHUNK)
    assert "api.example.test" in str(caught.value)
    assert said in str(caught.value)


def test_a_silent_name_server_holds_up_neither_the_call_nor_another_source_nor_threads(
    resolves: Callable[[Resolver], None],
) -> None:
    over, waiting = threading.Event(), threading.active_count()

    def silent(_: str) -> list[Any]:
        over.wait(120)
        return at("127.0.0.1")

    resolves(silent)
    with (
        serving(reply(GOOD)) as provider,
        closing(source("http://api.example.test", 0.3)) as asking,
        closing(source(provider.root)) as other,
    ):
        for _ in range(5):
            begun = time.monotonic()
            with pytest.raises(ProviderUnavailable, match="the name server does not answer"):
                asking.fetch(CHUNK)
            assert time.monotonic() - begun < 0.3 + LEEWAY
            assert len(other.fetch(CHUNK).ticks) == 3
        resolving = [thread for thread in threading.enumerate() if thread.name == "resolve api.example.test"]
        over.set()
        for thread in resolving:
            thread.join(60)
    assert len(resolving) == 1
    assert threading.active_count() == waiting


def test_a_name_server_that_flaps_costs_the_calls_that_it_fails_and_no_others(
    resolves: Callable[[Resolver], None],
) -> None:
    asked = 0

    def flapping(_: str) -> list[Any]:
        nonlocal asked
        asked += 1
        if asked % 2:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return at("127.0.0.1")

    resolves(flapping)
    with serving(reply(GOOD, headers={"Connection": "close"})) as provider:
        port = provider.root.rpartition(":")[2]
        came = []
        with closing(source(f"http://api.example.test:{port}")) as asking:
            for _ in range(6):
                try:
                    came.append(len(asking.fetch(CHUNK).ticks))
                except ProviderUnavailable:
                    came.append(0)
    assert came == [0, 3, 0, 3, 0, 3]


def test_an_address_that_changes_is_followed_with_the_next_connection(resolves: Callable[[Resolver], None]) -> None:
    here = ["127.0.0.1"]
    resolves(lambda _: at(*here))
    with serving(reply(GOOD, headers={"Connection": "close"})) as provider:
        port = provider.root.rpartition(":")[2]
        with closing(source(f"http://api.example.test:{port}")) as asking:
            assert len(asking.fetch(CHUNK).ticks) == 3
            here[:] = ["127.0.0.2"]  # where nobody listens
            with pytest.raises(ProviderUnavailable, match="refused"):
                asking.fetch(CHUNK)
            here[:] = ["127.0.0.2", "127.0.0.1"]
            assert len(asking.fetch(CHUNK).ticks) == 3


# The loop: a provider that fails is left alone, found back, and never in another's way.


class Taken:
    """Stands for the intake: what came, and when."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def watch(self, market: str, instruments: object) -> None:
        pass

    def accept(self, batch: Batch) -> None:
        self.times.append(time.monotonic())


def _fetching(asking: CoinGecko, taken: Taken, stop: threading.Event, seconds: float) -> threading.Thread:
    entries = (Wanted("BTC", "USD", "coingecko", "BTC", "bitcoin"),)
    fetcher = Fetcher(asking, lambda: entries, taken, SystemClock(), stop, seconds)  # type: ignore[arg-type]
    thread = threading.Thread(target=fetcher.run)
    thread.start()
    return thread


def test_a_provider_that_hangs_is_asked_ever_less_and_another_keeps_its_cadence() -> None:
    stop, good, bad = threading.Event(), Taken(), Taken()
    with (
        serving(hang()) as hanging,
        serving(reply(GOOD)) as provider,
        closing(source(hanging.root, 0.1)) as slow,
        closing(source(provider.root)) as quick,
    ):
        threads = [_fetching(slow, bad, stop, 0.05), _fetching(quick, good, stop, 0.05)]
        begun = time.monotonic()
        assert not stop.wait(4)
        stop.set()
        for thread in threads:
            thread.join(60)
        took = time.monotonic() - begun
        asked = len(hanging.asked)
    # Five that fail, then one after 0.5 to 1 s, after 1 to 2 s, after 2 to 4 s.
    assert 6 <= asked <= 9
    assert bad.times == []
    assert len(good.times) > took / 0.05 / 4  # the machine may be busy; a few, if it waited for the other


@pytest.mark.parametrize("fault", [reply(b"", 503), reply(b"<html>", 200), raw(b"", then_close=True)])
def test_a_provider_that_is_back_is_found_by_one_call_and_has_its_cadence_again(fault: Answer) -> None:
    stop, taken = threading.Event(), Taken()
    with serving(*[fault] * 6, reply(GOOD)) as provider, closing(source(provider.root)) as asking:
        thread = _fetching(asking, taken, stop, 0.05)
        deadline = time.monotonic() + 60
        while len(taken.times) < 10 and time.monotonic() < deadline:
            stop.wait(0.01)
        stop.set()
        thread.join(60)
        assert len(provider.asked) == len(taken.times) + 6
    assert len(taken.times) >= 10
    assert taken.times[9] - taken.times[0] < 3
