"""Ports of this machine for the tests that have to name one before anybody listens on it."""

from __future__ import annotations

import random
import socket
from contextlib import closing, suppress
from pathlib import Path

_FIRST_OF_THE_SYSTEM = 32768
_MANY = 12_000
_given: set[int] = set()
_dice = random.SystemRandom()  # the usual one is made to repeat itself by hypothesis


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody uses, and that nobody gets by chance before it is used.

    The system gives the ports from ``ip_local_port_range`` on to whoever connects to anything: none of these. No port
    is given twice, and tests that run beside these ones draw from as many.
    """
    first = _first_of_the_system()
    while True:
        port = _dice.randrange(first - _MANY, first)
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port


def _first_of_the_system() -> int:
    with suppress(OSError, ValueError):
        return max(_MANY + 1024, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    return _FIRST_OF_THE_SYSTEM


def _is_free(host: str, port: int) -> bool:
    with closing(socket.socket()) as probe, suppress(OSError):
        probe.bind((host, port))
        return True
    return False
