"""A recorded market: the rows of a CSV file (gzip or not), replayed with their digits as they stand."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from app.errors import ConfigurationError
from app.simulate.coins import BY_SYMBOL
from app.simulate.digits import Digits
from app.simulate.market import Coin, Observation

COLUMNS = ("ts", "symbol", "price", "volume_24h_usd")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a price becomes is a JSON number; the lengths keep it within what a float can hold.
_NUMBER = re.compile(r"(0|[1-9]\d{0,39})(\.\d{1,99})?([eE][+-]?\d{1,2})?", re.ASCII)
_SYMBOL = re.compile(r"[^\s/,&?#]{1,40}")


class Row(NamedTuple):
    """One line of the file. ``price`` and ``volume`` (None = an empty cell) are texts of JSON numbers."""

    time: datetime
    symbol: str
    price: Digits
    volume: Digits | None


@dataclass(frozen=True, slots=True)
class _History:
    """One coin's observations, by market time; times ascend and no two are alike."""

    times: list[int]
    rows: list[Row]

    def until(self, time: int) -> int:
        """How many observations there are up to that time, itself included."""
        return bisect_right(self.times, time)


class Recording:
    """A recording whose first row comes at ``start``; all keep their distances. Prices are in USD and in nothing else.

    CoinGecko stamps in whole seconds, and one stamp cannot mean two prices: of the rows within a second the last
    counts, at the full second. The market caps of a recording are not known.
    """

    currencies = ("usd",)

    def __init__(self, name: str, rows: list[Row], start: int) -> None:
        """``rows``: at least one, in any order. ``start``: UNIX seconds."""
        rows = sorted(rows, key=attrgetter("time"))
        shift = start - _full_second(rows[0].time)
        histories: dict[str, dict[int, Row]] = {}
        for row in rows:
            histories.setdefault(row.symbol, {})[_full_second(row.time) + shift] = row
        found = {_coin(symbol): _History(list(by), list(by.values())) for symbol, by in histories.items()}
        self.coins = {coin.id: coin for coin in sorted(found, key=attrgetter("id"))}
        self._histories = {coin.id: history for coin, history in found.items()}
        self.end = max(history.times[-1] for history in found.values())
        self.label = f"recording {quote(name, safe=' ()+,=@')}"
        self.title = f"recording {name} ({_some(histories)}, {timedelta(seconds=self.end - start)})"

    def at(self, coin_id: str, currency: str, time: int) -> Observation | None:  # noqa: ARG002  (usd is all there is)
        history = self._histories[coin_id]
        count = history.until(time)
        if count == 0:
            return None
        row = history.rows[count - 1]
        return Observation(history.times[count - 1], row.price, row.volume, None)

    def extremes(self, coin_id: str, currency: str, start: int, end: int) -> tuple[Digits, Digits] | None:  # noqa: ARG002
        history = self._histories[coin_id]
        rows = history.rows[bisect_left(history.times, start) : history.until(end)]
        prices = sorted((row.price for row in rows), key=Decimal)
        return (prices[0], prices[-1]) if prices else None


def read(path: Path, start: int) -> Recording:
    """The recording in that file, from market time ``start`` on.

    Raises ConfigurationError naming file, line and what is wrong with it.
    """
    try:
        rows = list(_rows(path))
    except (OSError, EOFError, zlib.error) as error:  # the last two: a gzip file that was cut off or damaged
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigurationError(f"{path}: cannot be read ({reason})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not a text in UTF-8; a CSV file, or one packed by gzip, is") from None
    if not rows:
        raise ConfigurationError(f"{path}: has no rows beneath its first line")
    return Recording(path.name, rows, start)


def _rows(path: Path) -> Iterator[Row]:
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    try:
        places, width = _header(next(lines, []))
        for cells in lines:
            if cells:
                yield _row(cells, places, width)
    except (ValueError, csv.Error) as error:
        raise ConfigurationError(f"{path}: line {max(1, lines.line_num)}: {error}") from None


def _header(names: list[str]) -> tuple[list[int], int]:
    """Where the columns we need stand in a line, and how many cells a line has."""
    names = [name.strip() for name in names]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(f"should name the columns {','.join(COLUMNS)}; {', '.join(missing)} not found")
    return [names.index(name) for name in COLUMNS], len(names)


def _row(cells: list[str], places: list[int], width: int) -> Row:
    if len(cells) != width:
        raise ValueError(f"has {len(cells)} cells, the first line has {width}")
    time, symbol, price, volume = (cells[place].strip() for place in places)
    if not _SYMBOL.fullmatch(symbol):
        raise ValueError(f"symbol {symbol!r} should be a name like BTC")
    if Decimal(_number("price", price)) == 0:
        raise ValueError(f"price {price!r} should be above 0")
    return Row(_time(time), symbol.upper(), Digits(price), _number("volume_24h_usd", volume) if volume else None)


def _number(name: str, text: str) -> Digits:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{name} {text!r} should be a number like 60781.97")
    return Digits(text)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"ts {text!r} should be a time like 2021-04-17T21:01:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _full_second(time: datetime) -> int:
    """UNIX seconds, a started second counted as full: nothing is shown before it was observed."""
    return -((_EPOCH - time) // timedelta(seconds=1))


def _coin(symbol: str) -> Coin:
    """CoinGecko's coin of that symbol where we know it, else one whose id is the symbol in lower case.

    Where that is another coin's id, ``-2`` follows, as in CoinGecko's ``avalanche-2``.
    """
    known = BY_SYMBOL.get(symbol)
    if known is not None:
        return Coin(known.id, symbol, known.name)
    taken = any(symbol.lower() == coin.id for coin in BY_SYMBOL.values())
    return Coin(symbol.lower() + "-2" * taken, symbol, symbol)


def _some(symbols: dict[str, dict[int, Row]]) -> str:
    return " ".join(sorted(symbols)) if len(symbols) <= 5 else f"{len(symbols)} symbols"
