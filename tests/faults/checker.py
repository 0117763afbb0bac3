"""Whether nothing was lost and nothing is there twice: SQL and brute force over the provider's journal.

None of the product's code takes part. What has to stand in ``alerts`` and in alerts.txt follows from the stored ticks:
every rule is evaluated anew for each of them, in exact arithmetic.
"""

from __future__ import annotations

import gzip
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import psycopg2

from tests.acceptance.oracle import eight_digits
from tests.faults.provider import Reply, Row

_WINDOW = timedelta(minutes=5)
_SHOWN = 3  # examples in a sentence
_LINE = re.compile(r"\S+Z (FIRING|RESOLVED) \S+ (price|volume)-2pct-5m \S+ \S+ id=[0-9a-f]{12}")

_PLAIN = """
    SELECT symbol, date_bin(interval '{width}', "timestamp", '2001-01-01 UTC') AS bucket,
           (array_agg(price ORDER BY "timestamp"))[1] AS open, max(price) AS high, min(price) AS low,
           (array_agg(price ORDER BY "timestamp" DESC))[1] AS close,
           (array_agg(volume_24h ORDER BY "timestamp" DESC) FILTER (WHERE volume_24h IS NOT NULL))[1] AS volume,
           count(*) AS ticks,
           round(60 * count(DISTINCT date_trunc('minute', "timestamp")) / extract(epoch FROM interval '{width}'), 4)
               AS coverage
    FROM ticker_data GROUP BY 1, 2
"""
_DAILY = f"""
    SELECT symbol, (bucket AT TIME ZONE 'UTC')::date AS day, open, high, low, close, volume, ticks, coverage
    FROM ({_PLAIN.format(width="1 day")}) AS plain
"""
_CANDLES = {
    "ohlcv_1m": _PLAIN.format(width="1 minute"),
    "ohlcv_1h": _PLAIN.format(width="1 hour"),
    "ohlcv_1d": _PLAIN.format(width="1 day"),
    "daily_ohlcv": _DAILY,
}


@dataclass
class Findings:
    """The figures of the table, and a sentence for whatever is not as it has to be. Lines are alert states."""

    served: int = 0
    stored: int = 0
    expected: int = 0
    found: int = 0
    problems: list[str] = field(default_factory=list)

    def __iadd__(self, other: Findings) -> Findings:
        self.served += other.served
        self.stored += other.stored
        self.expected += other.expected
        self.found += other.found
        self.problems += other.problems
        return self


def check(
    dsn: str,
    replies: Sequence[Reply],
    in_flight: set[int],
    alert_files: Sequence[Path],
    *,
    one_judge: bool = True,
) -> Findings:
    """Hold the database and the alert files against what was served. No daemon runs.

    ``in_flight``: the numbers of the replies that may be missing, each as a whole. ``alert_files``: the ALERTS_FILE
    of each daemon; their rotations are found beside them. With several daemons each file may hold a state once.
    Where there was not always ``one_judge``, two daemons have evaluated rules on ticks of which each saw a part: then
    what the table ``alerts`` says is what the files have to say.
    """
    with closing(psycopg2.connect(dsn, application_name="faults")) as connection:
        connection.set_session(readonly=True)
        findings = Findings(served=sum(len(reply.rows) for reply in replies))
        stored = _check_ticks(connection, replies, in_flight, findings)
        recorded = _recorded(connection)
        findings.found = sum(map(len, recorded.values()))
        files = {path: _read(path, findings) for path in alert_files}
        if one_judge:
            expected = expected_lines(stored)
            findings.expected = sum(map(len, expected.values()))
            _compare(recorded, expected, "the table alerts", findings)
            _check_lines(files, expected, findings)
        else:
            findings.expected = findings.found
            _check_keys(files, recorded, findings)
        _check_candles(connection, findings)
    return findings


def expected_lines(ticks: Iterable[Row]) -> dict[str, list[str]]:
    """By symbol, what the two default rules have to say about these ticks, without the ids, in order."""
    by_symbol: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(ticks, key=lambda row: row.time):
        by_symbol[row.symbol].append(row)
    return {symbol: _lines_of(symbol, rows) for symbol, rows in by_symbol.items()}


