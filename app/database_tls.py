"""The way to a database on another machine has to be encrypted, and the server there has to prove who it is."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Collection, Iterator, Mapping
from itertools import zip_longest

from psycopg2.extensions import parse_dsn

_ENOUGH = "verify-full"  # what is less believes any server that answers, or any name


def weakness(url: str, trusted_hosts: Collection[str] = (), environment: Mapping[str, str] = os.environ) -> str | None:
    """What is wrong with how a database is reached, and what to do; None: nothing.

    A server on another machine has to be asked with ``sslmode=verify-full``, but for ``trusted_hosts``. What the
    address leaves open, libpq takes from the environment (``PGHOST`` and others), and so does this. Of a service it
    sees no more than the name, which may stand for any machine. Never repeats the address: there are passwords in it.
    """
    given = parse_dsn(url)
    service = given.get("service") or environment.get("PGSERVICE")
    if given.get("sslmode", "" if service else environment.get("PGSSLMODE", "")) == _ENOUGH:
        return None
    if not service and all(_is_here(place) or place.lower() in trusted_hosts for place in _places(given, environment)):
        return None
    what = "names a service, which may be another machine" if service else "names another machine"
    return (
        f"{what}: add ?sslmode={_ENOUGH}&sslrootcert=/path/to/ca.pem (or sslrootcert=system), so that the way is "
        "encrypted and the server has to prove who it is; or name its host in DATABASE_TRUSTED_HOSTS, if you trust the "
        "network between"
    )


def hosts(text: str) -> list[str]:
    """The hosts of a list with commas, in lower case."""
    return [host.strip().lower() for host in text.split(",") if host.strip()]


def _places(given: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[str]:
    """Where libpq would look, one after the other; empty: its default, which is this machine."""
    addresses, names = (
        given.get(key, environment.get(variable, "")).split(",")
        for key, variable in (("hostaddr", "PGHOSTADDR"), ("host", "PGHOST"))
    )
    # Beside an address the host is only the name that its certificate should have.
    yield from (address or name for address, name in zip_longest(addresses, names, fillvalue=""))


def _is_here(place: str) -> bool:
    if place == "" or place.startswith(("/", "@")):  # a socket
        return True
    try:
        return ipaddress.ip_address(place).is_loopback
    except ValueError:
        return place.lower() == "localhost"
