"""ccxt's exchange, made to tell of everything that comes in, with every digit that was published.

ccxt (4.5.90) hands on only what is waited for at that moment, reads numbers as floats, stops listening for good at a
frame that it cannot read, and says only to who waits that a connection broke. What is changed here for that is listed
in ``_listening``; the rest, above all what each exchange's frames mean, is ccxt's.
"""

from __future__ import annotations

import functools
import importlib
import ipaddress
import json
import re
import ssl
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from app import log
from app.sources.exchange_ticker import Ticker

_AT_ONCE = 200  # pairs in one subscription; exchanges take no end of them, but not all in one message
_SHOWN = 300  # characters of what an exchange sent
_NAME = re.compile(r"[A-Za-z0-9]+(?:[/:_.\-][A-Za-z0-9]+)*")


class Listener(Protocol):
    """Whom an exchange tells what comes in. All calls come from the event loop's thread."""

    def opened(self) -> None:
        """One more connection stands."""

    def updated(self, pair: str, ticker: Ticker) -> None:
        """A pair has a new ticker."""

    def refused(self, text: str, *, whole: bool) -> None:
        """The exchange says no; ``whole``: to all that was asked for together, not only to what it names."""

    def broke(self, reason: str) -> None:
        """A connection is lost, or could not be made."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy of the environment. Texts of the libraries repeat its address: who we are there is not in it."""

    address: str
    authorization: str = field(repr=False)
    """What it is told of who we are; empty: nothing."""


def can_listen(rest: Any) -> bool:
    """Whether this exchange has a stream of prices. ``rest``: ccxt's object for the exchange."""
    kind = getattr(importlib.import_module("ccxt.pro"), rest.id, None)
    return kind is not None and any(kind().has.get(way) for way in ("watchTickers", "watchTicker"))


def listen(rest: Any, address: str | None, listener: Listener) -> Any:
    """An exchange that is ready to subscribe, in the running event loop.

    Its pairs are those of ``rest``, so that nothing is asked for over HTTP. ``address`` replaces the exchange's own.
    """
    # Only there where somebody wants a stream: it takes a second and 100 MB.
    kind = _listening(getattr(importlib.import_module("ccxt.pro"), rest.id))
    exchange = kind(
        {
            "number": str,  # with every digit
            "timeout_on_exit": 0,
            "options": {"defaultType": "spot"},
        }
    )
    exchange.set_markets_from_exchange(rest)
    exchange.listener = listener
    exchange.tickers = _Tickers(listener)
    if address is not None:
        exchange.urls["api"]["ws"] = _all_at(exchange.urls["api"].get("ws"), address)
    first = _first(exchange.urls["api"].get("ws"))
    exchange.our_proxy = proxy_for(first)
    exchange.ssl_context = _tls() if first.startswith("wss:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return exchange


def subscriptions(exchange: Any, pairs: Iterable[str]) -> Iterator[Coroutine[Any, Any, object]]:
    """What subscribes to these pairs. Each ends with the first update, or raises."""
    wanted = [pair for pair in pairs if pair in exchange.markets]
    if exchange.has.get("watchTickers"):
        for first in range(0, len(wanted), _AT_ONCE):
            yield exchange.watch_tickers(wanted[first : first + _AT_ONCE])
    else:
        for pair in wanted:
            yield exchange.watch_ticker(pair)


def is_lost(error: BaseException) -> bool:
    """Whether it is the connection that is at fault, and not what was asked for."""
    return isinstance(error, (OSError, importlib.import_module("ccxt").NetworkError))


def names(exchange: Any, pairs: Iterable[str]) -> dict[str, str]:
    """By each name that the exchange may use for one of these pairs, the pair."""
    found: dict[str, str] = {}
    for pair in pairs:
        market = exchange.markets.get(pair, {})
        info = market.get("info")
        others = [info.get(key) for key in ("wsname", "altname")] if isinstance(info, Mapping) else []
        found |= {str(name).upper(): pair for name in (pair, market.get("id"), *others) if name}
    return found


def named(text: str, known: Mapping[str, str]) -> set[str]:
    """The pairs that a text names, by ``names``."""
    return {known[name] for name in map(str.upper, _NAME.findall(text)) if name in known}


class _Tickers(dict[str, Ticker]):
    """Where ccxt puts each pair's latest ticker, whoever waits for it."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener

    def __setitem__(self, pair: str, ticker: Ticker) -> None:
        super().__setitem__(pair, ticker)
        self._listener.updated(pair, ticker)


@functools.cache
def _listening(kind: Any) -> Any:
    class Listening(kind):  # type: ignore[misc]
        listener: Listener
        our_proxy: Proxy | None

        def client(self, url: str) -> Any:
            client = super().client(url)
            client.handle_text_or_binary_message = functools.partial(_heard, client)
            if self.our_proxy is not None:
                client.proxy = self.our_proxy.address
                client.create_connection = functools.partial(_connect, client.create_connection, self.our_proxy, url)
            return client

        def handle_message(self, client: Any, message: Any) -> None:
            if (text := _refusal(message)) is not None:
                self.listener.refused(text, whole=False)
            super().handle_message(client, message)

        def on_connected(self, client: Any, message: Any = None) -> None:
            super().on_connected(client, message)
            self.listener.opened()

        def on_error(self, client: Any, error: BaseException) -> None:
            super().on_error(client, error)
            self.listener.broke(str(error))

        def on_close(self, client: Any, code: object) -> None:
            super().on_close(client, code)
            self.listener.broke(f"the server closed the connection (code {code})")

    Listening.__name__ = kind.__name__  # it goes by its name for who it is
    return Listening


def _connect(connect: Callable[[Any], Any], proxy: Proxy, url: str, session: Any) -> Any:
    """In place of ccxt's own, which cannot tell a proxy who we are but in its address."""
    told = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}

    def ws_connect(*args: Any, headers: Mapping[str, str] | None = None, **how: Any) -> Any:
        if url.startswith("wss:"):  # through a tunnel: only what opens it is the proxy's to read
            return session.ws_connect(*args, headers=headers, proxy_headers=told, **how)
        return session.ws_connect(*args, headers={**(headers or {}), **told}, **how)

    return connect(SimpleNamespace(ws_connect=ws_connect, cookie_jar=session.cookie_jar))


