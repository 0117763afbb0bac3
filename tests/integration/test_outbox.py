"""Alerts reach every channel at least once, in order per symbol, whatever the receiver does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import channels
from app.alerts.states import Outcome
from app.channels.base import Message
from app.channels.delivery import Delivery
from app.channels.outbox import Failure, Outbox
from app.clock import SystemClock
from app.db import Database
from app.errors import Stopping
from app.model import State
from app.queries import QUERIES
from app.store import Store
from tests.alert_files import alert, alerts
from tests.conftest import Logged
from tests.deliveries import FAST, SECRET, build, by_symbol, delivering, queue, states, told
from tests.provider import hang, reply
from tests.receiver import OK, Received, Receiver, after, receiving, reset, scripted

pytestmark = pytest.mark.one_server

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds; the machine may be busy


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"it was waited for in vain that {what}"
        time.sleep(0.01)


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []

    return database.run(fetch)


def waiting(database: Database) -> int:
    found: int = rows(database, "SELECT count(*) FROM outbox WHERE delivered_at IS NULL AND dead_at IS NULL")[0][0]
    return found


def all_delivered(database: Database) -> None:
    until(lambda: waiting(database) == 0, "nothing waits any more")


# What is queued.


def test_alerts_are_queued_for_every_channel_with_the_batch_that_caused_them(database: Database) -> None:
    queue(database, alerts(0, 1), "ops", "night")
    assert rows(database, "SELECT channel, id, state, symbol FROM outbox ORDER BY state, channel") == [
        (channel, "000000000000", state, "BTC") for state in ("FIRING", "RESOLVED") for channel in ("night", "ops")
    ]


def test_a_batch_that_is_stored_again_queues_nothing_again(database: Database) -> None:
    with receiving(Receiver()) as receiver:
        queue(database, alerts(0, 1), "ops")
        with delivering(database._dsn, {"ops": receiver}):
            all_delivered(database)
            queue(database, alerts(0, 1), "ops")
            assert waiting(database) == 0


def test_a_batch_that_is_not_stored_queues_nothing(database: Database) -> None:
    bad = replace(alert(1), symbol="\ud800")  # no text that a database can hold
    with pytest.raises(UnicodeEncodeError):
        queue(database, [alert(0), bad], "ops")
    assert rows(database, "SELECT count(*) FROM outbox") == [(0,)]


def test_an_alert_that_the_database_will_not_take_is_not_queued_and_the_others_are(database: Database) -> None:
    bad = replace(alert(1), state=State.PENDING)  # which is no state of an alert
    Store(database, ["ops"]).save([], Outcome(alerts=[alert(0), bad, alert(4)]))
    assert rows(database, "SELECT id FROM outbox ORDER BY number") == [(alert(0).id,), (alert(4).id,)]


# What is delivered.


def test_each_state_comes_once_in_order_and_a_flood_is_one_message(database: Database) -> None:
    made = states(["BTC", "ETH", "ZEC"], 20)
    queue(database, made, "ops")
    with receiving(Receiver()) as receiver, delivering(database._dsn, {"ops": receiver}) as deliveries:
        all_delivered(database)
        until(lambda: deliveries["ops"].health.queued == 0, "the figures are up to date")
        assert receiver.states() == told(made)
        assert [received.key for received in receiver.received] == [f"{made[0].id}.FIRING+59"]
        health = deliveries["ops"].health
        assert (health.queued, health.delivered, health.dead, health.trouble) == (0, 60, 0, None)
        until(lambda: health.last_delivered_at, "the last delivery is known")


def test_a_single_alert_has_its_id_and_state_as_key(database: Database) -> None:
    queue(database, alerts(4), "ops")
    with receiving(Receiver()) as receiver, delivering(database._dsn, {"ops": receiver}):
        all_delivered(database)
    assert [received.key for received in receiver.received] == [f"{alert(4).id}.FIRING"]


def test_what_waits_longer_than_a_message_is_long_goes_in_several(database: Database) -> None:
    made = states(["BTC", "ETH"], 125)
    queue(database, made, "ops")
    with receiving(Receiver()) as receiver, delivering(database._dsn, {"ops": receiver}):
        all_delivered(database)
    assert receiver.states() == told(made)
    assert [len(received.alerts) for received in receiver.received] == [100, 100, 50]


def test_a_thousand_that_queued_while_the_receiver_was_down_come_at_once_in_order(
    database: Database, logged: Logged
) -> None:
    """Nobody listens at all: nothing is in doubt, so nothing comes twice."""
    receiver = Receiver()
    with receiving(receiver):
        pass  # now its port is known, and closed
    made = states([f"C{number}" for number in range(50)], 20)
    with delivering(database._dsn, {"ops": receiver}) as deliveries:
        for first in range(0, 1000, 50):
            queue(database, made[first : first + 50], "ops")
        health = deliveries["ops"].health
        until(lambda: health.queued == 1000 and health.trouble, "the trouble is known")
        assert health.trouble == "connection refused"
        began = time.monotonic()
        with receiving(receiver):
            all_delivered(database)
            assert time.monotonic() - began < 10
            until(lambda: not health.trouble, "the trouble is over")
    assert receiver.states() == told(made)
    assert len(receiver.received) < 30
    text = logged.read_new()
    assert text.count("The channel ops takes nothing (connection refused)") == 1
    assert text.count("The channel ops takes alerts again") == 1
    assert SECRET not in text


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        pytest.param(reply(b"", 500), "it answers 500", id="500"),
        pytest.param(reply(b"", 429), "it answers 429", id="429"),
        pytest.param(reply(b"", 410), "it answers 410: it is gone", id="410"),
        pytest.param(reply(b"", 302, {"Location": "http://127.0.0.1/"}), "a redirect, which", id="redirect"),
        pytest.param(hang(), "no answer in time", id="hangs"),
        pytest.param(reset, "the connection broke off before it answered", id="takes it and resets"),
    ],
)
def test_what_failed_is_sent_again_as_it_was_until_it_is_taken(database: Database, answer: Any, trouble: str) -> None:
    *made, _, last = states(["BTC", "ETH", "ZEC"], 2)
    queue(database, made, "ops")
    with (
        receiving(Receiver(answer=scripted(answer, answer, answer, OK))) as receiver,
        delivering(database._dsn, {"ops": receiver}, call_seconds=0.3),
    ):
        # What it was for a moment, a look now and then may miss; the database and the log have it.
        until(lambda: waiting(database) == 0, "it is taken")
        assert [reason for (reason,) in rows(database, "SELECT last_error FROM channels") if trouble in reason]
        queue(database, [last], "ops")
        all_delivered(database)
    first = receiver.received[0]
    assert [(again.key, again.body) for again in receiver.received[:4]] == [(first.key, first.body)] * 4
    assert receiver.states()[-5:] == told([*made, last])
    assert [tries for (tries,) in rows(database, "SELECT tries FROM outbox ORDER BY number")] == [3, 3, 3, 3, 0]


def test_a_slow_answer_is_waited_for(database: Database) -> None:
    queue(database, alerts(0), "ops")
    with receiving(Receiver(answer=scripted(after(0.6, OK)))) as receiver, delivering(database._dsn, {"ops": receiver}):
        all_delivered(database)
    assert len(receiver.received) == 1


def test_what_a_receiver_asks_to_wait_is_waited(database: Database) -> None:
    queue(database, alerts(0), "ops")
    slow_down = reply(b"", 429, {"Retry-After": "1"})
    timing = replace(FAST, longest_retry_after=60.0)
    with (
        receiving(Receiver(answer=scripted(slow_down, OK))) as receiver,
        delivering(database._dsn, {"ops": receiver}, timing),
    ):
        all_delivered(database)
    first, second = receiver.received
    assert 1.0 <= second.at - first.at < 5.0


def test_a_receiver_that_asks_for_a_day_is_asked_again_sooner(database: Database) -> None:
    queue(database, alerts(0), "ops")
    slow_down = reply(b"", 503, {"Retry-After": "86400"})
    timing = replace(FAST, longest_retry_after=0.5)
    with (
        receiving(Receiver(answer=scripted(slow_down, OK))) as receiver,
        delivering(database._dsn, {"ops": receiver}, timing),
    ):
        all_delivered(database)
    first, second = receiver.received
    assert 0.5 <= second.at - first.at < 5.0


def test_one_channel_that_hangs_does_not_hold_up_another(database: Database) -> None:
    made = states(["BTC"], 6)
    with (
        receiving(Receiver(answer=scripted(hang()))) as stuck,
        receiving(Receiver()) as receiver,
        delivering(database._dsn, {"stuck": stuck, "ops": receiver}, call_seconds=4.0),
    ):
        queue(database, made[:1], "stuck", "ops")
        until(lambda: stuck.received, "the one hangs")
        began = time.monotonic()
        for one in made[1:]:
            queue(database, [one], "stuck", "ops")
        until(lambda: receiver.states() == told(made), "the other has them all")
        assert time.monotonic() - began < 3.0
        assert len(stuck.received) == 1


# What a receiver refuses.


def test_an_alert_that_a_receiver_will_not_have_holds_up_its_own_symbol_alone(
    database: Database, logged: Logged
) -> None:
    made = states(["BTC", "ETH", "ZEC"], 3)
    poison = made[1]  # the first of ETH
    mended = threading.Event()

    def answer(received: Received) -> Any:
        bad = any(a["id"] == poison.id and a["state"] == "FIRING" for a in received.alerts)
        return reply(b"", 400) if bad and not mended.is_set() else OK

    queue(database, made, "ops")
    timing = replace(FAST, longest_pause=1.0)
    with receiving(Receiver(answer=answer)) as receiver, delivering(database._dsn, {"ops": receiver}, timing):
        until(lambda: waiting(database) == 3, "all but those of ETH are there")
        taken = [state for received in receiver.received for state in received_if_taken(received, answer)]
        assert by_symbol(taken) == by_symbol(told([one for one in made if one.symbol != "ETH"]))
        queue(database, [replace(alert(8, "BTC"), id="later")], "ops")
        until(lambda: waiting(database) == 3, "the others go on")
        mended.set()
        all_delivered(database)
        came = [state for received in receiver.received for state in received_if_taken(received, answer)]
    assert [one for one in came if one[0] == "ETH"][-3:] == told([one for one in made if one.symbol == "ETH"])
    assert logged.read_new().count(f"does not take the alert {poison.id}.FIRING (it answers 400)") == 1


def received_if_taken(received: Received, answer: Callable[[Received], Any]) -> list[tuple[str, str, str]]:
    if answer(received) is not OK:
        return []
    return [(a["symbol"], a["id"], a["state"]) for a in received.alerts]


def test_a_receiver_that_will_have_nothing_at_all_is_not_pestered(database: Database) -> None:
    queue(database, states([f"C{number}" for number in range(100)], 1), "ops")
    timing = replace(FAST, first_pause=0.2, longest_pause=1.0)
    with (
        receiving(Receiver(answer=scripted(reply(b"", 422)))) as receiver,
        delivering(database._dsn, {"ops": receiver}, timing),
    ):
        until(lambda: len(receiver.received) >= 4, "it was asked a few times")
        began, before = time.monotonic(), len(receiver.received)
        time.sleep(2.0)  # the time that is measured
        assert len(receiver.received) - before <= 1 + (time.monotonic() - began) / 0.1 / 2
    assert waiting(database) == 100


# What is given up.


def test_what_was_tried_in_vain_for_a_day_is_dead_and_said_once_and_the_rest_goes_on(
    database: Database, logged: Logged
) -> None:
    receiver = Receiver()
    with receiving(receiver):
        pass
    made = states(["BTC"], 4)
    queue(database, made[:2], "ops")
    timing = replace(FAST, give_up=0.5)
    with delivering(database._dsn, {"ops": receiver}, timing) as deliveries:
        health = deliveries["ops"].health
        until(lambda: health.dead == 2, "the first two are dead")
        queue(database, made[2:], "ops")
        with receiving(receiver):
            all_delivered(database)
            until(lambda: health.queued == 0, "the figures are up to date")
            assert (health.dead, health.delivered) == (2, 2)
    assert receiver.states() == told(made[2:])
    assert logged.read_new().count("2 alerts for the channel ops are given up") == 1
    assert rows(database, "SELECT last_error FROM outbox WHERE dead_at IS NOT NULL") == [("connection refused",)] * 2


def test_an_alert_that_is_refused_for_a_day_is_dead_and_its_symbol_goes_on(database: Database) -> None:
    made = states(["BTC", "ETH"], 2)
    bad = made[0]

    def answer(received: Received) -> Any:
        return reply(b"", 413) if any(a["id"] == bad.id and a["state"] == "FIRING" for a in received.alerts) else OK

    queue(database, made, "ops")
    timing = replace(FAST, give_up=0.5)
    with receiving(Receiver(answer=answer)) as receiver, delivering(database._dsn, {"ops": receiver}, timing):
        all_delivered(database)
    assert rows(database, "SELECT id, state FROM outbox WHERE dead_at IS NOT NULL") == [(bad.id, "FIRING")]
    assert receiver.received[-1].alerts[-1]["state"] == "RESOLVED"


def test_time_in_which_nobody_tried_does_not_count(database: Database) -> None:
    """A daemon that was off for ten days gives nothing up at its first try."""
    outbox = Outbox(database, ["ops"], threading.Event())
    outbox.look("ops", 100, 20)
    queue(database, alerts(0), "ops")
    failure = Failure("down", pause=0.0, refused_for=None, give_up=86400, counts_at_most=1800)

    def fail() -> int:
        _, in_hand = outbox.look("ops", 100, 20)
        assert in_hand is not None
        return outbox.failed("ops", in_hand, failure)

    assert fail() == 0
    for vain in range(1, 48):
        rows(database, "UPDATE channels SET tried_at = tried_at - interval '10 days'")
        assert fail() == 0, vain
    # But 48 times half an hour are a day.
    rows(database, "UPDATE channels SET tried_at = tried_at - interval '10 days'")
    assert fail() == 1
    rows(database, "UPDATE channels SET tried_at = tried_at + interval '10 days'")  # a clock that was set back
    queue(database, alerts(1), "ops")
    assert fail() == 0
    assert rows(database, "SELECT vain_seconds FROM channels") == [(pytest.approx(86400, abs=1),)]


def test_what_is_left_of_a_message_of_which_a_part_is_dead_goes_out_under_another_key(database: Database) -> None:
    outbox = Outbox(database, ["ops"], threading.Event())
    outbox.look("ops", 100, 20)
    queue(database, alerts(0), "ops")
    rows(database, "UPDATE outbox SET vain_before = -86400")
    queue(database, alerts(1), "ops")
    _, in_hand = outbox.look("ops", 100, 20)
    assert in_hand is not None
    assert in_hand.message.key == f"{alert(0).id}.FIRING+1"
    failure = Failure("down", pause=0.0, refused_for=None, give_up=86400, counts_at_most=1800)
    assert outbox.failed("ops", in_hand, failure) == 1
    _, in_hand = outbox.look("ops", 100, 20)
    assert in_hand is not None
    assert (in_hand.message.key, in_hand.message.alerts) == (f"{alert(1).id}.RESOLVED", (alert(1),))


# Several who send, and some who die.


def test_two_who_send_at_once_send_each_state_once_and_in_order(dsn: str, database: Database) -> None:
    made = states(["BTC", "ETH", "ZEC"], 100)
    with receiving(Receiver()) as receiver, delivering(dsn, {"ops": receiver}), delivering(dsn, {"ops": receiver}):
        for first in range(0, 300, 3):
            queue(database, made[first : first + 3], "ops")
        all_delivered(database)
    assert receiver.states() == told(made)


def test_a_sender_that_was_frozen_is_replaced_and_what_it_says_late_does_no_harm(dsn: str, database: Database) -> None:
    stop = threading.Event()
    with closing(Database(dsn, stop)) as other:
        frozen, heir = Outbox(database, ["ops"], stop), Outbox(other, ["ops"], stop)
        frozen.look("ops", 100, 20)
        queue(database, alerts(0, 1), "ops")
        _, first = frozen.look("ops", 100, 0.3)
        assert first is not None
        assert heir.look("ops", 100, 20)[1] is None  # the claim still holds
        until(lambda: heir.look("ops", 100, 20)[1], "the claim is over")
        queue(database, alerts(2), "ops")
        _, again = heir.look("ops", 100, 20)
        assert again is not None
        assert again.message == first.message
        frozen.failed("ops", first, Failure("late", 3600.0, None, 86400, 1800))
        assert rows(database, "SELECT failures, last_error FROM channels") == [(0, None)]
        heir.delivered("ops", again)
        frozen.delivered("ops", first)
        _, new = heir.look("ops", 100, 20)
        assert new is not None
        assert new.message.alerts == (alert(2),)


def test_a_message_that_was_claimed_too_long_ago_is_not_sent(database: Database) -> None:
    """Whoever was frozen between the claim and the sending may find that another one has sent it."""
    stop = threading.Event()
    with receiving(Receiver()) as receiver:
        (delivery,) = build(database, {"ops": receiver.port}, stop, replace(FAST, claim=0.0))
        delivery.step()
        queue(database, alerts(0), "ops")
        assert delivery.step()
        assert receiver.received == []


CHILD = """
import sys, threading
from contextlib import closing
from app.db import Database
from dataclasses import replace
from tests.deliveries import FAST, build
dsn, port = sys.argv[1], int(sys.argv[2])
stop = threading.Event()
with closing(Database(dsn, stop)) as database:
    (delivery,) = build(database, {"ops": port}, stop, replace(FAST, claim=1.0, message=0.5))
    print("up", flush=True)
    delivery.run()
