"""Channels through apprise: a real process that sends, to real servers on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import psutil
import pytest

from app import channels, config
from app.channels.base import Message
from app.channels.delivery import Delivery
from app.channels.outbox import Outbox
from app.channels.sending import Sending
from app.channels.service import ServiceChannel, look
from app.clock import SystemClock
from app.db import Database
from app.errors import ChannelRefused, ChannelUnavailable, ConfigurationError, CryptoMonitorError, MessageRefused
from app.notify import Service, parse_allowed, parse_channels
from tests.alert_files import alert, alerts
from tests.conftest import Logged
from tests.deliveries import FAST, queue, states
from tests.mailbox import Mailbox, receiving_mail
from tests.provider import flood, hang, reply
from tests.receiver import Receiver, receiving, reset, scripted

pytestmark = pytest.mark.one_server

SECRET = "T0KENcanary"
PATIENCE = 30.0  # seconds; the machine may be busy
PRIVATE = "it leads into a private or reserved network; if it is meant, name its host in NOTIFY_ALLOW"
NTFY = reply({"id": "x"})


@contextmanager
def sender(answer_seconds: float = PATIENCE) -> Iterator[Sending]:
    sending = Sending(start_seconds=PATIENCE, answer_seconds=answer_seconds)
    try:
        yield sending
    finally:
        sending.end()


@pytest.fixture(scope="module")
def sending() -> Iterator[Sending]:
    with sender() as sending:
        yield sending


def channel(url: str, sending: Sending, allow: str = "127.0.0.1") -> ServiceChannel:
    service = parse_channels(f"ops={url}")["ops"]
    assert isinstance(service, Service)
    return ServiceChannel(service, look(service, sending), parse_allowed(allow), sending, SystemClock())


def message(*numbers: int) -> Message:
    return Message("key", tuple(alerts(*numbers)))


def failure(url: str, sending: Sending, allow: str = "127.0.0.1") -> CryptoMonitorError:
    with pytest.raises(CryptoMonitorError) as caught:
        channel(url, sending, allow).send(message(0))
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"it was waited for in vain that {what}"
        time.sleep(0.01)


def process_of(sending: Sending) -> psutil.Process:
    assert sending._process is not None
    return psutil.Process(sending._process.pid)


# What is sent.


@pytest.mark.parametrize(
    ("url", "title", "body"),
    [
        ("ntfy://127.0.0.1:{}/topic", "title", "message"),
        ("gotify://127.0.0.1:{}/tokentoken", "title", "message"),
    ],
)
def test_a_service_gets_title_and_body(url: str, title: str, body: str, sending: Sending) -> None:
    with receiving(Receiver(answer=scripted(NTFY))) as receiver:
        channel(url.format(receiver.port), sending).send(message(0))
        (received,) = receiver.received
    sent = json.loads(received.body)
    assert sent[title] == "FIRING BTC price-2pct-5m"
    assert sent[body].splitlines() == [
        "price=60000.5 avg(price,5m)=59000.12345",
        "2026-11-22T10:00:00Z id=000000000000",
    ]


def test_a_form_gets_the_kind_that_goes_with_the_severity(sending: Sending) -> None:
    with receiving(Receiver()) as receiver:
        form = channel(f"form://127.0.0.1:{receiver.port}/x", sending)
        for made in (replace(alert(0), severity="critical"), alert(0), alert(1)):
            form.send(Message("key", (made,)))
        types = [parse_qs(received.body.decode())["type"] for received in receiver.received]
    assert types == [["failure"], ["warning"], ["success"]]


def test_mail_is_sent_as_text_with_who_and_what(sending: Sending) -> None:
    with receiving_mail(Mailbox()) as mailbox:
        url = f"mailto://me:{SECRET}@127.0.0.1:{mailbox.port}?from=me@example.org&to=you@example.org"
        channel(url, sending).send(message(*range(3)))
        (mail,) = mailbox.mails
    assert mail["Subject"] == "3 alerts: 2 FIRING, 1 RESOLVED"
    assert mail["To"] == "you@example.org"
    assert mail.get_content_type() == "text/plain"
    lines = mail.get_payload(decode=True).decode().splitlines()  # type: ignore[union-attr]
    assert [line.split()[0] for line in lines] == ["FIRING", "RESOLVED", "FIRING"]


@pytest.mark.parametrize(
    ("refuse", "kind", "said"),
    [
        ({"AUTH": "535 no"}, ChannelRefused, "the mail server answers 535: it wants other credentials"),
        ({"RCPT": "451 later"}, ChannelUnavailable, "the mail server answers 451"),
        ({"RCPT": f"550 not {SECRET}"}, ChannelRefused, "the mail server answers 550"),
        ({"DATA": "554 spam"}, MessageRefused, "the mail server answers 554"),
    ],
)
def test_what_a_mail_server_answers_is_told(
    refuse: dict[str, str], kind: type[CryptoMonitorError], said: str, sending: Sending
) -> None:
    with receiving_mail(Mailbox(refuse=refuse)) as mailbox:
        url = f"mailto://me:{SECRET}@127.0.0.1:{mailbox.port}?from=me@example.org&to=you@example.org"
        error = failure(url, sending)
    assert (type(error), str(error)) == (kind, said)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (reply(SECRET.encode(), 403), ChannelRefused, "it answers 403: it forbids it to us"),
        (reply(SECRET.encode(), 413), MessageRefused, "it answers 413"),
        (reply(b"", 302, {"Location": "http://127.0.0.1:1/"}), ChannelRefused, "it answers 302, a redirect, which is"),
        (reply(b"", 500), ChannelUnavailable, "it answers 500"),
        (reset, ChannelUnavailable, "the connection broke off before it answered"),
    ],
)
def test_what_a_service_answers_is_told(
    answer: Callable[..., None], kind: type[CryptoMonitorError], said: str, sending: Sending
) -> None:
    with receiving(Receiver(answer=scripted(answer))) as receiver:
        error = failure(f"ntfy://127.0.0.1:{receiver.port}/{SECRET}", sending)
        assert len(receiver.received) == 1
    assert type(error) is kind
    assert str(error).startswith(said)


def test_what_a_service_asks_to_wait_is_kept(sending: Sending) -> None:
    with receiving(Receiver(answer=scripted(reply(b"", 429, {"Retry-After": "53"})))) as receiver:
        error = failure(f"ntfy://127.0.0.1:{receiver.port}/x", sending)
    assert isinstance(error, ChannelUnavailable)
    assert error.retry_after == 53


# Where to.


def test_loopback_is_refused_unless_it_is_meant(sending: Sending) -> None:
    with receiving(Receiver(answer=scripted(NTFY))) as receiver:
        for host in ("127.0.0.1", "localhost", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"):
            failure(f"ntfy://{host}:{receiver.port}/{SECRET}", sending, allow="10.0.0.0/8")
        assert receiver.connections == 0
        assert str(failure(f"ntfy://localhost:{receiver.port}/x", sending, allow="")) == PRIVATE
        channel(f"ntfy://localhost:{receiver.port}/x", sending, allow="127.0.0.0/8 ::1").send(message(0))
        channel(f"ntfy://localhost:{receiver.port}/x", sending, allow="localhost").send(message(0))
        assert len(receiver.received) == 2


def test_mail_to_the_inside_is_refused_too(sending: Sending) -> None:
    with receiving_mail(Mailbox()) as mailbox:
        url = f"mailto://me:x@localhost:{mailbox.port}?from=me@example.org&to=you@example.org"
        assert str(failure(url, sending, allow="")) == PRIVATE
        assert mailbox.mails == []


def test_what_is_not_encrypted_needs_to_be_allowed_and_so_does_a_certificate_nobody_looks_at(sending: Sending) -> None:
    # An address of the Internet: it is judged, and refused, before anything is sent to it.
    said = "is not encrypted here: use its secure form, or name its host in NOTIFY_ALLOW"
    assert str(failure("ntfy://93.184.215.14:9/x", sending, allow="")) == f"ntfy:// {said}"
    assert str(failure("ntfys://93.184.215.14:9/x?verify=no", sending, allow="")) == f"ntfys:// {said}"
    mail = "mailto://me:x@93.184.215.14:9?from=me@example.org&to=you@example.org"
    assert str(failure(mail, sending, allow="")) == f"mailto:// {said}"


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://me:{SECRET}@127.0.0.1:9")
    with sender() as sending, receiving(Receiver(answer=scripted(NTFY))) as receiver:
        channel(f"ntfy://127.0.0.1:{receiver.port}/x", sending).send(message(0))
        assert SECRET not in str(process_of(sending).environ())


# What is no channel.


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"slak://{SECRET}/b/c", "slak:// is no known kind of address; did you mean slack://?"),
        (f"qqqqzzzz://{SECRET}", "qqqqzzzz:// is no known kind of address; docs/channels.md names those that there"),
        (f"slack://{SECRET}", "is not written as slack:// wants it: https://"),
        (f"https://h.example/{SECRET}", "https:// is no address of a service that is known; for a webhook of your"),
        (f"file:///{SECRET}", "file:// is no known kind of address"),
        (f"syslog://{SECRET}", "syslog:// leads to nobody but this machine; name a service of the network"),
        (f"dbus://{SECRET}", "dbus:// leads to nobody but this machine"),
        (f"windows://{SECRET}", "windows:// leads to nobody but this machine"),
    ],
)
def test_what_apprise_does_not_understand_is_refused_by_its_kind(url: str, said: str, sending: Sending) -> None:
    error = failure(url, sending)
    assert type(error) is ChannelRefused
    assert str(error).startswith(said)


def test_the_start_refuses_them_with_the_channels_name(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.load(None, notify_urls=f"a=jsons://h.example/x chat=slak://{SECRET}/b")
    with pytest.raises(ConfigurationError, match=r"^NOTIFY_URLS: chat: slak:// is no known kind"):
        channels.connect(settings, SystemClock())
    assert list(channels.connect(settings, SystemClock(), only="a")) == ["a"]
    with pytest.raises(ConfigurationError, match=r"^NOTIFY_URLS has no channel 'b'; there are: a, chat$"):
        channels.connect(settings, SystemClock(), only="b")


def test_a_process_that_starts_too_slowly_does_not_keep_the_daemon_from_starting(
    monkeypatch: pytest.MonkeyPatch, logged: Logged, sending: Sending
) -> None:
    """Its channels are there, and their addresses are looked at before their first messages."""
    monkeypatch.setattr("app.channels._START_SECONDS", 0.0)
    monkeypatch.setattr("app.channels.Sending", partial(_given, sending))
    with receiving(Receiver(answer=scripted(NTFY))) as receiver:
        urls = f"ops=ntfy://127.0.0.1:{receiver.port}/{SECRET} chat=slak://{SECRET}/b"
        settings = config.load(None, notify_urls=urls, notify_allow="127.0.0.1")
        with pytest.raises(ChannelUnavailable, match=r"^the process that sends has not started yet$"):
            channels.connect(settings, SystemClock())
        found = channels.connect(settings, SystemClock(), stop=threading.Event())
        assert list(found) == ["ops", "chat"]
        assert "Whether the address of the channel ops is a good one is not known" in logged.read_new()
        for _ in range(2):
            found["ops"].send(message(0))
        assert len(receiver.received) == 2
        with pytest.raises(ChannelRefused, match=r"^slak:// is no known kind of address; did you mean slack"):
            found["chat"].send(message(0))


def _given(sending: Sending, **options: Any) -> Sending:
    """In the place of Sending: one that looks is new, one that sends is this."""
    return Sending(**options) if options else sending


def test_no_file_of_this_machine_is_read_or_written(sending: Sending, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"text": SECRET}))
    slack = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/"
    error = failure(f"{slack}?template={secret}", sending)
    assert (type(error), str(error)) == (ChannelRefused, "it names a file of this machine, and none is opened")
    assert [file.name for file in tmp_path.iterdir()] == ["secret.json"]


# The process.


def test_a_receiver_that_hangs_has_its_process_killed_and_the_next_one_starts_anew() -> None:
    with receiving(Receiver(answer=scripted(hang(), NTFY))) as receiver, sender(answer_seconds=1.0) as sending:
        ntfy = channel(f"ntfy://127.0.0.1:{receiver.port}/{SECRET}", sending)
        killed = process_of(sending)
        began = time.monotonic()
        with pytest.raises(ChannelUnavailable, match=r"^no answer in time$"):
            ntfy.send(message(0))
        assert time.monotonic() - began < 8  # its own time limit
        assert not killed.is_running()
        sending._answer_seconds = PATIENCE
        ntfy.send(message(0))
        assert len(receiver.received) == 2


def test_one_that_stands_still_is_killed_even_where_it_does_not_take_all_that_it_is_told() -> None:
    with sender() as sending:
        with pytest.raises(ChannelRefused):
            look(Service("x", "x://y"), sending)
        sending._answer_seconds = 1.0
        frozen = process_of(sending)
        frozen.suspend()
        said: list[str] = []

        def ask() -> None:
            with pytest.raises(ChannelUnavailable) as caught:
                look(Service("x", "x://" + 1_000_000 * "y"), sending)
            said.append(str(caught.value))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        was_alive = thread.is_alive()
        with suppress(psutil.NoSuchProcess):
            frozen.kill()
        assert not was_alive
        assert said == ["no answer in time"]
        sending._answer_seconds = PATIENCE
        with pytest.raises(ChannelRefused):
            look(Service("x", "x://" + 1_000_000 * "y"), sending)


def test_it_may_take_only_little_more_memory_than_it_has(sending: Sending) -> None:
    with pytest.raises(ChannelRefused):
        look(Service("x", "x://y"), sending)
    process = process_of(sending)
    limit, _ = process.rlimit(psutil.RLIMIT_AS)
    assert process.memory_info().vms < limit <= process.memory_info().vms + 300_000_000


LATE = """
import sys
from app.sender import __main__ as sender, guard, services
guard._FOLDERS += (sys.argv[1] + "/",)
sys.path.insert(0, sys.argv[1])
def send(request, guard):
    import imported_late
    return {"refused": guard.heard.refused}