def lines_in(path: Path) -> tuple[list[str], list[str]]:
    """The lines of an alert file, of all that rotation made of it (in folders below it too), and of what ``deleted``
    beside its folder keeps of deleted ones, oldest first; and what is not a whole line."""
    files: list[list[str]] = []
    torn: list[str] = []
    for file in (*path.parent.rglob(f"{path.name}*"), *path.parent.with_name("deleted").glob("*")):
        if not file.is_file():
            continue
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        *lines, rest = data.decode(errors="replace").split("\n")
        torn += [line for line in lines if not _LINE.fullmatch(line)]
        torn += [f"{rest} (not ended)"] if rest else []
        files.append([line for line in lines if _LINE.fullmatch(line)])
    return [line for lines in sorted(filter(None, files)) for line in lines], torn


def _check_ticks(
    connection: psycopg2.extensions.connection, replies: Sequence[Reply], in_flight: set[int], findings: Findings
) -> list[Row]:
    """Every row of every reply stands there once, digit for digit; one in flight as a whole or not at all."""
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT "timestamp", symbol, price::text, volume_24h::text, market_cap::text, source, origin'
            " FROM ticker_data"
        )
        rows = cursor.fetchall()
    stored = [Row(at.astimezone(UTC), *values) for at, *values, _, _ in rows]
    findings.stored = len(stored)
    counts = Counter(stored)
    served = {row: reply for reply in replies for row in reply.rows}
    if twice := [row for row, count in counts.items() if count > 1]:
        findings.problems.append(f"{len(twice)} ticks are stored twice: {_some(twice)}")
    if strange := [row for row in counts if row not in served]:
        findings.problems.append(f"{len(strange)} stored ticks were never served like that: {_some(strange)}")
    if {(source, origin) for *_, source, origin in rows} - {("coingecko", "live")}:
        findings.problems.append("ticks say another source than coingecko, or that they were not live")
    for reply in replies:
        missing = [row for row in reply.rows if row not in counts]
        # What broke off was never served in full; it may have arrived, or not.
        allowed = reply.number in in_flight or not reply.done
        if missing and not (allowed and len(missing) == len(reply.rows)):
            findings.problems.append(
                f"{len(missing)} of {len(reply.rows)} ticks of reply {reply.number}"
                f" ({reply.rows[0].time:%Y-%m-%d %H:%M}, to {reply.client}) are lost"
            )
    return stored


def _recorded(connection: psycopg2.extensions.connection) -> dict[str, list[str]]:
    """By symbol, the rows of ``alerts`` as lines, in the order recorded."""
    with connection.cursor() as cursor:
        cursor.execute('SELECT "timestamp", state, symbol, rule, terms, id FROM alerts ORDER BY number')
        found: dict[str, list[str]] = defaultdict(list)
        for at, state, symbol, rule, terms, id_ in cursor:
            values = " ".join(f"{term}={value}" for term, value in terms.items())
            found[symbol].append(f"{_time(at)} {state} {symbol} {rule} {values} id={id_}")
    return found


def _read(path: Path, findings: Findings) -> dict[str, list[str]]:
    """By symbol, the lines of an alert file and its rotations; whole, and no (state, id) twice."""
    lines, torn = lines_in(path)
    if torn:
        findings.problems.append(f"{path}: {len(torn)} lines are not whole: {_some(torn)}")
    if twice := [key for key, count in Counter(map(_key, lines)).items() if count > 1]:
        examples = [line for line in lines if _key(line) in twice[:1]]
        findings.problems.append(f"{path}: {len(twice)} states stand there more than once: {_some(examples)}")
    by_symbol: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        by_symbol[line.split()[2]].append(line)
    return by_symbol


def _check_lines(files: dict[Path, dict[str, list[str]]], expected: dict[str, list[str]], findings: Findings) -> None:
    """Every expected state stands in a file, in order by symbol, and nothing else does."""
    together: dict[str, dict[str, None]] = defaultdict(dict)
    for path, lines in files.items():
        for symbol, found in lines.items():
            together[symbol].update(dict.fromkeys(found))
            if found != sorted(found, key=lambda line: line.split()[0]):
                findings.problems.append(f"{path}: the lines of {symbol} are not in order")
    in_order = {}
    for symbol, once in together.items():
        places = {line: place for place, line in enumerate(expected.get(symbol, []))}
        one_file = len(files) == 1  # with several, each may have a part
        in_order[symbol] = list(once) if one_file else sorted(once, key=lambda line: places.get(_plain(line), -1))
    _compare(in_order, expected, "alerts.txt", findings)