def _heard(client: Any, data: str | bytes) -> None:
    """In place of ccxt's own: exact numbers, and a frame that cannot be read costs itself alone."""
    try:
        client.on_message_callback(client, _parse(data))
    except Exception as error:  # noqa: BLE001  ccxt ends its loop at any error: the stream would be dead, and look alive
        log.get(__name__).debug(f"A frame cannot be read ({error!r}): {data[:_SHOWN]!r}", action="frame_lost")


def _parse(data: str | bytes) -> Any:
    text = data.decode() if isinstance(data, bytes) else data
    if not text.lstrip().startswith(("{", "[")):
        return text  # "pong"
    # As texts numbers keep their digits, and ccxt reckons with texts anyway.
    return json.loads(text, parse_float=str, parse_constant=lambda _name: None)


def _refusal(message: Any) -> str | None:
    """What a frame says, if it says no to something."""
    if not isinstance(message, dict):
        return None
    says_no = message.get("error") or message.get("errorMessage") or message.get("success") is False
    says_no = says_no or "error" in (message.get("type"), message.get("event"))
    return json.dumps(message)[:_SHOWN] if says_no else None


def _all_at(own: Any, address: str) -> Any:
    """Every address of these replaced by one."""
    return {name: _all_at(one, address) for name, one in own.items()} if isinstance(own, dict) else address


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all connections: to read the list of authorities is 0.2 s of work."""
    return ssl.create_default_context(cafile=certifi.where())


def _first(addresses: Any) -> str:
    return _first(next(iter(addresses.values()))) if isinstance(addresses, dict) else str(addresses)


def proxy_for(address: str) -> Proxy | None:
    """The proxy that the environment wants for calls there: aiohttp itself knows of none for WebSockets."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(host):  # a proxy has no business with this very machine
        return None
    proxies = getproxies()
    proxy = proxies.get("https" if parts.scheme == "wss" else "http") or proxies.get("all") or ""
    if not proxy.startswith("http"):
        return None
    user, at, rest = proxy.partition("://")[2].rpartition("@")
    name, _, password = user.partition(":")
    known = b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode() if at else ""
    return Proxy(f"{proxy.partition('://')[0]}://{rest}", known and f"Basic {known}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
