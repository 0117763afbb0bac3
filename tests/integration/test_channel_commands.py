"""``channels`` and ``alerts`` of the command line: what they print, and what they change."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from app.cli import alerts as alerts_command
from app.cli import channels as channels_command
from app.db import Database, execute
from app.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable
from app.queries import QUERIES
from tests.alert_files import alert, alerts, lines
from tests.deliveries import queue
from tests.provider import reply
from tests.receiver import Receiver, receiving, scripted

pytestmark = pytest.mark.one_server

SECRET = "T0KENcanary"


def run(command: click.Group, *arguments: str) -> None:
    command.main(list(arguments), standalone_mode=False)


def test_channels(urls: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from app.cli.channels import command; command()"
    settings = {"NOTIFY_URLS": urls, "NOTIFY_ALLOW": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, "-c", program, "test", *arguments],
        env={**os.environ, **settings},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


test_channels.__test__ = False  # type: ignore[attr-defined]


# channels


def test_channels_are_listed_by_name_and_kind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOTIFY_URLS", f"ops=jsons://h.example/{SECRET} chat=slack://{SECRET}/b/c")
    run(channels_command.command, "list")
    assert capsys.readouterr().out == "ops   jsons\nchat  slack\n"
    monkeypatch.setenv("NOTIFY_URLS", "")
    run(channels_command.command, "list")
    assert capsys.readouterr().out == "NOTIFY_URLS names none; docs/channels.md says how to\n"


def test_a_message_is_sent_through_every_channel_and_each_ones_word_is_printed() -> None:
    good, bad = Receiver(), Receiver(answer=scripted(reply(b"", 404)))
    with receiving(good), receiving(bad):
        urls = f"ops=json://127.0.0.1:{good.port}/{SECRET} chat=form://127.0.0.1:{bad.port}/{SECRET}"
        both = test_channels(urls)
        assert (both.stdout, both.stderr, both.returncode) == (
            "ops: taken\nchat: it answers 404: it has nothing at this path\n",
            "",
            69,
        )
        one = test_channels(urls, "ops")
        assert (one.stdout, one.returncode) == ("ops: taken\n", 0)
        assert len(bad.received) == 1
        (sent, _) = (message.alerts[0] for message in good.received)
    # Nothing is left firing anywhere.
    assert (sent["state"], sent["symbol"], sent["rule"]) == ("RESOLVED", "TEST", "channels-test")


def test_a_channel_that_there_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_URLS", "ops=jsons://h.example/x")
    with pytest.raises(ConfigurationError, match="there are: ops"):
        run(channels_command.command, "test", "opps")


# alerts


@pytest.fixture
def at(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database that the commands use."""
    monkeypatch.setenv("DATABASE_URL", database._dsn)
    return database


def test_alerts_are_printed_as_in_the_file_the_newest_last(at: Database, capsys: pytest.CaptureFixture[str]) -> None:
    queue(at, [*alerts(0, 1, 2), alert(4, "ETH", "volume-2pct-5m")])
    run(alerts_command.command, "list", "--limit", "3")
    assert capsys.readouterr().out.splitlines() == [*lines(1, 2), alert(4, "ETH", "volume-2pct-5m").line]
    run(alerts_command.command, "list", "--symbol", "btc")
    assert capsys.readouterr().out.splitlines() == lines(0, 1, 2)
    run(alerts_command.command, "list", "--rule", "volume-*")
    assert capsys.readouterr().out.count("\n") == 1


def test_those_that_fire_now_are_found_by_their_state(at: Database, capsys: pytest.CaptureFixture[str]) -> None:
    queue(at, alerts(0, 1, 2))
    insert = (
        "INSERT INTO alert_states (rule, symbol, state, id, since, as_of, last_line_at, lines) "
        'SELECT rule, symbol, \'FIRING\', id, "timestamp", "timestamp", "timestamp", 1 FROM alerts WHERE id = %s'
    )
    at.run(lambda cursor: cursor.execute(insert, [alert(2).id]))
    run(alerts_command.command, "list", "--firing")
    assert capsys.readouterr().out.splitlines() == lines(2)
    again = [replace(alert(2), id=f"{alert(2).id}.{n}") for n in (2, 3)]
    queue(at, again)
    at.run(
        lambda cursor: cursor.execute(
            "UPDATE alert_states SET lines = 3, state = 'RECOVERING', recovering_since = now()"
        )
    )
    run(alerts_command.command, "list", "--firing", "--symbol", "b*", "--rule", "price-*")
    assert capsys.readouterr().out.splitlines() == [*lines(2), *(one.line for one in again)]
    run(alerts_command.command, "list", "--firing", "--limit", "2")
    assert capsys.readouterr().out.splitlines() == [one.line for one in again]
    run(alerts_command.command, "list", "--firing", "--symbol", "ETH")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("query", "symbol", "rule", "count"),
    [
        ("list_alerts", "*", "*", 20),
        ("list_alerts_of", "rare", "*", 1),
        ("list_alerts_of", "*", "rare*", 1),
        ("list_alerts_of", "C1", "r0", 0),
        ("list_alerts_of", "C*", "r*", 20),
        ("list_alerts_firing", "*", "*", 9),
    ],
)
def test_a_list_does_not_take_longer_the_more_alerts_there_are(
    query: str, symbol: str, rule: str, count: int, at: Database
) -> None:
    def read_buffers(cursor: Any) -> tuple[int, str]:
        cursor.execute(
            "INSERT INTO alerts (id, state, timestamp, symbol, rule, terms)"
            " SELECT 'rare', 'FIRING', now(), 'RARE', 'rare-rule', '{}'::json UNION ALL"
            " SELECT 'i' || n, 'FIRING', now(), 'C' || n % 10, 'r' || n % 2, '{}' FROM generate_series(1, 20000) n;"
            "INSERT INTO alert_states (rule, symbol, state, id, since, as_of, last_line_at, lines)"
            " SELECT rule, symbol, 'FIRING', id, timestamp, timestamp, timestamp, 1 FROM alerts WHERE number < 10;"
            "ANALYZE alerts, alert_states"
        )
        values = {"symbol": symbol, "rule": rule, "limit": 20}
        assert len(execute(cursor, query, **values)) == count
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT json) " + QUERIES[query], values)
        ((plan,),) = cursor.fetchall()
        return plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"], str(plan)

    blocks, plan = at.run(read_buffers)
    assert blocks < 800, plan  # one of a few bytes a row would read 20,000, or all of the table


