"""Which of CoinMarketCap's coins the entries of a watch list mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import Any

from app.errors import ConfigurationError, ProviderUnavailable
from app.sources.coinmarketcap_errors import UnknownTickers
from app.sources.coinmarketcap_ids import COINS, QUOTES
from app.sources.coinmarketcap_replies import whole
from app.sources.coins import Coin, Coins, Listed, is_clean
from app.watch import Top, Wanted

_MAP = "/v1/cryptocurrency/map"
_PER_PAGE = 5000  # the most that it gives at once
_PER_CALL = 50  # tickers, for an address of a length that everybody takes
_LONGEST_ID = 9  # digits
_NO_RANK = 10**9

Get = Callable[[str, Mapping[str, str]], Any]
"""One call: what stands in ``data`` at a path with a query."""


class CoinMarketCapCoins(Coins):
    """Finds coins by ticker: in the table of large ones, else in the provider's map, asked for what is missing there.

    The map costs no credit (it was one until lately), but counts as a call.
    """

    provider = "CoinMarketCap"
    quotes = QUOTES
    table = COINS
    id_hint = "the number that its page gives as UCID"

    def __init__(self, default_market: str, get: Get) -> None:
        super().__init__(default_market)
        self._get = get
        self._by_ticker: dict[str, list[Coin]] = {}
        self._pages: dict[int, list[Any]] = {}

    def find(self, wanted: Sequence[Wanted]) -> list[Coin]:
        self._learn([entry.base for entry in wanted if not entry.provider_id and entry.base not in COINS])
        return [self._coin(entry) for entry in wanted]

    def largest(self, top: Top) -> list[tuple[str, Coin]]:
        coins: dict[str, tuple[str, Coin]] = {}  # without repetitions: ranks may change between two pages
        per_page = min(top.count, _PER_PAGE)
        for number in range(-(-top.count // per_page)):
            rows = self._page(per_page, number)
            coins |= {coin.id: (ticker, coin) for ticker, coin in _coins(rows) if coin.id not in coins}
            if len(rows) < per_page:
                break
        self._pages.clear()
        if not coins:
            raise ProviderUnavailable(f"coinmarketcap: {_MAP} lists no coin at all")
        return list(coins.values())[: top.count]

    def listed(self) -> list[Listed]:
        found: list[Listed] = []
        for number in count():
            query = {"listing_status": "active", "start": str(number * _PER_PAGE + 1), "limit": str(_PER_PAGE)}
            rows = _rows(self._get(_MAP, {**query, "sort": "id", "aux": "is_active"}))
            found += _all(rows)
            if len(rows) < _PER_PAGE:
                break
        return found

    def forget(self) -> None:
        self._by_ticker.clear()

    def _coin(self, entry: Wanted) -> Coin:
        if entry.provider_id:
            return _explicit(entry)
        if entry.base in COINS:
            return COINS[entry.base]
        candidates = self._by_ticker.get(entry.base, [])
        if not candidates:
            raise self.none(entry)
        if len(candidates) > 1:
            raise self.several(entry, candidates)
        return candidates[0]

    def _learn(self, tickers: Sequence[str]) -> None:
        """Ask for the coins of these tickers. What was answered is kept: after a limit the next one goes on here."""
        missing = [ticker for ticker in dict.fromkeys(tickers) if ticker not in self._by_ticker]
        for start in range(0, len(missing), _PER_CALL):
            self._ask(missing[start : start + _PER_CALL])

    def _ask(self, tickers: Sequence[str]) -> None:
        """One ticker that nobody has fails the call, and the reply may name it: the others are asked for again."""
        try:
            rows = self._get(_MAP, {"symbol": ",".join(tickers), "aux": "is_active"})
        except UnknownTickers as error:
            others = [ticker for ticker in tickers if ticker not in error.tickers]
            if len(others) == len(tickers):
                # It does not say which: halves, until one is alone.
                for half in (others[: len(others) // 2], others[len(others) // 2 :]) if len(others) > 1 else ():
                    self._ask(half)
            elif others:
                self._ask(others)
            return
        for ticker, coin in sorted(_coins(_rows(rows)), key=lambda found: found[1].rank or _NO_RANK):
            if ticker in tickers:
                self._by_ticker.setdefault(ticker, []).append(coin)

    def _page(self, per_page: int, number: int) -> list[Any]:
        """Kept until all are there: a limit may come between two pages, and the next attempt goes on here."""
        if number not in self._pages:
            query = {"sort": "cmc_rank", "start": str(number * per_page + 1), "limit": str(per_page)}
            self._pages[number] = _rows(self._get(_MAP, {**query, "aux": "is_active"}))
        return self._pages[number]


def _explicit(entry: Wanted) -> Coin:
    id_ = entry.provider_id or ""
    if not (id_.isascii() and id_.isdigit() and len(id_) <= _LONGEST_ID and int(id_) > 0):
        raise ConfigurationError(
            f"WATCH: '{entry.symbol}={id_}': CoinMarketCap's ids are numbers, such as 1 for Bitcoin; a coin's is"
            f" {CoinMarketCapCoins.id_hint}"
        )
    id_ = str(int(id_))
    return next((coin for coin in COINS.values() if coin.id == id_), Coin(id_, ""))


def _rows(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise ProviderUnavailable(f"coinmarketcap: the data of {_MAP} should be a list, and is none")
    return data


def _coins(rows: list[Any]) -> list[tuple[str, Coin]]:
    """Ticker and coin of each active row that has both; nothing could be said about another."""
    found = []
    for row in rows:
        if not isinstance(row, dict) or row.get("is_active") == Decimal(0):
            continue
        ticker, id_, name = row.get("symbol"), whole(row.get("id")), row.get("name")
        if is_clean(ticker) and ticker.isascii() and id_:
            found.append((ticker.upper(), Coin(str(id_), name if is_clean(name) else "", whole(row.get("rank")))))
    return found


def _all(rows: list[Any]) -> list[Listed]:
    """Each active row that has an id, whatever else it lacks."""
    found = []
    for row in rows:
        if isinstance(row, dict) and row.get("is_active") != Decimal(0) and (id_ := whole(row.get("id"))):
            ticker, name = (text if is_clean(text) else "" for text in (row.get("symbol"), row.get("name")))
            found.append(Listed(str(id_), ticker.upper(), name))
    return found
