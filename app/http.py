"""The one HTTP call of all sources: it ends in time, it is read to a limit, and its failures are errors of ours."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies

import requests
import urllib3

from app import __version__, decode
from app.clock import Clock, TheirClock
from app.deadline import CONNECT_SECONDS, STALL_SECONDS, DeadlineAdapter, deadline
from app.errors import ConfigurationError, ProviderRefused, ProviderUnavailable, RateLimited

DEADLINE_SECONDS = 10.0
MOST_BYTES = 3 * 2**20  # decompressed; the largest reply we ask for, a list of 18,000 coins, has one
_ERROR_BYTES = 16 * 2**10  # of an error page: its status has said it all
_CHUNK_BYTES = 64 * 2**10
KEEP_SECONDS = 4.0  # a connection: many servers hang up after five idle seconds, and a call just then is lost

# The status alone decides; what providers and their CDNs put into the body has too many shapes.
_SLOW_DOWN = frozenset({418, 429})  # 418: Binance, to those who go on after a 429
_REFUSED = frozenset({401, 402, 403, 407, 451})
_MOVED = frozenset({301, 308})

Refusal = Callable[[int, bytes], str | None]
"""From the status (400 to 499) and body of a reply: what a person has to change, None if that would not help. It may
raise an error of ours that says more than the status."""

Read = Callable[[bytes], Any]
"""Makes something of the body of a reply with 200. Raises ValueError, with what is wrong, where it cannot."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider answered with 200: its JSON, the time on its clock if it says so, and when it was complete."""

    data: Any
    date: datetime | None
    received_at: datetime

    @property
    def now(self) -> datetime:
        """The provider's clock at the time of the reply, ours where it does not say."""
        return self.date or self.received_at


