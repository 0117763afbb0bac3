"""What is queued for which channel: silences keep alerts back, and who heard of a beginning hears of the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from app.alerts.definition import canonical_pattern
from app.alerts.states import Outcome
from app.cli import silences as cli
from app.db import Database
from app.errors import CryptoMonitorError, DatabaseRefused, DatabaseUnavailable, DataRefused
from app.model import Alert, Instrument, State, Tick
from app.queries import QUERIES
from app.silences import Silence, Silences
from app.spool import Entry
from app.store import Store
from tests.rules import rules

pytestmark = pytest.mark.one_server

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRING = Alert("3f2a9c0d11e4", State.FIRING, NOON, "BTC", "price-2pct-5m", (("price", "1.0"),), "warning")
RESOLVED = replace(FIRING, state=State.RESOLVED, timestamp=NOON + HOUR)
BOTH = ("ops", "night")


def repeat(number: int) -> Alert:
    """The line that says so again, so many minutes later."""
    return replace(FIRING, id=f"{FIRING.id}.{number}", timestamp=NOON + timedelta(minutes=number))


def rows(database: Database, sql: str, *values: object) -> list[tuple[Any, ...]]:
    def fetch(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []

    return database.run(fetch)


def save(database: Database, *alerts: Alert, channels: tuple[str, ...] = BOTH) -> None:
    Store(database, channels).save([], Outcome(alerts=list(alerts)))


def queued(database: Database) -> list[tuple[str, str, str]]:
    """(id without the episode, state, channel), in the order in which channels get them."""
    found = rows(database, "SELECT id, state, channel FROM outbox ORDER BY number")
    return [(id_.partition(".")[2], state, channel) for id_, state, channel in found]


def silence(database: Database, **what: Any) -> Silence:
    """From half an hour before noon to half an hour after, unless said."""
    given = {"rule": "*", "symbol": "*", "severity": "*", "why": "upkeep", "starts_at": NOON - HOUR / 2, "length": HOUR}
    return Silences(database).add(**{**given, **what})


# Which channels an alert goes to.


def test_an_alert_goes_to_the_channels_that_it_names_as_far_as_there_are_such(database: Database) -> None:
    save(database, replace(FIRING, channels=("night", "gone")), replace(FIRING, id="two", channels=()))
    assert queued(database) == [("", "FIRING", "night")]


def test_an_alert_that_names_none_goes_to_all(database: Database) -> None:
    save(database, FIRING)
    assert queued(database) == [("", "FIRING", "ops"), ("", "FIRING", "night")]


def test_an_end_goes_to_those_who_heard_of_the_beginning_and_to_nobody_else(database: Database) -> None:
    """Whatever the rule says by now, and whichever channels there are by now."""
    save(database, replace(FIRING, channels=("ops",)), channels=("ops", "night", "late"))
    save(database, repeat(2), channels=("late",))
    save(database, RESOLVED, channels=("night",))
    assert queued(database) == [
        ("", "FIRING", "ops"),
        ("2", "FIRING", "late"),
        ("", "RESOLVED", "late"),
        ("", "RESOLVED", "ops"),
    ]


def test_an_end_is_told_also_by_a_daemon_that_has_no_channels(database: Database) -> None:
    save(database, FIRING, channels=("ops",))
    save(database, RESOLVED, channels=())
    assert queued(database) == [("", "FIRING", "ops"), ("", "RESOLVED", "ops")]


def test_an_end_whose_beginning_nobody_was_told_is_told_to_nobody(database: Database) -> None:
    save(database, FIRING, channels=())
    save(database, RESOLVED)
    assert queued(database) == []


def test_an_episode_is_not_taken_for_another_whose_id_begins_alike(database: Database) -> None:
    save(database, replace(FIRING, id="abc"), replace(FIRING, id="abcd.2"), channels=("ops",))
    save(database, replace(RESOLVED, id="ab"), replace(RESOLVED, id="abcd"))
    found = rows(database, "SELECT id FROM outbox WHERE state = 'RESOLVED'")
    assert found == [("abcd",)]


def test_one_batch_with_several_episodes_of_a_symbol_is_queued_in_their_order(database: Database) -> None:
    """As when a spool is drained, and all of it is one statement."""
    second = [replace(alert, id="second", channels=("night",)) for alert in (FIRING, RESOLVED)]
    early = replace(RESOLVED, id="third")  # its beginning comes after it: that is not the order of any batch
    save(database, FIRING, repeat(2), RESOLVED, *second, early, replace(FIRING, id="third"), channels=("ops", "night"))
    found = rows(database, "SELECT id, state, channel FROM outbox ORDER BY number")
    assert found == [
        (FIRING.id, "FIRING", "ops"),
        (FIRING.id, "FIRING", "night"),
        (f"{FIRING.id}.2", "FIRING", "ops"),
        (f"{FIRING.id}.2", "FIRING", "night"),
        (FIRING.id, "RESOLVED", "night"),
        (FIRING.id, "RESOLVED", "ops"),
        ("second", "FIRING", "night"),
        ("second", "RESOLVED", "night"),
        ("third", "FIRING", "ops"),
        ("third", "FIRING", "night"),
    ]


def test_what_is_stored_twice_is_queued_once(database: Database) -> None:
    for _ in range(2):
        save(database, FIRING, repeat(2), RESOLVED)
    assert len(queued(database)) == 6


# What a silence covers.


def test_a_silence_covers_what_matches_all_three_of_its_patterns(database: Database) -> None:
    for number, (rule, symbol, severity, is_silenced) in enumerate(
        [
            ("*", "*", "*", True),
            ("price-*", "BTC", "warning", True),
            ("*-5m", "*T*", "w*g", True),
            ("price-2pct-5m", "B**C", "*", True),
            ("price", "*", "*", False),
            ("rice-*", "*", "*", False),
            ("*", "btc", "*", False),
            ("*", "BT", "*", False),
            ("*", "BTC@*", "*", True),
            ("*", "BTC@kraken", "*", False),
            ("*", "*", "critical", False),
            ("volume-*", "BTC", "*", False),
        ]
    ):
        what = (rule, symbol, severity)
        made = silence(database, rule=rule, symbol=symbol, severity=severity)
        save(database, replace(FIRING, id=f"{number}"))
        found = rows(database, "SELECT silenced_by FROM alerts WHERE id = %s", f"{number}")
        assert found == [(made.id if is_silenced else None,)], what
        told = rows(database, "SELECT channel FROM outbox WHERE id = %s", f"{number}")
        assert len(told) == (0 if is_silenced else 2), what
        Silences(database).end(made.id)
        rows(database, "UPDATE silences SET ended_at = starts_at")  # on the clock of these ticks, too


def test_in_a_pattern_only_the_star_is_special(database: Database) -> None:
    def matches(value: str, pattern: str) -> bool:
        return rows(database, "SELECT matches(%s, %s)", value, pattern) == [(True,)]

    for literal in ("100%", "a_b", r"back\slash", r"\%", "%", "_", "\\", "[a]", "a.b", "^", "?", "'"):
        assert matches(literal, literal)
        alike = {literal.replace(a, b) for a, b in (("%", "xy"), ("_", "x"), ("\\", ""), ("[a]", "a"), (".", "x"))}
        others = {*alike, f"{literal}x", f"x{literal}", "axb", ""} - {literal}
        assert [other for other in others if matches(other, literal)] == []
        assert matches(f"x{literal}y", f"*{literal}*")
        assert matches(literal, f"*{literal}*")
        assert not matches("xy", f"x*{literal}*y")


@pytest.mark.parametrize(
    ("pattern", "sources"),
    [
        ("*", ["*@coingecko", "*@kraken"]),
        ("*@*", ["*@coingecko", "*@kraken"]),
        ("*@coingecko", ["*@coingecko"]),
        ("*@", ["*@coingecko"]),
        ("*@kraken", ["*@kraken"]),
        ("*@k*", ["*@kraken"]),
        *((pattern, []) for pattern in ("btc-usd", "BTC@coingecko", "BTC*", "BTC@*", "*-EUR", "*-EUR@*", "b_c", "*@x")),
    ],
)
def test_a_silence_selects_the_symbols_that_a_rule_of_its_pattern_selects(
    pattern: str, sources: list[str], database: Database
) -> None:
    """And the alert for a source as a whole, where it selects all of that."""
    store = Store(database)
    store.save_instruments("coingecko", [Instrument("BTC", "USD", "coingecko", "BTC")])
    store.save_instruments("kraken", [Instrument("BTC", "USD", "kraken", "BTC@kraken")])
    (rule,) = rules({"name": "x", "when": "price > 1", "symbols": [pattern]}).rules
    symbols = ["BTC", "BTC-EUR", "ETH", "ETH-EUR", "BTC@kraken", "BTC-EUR@kraken", "ETH@kraken_2", "B_C", "BXC"]
    selected = rows(
        database,
        "SELECT symbol FROM unnest(%s) WITH ORDINALITY AS t (symbol, place) WHERE selects(%s, symbol) ORDER BY place",
        [*symbols, "*@coingecko", "*@kraken"],
        canonical_pattern(pattern, "coingecko"),
    )
    assert [symbol for (symbol,) in selected] == [*filter(rule.selects, symbols), *sources]


def test_a_silence_holds_from_its_start_until_just_before_its_end_by_the_time_of_the_tick(database: Database) -> None:
    instant = timedelta(microseconds=1)
    silence(database, starts_at=NOON, length=HOUR)
    times = (NOON - instant, NOON, NOON + HOUR - instant, NOON + HOUR)
    for number, time in enumerate(times):
        save(database, replace(FIRING, id=f"{number}", timestamp=time))
    found = rows(database, "SELECT id, silenced_by IS NOT NULL FROM alerts ORDER BY id")
    assert found == [("0", False), ("1", True), ("2", True), ("3", False)]


def test_a_silence_that_was_ended_covers_nothing_from_then_on(database: Database) -> None:
    now = datetime.now(UTC)
    silences = Silences(database)
    made = silence(database, starts_at=now - HOUR, length=3 * HOUR)
    to_come = silence(database, starts_at=now + HOUR, length=HOUR, symbol="ETH")
    ended, ended_too = silences.end(made.id), silences.end(to_come.id)
    assert ended is not None
    assert ended.is_over
    assert ended_too is not None
    assert [silences.end(made.id), silences.end(to_come.id), silences.end(99)] == [None, None, None]
    for id_, time, symbol in (
        ("before", now - HOUR / 2, "BTC"),
        ("after", now + HOUR / 2, "BTC"),
        ("eth", now + 1.5 * HOUR, "ETH"),
    ):
        save(database, replace(FIRING, id=id_, timestamp=time, symbol=symbol))
    found = rows(database, "SELECT id FROM alerts WHERE silenced_by IS NOT NULL")
    assert found == [("before",)]
    assert silences.read() == []
    assert [s.id for s in silences.read(over_too=True)] == [made.id, to_come.id]


# What follows from it.


def test_a_silenced_alert_is_recorded_and_neither_it_nor_its_end_is_told(database: Database) -> None:
    silence(database, length=timedelta(minutes=31))
    save(database, FIRING)
    save(database, RESOLVED)  # the silence is over by then
    assert queued(database) == []
    assert [alert.state for alert in Store(database).alerts_since(None)] == [State.FIRING, State.RESOLVED]


def test_a_repeat_after_the_silence_is_told_and_so_is_the_end(database: Database) -> None:
    silence(database, length=timedelta(minutes=32))
    for alert in (FIRING, repeat(1), repeat(2), repeat(3), RESOLVED):
        save(database, alert, channels=("ops",))
    assert queued(database) == [("2", "FIRING", "ops"), ("3", "FIRING", "ops"), ("", "RESOLVED", "ops")]


def test_a_silence_that_comes_after_the_beginning_keeps_back_repeats_and_not_the_end(database: Database) -> None:
    silence(database, starts_at=NOON + timedelta(minutes=1), length=2 * HOUR)
    for alert in (FIRING, repeat(2), RESOLVED):
        save(database, alert, channels=("ops",))
    assert queued(database) == [("", "FIRING", "ops"), ("", "RESOLVED", "ops")]


def test_what_comes_out_of_the_spool_is_judged_by_the_time_it_happened(database: Database) -> None:
    silence(database, symbol="BTC")
    silence(database, symbol="ETH", starts_at=NOON + HOUR)  # when the spool is drained, and not before
    eth = [replace(alert, id="eth", symbol="ETH") for alert in (FIRING, RESOLVED)]
    tick = Tick("BTC", NOON, 1, None, None, NOON, "coingecko")  # type: ignore[arg-type]
    entries = [
        Entry(1, (tick,), Outcome(alerts=[FIRING, eth[0]])),
        Entry(2, (), Outcome(alerts=[repeat(45), RESOLVED])),
        Entry(3, (), Outcome(alerts=[eth[1]])),
    ]
    store = Store(database, ("ops",))
    for _ in range(2):  # nobody knew whether the first commit happened
        store.save_spooled(entries)
    assert rows(database, "SELECT id, state FROM outbox ORDER BY number") == [
        ("eth", "FIRING"),
        (f"{FIRING.id}.45", "FIRING"),
        (FIRING.id, "RESOLVED"),
        ("eth", "RESOLVED"),
    ]


def test_a_batch_with_a_refused_tick_is_queued_by_the_same_rules(database: Database) -> None:
    """Then each alert is tried by itself first."""
    poison = Tick("ETH", NOON, -1, None, None, NOON, "coingecko")  # type: ignore[arg-type]
    silence(database, rule="quiet")
    quiet = [replace(alert, id="quiet", rule="quiet") for alert in (FIRING, RESOLVED)]
    outcome = Outcome(alerts=[FIRING, *quiet, RESOLVED])
    assert Store(database, ("ops",)).save([poison], outcome).refused == 1
    assert queued(database) == [("", "FIRING", "ops"), ("", "RESOLVED", "ops")]


def test_who_heard_of_a_beginning_is_looked_up_in_an_index(database: Database) -> None:
    rows(database, """
        INSERT INTO alerts (id, state, "timestamp", symbol, rule, terms)
        SELECT n::text, 'FIRING', '2026-11-22', 'BTC', 'r', '{}' FROM generate_series(1, 20000) AS n;
        INSERT INTO outbox (id, state, channel, symbol) SELECT id, state, 'ops', symbol FROM alerts;
        INSERT INTO alerts (id, state, "timestamp", symbol, rule, terms)
        VALUES ('7', 'RESOLVED', '2026-11-22', 'BTC', 'r', '{}');
        ANALYZE outbox, alerts;
    """)  # fmt: skip
    values = {"id": "'{7}'", "state": "'{RESOLVED}'", "channel": "'{NULL}'"}
    plan = rows(database, "EXPLAIN " + QUERIES["queue_alerts"] % values)
    text = "\n".join(line for (line,) in plan)
    assert "Index Scan using outbox_episode" in text or "Bitmap Index Scan on outbox_episode" in text, text
    assert "Seq Scan on outbox" not in text, text


def test_without_alerts_a_batch_asks_nothing_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def noted(cursor: Any, name: str, /, **_values: object) -> list[tuple[Any, ...]]:
        asked.append(name)
        return [(1,)]

    def noted_together(_cursor: Any, *calls: dict[str, object]) -> list[tuple[Any, ...]]:
        asked.extend(name for some in calls for name in some)
        return [(1,)]

    monkeypatch.setattr("app.store.execute", noted)
    monkeypatch.setattr("app.store.commit_together", noted_together)
    tick = Tick("BTC", NOON, 1, None, None, NOON, "coingecko")  # type: ignore[arg-type]
    Store(database, BOTH).save([tick], Outcome())
    assert asked == ["make_partition", "leading", "store_ticks"]


# The table.


def test_a_silence_that_cannot_be_is_refused_whoever_writes_it(database: Database) -> None:
    silence(database)
    for change in (
        "rule = ''",
        "symbol = NULL",
        "severity = ''",
        "why = ' '",
        "ends_at = starts_at",
        "ends_at = 'infinity'",
        "starts_at = '-infinity'",
        "ended_at = 'infinity'",
    ):
        with pytest.raises(DataRefused):
            rows(database, f"UPDATE silences SET {change}")


def test_a_silence_that_alerts_name_cannot_be_lost(database: Database) -> None:
    silence(database)
    save(database, FIRING)
    with pytest.raises(DataRefused):
        rows(database, "DELETE FROM silences")
    with pytest.raises(DataRefused):
        rows(database, "UPDATE alerts SET state = 'RESOLVED'")


# The command.


@pytest.fixture
def here(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder without a .env, and the database in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", dsn)
    yield tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What the command prints."""
    cli.command.main(list(arguments), standalone_mode=False)
    return capsys.readouterr().out.splitlines()


