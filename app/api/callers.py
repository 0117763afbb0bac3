"""Who asks: a token's holder, or an address."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import Scope

from app.api.database import Reader, Writer
from app.api.problems import Problem
from app.clock import Clock
from app.errors import DatabaseRefused, DatabaseUnavailable
from app.tokens import Token, Tokens, digest

_REMEMBERED_SECONDS = 5.0
_REMEMBERED = 1000
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE | re.ASCII)
_REFUSED = "The token is unknown, revoked or expired. It should stand in one header: Authorization: Bearer <token>."
# Who passes requests on says so: whoever asks the proxy of this machine is not on this machine for that.
_OF_PROXIES = (
    "forwarded",
    "via",
    "x-forwarded",  # -for, -host, -proto, -server...
    "x-original-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fly-client-ip",
)
"""What names of headers begin with that only those add who pass requests on."""


@dataclass(frozen=True, slots=True)
class Caller:
    """``address``: of the client, or of the proxy that passed it on. ``is_local``: surely from this very machine."""

    address: str
    is_local: bool
    token: Token | None = None

    @property
    def key(self) -> str:
        """Whose requests are counted together: a token's, an address's; a network's, as IPv6 has it."""
        return self.token.id if self.token else _network(self.address)


def caller_of(scope: Scope) -> Caller:
    """Who that is, by the connection alone."""
    address = (scope.get("client") or ("", 0))[0]
    headers = Headers(scope=scope)
    is_local = _is_loopback(address) and not any(name.lower().startswith(_OF_PROXIES) for name in headers)
    return Caller(address, is_local)


def credentials(scope: Scope) -> str | None:
    """The text of the token that a request carries, empty where it is no bearer token; None: it carries nothing."""
    given = Headers(scope=scope).getlist("authorization")
    match = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
    return match[1] if match else "" if given else None


def unauthorized(detail: str, error: str | None = None) -> Problem:
    """401, with what RFC 6750 has the client told."""
    challenge = 'Bearer realm="CryptoMonitor"' + (f', error="{error}"' if error else "")
    return Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": challenge})


@dataclass(frozen=True, slots=True)
class _Seen:
    token: Token
    at: float


class Keyring:
    """Says whose a token is. What it found it remembers for five seconds, so that not every request asks the database.

    While the database is away, also for longer: whoever watches us has to be answered just then. For any number of
    threads.
    """

    def __init__(self, reader: Reader, writer: Writer, clock: Clock) -> None:
        self._tokens, self._uses, self._clock = Tokens(reader), Tokens(writer), clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()

    def remembered(self, text: str) -> Token | None:
        """The token, if it is good and was looked at a moment ago. Asks nobody."""
        with self._lock:
            seen = self._seen.get(digest(text))
        if seen is None or self._clock.monotonic() - seen.at >= _REMEMBERED_SECONDS:
            return None
        return seen.token if seen.token.is_good(self._clock.now()) else None

    def look_up(self, text: str) -> Token:
        """The token. Problem 401 for one that is good for nothing. Raises what ``Reader.ask`` does."""
        try:
            token = self._tokens.find(text)
        except DatabaseUnavailable:
            token = self._last_known(text)
            if token is None:
                raise
        else:
            self._remember(text, token)
        if token is None or not token.is_good(self._clock.now()):
            raise unauthorized(_REFUSED, "invalid_token")
        self._note_use(token)
        return token

    def _last_known(self, text: str) -> Token | None:
        with self._lock:
            seen = self._seen.get(digest(text))
        return None if seen is None else seen.token

    def _remember(self, text: str, token: Token | None) -> None:
        with self._lock:
            self._seen.pop(digest(text), None)
            if token is not None:
                self._seen[digest(text)] = _Seen(token, self._clock.monotonic())
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)

    def _note_use(self, token: Token) -> None:
        hour = self._clock.now().replace(minute=0, second=0, microsecond=0)
        if token.last_used_at is None or token.last_used_at < hour:
            # A use that is not written down is no reason to refuse it.
            with suppress(DatabaseUnavailable, DatabaseRefused):
                self._uses.was_used(token.id)


def _is_loopback(address: str) -> bool:
    with suppress(ValueError):
        ip = ip_address(address)
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        return (mapped or ip).is_loopback
    return False


def _network(address: str) -> str:
    """An IPv4 address; of IPv6 the /64, which is what one household is given, to choose its addresses from."""
    with suppress(ValueError):
        ip = ip_address(address)
        if isinstance(ip, IPv6Address):
            return str(ip.ipv4_mapped or ip_network((int(ip), 64), strict=False))
    return address