"""


@contextmanager
def child(dsn: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """A process that delivers; the test kills it."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, dsn, str(port)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def test_nothing_is_marked_before_its_receiver_has_answered(dsn: str, database: Database) -> None:
    """Else a kill in between would lose it."""
    marked: list[int] = []

    def answer(received: Received) -> Any:
        with closing(Database(dsn, threading.Event())) as other:
            marked.append(len(received.alerts) - waiting(other))
        return OK

    queue(database, alerts(0, 1), "ops")
    with receiving(Receiver(answer=answer)) as receiver, delivering(dsn, {"ops": receiver}):
        all_delivered(database)
    assert marked == [0]


def test_killed_between_sending_and_marking_it_sends_the_same_again_once(dsn: str, database: Database) -> None:
    made = states(["BTC", "ETH"], 4)
    victim: list[int] = []

    def kill_before_or_after_the_answer(received: Received) -> Any:
        def answer(connection: Any, closing: threading.Event) -> None:
            if len(receiver.received) % 2:
                os.kill(victim[-1], signal.SIGKILL)
            OK(connection, closing)
            if not len(receiver.received) % 2:
                os.kill(victim[-1], signal.SIGKILL)

        return answer if len(receiver.received) <= 2 else OK

    with receiving(Receiver(answer=kill_before_or_after_the_answer)) as receiver:
        queue(database, made[:4], "ops")
        for _ in range(2):
            with child(dsn, receiver.port) as process:
                victim.append(process.pid)
                process.wait(PATIENCE)
            queue(database, made[4:], "ops")
        with child(dsn, receiver.port):
            all_delivered(database)
    assert by_symbol(receiver.states()) == by_symbol(told(made))
    repeated = Counter(received.key for received in receiver.received)
    assert sum(repeated.values()) - len(repeated) <= 2  # as often as it was killed
    for key in repeated:
        assert len({received.body for received in receiver.received if received.key == key}) == 1


