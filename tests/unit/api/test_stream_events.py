"""The events of a batch: how they are written, and which of them a client wants."""

from __future__ import annotations

import pytest

from app.api.stream_events import Batch, Event, Wanted, batches, comment, event, known_to


def a_batch(*symbols: str, text: bytes = b"event: tick\ndata: {}\n") -> Batch:
    return Batch(7, [Event("tick", symbol, text) for symbol in symbols])


def test_the_last_event_that_a_client_wants_has_the_id_whichever_that_is() -> None:
    batch = a_batch("BTC", "ETH", "ZEC")
    (told,) = batch.told(Wanted(patterns=("BTC", "ETH")))
    assert told == b"event: tick\ndata: {}\n\nid: 7\nevent: tick\ndata: {}\n\n"
    assert batch.told(Wanted(patterns=("DOGE",))) == ()
    assert batch.told(Wanted(kinds=frozenset({"alert"}))) == ()


def test_what_is_long_is_handed_over_in_pieces_that_are_together_the_whole() -> None:
    line = b"data: " + b"x" * 1000 + b"\n"
    pieces = a_batch(*(f"S{n}" for n in range(1000)), text=line).told(Wanted())
    assert max(map(len, pieces)) < 70_000
    assert len(pieces) > 10
    assert b"".join(pieces) == (line + b"\n") * 999 + b"id: 7\n" + line + b"\n"


def test_what_many_want_alike_is_written_once_and_few_ways_are_kept() -> None:
    batch = a_batch("BTC", "ETH")
    assert batch.told(Wanted()) is batch.told(Wanted())
    for n in range(100):
        batch.told(Wanted(patterns=(f"S{n}",)))
    assert len(batch._written) < 10


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("BTC", ["BTC"]),
        ("BTC@*", ["BTC", "BTC@kraken"]),
        ("*@kraken", ["BTC@kraken", "ETH-EUR@kraken", "*@kraken"]),
        ("*@", ["BTC"]),
        ("*-EUR@*", ["ETH-EUR@kraken"]),
        ("*", ["BTC", "BTC@kraken", "ETH-EUR@kraken", "*@kraken"]),
    ],
)
def test_a_pattern_selects_as_in_rules(pattern: str, selected: list[str]) -> None:
    symbols = ["BTC", "BTC@kraken", "ETH-EUR@kraken", "*@kraken"]
    wanted = Wanted(patterns=(pattern,))
    assert [symbol for symbol in symbols if wanted.takes(Event("tick", symbol, b""))] == selected


def test_rows_become_batches_also_where_nothing_of_one_is_left() -> None:
    rows = [
        (1, None, None, None),
        (2, 1, "BTC", '{"symbol":"BTC"}'),
        (2, 3, "BTC", '{"a":\n"b"}'),
        (3, None, None, None),
    ]
    found = batches(rows)
    assert [(batch.number, len(batch.events)) for batch in found] == [(1, 0), (2, 2), (3, 0)]
    assert [one.text for one in found[1].events] == [
        b'event: tick\ndata: {"symbol":"BTC"}\n',
        b'event: alert\ndata: {"a": "b"}\n',
    ]


def test_single_events_comments_and_ids_are_whole_blocks() -> None:
    assert event("reset", "{}", 5) == b"id: 5\nevent: reset\ndata: {}\n\n"
    assert event("dropped", "{}") == b"event: dropped\ndata: {}\n\n"
    assert comment("still here") + known_to(5) == b": still here\n\nid: 5\n\n"
