"""Which of CoinGecko's coins the entries of a watch list mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.errors import ProviderRefused, ProviderUnavailable
from app.sources.coingecko_ids import COINS, VS_CURRENCIES
from app.sources.coins import Coin, Coins, Listed, is_clean
from app.watch import Top, Wanted

_PER_PAGE = 250  # the most that /coins/markets gives at once

Get = Callable[[str, Mapping[str, str]], Any]
"""One call: the JSON at a path with a query."""


class CoinGeckoCoins(Coins):
    """Finds coins by ticker: in the table of the largest, else in the provider's list, asked for once and kept."""

    provider = "CoinGecko"
    quotes = VS_CURRENCIES
    table = COINS
    id_hint = "the last part of its page's address"

    def __init__(self, default_market: str, get: Get) -> None:
        super().__init__(default_market)
        self._get = get
        self._by_ticker: dict[str, list[Coin]] | None = None
        self._pages: dict[tuple[str, int, int], list[Any]] = {}

    def find(self, wanted: Sequence[Wanted]) -> list[Coin]:
        return [self._coin(entry) for entry in wanted]

    def largest(self, top: Top) -> list[tuple[str, Coin]]:
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

    def listed(self) -> list[Listed]:
        rows = _rows(self._get("/coins/list", {}), "/coins/list")
        self._by_ticker = _by_ticker(rows)
        return _all(rows)

    def listed_once(self) -> list[Listed]:
        try:
            return _all(_rows(self._get("/coins/list", {"status": "inactive"}), "/coins/list"))
        except ProviderRefused:  # it is not part of every plan
            return []

    def forget(self) -> None:
        self._by_ticker = None

    def _coin(self, entry: Wanted) -> Coin:
        if entry.provider_id:
            unnamed = Coin(entry.provider_id, "")
            return next((coin for coin in COINS.values() if coin.id == entry.provider_id), unnamed)
        return COINS.get(entry.base) or self._listed(entry)

    def _listed(self, entry: Wanted) -> Coin:
        if self._by_ticker is None:
            self.listed()
        candidates = (self._by_ticker or {}).get(entry.base, [])
        if not candidates:
            raise self.none(entry)
        if len(candidates) > 1:
            raise self.several(entry, candidates)
        return candidates[0]

    def _page(self, quote: str, per_page: int, number: int) -> list[Any]:
        """Kept until all are there: many pages do not fit into a minute's calls, and the next attempt goes on here."""
        key = quote, per_page, number
        if key not in self._pages:
            query = {"vs_currency": quote.lower(), "order": "market_cap_desc", "per_page": str(per_page)}
            self._pages[key] = _rows(self._get("/coins/markets", {**query, "page": str(number)}), "/coins/markets")
        return self._pages[key]


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
        if isinstance(ticker, str) and ticker.isascii() and ticker and is_clean(id_):
            found.append((ticker.upper(), Coin(id_, name if is_clean(name) else "")))
    return found


def _all(rows: list[Any]) -> list[Listed]:
    """Each row that has an id, whatever else it lacks."""
    found = []
    for row in rows:
        if isinstance(row, dict) and isinstance(id_ := row.get("id"), str):
            ticker, name = (text if is_clean(text) else "" for text in (row.get("symbol"), row.get("name")))
            found.append(Listed(id_, ticker.upper(), name))
    return found


def _by_ticker(rows: list[Any]) -> dict[str, list[Coin]]:
    index: dict[str, list[Coin]] = {}
    for ticker, coin in _coins(rows):
        index.setdefault(ticker, []).append(coin)
    return index
