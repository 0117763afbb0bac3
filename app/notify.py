"""What NOTIFY_URLS and NOTIFY_ALLOW say: which channels there are, and which receivers in private networks are meant.

Addresses hold tokens and passwords, so nothing here ever shows one: a channel is known by its name.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from app.errors import ConfigurationError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9_-]*[a-z0-9])?\.?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OUR_HEADERS = frozenset(
    {"connection", "content-length", "content-type", "host", "idempotency-key", "te", "transfer-encoding", "upgrade"}
)
_ENTRIES = re.compile(r"[\s,]+(?=[\w-]+=\w+://)")  # a comma within an address starts no channel

_INSIDE = "it leads into a private or reserved network; if it is meant, name its host in NOTIFY_ALLOW"
_NOT_ENCRYPTED = "json:// is not encrypted: use jsons://, or name its host in NOTIFY_ALLOW"

_WEB = {"json": "http", "jsons": "https"}
_SCHEME = re.compile(r"([a-z][a-z0-9]*)://.", re.IGNORECASE)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
# What is_global of some Python version lets pass and leads inside all the same, or says so of an IPv4 address within.
_NOT_OUTSIDE = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "100.64.0.0/10",
            "192.0.0.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of JSON: an http or https address without user and fragment, and the headers it wants."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def host(self) -> str:
        """A name or an address, without brackets, in lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_encrypted(self) -> bool:
        return self.url.startswith("https:")


@dataclass(frozen=True, slots=True)
class Service:
    """A receiver that apprise knows: ``slack://...``. Whether its address is a good one, app.sender says."""

    scheme: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Receivers that may be inside: by the host that an address names, or by the network they are found in."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()

    @property
    def text(self) -> str:
        """As NOTIFY_ALLOW would write it."""
        return " ".join([*sorted(self.hosts), *map(str, self.networks)])

    def covers(self, host: str, address: str) -> bool:
        """Whether this host, found at this address, is allowed."""
        return _plain(host) in self.hosts or any(_ip(address) in network for network in self.networks)

    def refusal(self, host: str, addresses: Sequence[str], *, encrypted: bool) -> str | None:
        """Why a host that was found at these addresses may not be sent to, None if it may.

        Of what the name led to it says nothing: that would tell a stranger about the network we are in.
        """
        foreign = [address for address in addresses if not self.covers(host, address)]
        if not all(map(_is_outside, foreign)):
            return _INSIDE
        return _NOT_ENCRYPTED if foreign and not encrypted else None

    def refusal_unseen(self, receiver: Webhook | Service) -> str | None:
        """The refusal that is certain before a name is looked up, and before a service is known."""
        if isinstance(receiver, Service):
            return None
        webhook = receiver
        try:
            address = str(_ip(webhook.host))
        except ValueError:
            might_be_allowed = self.networks or _plain(webhook.host) in self.hosts
            return None if webhook.is_encrypted or might_be_allowed else _NOT_ENCRYPTED
        return self.refusal(webhook.host, [address], encrypted=webhook.is_encrypted)


def parse_channels(text: str) -> dict[str, Webhook | Service]:
    """The channels of NOTIFY_URLS by name, in the order written. Raises ConfigurationError, which shows no address."""
    channels: dict[str, Webhook | Service] = {}
    for number, entry in enumerate(filter(None, _ENTRIES.split(text.strip(" \t\r\n,"))), start=1):
        name, equals, url = entry.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"NOTIFY_URLS: entry {number} should be name=URL, with a name of a to z, 0 to 9, - and _"
            )
        if name in channels:
            raise ConfigurationError(f"NOTIFY_URLS: {name} stands there twice")
        try:
            channels[name] = _receiver(url)
        except ValueError as error:
            # Not from it: its own cause may quote the address.
            raise ConfigurationError(f"NOTIFY_URLS: {name}: {error}") from None
    return channels


