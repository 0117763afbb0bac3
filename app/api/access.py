"""Who may do what: reads are open to this machine, or to all where API_OPEN_READS says so; writes need a token."""

from __future__ import annotations

import re
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address

from starlette.requests import Request

from app.api.callers import Caller, unauthorized
from app.api.problems import Problem
from app.config import Settings

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?", re.IGNORECASE | re.ASCII)


def admit(request: Request, settings: Settings, *, writes: bool) -> None:
    """Let the caller go on. Problem 401 or 403 where it may not, 421 where its Host could be a forged name."""
    caller: Caller = request.state.caller
    if caller.token is not None:
        if writes and caller.token.scope != "write":
            challenge = 'Bearer realm="CryptoMonitor", error="insufficient_scope", scope="write"'
            raise Problem(HTTPStatus.FORBIDDEN, "This token may only read.", {"WWW-Authenticate": challenge})
        return  # with any Host: no page of another site can make a browser send a token along
    if writes:
        raise unauthorized("This needs a token of scope write; `python -m app token create` makes one.")
    if not (caller.is_local or settings.api_open_reads):
        raise unauthorized("From elsewhere this needs a token; `python -m app token create` makes one.")
    if not _is_ours(request.headers.get("host", ""), settings):
        raise Problem(
            HTTPStatus.MISDIRECTED_REQUEST,
            "This is not known by that name: ask by address, or as localhost, or with a token, or name the host in"
            " API_ALLOWED_HOSTS.",
        )


def may_read(request: Request, settings: Settings) -> bool:
    """Whether the caller may read, where the answer is for everybody but tells these more."""
    with suppress(Problem):
        admit(request, settings, writes=False)
        return True
    return False


def _is_ours(host: str, settings: Settings) -> bool:
    """Whether a Host is one that no page can have pointed at us.

    A page of evil.example may have that name lead to this machine once it is loaded, and is then of our origin (DNS
    rebinding). It cannot do so with an address, nor with a name that has no dot.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    if match["ipv6"]:
        return _is_address(match["ipv6"])
    name = match["name"].lower().removesuffix(".")
    known = {settings.api_host.lower(), *settings.allowed_hosts}
    return "." not in name or _is_address(name) or name in known


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(text))
    return False