def _check_keys(files: dict[Path, dict[str, list[str]]], recorded: dict[str, list[str]], findings: Findings) -> None:
    """What is recorded stands in some file, and the other way round; their times may differ."""
    wanted = {_key(line) for lines in recorded.values() for line in lines}
    found = {_key(line) for lines in files.values() for some in lines.values() for line in some}
    if wanted != found:
        findings.problems.append(
            f"{len(wanted - found)} recorded states are in no alerts.txt ({_some(wanted - found)}), and"
            f" {len(found - wanted)} in alerts.txt are not recorded ({_some(found - wanted)})"
        )


def _check_candles(connection: psycopg2.extensions.connection, findings: Findings) -> None:
    """Every view of candles is what a plain aggregation of the stored ticks gives."""
    for view, plain in _CANDLES.items():
        with connection.cursor() as cursor:
            cursor.execute(
                f"(SELECT * FROM {view} EXCEPT ALL {plain}) UNION ALL ({plain} EXCEPT ALL SELECT * FROM {view})"
            )
            if wrong := cursor.fetchall():
                findings.problems.append(f"{view}: {len(wrong)} rows differ from a plain aggregation: {_some(wrong)}")


def _compare(found: dict[str, list[str]], expected: dict[str, list[str]], where: str, findings: Findings) -> None:
    for symbol in sorted(set(found) | set(expected)):
        plain = [_plain(line) for line in found.get(symbol, [])]
        wanted = expected.get(symbol, [])
        if plain != wanted:
            missing, more = Counter(wanted) - Counter(plain), Counter(plain) - Counter(wanted)
            findings.problems.append(
                f"{where}: of {len(wanted)} states of {symbol} {missing.total()} are missing {_some(missing)},"
                f" {more.total()} are too many {_some(more)}"
                + ("" if missing or more else "; but they are in another order")
            )
        _check_ids(found.get(symbol, []), where, findings)


def _check_ids(lines: Sequence[str], where: str, findings: Findings) -> None:
    """FIRING and RESOLVED of an episode share an id that no other episode has."""
    episodes: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        _, state, symbol, rule, *_, id_ = line.split()
        episodes[id_].append(f"{symbol} {rule} {state}")
    for id_, states in episodes.items():
        about = {state.rpartition(" ")[0] for state in states}
        order = [state.rpartition(" ")[2] for state in states]
        if len(about) > 1 or order != ["FIRING", "RESOLVED"][: len(order)]:
            findings.problems.append(f"{where}: {id_} is the id of {states}")


def _lines_of(symbol: str, rows: Sequence[Row]) -> list[str]:
    times = [row.time for row in rows]
    firing: set[str] = set()
    lines = []
    for place, row in enumerate(rows):
        window = rows[bisect_left(times, row.time - _WINDOW) : place]
        if not window or window[0].time > row.time - _WINDOW / 2:
            continue
        for name, value, values in (
            ("price", row.price, [other.price for other in window]),
            ("volume", row.volume, [other.volume for other in window]),
        ):
            mean = sum(map(Fraction, values), Fraction()) / len(values)
            off = abs(Fraction(value) / mean - 1) > Fraction(2, 100)
            if off == (name in firing):
                continue
            firing ^= {name}
            state = "FIRING" if off else "RESOLVED"
            terms = f"{name}={value} avg({name},5m)={eight_digits(mean)}"
            lines.append(f"{_time(row.time)} {state} {symbol} {name}-2pct-5m {terms}")
    return lines


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _plain(line: str) -> str:
    """The line without its id."""
    return line.rpartition(" id=")[0]


def _key(line: str) -> tuple[str, str]:
    """(state, id)"""
    return line.split()[1], line.rpartition(" id=")[2]


def _some(things: Iterable[object]) -> str:
    return "; ".join(str(thing) for thing in list(things)[:_SHOWN])
