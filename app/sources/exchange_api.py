"""ccxt for one exchange: it builds addresses and reads replies, what goes over the wire is app.http's.

ccxt (4.5.90) would open connections of its own, without a deadline for the whole or a limit of bytes, sleep to keep
limits, and read numbers as floats. So some of its methods are replaced here, in ``_install``.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from app.clock import Clock
from app.errors import ConfigurationError, CryptoMonitorError, ProviderRefused, ProviderUnavailable, RateLimited
from app.http import Http
from app.limits import CallBudget
from app.sources.exchange_traits import CCXT_IDS, Traits, traits_of

PAIRS_SECONDS, PAIRS_BYTES = 60.0, 32 * 2**20  # the list of pairs: Binance's has several MB
TICKERS_BYTES = 8 * 2**20  # Kraken's have 0.4 MB, Binance's 2 MB
_MOST_PIECES = 2_000_000  # values, names, lists, objects in one body
_SHOWN = 200  # characters of what an exchange says
_MISSING = "reading exchanges needs ccxt: pip install --no-deps -r requirements-exchanges.txt"
_REFUSED_HERE = "it does not serve this address, country or account; look at its terms"


class UnknownPair(Exception):
    """The exchange does not know one of the pairs that it was asked for."""


def refusal(market: str) -> str | None:
    """Why no exchange can be asked under the name of this market, None if one can."""
    if importlib.util.find_spec("ccxt") is None:
        return f"no such market here; {_MISSING}"
    ccxt = importlib.import_module("ccxt")
    if CCXT_IDS.get(market, market) in ccxt.exchanges:
        return None
    near = difflib.get_close_matches(market, ["coingecko", "coinmarketcap", *CCXT_IDS, *ccxt.exchanges], 5, 0.5)
    return "no such market" + (f"; the nearest are {', '.join(near)}" if near else "; it should be an id of ccxt")


class Api:
    """Asks one exchange, for one thread at a time. ``ccxt`` is ccxt's object for it, with its spot markets alone."""

    def __init__(self, market: str, base_url: str | None, clock: Clock, budget: Callable[[Traits], CallBudget]) -> None:
        if (reason := refusal(market)) is not None:
            raise ConfigurationError(f"WATCH: {f'@{market}'!r}: {reason}")
        self.market, self.clock = market, clock
        self.ccxt = _ccxt_object(CCXT_IDS.get(market, market), base_url)
        self.traits = traits_of(self.ccxt)
        self.budget = budget(self.traits)
        self.root = base_url or _address(self.ccxt)
        self._prices = self._http(most_bytes=TICKERS_BYTES)
        self._lists = self._http(most_bytes=PAIRS_BYTES, deadline_seconds=PAIRS_SECONDS)
        self._using, self._backfill = self._prices, False
        # Bursts are not welcome anywhere; nor need a local stand-in be spared.
        self._pause = 0.0 if base_url else min(self.ccxt.rateLimit / 1000, 1.0)
        self._free_at, self._never = 0.0, threading.Event()
        self._request: tuple[str, str] = ("", "GET")
        self._ours: Exception | None = None
        self.received_at = self.their_now = clock.now()
        """Of the last reply: when it was here, and what the time was there."""
        self._install()

    def load_pairs(self) -> None:
        """Learn which spot pairs there are. What was known stays where that fails."""
        self._using = self._lists
        try:
            with self.asking():
                self.ccxt.load_markets(True, dict(self.traits.for_pairs))
        except UnknownPair as error:  # as Coinbase says NotFound also of an address that is not its own
            raise ProviderUnavailable(str(error)) from None
        finally:
            self._using = self._prices

    @contextmanager
    def asking(self, *, backfill: bool = False) -> Iterator[None]:
        """Calls through ``ccxt`` in here raise errors of ours: those of a Source, and UnknownPair."""
        self._backfill = backfill
        try:
            with self._translated():
                yield
        finally:
            self._backfill, self._ours = False, None

    def close(self) -> None:
        self._prices.close()
        self._lists.close()

    def _http(self, **limits: Any) -> Http:
        return Http(self.market, self.root, self.clock, refusal=self._advice, **limits)

    def _install(self) -> None:
        api, all_markets = self.ccxt, self.ccxt.fetch_markets
        api.fetch = self._fetch
        api.fetch_markets = lambda params=None: _pairs(all_markets(params or {}))
        # ccxt's own derives from one value what others could be, which takes longer than all the rest of a reply.
        api.safe_ticker = lambda ticker, _market=None: {**ticker, "last": ticker.get("last") or ticker.get("close")}

    def _send(self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: Any = None) -> Any:
        self._request = url, method
        if (seconds := self._free_at - self.clock.monotonic()) > 0:
            self.clock.wait(self._never, seconds)
        with self.budget.call(backfill=self._backfill):
            try:
                reply = self._using.request(url, method=method, headers=headers, body=body, read=_read)
                self.received_at, self.their_now = reply.received_at, reply.now
                text, data = reply.data
                # Kraken, for one, says with 200 that it was asked too often: that has to be known to the budget.
                with self._translated():
                    self._look_for_errors(200, text, data)
            finally:
                self._free_at = self.clock.monotonic() + self._pause
        return data

    def _fetch(self, *request: Any) -> Any:
        """ccxt's own call, as it makes it for every address that it has built."""
        try:
            return self._send(*request)
        except Exception as error:
            self._ours = error  # not to be taken for one of ccxt's, whatever its kind
            raise

    def _look_for_errors(self, status: int, text: str, data: Any) -> None:
        url, method = self._request
        self.ccxt.handle_errors(status, "", url, method, {}, text, data, {}, None)

    def _advice(self, status: int, body: bytes) -> str | None:
        """What app.http asks about a reply of 4xx: what ccxt knows of its body says more than the status."""
        if status in (403, 451):
            return _REFUSED_HERE
        try:
            text, data = _read(body)
        except ValueError:
            return None
        with self._translated():
            self._look_for_errors(status, text, data)
        return None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """ccxt's errors become ours, or UnknownPair."""
        errors = importlib.import_module("ccxt")
        try:
            yield
        except Exception as error:
            if error is self._ours or isinstance(error, (CryptoMonitorError, UnknownPair)):
                raise
            if isinstance(error, errors.BaseError):
                raise self._told(errors, error) from None
            # ccxt takes replies for what they should be.
            if isinstance(error, (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)):
                raise ProviderUnavailable(
                    f"{self.market}: its reply is not of the kind that ccxt expects ({type(error).__name__})"
                ) from None
            raise

    def _told(self, errors: Any, error: Exception) -> Exception:
        said = f"{self.market}: {_printable(str(error))}"
        mark = self.traits.unknown_pair
        if isinstance(error, errors.BadSymbol) or (mark and mark in str(error)):
            return UnknownPair(said)
        if isinstance(error, (errors.RateLimitExceeded, errors.DDoSProtection)):
            return RateLimited(f"{said}: too many calls")
        if isinstance(error, (errors.AuthenticationError, errors.RestrictedLocation, errors.ManualInteractionNeeded)):
            return ProviderRefused(f"{said}: refused; {_REFUSED_HERE}")
        return ProviderUnavailable(said)