class Http:
    """Asks one provider, for one thread at a time.

    ``root`` is its address without a slash at the end; ``secret_headers`` go with each call and into no text. Raises
    ConfigurationError for a proxy in the environment that is none.
    """

    def __init__(
        self,
        provider: str,
        root: str,
        clock: Clock,
        *,
        secret_headers: Mapping[str, str] | None = None,
        refusal: Refusal = lambda _status, _body: None,
        deadline_seconds: float = DEADLINE_SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.root = root
        self._provider, self._clock, self._refusal = provider, clock, refusal
        self._their_clock = TheirClock(clock)
        self._deadline_seconds, self._most_bytes = deadline_seconds, most_bytes
        self._secrets = [secret for secret in (secret_headers or {}).values() if secret]
        if not _is_loopback(urlsplit(root).hostname or ""):
            self._secrets += _told_to_proxies()
        self._session = _session(secret_headers or {})
        self._last_call = 0.0

    def url(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """The whole address of a call; commas stay commas."""
        return f"{self.root}{path}" + (f"?{urlencode(query, safe=',', quote_via=quote)}" if query else "")

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        """Ask, and read the JSON of a reply of status 200.

        Raises RateLimited, ProviderRefused, or, for all else, from no connection to broken JSON, ProviderUnavailable.
        """
        return self.request(self.url(path, query))

    def request(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        read: Read = decode.parse,
    ) -> Reply:
        """The same as ``get``, for a whole address, which may be one of another host of the provider."""
        status, told, said = self._exchange(url, method, headers, body)
        received_at = self._clock.now()
        date = self._their_clock.read(_http_date(told.get("Date")))
        if status != 200:
            error = self._error(status, told, said, date or received_at)
            if isinstance(error, ProviderUnavailable):
                error.status = status
            raise error
        try:
            data = read(said)
        except ValueError as error:
            raise ProviderUnavailable(f"{self._provider}: HTTP 200, but {error}{self._excerpt(said)}") from None
        return Reply(data, date, received_at)

    def close(self) -> None:
        """Close the connections that are kept for the next call."""
        self._session.close()

    def _exchange(
        self, url: str, method: str, more_headers: Mapping[str, str] | None, content: str | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        host = urlsplit(url).hostname or url
        start = time.monotonic()
        if start - self._last_call > KEEP_SECONDS:
            self._session.close()  # its idle connections; the session goes on
        timeouts = (CONNECT_SECONDS, STALL_SECONDS)
        try:
            with (
                deadline(self._deadline_seconds),
                self._session.request(
                    method,
                    url,
                    headers=more_headers,
                    data=content.encode() if content else None,
                    stream=True,
                    allow_redirects=False,
                    timeout=timeouts,
                    # A proxy has no business with an address on this very machine, whatever the environment says.
                    proxies={"no_proxy": host} if _is_loopback(host) else None,
                ) as response,
            ):
                return response.status_code, response.headers, self._read(response)
        # Every exception of requests is an OSError; a few of urllib3 slip through it.
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise ProviderUnavailable(
                f"{self._provider}: no complete reply from {host} after {time.monotonic() - start:.1f} s"
                f" ({self._printable(_without_users(_root_of(error)))})"
            ) from None
        finally:
            self._last_call = time.monotonic()

    def _read(self, response: requests.Response) -> bytes:
        wanted = response.status_code == 200
        limit = self._most_bytes if wanted else _ERROR_BYTES
        body = bytearray()
        try:
            for chunk in response.iter_content(_CHUNK_BYTES):
                body += chunk
                if len(body) > limit:
                    break
        except (OSError, urllib3.exceptions.HTTPError):
            if wanted:
                raise
        if wanted and len(body) > limit:
            raise ProviderUnavailable(f"{self._provider}: the reply has more than {limit} bytes")
        del body[limit:]
        return bytes(body)

    def _error(
        self, status: int, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> ProviderUnavailable | ProviderRefused:
        said = f"{self._provider}: HTTP {status}"
        if status in _SLOW_DOWN:
            seconds = retry_after(headers.get("Retry-After"), now)
            wait = "" if seconds is None else f"; it asks us to wait {seconds:.0f} s"
            return RateLimited(f"{said}, too many calls{wait}{self._excerpt(body)}", seconds)
        if 300 <= status < 400:
            target = self._printable(headers.get("Location", "nowhere").partition("?")[0])
            text = f"{said}, a redirect to {target}, which is not followed"
            if status in _MOVED:
                return ProviderRefused(f"{text}; if it is right, change {self._provider.upper()}_BASE_URL")
            return ProviderUnavailable(text)
        advice = self._refusal(status, body) if 400 <= status < 500 else None
        if advice or status in _REFUSED:
            return ProviderRefused(f"{said}, refused: {advice or 'check its key and plan'}{self._excerpt(body)}")
        return ProviderUnavailable(f"{said}{self._excerpt(body)}")

    def _excerpt(self, body: bytes) -> str:
        text = body[:_ERROR_BYTES].decode("utf-8", "replace").strip()
        if text.startswith("<"):
            return " (an HTML page)"
        return f" ({self._printable(text)})" if text else ""

    def _printable(self, text: str) -> str:
        """At most a line of it, without control characters, and without secrets: a provider may repeat a key."""
        for secret in self._secrets:
            text = text.replace(secret, "********")
        line = "".join(c if c.isprintable() else " " for c in text)
        return line if len(line) <= 200 else f"{line[:200]}..."


def retry_after(value: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date; None for what makes no sense."""
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    date = _http_date(value)
    return (date - now).total_seconds() if date is not None and date >= now else None


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests looks at a redirect also when told not to follow it, and reads its body without limit."""


def _session(secret_headers: Mapping[str, str]) -> requests.Session:
    # It logs a reply with a broken header, with what it came with, at every call.
    logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
    session = _Session()
    session.headers.update(
        {"User-Agent": f"CryptoMonitor/{__version__}", "Accept": "application/json", "Accept-Encoding": "gzip"}
    )
    session.headers.update(secret_headers)
    session.auth = lambda request: request  # else a ~/.netrc adds a password of its own
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = DeadlineAdapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _told_to_proxies() -> list[str]:
    """Passwords of the environment's proxies, as they are written and sent: a proxy may repeat them, as others do."""
    told: list[str] = []
    for kind, proxy in getproxies().items():
        if kind not in ("http", "https", "all"):
            continue
        address = proxy if "://" in proxy else f"http://{proxy}"
        try:
            parts = urlsplit(address)
            good = bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise ConfigurationError(
                f"{kind.upper()}_PROXY=********: should be http://host:port, or http://user:password@host:port"
            )
        user, password = requests.utils.get_auth_from_url(address)
        sent = b64encode(f"{user}:{password}".encode()).decode().rstrip("=")
        told += [sent, password, quote(password, safe="")] if password else []
    return told


def _without_users(text: str) -> str:
    """The libraries' texts repeat the address of a proxy that is of no use to them, with its user and password."""
    return re.sub(r"(?<!\S)\S*@", "********@", text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _http_date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _root_of(error: BaseException) -> str:
    """The innermost cause: what requests and urllib3 put around it repeats the address, and little else."""
    while True:
        inside = (error.__cause__, getattr(error, "reason", None), *error.args)
        cause = next((cause for cause in inside if isinstance(cause, BaseException)), None)
        if cause is None:
            return str(error) or type(error).__name__
        error = cause