def refusal(*arguments: str) -> CryptoMonitorError:
    with pytest.raises(CryptoMonitorError) as caught:
        cli.command.main(list(arguments), standalone_mode=False)
    return caught.value


ADD = ("add", "--symbol", "btc-eur@KRAKEN", "--rule", "price-*", "--for", "2h", "--why", "they move house")


def test_a_silence_is_made_shown_and_ended(here: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    heading, line = run(capsys, *ADD)
    assert heading.split() == ["ID", "FROM", "UNTIL", "RULE", "SYMBOL", "SEVERITY", "WHY"]
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"1 +{time}  {time}  price-\*  BTC-EUR@kraken  \* +in force  they move house", line), line
    (made,) = Silences(database).read()
    assert made.ends_at - made.starts_at == timedelta(hours=2)
    assert abs(made.starts_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert run(capsys, "list") == [heading, line]
    ended = run(capsys, "end", "1")
    assert "  over  " in ended[1]
    assert run(capsys, "list") == ["none is in force or to come"]
    assert run(capsys, "list", "--all") == ended
    assert str(refusal("end", "1")).startswith("there is no silence 1 that is not over")


def test_a_silence_can_begin_later(here: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    made = run(capsys, "add", "--severity", "info", "--for", "7d", "--why", "x", "--from", "2100-01-01T00:00:00+01:00")
    assert made[1].split()[1:3] == ["2099-12-31T23:00:00Z", "2100-01-07T23:00:00Z"]
    assert "  to come  " in made[1]
    assert run(capsys, "list") == made


def test_one_more_than_there_may_be_is_refused(
    here: Path, database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.silences.MOST", 1)
    run(capsys, *ADD)
    assert "silences in force or to come" in str(refusal(*ADD))
    run(capsys, "end", "1")
    assert len(run(capsys, *ADD)) == 2


def test_symbols_are_written_as_in_rules(
    here: Path, database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for given, stored in (
        ("btc-usd", "BTC"),
        ("BTC@coingecko", "BTC"),
        ("*@CoinGecko", "*@"),
        ("b*@Kraken", "B*@kraken"),
    ):
        made = run(capsys, "add", "--symbol", given, "--for", "2h", "--why", "x")
        assert made[1].split()[4] == stored
    monkeypatch.setenv("SOURCE", "kraken")
    assert run(capsys, "add", "--symbol", "BTC@kraken", "--for", "2h", "--why", "x")[1].split()[4] == "BTC"


def test_a_silence_of_a_whole_market_covers_its_coins_and_the_alert_for_the_source(
    here: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(database).save_instruments("coingecko", [Instrument("BTC", "USD", "coingecko", "BTC")])
    run(capsys, "add", "--symbol", "*@coingecko", "--for", "2h", "--why", "they move house")
    now = datetime.now(UTC) + timedelta(minutes=1)
    for symbol in ("BTC", "BTC@kraken", "*@coingecko", "*@kraken"):
        save(database, replace(FIRING, id=symbol, symbol=symbol, timestamp=now), channels=("ops",))
    assert rows(database, "SELECT id FROM outbox ORDER BY number") == [("BTC@kraken",), ("*@kraken",)]


def test_where_there_is_none_the_list_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "list", "--all") == ["there is none"]


def test_what_cannot_be_silenced_is_said_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@127.0.0.1:9/x")  # nothing listens on the port of `discard`
    for arguments, said in (
        (("--for", "2h"), "nothing is named that is to be silenced: give --rule, --symbol or --severity"),
        (("--symbol", "BTC", "--for", "2 hours"), "--for=2 hours: should be a length of time, like 30s"),
        (("--symbol", "BTC", "--for", "0s"), "--for=0s: should be a length of time"),
        (("--symbol", "BTC", "--for", "-1h"), "--for=-1h: should be a length of time"),
        (("--symbol", "BTC", "--for", "1h", "--from", "noon"), "--from=noon: should be a time in ISO 8601"),
        (("--symbol", "BTC", "--for", "1h", "--from", "9999-12-31"), "--from=9999-12-31"),
        (("--symbol", "BTC", "--for", "1h", "--from", "2020-01-01"), "--from=2020-01-01 00:00:00+00:00: is so"),
        (("--symbol", "BTC,ETH ", "--for", "1h"), "--symbol: 'BTC,ETH ' should be a symbol, with * for any text: BTC"),
        (("--symbol", "*-USD", "--for", "1h"), "--symbol: '*-USD': symbols in USD do not name it, so that"),
        (("--symbol", "BTC", "--rule", "", "--for", "1h"), "--rule=: should be a name"),
        (("--severity", "loud", "--for", "1h"), "--severity=loud: should be info, warning, critical, or a pattern"),
        (("--symbol", "B\udcff", "--for", "1h"), "--symbol: 'B\\udcff' should be a symbol"),
        (("--symbol", "BTC", "--for", "1h", "--why", " \n"), "--why=' \\n': should be a text of one line"),
    ):
        error = refusal("add", "--why", "upkeep", *arguments)
        assert str(error).startswith(said)
        assert error.exit_code == 78


def test_without_a_database_it_says_so(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    error = refusal(*ADD)
    assert "DATABASE_URL is empty, and no embedded PostgreSQL runs" in str(error)
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@127.0.0.1:9/x")
    assert isinstance(refusal("list"), DatabaseUnavailable)
    assert error.exit_code == refusal("list").exit_code == 69


def test_on_an_older_schema_it_says_what_to_do(here: Path, dsn: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM schema_migrations WHERE version > 4")
    error = refusal("list")
    assert isinstance(error, DatabaseRefused)
    assert re.match(r"the database has schema version 4, this program .* `python -m app migrate`", str(error))