def test_a_connection_to_the_database_that_breaks_costs_nothing(dsn: str, database: Database) -> None:
    made = states(["BTC"], 60)
    with receiving(Receiver()) as receiver, delivering(dsn, {"ops": receiver}):
        for one in made:
            queue(database, [one], "ops")
            rows(
                database,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'test channels' AND datname = current_database()",
            )
        all_delivered(database)
    assert by_symbol(receiver.states()) == by_symbol(told(made))


def test_when_told_to_stop_nothing_new_is_begun(database: Database) -> None:
    stop = threading.Event()
    outbox = Outbox(database, ["ops"], stop)
    outbox.look("ops", 100, 20)
    queue(database, alerts(0), "ops")
    _, in_hand = outbox.look("ops", 100, 20)
    assert in_hand is not None
    stop.set()
    with pytest.raises(Stopping):
        outbox.look("ops", 100, 20)
    outbox.delivered("ops", in_hand)  # but what was sent is marked
    assert waiting(database) == 0


# What else.


def test_what_waits_for_a_channel_that_is_gone_waits_for_a_day_and_that_is_said(
    database: Database, logged: Logged
) -> None:
    queue(database, alerts(0, 1), "old")
    with receiving(Receiver()) as receiver, delivering(database._dsn, {"ops": receiver}) as deliveries:
        until(lambda: "old" in logged.getvalue(), "it is said")
        assert deliveries["ops"].health.queued == 0
    said = "The channel old is not in NOTIFY_URLS any more; 2 alerts wait for it, for a day at most."
    assert said in logged.read_new()
    assert waiting(database) == 2


