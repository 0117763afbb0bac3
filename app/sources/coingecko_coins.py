"""Which of CoinGecko's coins the entries of a watch list mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app import log
from app.errors import ConfigurationError, ProviderUnavailable
from app.model import Instrument, parse_symbol, symbol_of
from app.sources.coingecko_ids import COINS, VS_CURRENCIES, Coin
from app.watch import Entry, EveryPair, Top, Wanted

_PER_PAGE = 250  # the most that /coins/markets gives at once
_CANDIDATES = 8  # of a shared ticker, as many as one wants to read

Get = Callable[[str, Mapping[str, str]], Any]
"""One call: the JSON at a path with a query."""

_log = log.get(__name__)


class Coins:
    """Finds coins by ticker: in the table of the largest, else in the provider's list, which is asked for once."""

    def __init__(self, market: str, default_market: str, get: Get) -> None:
        self._market, self._default_market, self._get = market, default_market, get
        self._by_ticker: dict[str, list[Coin]] | None = None
        self._pages: dict[tuple[str, int, int], list[Any]] = {}

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        """One instrument for each symbol: those named first, then those of ``top``, largest first.

        Raises ConfigurationError, naming the entry, for one that means no coin, several, or no possible quote.
        """
        found: dict[str, Instrument] = {}
        tops: list[Top] = []
        for entry in entries:
            _refuse_impossible(entry)
            if isinstance(entry, Top):
                tops.append(entry)
            elif isinstance(entry, Wanted):
                instrument = self._named(entry)
                other = found.setdefault(entry.symbol, instrument)
                if other != instrument:
                    raise ConfigurationError(
                        f"WATCH: {entry.symbol!r}: stands for both {other.provider_id} and {instrument.provider_id};"
                        " write one of them under another symbol"
                    )
        for top in tops:
            self._add_largest(top, found)
        return list(found.values())

    def _named(self, entry: Wanted) -> Instrument:
        coin = self._explicit(entry.provider_id) if entry.provider_id else COINS.get(entry.base)
        coin = coin or self._listed(entry)
        return Instrument(entry.base, entry.quote, entry.market, entry.symbol, coin.id, coin.name or None)

    def _explicit(self, provider_id: str) -> Coin:
        return next((coin for coin in COINS.values() if coin.id == provider_id), Coin(provider_id, ""))

    def _listed(self, entry: Wanted) -> Coin:
        if self._by_ticker is None:
            self._by_ticker = _by_ticker(_rows(self._get("/coins/list", {}), "/coins/list"))
        candidates = self._by_ticker.get(entry.base, [])
        if len(candidates) == 1:
            return candidates[0]
        if not candidates:
            raise ConfigurationError(
                f"WATCH: {entry.symbol!r}: CoinGecko knows no coin with the ticker {entry.base}; a coin with another"
                f" ticker there is written with its id, the last part of its page's address: {entry.symbol}=<id>"
            )
        shown = [f"  {entry.symbol}={coin.id}  ({coin.name})" for coin in candidates[:_CANDIDATES]]
        more = len(candidates) - len(shown)
        raise ConfigurationError(
            "\n".join(
                [
                    f"WATCH: {entry.symbol!r}: {len(candidates)} coins at CoinGecko have the ticker {entry.base}."
                    " Anybody may give a coin any ticker, so write which one you mean:",
                    *shown,
                    *([f"  and {more} more; the last part of the address of a coin's page is its id"] if more else []),
                ]
            )
        )

    def _add_largest(self, top: Top, found: dict[str, Instrument]) -> None:
        there = {(instrument.provider_id, instrument.quote) for instrument in found.values()}
        left_out: list[str] = []
        for ticker, coin in self._largest(top):
            symbol = symbol_of(ticker, top.quote, top.market, self._default_market)
            if (coin.id, top.quote) in there:
                continue
            if not _is_asset(ticker):
                left_out.append(f"{coin.id}: {ticker} cannot be a symbol")
            elif symbol in found:
                left_out.append(f"{coin.id}: {symbol} is {found[symbol].provider_id}")
            else:
                found[symbol] = Instrument(ticker, top.quote, top.market, symbol, coin.id, coin.name or None)
        if left_out:
            _log.warning(
                f"{len(left_out)} of the {top.count} largest coins are left out: their ticker belongs to a larger one"
                " or to one that WATCH names, or it cannot be a symbol.",
                action="coins_left_out",
                coins=left_out,
            )

    def _largest(self, top: Top) -> list[tuple[str, Coin]]:
        per_page = min(top.count, _PER_PAGE)
        coins: dict[Coin, str] = {}  # without repetitions: ranks may change between two pages
        for page in range(1, -(-top.count // per_page) + 1):
            rows = self._page(top.quote, per_page, page)
            coins.update((coin, ticker) for ticker, coin in _coins(rows))
            if len(rows) < per_page:
                break
        self._pages.clear()
        if not coins:
            raise ProviderUnavailable("coingecko: /coins/markets lists no coin at all")
        return [(ticker, coin) for coin, ticker in coins.items()][: top.count]

    def _page(self, quote: str, per_page: int, number: int) -> list[Any]:
        """Kept until all are there: many pages do not fit into a minute's calls, and the next attempt goes on here."""
        key = quote, per_page, number
        if key not in self._pages:
            query = {"vs_currency": quote.lower(), "order": "market_cap_desc", "per_page": str(per_page)}
            self._pages[key] = _rows(self._get("/coins/markets", {**query, "page": str(number)}), "/coins/markets")
        return self._pages[key]


def _refuse_impossible(entry: Entry) -> None:
    if isinstance(entry, EveryPair):
        raise ConfigurationError(
            f"WATCH: '*@{entry.market}': an aggregator has no list of pairs; top:250 watches its 250 largest coins"
        )
    if entry.quote not in VS_CURRENCIES:
        name = entry.symbol if isinstance(entry, Wanted) else f"top:{entry.count}"
        raise ConfigurationError(
            f"WATCH: {name!r}: CoinGecko has no prices in {entry.quote} (it stands there, or in QUOTE); possible are "
            + ", ".join(sorted(VS_CURRENCIES))
        )


def _is_asset(ticker: str) -> bool:
    """BSC-USD, for one, is a ticker, but as a symbol it would be BSC in USD."""
    parts = parse_symbol(ticker, default_market="")
    return parts is not None and parts[0] == ticker


def _rows(data: Any, path: str) -> list[Any]:
    if not isinstance(data, list):
        raise ProviderUnavailable(f"coingecko: {path} should be a list, and is none")
    return data


def _coins(rows: list[Any]) -> list[tuple[str, Coin]]:
    """Ticker and coin of each row that has both; one that has not is skipped, as nothing could be said about it."""
    found = []
    for row in rows:
        texts = [row.get(key) for key in ("symbol", "id", "name")] if isinstance(row, dict) else []
        ticker, id_, name = texts if len(texts) == 3 else ("", "", "")
        if isinstance(ticker, str) and isinstance(id_, str) and ticker.isascii() and ticker and _is_clean(id_):
            found.append((ticker.upper(), Coin(id_, name if isinstance(name, str) and _is_clean(name) else "")))
    return found


def _is_clean(text: str) -> bool:
    """No control characters and no half of a surrogate pair: neither a log nor a database takes those."""
    return bool(text) and text.isprintable()


def _by_ticker(rows: list[Any]) -> dict[str, list[Coin]]:
    index: dict[str, list[Coin]] = {}
    for ticker, coin in _coins(rows):
        index.setdefault(ticker, []).append(coin)
    return index
