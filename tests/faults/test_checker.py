"""The checker of the fault programme sees what it is there to see: each kind of loss, doubling and disorder."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from app.queries import QUERIES
from tests.acceptance import oracle, scripted
from tests.faults.checker import check, expected_lines
from tests.faults.provider import Market, Reply

pytestmark = pytest.mark.one_server

MARKET = Market(7)
MINUTES = 150  # across midnight, and the end of a month
REPLIES = [Reply(number, "a", MARKET.rows(number), 0.0, done=True) for number in range(MINUTES)]
LINES = [line for lines in expected_lines(row for reply in REPLIES for row in reply.rows).values() for line in lines]


class Stored:
    """A database and an alerts.txt that hold exactly what was served."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn, self.alerts = dsn, folder / "alerts" / "alerts.txt"
        self.in_flight: set[int] = set()
        self.store(*REPLIES)
        self.lines = [f"{line} id={_id(line)}" for line in sorted(LINES, key=lambda line: line.split()[0])]
        words = [line.split() for line in self.lines]
        self.run(
            'INSERT INTO alerts ("timestamp", state, symbol, rule, id, terms)'
            " SELECT * FROM unnest(%s::timestamptz[], %s, %s, %s, %s, %s::json[])",
            *([line[place] for line in words] for place in range(4)),
            [line[-1].removeprefix("id=") for line in words],
            [json.dumps(dict(term.split("=") for term in line[4:-1])) for line in words],
        )
        self.run("REFRESH MATERIALIZED VIEW daily_ohlcv")
        self.alerts.parent.mkdir()
        self.write()

    def store(self, *replies: Reply) -> None:
        rows = [row for reply in replies for row in reply.rows]
        for month in {row.time.date().replace(day=1) for row in rows}:
            self.run(QUERIES["make_partition"], month=month)
        self.run(
            QUERIES["store_ticks"],
            timestamp=[row.time for row in rows],
            symbol=[row.symbol for row in rows],
            price=[row.price for row in rows],
            volume_24h=[row.volume for row in rows],
            market_cap=[row.cap for row in rows],
            fetched_at=[row.time for row in rows],
            source=["coingecko" for _ in rows],
            origin=["live" for _ in rows],
            markets=[None for _ in rows],
        )

    def write(self) -> None:
        self.alerts.write_text("".join(f"{line}\n" for line in self.lines))

    def run(self, statement: str, *values: object, **named: object) -> None:
        with closing(psycopg2.connect(self.dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            cursor.execute(statement, named or values or None)

    def problems(self) -> list[str]:
        return check(self.dsn, REPLIES, self.in_flight, [self.alerts]).problems


@pytest.fixture
def stored(dsn: str, tmp_path: Path) -> Stored:
    return Stored(dsn, tmp_path)


def _id(line: str) -> str:
    """FIRING and the RESOLVED after it have the same."""
    _, state, symbol, rule, *_ = line.split()
    same = [other for other in LINES if other.split()[2:4] == [symbol, rule]]
    return hashlib.sha256(same[same.index(line) - (state == "RESOLVED")].encode()).hexdigest()[:12]


def _lose_a_reply(s: Stored) -> None:
    s.run('DELETE FROM ticker_data WHERE "timestamp" = %s', REPLIES[70].rows[0].time)


def _lose_half_a_reply_in_flight(s: Stored) -> None:
    s.in_flight.add(149)
    s.run("DELETE FROM ticker_data WHERE symbol = 'BTC' AND \"timestamp\" = %s", REPLIES[149].rows[0].time)


def _round_a_value(s: Stored) -> None:
    s.run("UPDATE ticker_data SET market_cap = market_cap::float8::numeric WHERE symbol = 'BTC'")


def _drop_a_zero(s: Stored) -> None:
    s.run('UPDATE ticker_data SET price = trim_scale(price) WHERE "timestamp" = %s', REPLIES[70].rows[0].time)


def _twice_in_the_file(s: Stored) -> None:
    s.lines.insert(9, s.lines[5])
    s.write()


def _twice_with_a_rotation(s: Stored) -> None:
    s.alerts.with_name("alerts.txt.2.gz").write_bytes(gzip.compress(f"{s.lines[0]}\n".encode()))


def _out_of_order(s: Stored) -> None:
    of_btc = [place for place, line in enumerate(s.lines) if " BTC " in line]
    s.lines[of_btc[2]], s.lines[of_btc[5]] = s.lines[of_btc[5]], s.lines[of_btc[2]]
    s.write()


def _wrong_value(s: Stored) -> None:
    s.lines[3] = s.lines[3].replace(" avg(", "1 avg(")
    s.write()


def _another_id(s: Stored) -> None:
    s.lines[-1] = f"{s.lines[-1][:-12]}{'0' * 12}"
    s.run("UPDATE alerts SET id = %s WHERE number = (SELECT min(number) FROM alerts)", "0" * 12)
    s.write()


BREAK: dict[str, Callable[[Stored], None]] = {
    "a reply is lost": _lose_a_reply,
    "half a reply in flight is lost": _lose_half_a_reply_in_flight,
    "a float lost digits": _round_a_value,
    "a zero at the end is lost": _drop_a_zero,
    "an invented tick": lambda s: s.store(Reply(0, "a", MARKET.rows(9999), 0.0)),
    "another origin": lambda s: s.run("UPDATE ticker_data SET origin = 'backfill' WHERE symbol = 'ZEC'"),
    "a row of alerts is lost": lambda s: s.run("DELETE FROM alerts WHERE number = (SELECT max(number) FROM alerts)"),
    "a line is lost": lambda s: s.alerts.write_text("".join(f"{line}\n" for line in s.lines[1:])),
    "a line is there twice": _twice_in_the_file,
    "a line is in a compressed rotation too": _twice_with_a_rotation,
    "a line is torn": lambda s: s.alerts.write_text("".join(f"{line}\n" for line in s.lines)[:-9]),
    "half a line in the middle": lambda s: s.alerts.write_text("\n".join([s.lines[0][:30], *s.lines]) + "\n"),
    "lines are in another order": _out_of_order,
    "a line has another value": _wrong_value,
    "an episode has two ids": _another_id,
    "a candle is wrong": lambda s: s.run("UPDATE candles SET high = high + 1 WHERE width = '1h' AND symbol = 'ETH'"),
    "a candle is missing": lambda s: s.run("DELETE FROM candles WHERE width = '1m' AND symbol = 'ETH'"),
    "daily_ohlcv is old": lambda s: s.run("REFRESH MATERIALIZED VIEW daily_ohlcv WITH NO DATA"),
}


def test_it_says_nothing_where_all_is_as_it_has_to_be(stored: Stored) -> None:
    assert stored.problems() == []
    rotated = stored.alerts.with_name("alerts.txt.1.gz")
    rotated.write_bytes(gzip.compress("".join(f"{line}\n" for line in stored.lines[:8]).encode()))
    stored.alerts.write_text("".join(f"{line}\n" for line in stored.lines[8:]))
    assert stored.problems() == []


def test_it_forgives_the_reply_in_flight_and_no_other(stored: Stored) -> None:
    stored.run('DELETE FROM ticker_data WHERE "timestamp" = %s', REPLIES[149].rows[0].time)
    lost = [problem for problem in stored.problems() if "are lost" in problem]
    assert len(lost) == 1
    stored.in_flight.add(149)
    assert not [problem for problem in stored.problems() if "are lost" in problem]


@pytest.mark.parametrize("kind", BREAK)
def test_it_sees_what_is_broken(stored: Stored, kind: str) -> None:
    BREAK[kind](stored)
    try:
        assert stored.problems()
    except psycopg2.errors.ObjectNotInPrerequisiteState:
        assert kind == "daily_ohlcv is old"


def test_two_oracles_written_apart_say_the_same() -> None:
    served = [[scripted.Row(row.time, row.symbol, row.price, row.volume) for row in reply.rows] for reply in REPLIES]
    assert sorted(oracle.expected_lines(served)) == sorted(LINES)
    assert len(LINES) > 50