@pytest.mark.parametrize("names", [["ops"], []])
def test_what_has_waited_a_day_for_a_channel_that_is_gone_is_dead_and_that_is_said(
    names: list[str], database: Database, logged: Logged
) -> None:
    """Else all of it would be sent when the name is back."""
    queue(database, alerts(0, 1, 2), "old", "ops")
    aged = [alert(0).id, alert(1).id]
    database.run(lambda cursor: cursor.execute(
        "UPDATE outbox SET message = 'a', created_at = now() - interval '25 hours' * (id = ANY (%s))::int", [aged]
    ))  # fmt: skip

    class Silent:
        most = 1

        def send(self, message: Message) -> None: ...

    for delivery in channels.build({name: Silent() for name in names}, database, SystemClock(), threading.Event()):
        delivery.step()
    found = "SELECT id, state, message FROM outbox WHERE channel = 'old' AND dead_at IS "
    assert {row[0] for row in rows(database, found + "NOT NULL")} == set(aged)
    assert rows(database, found + "NULL") == [(alert(2).id, "FIRING", None)]
    assert rows(database, "SELECT count(*) FROM outbox WHERE channel = 'ops' AND dead_at IS NOT NULL") == [
        (0 if names else len(rows(database, found + "NOT NULL")),)
    ]
    text = logged.read_new()
    assert "2 alerts for it are given up after a day: `alerts replay-dead old`" in text
    assert "1 alerts wait for it, for a day at most" in text