def parse_allowed(text: str) -> Allowed:
    """The hosts, addresses and networks of NOTIFY_ALLOW. Raises ConfigurationError."""
    hosts, networks = set(), []
    for entry in filter(None, re.split(r"[\s,]+", text.strip())):
        try:
            networks.append(ipaddress.ip_network(entry.strip("[]")))
            continue
        except ValueError:
            if not _HOST.fullmatch(entry.lower()):
                raise ConfigurationError(
                    f"NOTIFY_ALLOW: {entry!r}: should be a host name, an address, or a network like 192.168.1.0/24"
                ) from None
        hosts.add(_plain(entry))
    return Allowed(frozenset(hosts), tuple(networks))


def _receiver(text: str) -> Webhook | Service:
    """What an address leads to. Raises ValueError."""
    if not re.fullmatch(r"[!-~]+", text) or set(text) & set('\\"<>^`{|}'):
        raise ValueError("has characters that no address has; write them as %20 and so on")
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise ValueError("should be an address, like jsons://host/path or slack://..., as docs/channels.md has them")
    kind = scheme[1].lower()
    return _webhook(text) if kind in _WEB else Service(kind, text)


def _webhook(text: str) -> Webhook:
    """Apprise's json://[user:password@]host[:port]/path[?+Header=value&-parameter=value]. Raises ValueError."""
    parts = _split(text)
    host, port = parts.hostname or "", parts.port
    if not _is_host(host) or port == 0 or parts.fragment:
        raise ValueError("should be jsons://host:port/path, the host a name or an address in its usual form")
    headers, query = _options(parts.query)
    if parts.username is not None:
        headers["Authorization"] = _basic(parts.username, parts.password)
    where = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    return Webhook(f"{_WEB[parts.scheme]}://{where}{parts.path or '/'}{'?' if query else ''}{query}", headers)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # it is only looked at when it is asked for
    except ValueError:
        raise ValueError("should be jsons://host:port/path") from None
    return parts


def _options(query: str) -> tuple[dict[str, str], str]:
    """The headers (+Name=value) and the query (-name=value) that an address asks for."""
    headers, parameters = {}, []
    for part in filter(None, query.split("&")):
        name, _, value = part[1:].partition("=")
        name, value = unquote(name), unquote(value)
        if part.startswith("-") and name:
            parameters.append(part[1:])
        elif not part.startswith("+"):
            raise ValueError("after the ? only +Header=value and -parameter=value are understood")
        elif not _HEADER.fullmatch(name) or not re.fullmatch(r"[ -~]*", value):
            raise ValueError("asks for a header that cannot be sent")
        elif name.lower() in _OUR_HEADERS:
            raise ValueError(f"the header {name} is not its to choose")
        else:
            headers[name] = value.strip()
    return headers, "&".join(parameters)


def _basic(user: str, password: str | None) -> str:
    if password is None:
        raise ValueError("has a user without a password: should be user:password@host, with @ in either as %40")
    both = f"{unquote(user)}:{unquote(password)}"
    if not both.isprintable() or "@" in user + password:
        raise ValueError("has a user or password that cannot be sent; @ in either is %40")
    return "Basic " + base64.b64encode(both.encode()).decode()


def _is_host(host: str) -> bool:
    """A name, or an address as everybody writes it: 127.1 and 0x7f000001 are neither."""
    try:
        return "%" not in host and bool(ipaddress.ip_address(host))
    except ValueError:
        return _HOST.fullmatch(host) is not None


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address.partition("%")[0])


def _is_outside(address: str) -> bool:
    """Whether an address is out on the Internet, and stands for no other one."""
    ip = _ip(address)
    if not ip.is_global or ip.is_multicast or any(ip in network for network in _NOT_OUTSIDE):
        return False
    # Beyond are all the ways to write an IPv4 address as one of IPv6: ::1.2.3.4, ::ffff:1.2.3.4, 64:ff9b::1.2.3.4.
    return ip.version == 4 or ip in _GLOBAL_IPV6