services.send = send
sender.main()
"""


def test_what_is_imported_late_is_no_try_to_write_a_file(tmp_path: Path) -> None:
    """As bytecode, that is; it would be the reason that is told of a later 503."""
    (tmp_path / "imported_late.py").touch()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    arguments = [sys.executable, "-c", LATE, str(tmp_path.resolve())]
    with subprocess.Popen(
        arguments, stdin=-1, stdout=-1, text=True, env=environment, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print('{"do": "send"}', file=process.stdin, flush=True)
        assert [json.loads(process.stdout.readline()) for _ in range(2)] == [{"ready": True}, {"refused": None}]
        process.stdin.close()
    assert [file.name for file in tmp_path.iterdir()] == ["imported_late.py"]


def test_an_answer_without_end_is_no_way_to_stay() -> None:
    endless = flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536)
    with receiving(Receiver(answer=scripted(endless))) as receiver, sender(answer_seconds=1.5) as sending:
        ntfy = channel(f"ntfy://127.0.0.1:{receiver.port}/x", sending)
        with pytest.raises(ChannelUnavailable):
            ntfy.send(message(0))


def test_its_address_is_in_no_list_of_processes(sending: Sending) -> None:
    with receiving(Receiver(answer=scripted(NTFY))) as receiver:
        channel(f"ntfy://me:{SECRET}@127.0.0.1:{receiver.port}/{SECRET}", sending).send(message(0))
        process = process_of(sending)
        assert SECRET not in f"{process.cmdline()} {process.environ()}"


def test_it_ends_when_whoever_started_it_is_gone(sending: Sending) -> None:
    program = (
        "import sys; from app.channels.sending import Sending; sending = Sending(start_seconds=60);"
        "sending.ask({'do': 'look', 'scheme': 'x', 'url': 'x://y'}); print(sending._process.pid, flush=True);"
        "sys.stdin.read()"
    )
    starter = psutil.Popen(
        [sys.executable, "-c", program], stdin=-1, stdout=-1, text=True, cwd=Path(__file__).parents[2]
    )
    with starter:
        child = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "it has ended")


def test_one_that_starts_slowly_is_left_to_start_and_sends_the_next_time() -> None:
    with receiving(Receiver(answer=scripted(NTFY))) as receiver, sender() as sending:
        sending._start_seconds = 0.001
        with pytest.raises(ChannelUnavailable, match=r"^the process that sends has not started yet$"):
            channel(f"ntfy://127.0.0.1:{receiver.port}/x", sending)
        starting = process_of(sending)
        sending._start_seconds = PATIENCE
        channel(f"ntfy://127.0.0.1:{receiver.port}/x", sending).send(message(0))
        assert process_of(sending) == starting


def test_one_that_has_died_is_replaced(sending: Sending) -> None:
    with receiving(Receiver(answer=scripted(NTFY))) as receiver:
        ntfy = channel(f"ntfy://127.0.0.1:{receiver.port}/x", sending)
        dead = process_of(sending)
        dead.kill()
        until(lambda: not dead.is_running(), "it is dead")
        with pytest.raises(ChannelUnavailable, match=r"^the process that sends has ended$"):
            ntfy.send(message(0))
        ntfy.send(message(0))


# From the outbox.


@contextmanager
def delivering(dsn: str, urls: dict[str, str], seconds: dict[str, float]) -> Iterator[dict[str, Delivery]]:
    """What a daemon does for such channels, with so many seconds for an answer. When left, they have ended."""
    stop = threading.Event()
    processes = [Sending(start_seconds=PATIENCE, answer_seconds=seconds.get(name, PATIENCE)) for name in urls]
    with closing(Database(dsn, stop, "test channels")) as database:
        outbox = Outbox(database, list(urls), stop)
        timing = replace(FAST, claim=2 * PATIENCE)
        deliveries = {
            name: Delivery(name, channel(url, process), outbox, SystemClock(), stop, timing)
            for (name, url), process in zip(urls.items(), processes, strict=True)
        }
        threads = [threading.Thread(target=delivery.run, name=name) for name, delivery in deliveries.items()]
        for thread in threads:
            thread.start()
        try:
            yield deliveries
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            for process in processes:
                process.end()


def waiting(database: Database, name: str) -> int:
    count: int = database.query("channel_counts", channel=name)[0][0]
    return count


def test_a_flood_goes_out_in_few_messages_and_a_stuck_channel_delays_nobody(database: Database, logged: Logged) -> None:
    made = states([f"C{n}" for n in range(100)], 20)
    for start in range(0, 2000, 200):
        queue(database, made[start : start + 200], "ops", "stuck")
    ready, stuck = Receiver(answer=scripted(NTFY)), Receiver(answer=scripted(hang()))
    with receiving(ready), receiving(stuck):
        urls = {
            "ops": f"ntfy://127.0.0.1:{ready.port}/{SECRET}",
            "stuck": f"ntfy://127.0.0.1:{stuck.port}/{SECRET}",
        }
        with delivering(database._dsn, urls, {"stuck": 1.0}) as deliveries:
            until(lambda: deliveries["ops"].health.delivered == 2000, "the other channel has them all")
            until(lambda: waiting(database, "ops") == 0, "the table says so")
            assert waiting(database, "stuck") == 2000
            until(lambda: deliveries["stuck"].health.trouble == "no answer in time", "the stuck one was given up on")
            assert SECRET not in f"{deliveries['stuck'].health} {logged.getvalue()}"
    bodies = [json.loads(received.body) for received in ready.received]
    assert len(bodies) == 2
    assert bodies[0]["title"] == "1000 alerts: 500 FIRING, 500 RESOLVED"
    lines = bodies[0]["message"].splitlines()
    assert lines[0].startswith(f"FIRING {made[0].symbol} ")
    assert lines[-1] == f"... and {1000 - len(lines) + 1} more, all in alerts.txt"
    assert len(bodies[0]["message"]) <= 7800
    assert SECRET not in database.run(_text_of_all)


def _text_of_all(cursor: object) -> str:
    cursor.execute(
        "SELECT array_agg(o::text)::text FROM outbox o UNION ALL SELECT array_agg(c::text)::text FROM channels c"
    )  # type: ignore[attr-defined]
    return str(cursor.fetchall())  # type: ignore[attr-defined]


def test_a_port_where_nobody_listens_is_no_reason_to_give_up(sending: Sending) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        error = failure(f"ntfy://127.0.0.1:{bound.getsockname()[1]}/{SECRET}", sending)
    assert (type(error), str(error)) == (ChannelUnavailable, "connection refused")