def test_it_is_looked_for_again_while_the_daemon_runs(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(database, ["ops"], threading.Event())
    outbox.look("ops", 1, 20)
    queue(database, alerts(0), "old")
    rows(database, "UPDATE outbox SET created_at = now() - interval '25 hours'")
    outbox.look("ops", 1, 20)
    assert waiting(database) == 1  # not at every look
    monkeypatch.setattr("app.channels.outbox._GIVE_UP_EVERY", 0.0)
    outbox.look("ops", 1, 20)
    assert waiting(database) == 0


def test_what_was_replayed_for_a_channel_that_is_gone_has_another_day(database: Database) -> None:
    queue(database, alerts(0), "old")
    rows(database, "UPDATE outbox SET created_at = now() - interval '25 hours', dead_at = now()")
    database.query("replay_dead", channel=None)
    Outbox(database, ["ops"], threading.Event()).register()
    assert waiting(database) == 1
    rows(database, "UPDATE outbox SET next_try_at = next_try_at - interval '25 hours'")
    Outbox(database, ["ops"], threading.Event()).register()
    assert waiting(database) == 0


def test_a_channel_whose_code_breaks_is_tried_again_and_stops_no_other(database: Database, logged: Logged) -> None:
    class Broken:
        most = 100

        def send(self, message: Message) -> None:
            raise KeyError(f"https://{SECRET}")

    queue(database, alerts(0, 1), "bad", "ops")
    stop = threading.Event()
    with receiving(Receiver()) as receiver, delivering(database._dsn, {"ops": receiver}):
        bad = Delivery("bad", Broken(), Outbox(database, ["bad"], stop), SystemClock(), stop, FAST)
        thread = threading.Thread(target=bad.run)
        thread.start()
        until(lambda: bad.health.trouble, "it is known")
        until(lambda: receiver.states() == told(alerts(0, 1)), "the other has them")
        assert thread.is_alive()
        stop.set()
        thread.join()
    assert bad.health.trouble is not None
    assert re.fullmatch(r"a KeyError in test_outbox\.py, line \d+: a bug, please report it", bad.health.trouble)
    assert SECRET not in logged.read_new()
    assert waiting(database) == 2


def test_nothing_of_an_address_is_in_the_database(database: Database) -> None:
    queue(database, alerts(0, 1), "ops", "gone")
    with (
        receiving(Receiver(answer=scripted(reply(SECRET.encode(), 500), reset, OK))) as receiver,
        receiving(Receiver(answer=scripted(reply(SECRET.encode(), 410)))) as gone,
        delivering(database._dsn, {"ops": receiver, "gone": gone}),
    ):
        until(lambda: waiting(database) == 2 and len(gone.received) > 1, "both were tried")
    text = (
        f"{rows(database, 'SELECT channels::text FROM channels')} {rows(database, 'SELECT outbox::text FROM outbox')}"
    )
    assert "it is gone" in text
    for secret in (SECRET, "127.0.0.1", str(receiver.port), str(gone.port)):
        assert secret not in text.replace(f":{os.getpid()}:", "")


def test_a_look_does_not_grow_with_what_was_delivered(database: Database) -> None:
    rows(
        database,
        "INSERT INTO alerts (id, state, timestamp, symbol, rule, terms)"
        " SELECT 'i' || n, 'FIRING', now(), 'C' || n % 100, 'r', '{}' FROM generate_series(1, 20000) n",
    )
    rows(
        database,
        "INSERT INTO outbox (id, state, channel, symbol, delivered_at)"
        " SELECT id, state, 'ops', symbol, CASE WHEN number % 100 > 0 THEN now() END FROM alerts",
    )
    rows(database, "ANALYZE outbox, alerts")
    values = {"channel": "ops", "limit": 100, "worker": "w", "seconds": 20, "names": ["ops"], "numbers": [1]}
    for name in ("outbox_due", "message_in_hand", "channel_counts", "claim_channel", "message_delivered", "give_up"):

        def explain(cursor: Any, name: str = name) -> str:
            cursor.execute("EXPLAIN " + QUERIES[name], values)
            return "\n".join(line for (line,) in cursor.fetchall())

        plan = database.run(explain)
        assert "Seq Scan on outbox" not in plan, f"{name}\n{plan}"