def test_what_became_of_each_is_said_under_it(at: Database, capsys: pytest.CaptureFixture[str]) -> None:
    queue(at, alerts(0), "ops", "night", "chat")
    at.run(lambda cursor: cursor.execute(
        "UPDATE outbox SET delivered_at = '2026-11-22T10:00:05Z' WHERE channel = 'ops';"
        "UPDATE outbox SET dead_at = '2026-11-23T10:00:05Z', last_error = 'it answers 404' WHERE channel = 'night'"
    ))  # fmt: skip
    run(alerts_command.command, "list", "--channels")
    assert capsys.readouterr().out.splitlines() == [
        *lines(0),
        "    ops: delivered 2026-11-22T10:00:05Z",
        "    night: given up 2026-11-23T10:00:05Z (it answers 404)",
        "    chat: waits",
    ]


def test_what_was_given_up_waits_again(
    at: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(at, alerts(0, 2, 4), "ops", "night")
    at.run(lambda cursor: cursor.execute(
        "INSERT INTO channels (name, vain_seconds, next_try_at) VALUES ('ops', 90000, now() + interval '5 minutes');"
        "UPDATE outbox SET dead_at = now(), refused_since = now(), tries = 9, message = 'x', last_error = 'no'"
    ))  # fmt: skip
    monkeypatch.setenv("NOTIFY_URLS", "ops=jsons://h.example/x night=jsons://h.example/x")
    run(alerts_command.command, "replay-dead", "ops")
    assert capsys.readouterr().out == "ops: 3 wait to be sent again\n"
    claimed = at.query("claim_channel", channel="ops", worker="w", seconds=9)
    due = at.query("outbox_due", channel="ops", limit=9)
    assert claimed
    assert [row[:1] + row[2:4] for row in due] == [(False, 0, False)] * 3
    assert at.query("give_up", channel="ops", seconds=86400) == []
    run(alerts_command.command, "replay-dead")
    assert capsys.readouterr().out == "night: 3 wait to be sent again\n"
    run(alerts_command.command, "replay-dead", "ops")
    assert capsys.readouterr().out == "nothing was given up for ops\n"


def test_a_channel_that_there_never_was_is_an_error_and_one_that_is_gone_is_told_as_such(
    at: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_URLS", "ops=jsons://h.example/x")
    queue(at, alerts(0), "old")
    at.run(
        lambda cursor: cursor.execute("INSERT INTO channels (name) VALUES ('old'); UPDATE outbox SET dead_at = now()")
    )
    with pytest.raises(ConfigurationError) as caught:
        run(alerts_command.command, "replay-dead", "odl")
    assert str(caught.value) == "there is no channel 'odl'; there are: ops, old (not in NOTIFY_URLS any more)"
    run(alerts_command.command, "replay-dead", "ops")
    assert capsys.readouterr().out == "nothing was given up for ops\n"
    run(alerts_command.command, "replay-dead", "old")
    assert capsys.readouterr().out == (
        "old: 1 waits to be sent again; NOTIFY_URLS does not name it, and until it does nothing is sent\n"
    )


def test_where_there_is_nothing_yet_that_is_said(at: Database, capsys: pytest.CaptureFixture[str]) -> None:
    run(alerts_command.command, "list")
    assert capsys.readouterr().err == "there is none yet\n"
    run(alerts_command.command, "list", "--symbol", "BTC")
    assert capsys.readouterr().err == "there is none of these\n"
    run(alerts_command.command, "replay-dead")
    assert capsys.readouterr().out == "nothing was given up\n"


def test_a_database_without_tables_is_told_from_one_without_alerts(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    with pytest.raises(DatabaseRefused, match="the database is empty: `python -m app run` makes the tables"):
        run(alerts_command.command, "list")


def test_without_a_database_it_is_said_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(DatabaseUnavailable, match="make run"):
        run(alerts_command.command, "list")
