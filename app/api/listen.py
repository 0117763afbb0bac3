"""The sockets the API listens on: opened apart from serving, so that ``run`` can open them before it starts a child.

A busy port then ends ``run`` itself at its start; and while a child is started anew, clients wait instead of being
refused.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from retry.api import retry_call

from app.config import Settings
from app.errors import AlreadyRunning, ConfigurationError

_BACKLOG = 1024  # as many may come at once, each to follow the stream
_STUCK_MILLISECONDS = 30_000
# localhost may stand for an IPv6 address as well on a machine that has none: the others will do.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
# Whoever starts a daemon again the moment it was killed is a little faster than its API process, which holds the port
# until it has noticed.
_TRIES, _DELAY_SECONDS = 10, 0.1


def listen(settings: Settings) -> list[socket.socket]:
    """Open ``API_HOST``:``API_PORT``, one socket for each address that the host stands for.

    Raises ConfigurationError for a host or port that cannot be used, and AlreadyRunning for a port that is in use and
    stays so for a second.
    """
    host, port = settings.api_host, settings.api_port
    addresses = _addresses(host, port)
    opened: list[socket.socket] = retry_call(
        _open_all,
        fargs=[addresses, host, port],
        exceptions=AlreadyRunning,
        tries=_TRIES,
        delay=_DELAY_SECONDS,
        logger=None,
    )
    return opened


def url(listeners: Sequence[socket.socket]) -> str:
    """Where a person finds the API."""
    host, port = listeners[0].getsockname()[:2]
    if ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_local(listeners: Sequence[socket.socket]) -> bool:
    """Whether nobody can ask but from this machine."""
    return all(ip_address(listener.getsockname()[0]).is_loopback for listener in listeners)


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ConfigurationError(f"API_HOST={host}: is not an address or a host name that can be found") from None
    return list(dict.fromkeys((family, (str(address[0]), port)) for family, _, _, _, address in found))


def _open_all(
    addresses: Sequence[tuple[socket.AddressFamily, tuple[str, int]]], host: str, port: int
) -> list[socket.socket]:
    opened: list[socket.socket] = []
    for family, address in addresses:
        try:
            opened.append(_open(family, address))
        except OSError as error:
            if error.errno in _NOT_HERE and len(addresses) > 1:
                continue
            _close(opened)
            raise _explained(error, host, port) from error
    if not opened:
        raise ConfigurationError(f"API_HOST={host}: this machine has no such address")
    return opened


def _open(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Or the port stays in use for a minute after the last run, by connections that are over.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Who takes nothing of what he is sent is gone after so long; his connection inherits this.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK_MILLISECONDS)
        listener.bind(address)
        # With SO_REUSEADDR it is listening, not binding, that takes the port from others.
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _close(listeners: Sequence[socket.socket]) -> None:
    for listener in listeners:
        listener.close()


def _explained(error: OSError, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return AlreadyRunning(
            f"port {port} of {host} is in use by another process; end that one, or set API_PORT to a free port"
        )
    if error.errno in _NOT_HERE:
        return ConfigurationError(f"API_HOST={host}: this machine has no such address")
    return ConfigurationError(f"API_PORT={port}: cannot be used on {host} ({error.strerror})")