def _ccxt_object(name: str, base_url: str | None) -> Any:
    # Not sooner: it takes a second and 76 MB.
    api = getattr(importlib.import_module("ccxt"), name)(
        # Numbers stay texts with every digit that was published. Limits are kept by us.
        {"number": str, "enableRateLimit": False, "options": {"defaultType": "spot"}}
    )
    types = api.options.get("fetchMarkets")
    if isinstance(types, dict) and "spot" in types.get("types", ()):
        types["types"] = ["spot"]
    api.options.update(traits_of(api).options)
    api.commonCurrencies.update(traits_of(api).codes)
    if base_url:
        api.urls["api"] = _moved(api.urls["api"], base_url.rstrip("/"))
    return api


def _moved(urls: Any, base_url: str) -> Any:
    """The addresses, however they are nested, at another host; their paths stay, as far as ``base_url`` lacks them."""
    if isinstance(urls, dict):
        return {kind: _moved(url, base_url) for kind, url in urls.items()}
    if not isinstance(urls, str) or not urls.startswith("http"):
        return urls
    path = re.sub(r"^https?://[^/]*", "", urls)
    return base_url if path and base_url.endswith(path) else base_url + path


def _address(api: Any) -> str:
    """Where it is asked, for texts and for the question whether a proxy is in between."""
    urls = api.urls["api"]
    while isinstance(urls, dict):
        urls = urls.get("public") or next(iter(urls.values()))
    parts = urlsplit(str(api.implode_hostname(urls)))
    return f"{parts.scheme}://{parts.netloc}"


def _pairs(markets: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that are pairs. Of two under one name the first stays: ccxt would mix their prices."""
    found: dict[Any, Mapping[str, Any]] = {}
    for market in filter(_is_pair, markets):
        found.setdefault(market["symbol"], market)
    return list(found.values())


def _is_pair(market: Mapping[str, Any]) -> bool:
    """Spot, active, and no second way to trade what another pair is: no ``BTC/USD:BTNL`` and no dark pool."""
    return (
        market.get("spot") is True
        and market.get("active") is not False
        and market.get("symbol") == f"{market.get('base')}/{market.get('quote')}"
        and not str(market.get("id")).endswith(".d")
    )


def _read(body: bytes) -> tuple[str, Any]:
    """The text of a reply and its JSON as ccxt reads it, but fractions are texts, with every digit."""
    if sum(map(body.count, (b",", b":", b"[", b"{"))) > _MOST_PIECES:
        raise ValueError("the body has far too many values")
    try:
        text = body.decode("utf-8-sig").strip()
        return text, json.loads(text, parse_float=str, parse_constant=lambda _name: None)
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the body is no JSON ({error})") from None


def _printable(text: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
