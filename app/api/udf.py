"""``/udf``: the datafeed that TradingView's charting library reads (UDF), from our candles and alerts.

Bars have no volume: what is stored is the rolling volume of 24 hours, and a bar's would have to be what was traded in
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import Query
from psycopg2 import extensions as pg
from starlette.responses import PlainTextResponse, Response

from app.api.context import Here
from app.api.params import MOST_POINTS, known_symbol
from app.api.problems import Problem
from app.api.replies import raw_reply, reply
from app.db import execute

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_LAST = 4_102_444_800  # 2100 in seconds
_SECONDS = 5.0
_MOST_MARKS = 500
_SIGNIFICANT, _MOST_DECIMALS = 8, 16

Resolution = Literal["1", "5", "15", "60", "240", "1D", "D"]


@dataclass(frozen=True, slots=True)
class _Bars:
    """How long bars are, and of which candles they are made."""

    length: timedelta
    width: str
    candle: timedelta


_BARS: dict[Resolution, _Bars] = {
    "1": _Bars(_MINUTE, "1m", _MINUTE),
    "5": _Bars(5 * _MINUTE, "1m", _MINUTE),
    "15": _Bars(15 * _MINUTE, "1m", _MINUTE),
    "60": _Bars(_HOUR, "1h", _HOUR),
    "240": _Bars(4 * _HOUR, "1h", _HOUR),
    "1D": _Bars(_DAY, "1d", _DAY),
    "D": _Bars(_DAY, "1d", _DAY),
}
_RESOLUTIONS = [name for name in _BARS if name != "D"]

Symbol = Annotated[str, Query(min_length=1, max_length=60)]
From = Annotated[int, Query(alias="from", description="Seconds since 1970.")]
To = Annotated[int, Query(description="Seconds since 1970; not included.")]


def config(here: Here) -> Response:
    """What this datafeed can do."""
    markets = [market for (market,) in here.database.query("udf_markets")]
    return reply(
        {
            "supports_search": True,
            "supports_group_request": False,
            "supports_marks": True,
            "supports_timescale_marks": False,
            "supports_time": True,
            "exchanges": [
                {"value": "", "name": "All markets", "desc": ""},
                *({"value": market, "name": market, "desc": market} for market in markets),
            ],
            "symbols_types": [{"name": "Crypto", "value": "crypto"}],
            "supported_resolutions": _RESOLUTIONS,
        }
    )


def time(here: Here) -> Response:
    """The server's time, in seconds."""
    return PlainTextResponse(str(int(here.clock.now().timestamp())))


def symbols(here: Here, symbol: Symbol) -> Response:
    """How a symbol is to be shown."""
    rows = here.database.query("udf_symbol", symbol=_known(here, symbol))
    its, base, quote, market, name, closes = rows[0]
    return reply(
        {
            "name": its,
            "ticker": its,
            "full_name": its,
            "description": f"{name} / {quote}",
            "type": "crypto",
            "session": "24x7",
            "timezone": "Etc/UTC",
            "exchange": market,
            "listed_exchange": market,
            "currency_code": quote,
            "base_name": [base],
            "format": "price",
            "minmov": 1,
            "pricescale": 10 ** decimals_of(closes),
            "has_intraday": True,
            "has_daily": True,
            "has_weekly_and_monthly": False,
            "intraday_multipliers": ["1", "5", "15", "60", "240"],
            "supported_resolutions": _RESOLUTIONS,
            "visible_plots_set": "ohlc",
            "has_no_volume": True,
            "volume_precision": 0,
            "data_status": "streaming",
        }
    )


def decimals_of(prices: list[Decimal]) -> int:
    """With how many decimals prices are shown: as many as they have, but no more than eight digits that matter."""
    if not prices:
        return 2
    # A number's own: 1.50 has one.
    most = max(-_exponent(price.normalize()) for price in prices)
    highest = max(price.adjusted() for price in prices)
    return max(0, min(most, _SIGNIFICANT - 1 - highest, _MOST_DECIMALS))


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def search(
    here: Here,
    query: Annotated[str, Query(max_length=100)] = "",
    type: str = "",
    exchange: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 30,
) -> Response:
    """Symbols that are watched, by a part of them or of a name."""
    if type not in ("", "crypto"):
        return reply([])
    rows = here.database.query("udf_search", text=query.strip(), market=exchange, limit=limit)
    return reply(
        [
            {
                "symbol": symbol,
                "full_name": symbol,
                "ticker": symbol,
                "description": f"{name} / {quote}",
                "exchange": market,
                "type": "crypto",
            }
            for symbol, quote, market, name in rows
        ]
    )


def history(
    here: Here,
    symbol: Symbol,
    resolution: Resolution,
    since: From,
    to: To,
    countback: Annotated[int | None, Query(ge=1, description="So many bars before `to`, whatever `from` says.")] = None,
) -> Response:
    """The bars that start in a span, oldest first; or, with ``countback``, the last so many before its end."""
    bars = _BARS[resolution]
    known = _known(here, symbol)
    begin = 0 if countback is not None else since
    asked = {
        "symbol": known,
        "width": bars.width,
        "step": bars.length,
        "since": _start_from(begin, bars.length),
        "until": _start_from(to, bars.length),
    }
    limit = min(countback or MOST_POINTS, MOST_POINTS)

    def ask(cursor: pg.cursor) -> str:
        rows = execute(cursor, "udf_bars", **asked, limit=limit, rows=limit * (bars.length // bars.candle))
        columns = rows[0]
        if columns[0] is not None:
            named = ",".join(f'"{name}":[{column}]' for name, column in zip("tohlc", columns, strict=True))
            return f'{{"s":"ok",{named}}}'
        before = execute(
            cursor, "udf_bar_before", symbol=known, width=bars.width, step=bars.length, before=asked["since"]
        )
        # Where there is nothing older, the library has to be told so, or it asks for ever.
        return f'{{"s":"no_data","nextTime":{before[0][0]}}}' if before else '{"s":"no_data"}'

    return raw_reply(here.database.ask(ask, _SECONDS))


def _start_from(second: int, length: timedelta) -> datetime:
    """Where the first bar starts that does not start before; in the time in which there are any."""
    step = int(length.total_seconds())
    within = min(max(second, 0), _LAST)
    return datetime.fromtimestamp(-(-within // step) * step, UTC)


def marks(here: Here, symbol: Symbol, since: From, to: To, resolution: str = "") -> Response:  # noqa: ARG001 - sent
    """The alerts of a symbol, as marks on its bars."""
    span = {"since": _start_from(since, timedelta(seconds=1)), "until": _start_from(to, timedelta(seconds=1))}
    rows = here.database.query("udf_marks", symbol=_known(here, symbol), **span, limit=_MOST_MARKS)
    is_firing = [state == "FIRING" for _, _, state, _, _ in rows]
    columns: dict[str, Any] = {
        "id": [number for number, *_ in rows],
        "time": [second for _, second, *_ in rows],
        "color": ["red" if firing else "green" for firing in is_firing],
        "text": [f"{state} {rule} {terms}" for _, _, state, rule, terms in rows],
        "label": ["F" if firing else "R" for firing in is_firing],
        "labelFontColor": ["white"] * len(rows),
        "minSize": [20] * len(rows),
    }
    return reply(columns)


def _known(here: Here, symbol: str) -> str:
    """The symbol as we write it. Problem 404 with the word that the library looks for."""
    try:
        return known_symbol(here, symbol)
    except Problem as problem:
        if problem.status_code != HTTPStatus.NOT_FOUND:
            raise
        raise Problem(HTTPStatus.NOT_FOUND, "unknown_symbol") from None
