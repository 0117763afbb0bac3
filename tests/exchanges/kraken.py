"""Kraken's public REST API, as recorded 2021 to 2026: errors come with 200, values are texts, tickers have no time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.exchanges.site import Query, Site, serving

KEPT_BARS = 720
_ASSETS = {"BTC": "XXBT", "DOGE": "XXDG", "ETH": "XETH", "USD": "ZUSD", "EUR": "ZEUR", "JPY": "ZJPY", "CAD": "ZCAD"}
_ALTNAMES = {"XXBT": "XBT", "XXDG": "XDG"}


def asset(code: str) -> str:
    """Kraken's own name of an asset, as the older pairs have it."""
    return _ASSETS.get(code, code)


def pair(base: str, quote: str, **more: Any) -> dict[str, Any]:
    """An entry of AssetPairs; its id is ``id_of`` it."""
    base, quote = asset(base), asset(quote)
    alt = {name: _ALTNAMES.get(name, name[1:] if name in _ASSETS.values() else name) for name in (base, quote)}
    return {
        "altname": alt[base] + alt[quote], "wsname": f"{alt[base]}/{alt[quote]}",
        "aclass_base": "currency", "base": base, "aclass_quote": "currency", "quote": quote,
        "lot": "unit", "cost_decimals": 5, "pair_decimals": 1, "lot_decimals": 8, "lot_multiplier": 1,
        "leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD", "margin_call": 80, "margin_stop": 40, "ordermin": "0.00005", "costmin": "0.5",
        "tick_size": "0.1", "status": "online", **more,
    }  # fmt: skip


def id_of(entry: Mapping[str, Any]) -> str:
    return f"{entry['base']}{entry['quote']}"


def ticker(last: str, volume: str = "2495.15962868", mean: str = "62008.46345", trades: int = 51325) -> dict[str, Any]:
    return {
        "a": ["60934.90000", "1", "1.000"], "b": ["60934.80000", "1", "1.000"], "c": [last, "0.00081229"],
        "v": ["1711.37514266", volume], "p": ["61823.00423", mean], "t": [34766, trades],
        "l": ["60809.10000", "60809.10000"], "h": ["63138.70000", "63138.70000"], "o": "62650.30000",
    }  # fmt: skip


def dead() -> dict[str, Any]:
    """A pair that was never traded, as it was recorded."""
    return {
        "a": ["0.00930000", "3886", "3886.000"], "b": ["0.00050000", "1020", "1020.000"],
        "c": ["0.00000000", "0.00000"], "v": ["0.00000", "0.00000"], "p": ["0.00000000", "0.00000000"], "t": [0, 0],
        "l": ["0.00000000", "0.00000000"], "h": ["0.00000000", "0.00000000"], "o": "0.00000000",
    }  # fmt: skip


def bar(start: int, price: str = "60000.1", trades: int = 3) -> list[Any]:
    """Four prices around this one; nothing was traded in a bar without trades."""
    whole = price.partition(".")[0]
    volume = "0.01000000" if trades else "0.00000000"
    return [start, price, f"{int(whole) + 9}.5", f"{int(whole) - 9}.25", f"{whole}.7", price, volume, trades]


@contextmanager
def kraken(
    pairs: Mapping[str, Any],
    tickers: Mapping[str, Any],
    bars: Mapping[int, list[list[Any]]] | None = None,
    time: int = 1_782_000_000,
) -> Iterator[Site]:
    """Serve these, by id; ``bars`` by the minutes of each, the unfinished one last."""

    def answer(path: str, query: Query) -> Any:
        match path:
            case "/0/public/Time":
                return _reply({"unixtime": time, "rfc1123": "Wed, 24 Jun 26 14:57:19 +0000"})
            case "/0/public/Assets":
                return _reply(_assets(pairs))
            case "/0/public/AssetPairs":
                return _reply(dict(pairs))
            case "/0/public/Ticker":
                return _tickers(tickers, query)
            case "/0/public/OHLC":
                return _bars(bars or {}, query, pairs)
        return {"error": ["EGeneral:Unknown method"]}

    with serving(answer) as site:
        yield site


def _reply(result: Any) -> dict[str, Any]:
    return {"error": [], "result": result}


def _assets(pairs: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry[side] for entry in pairs.values() for side in ("base", "quote")}
    return {
        name: {
            "aclass": "currency", "altname": _ALTNAMES.get(name, name[1:] if name in _ASSETS.values() else name),
            "decimals": 10, "display_decimals": 5, "status": "enabled",
        }
        for name in sorted(names)
    }  # fmt: skip


def _tickers(tickers: Mapping[str, Any], query: Query) -> dict[str, Any]:
    if "pair" not in query:
        return _reply(dict(tickers))
    wanted = query["pair"].split(",")
    if any(name not in tickers for name in wanted):
        return {"error": ["EQuery:Unknown asset pair"]}
    return _reply({name: tickers[name] for name in wanted})


def _bars(bars: Mapping[int, list[list[Any]]], query: Query, pairs: Mapping[str, Any]) -> dict[str, Any]:
    if query["pair"] not in pairs:
        return {"error": ["EQuery:Unknown asset pair"]}
    rows = bars.get(int(query.get("interval", "1")), [])[-KEPT_BARS:]
    rows = [row for row in rows if row[0] > int(query.get("since", "0"))]
    return _reply({query["pair"]: rows, "last": rows[-2][0] if len(rows) > 1 else 0})
