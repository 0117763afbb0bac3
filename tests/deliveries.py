"""Deliveries for tests: alerts into a database, channels that lead to receivers of ours, what came in which order."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager

from app.alerts.states import Outcome
from app.channels.delivery import USUAL, Delivery, Timing
from app.channels.outbox import Outbox
from app.channels.webhook import WebhookChannel
from app.clock import SystemClock
from app.db import Database
from app.model import Alert
from app.notify import parse_allowed, parse_channels
from app.outbound import Outbound
from app.store import Store
from tests.alert_files import alert
from tests.receiver import Receiver

FAST = USUAL.scaled(3600)  # an hour is a second
SECRET = "T0KEN-canary"  # in every address


def states(symbols: Sequence[str], each: int) -> list[Alert]:
    """So many alert states of each symbol, FIRING and RESOLVED in turn, mixed as they would come."""
    made = []
    for number in range(each):
        for place, symbol in enumerate(symbols):
            of = alert(number, symbol)
            made.append(Alert(f"{place:03d}{of.id}", of.state, of.timestamp, symbol, of.rule, of.terms))
    return made


def queue(database: Database, alerts: Sequence[Alert], *channels: str) -> None:
    """Record alerts, for these channels."""
    Store(database, channels).save([], Outcome(alerts=list(alerts)))


def told(alerts: Sequence[Alert]) -> list[tuple[str, str, str]]:
    """As a receiver writes them down."""
    return [(a.symbol, a.id, a.state.value) for a in alerts]


def by_symbol(came: Sequence[tuple[str, str, str]]) -> dict[str, list[tuple[str, str]]]:
    """What came of each symbol, in order, without repetitions."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for symbol, id_, state in came:
        if (id_, state) not in found[symbol]:
            found[symbol].append((id_, state))
    return dict(found)


def build(
    database: Database,
    ports: Mapping[str, int],
    stop: threading.Event,
    timing: Timing = FAST,
    call_seconds: float = 2.0,
) -> list[Delivery]:
    """A delivery to each of these ports, by the channel's name."""
    outbox, clock = Outbox(database, list(ports), stop), SystemClock()
    text = " ".join(f"{name}=json://127.0.0.1:{port}/{SECRET}" for name, port in ports.items())
    allowed = parse_allowed("127.0.0.1")
    return [
        Delivery(
            name,
            WebhookChannel(webhook, Outbound(allowed, deadline_seconds=call_seconds), clock),
            outbox,
            clock,
            stop,
            timing,
        )
        for name, webhook in parse_channels(text).items()
    ]


@contextmanager
def delivering(
    dsn: str, receivers: Mapping[str, Receiver], timing: Timing = FAST, call_seconds: float = 2.0
) -> Iterator[dict[str, Delivery]]:
    """What a daemon does for its channels: a thread for each, one connection. When left, they have ended."""
    stop = threading.Event()
    ports = {name: receiver.port for name, receiver in receivers.items()}
    with ExitStack() as stack:
        database = stack.enter_context(closing(Database(dsn, stop, "test channels")))
        deliveries = build(database, ports, stop, timing, call_seconds)
        threads = [threading.Thread(target=delivery.run, name=delivery.name) for delivery in deliveries]
        for thread in threads:
            thread.start()
        try:
            yield {delivery.name: delivery for delivery in deliveries}
        finally:
            stop.set()
            for thread in threads:
                thread.join()
