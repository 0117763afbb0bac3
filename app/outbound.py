"""Messages to addresses that somebody wrote into a setting: no way into private networks, no word of what is there.

A name is looked up once, all its addresses are judged, and exactly those are connected to: whatever a name server says
a moment later does not count. Of the answer its status and Retry-After are looked at. Redirects are not followed.
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy

import requests
import urllib3

from app import __version__
from app.deadline import CONNECT_SECONDS, DeadlineAdapter, Guard, deadline
from app.errors import ChannelRefused, ChannelUnavailable
from app.notify import Allowed

DEADLINE_SECONDS = 10.0
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "its name cannot be looked up"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionError, "the connection broke off before it answered"),
    (ssl.SSLError, "no encrypted connection comes about"),
    (TimeoutError, "no answer in time"),
    (urllib3.exceptions.TimeoutError, "no answer in time"),
    (http.client.HTTPException, "what it answers is not HTTP"),
)
_OTHER_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH: OpenSSL's words name it


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said: its status, and its Retry-After if there is one."""

    status: int
    retry_after: str | None


class Outbound:
    """Posts to receivers, for one thread at a time. Knows no proxy, no ~/.netrc and no cookies."""

    def __init__(self, allowed: Allowed, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._deadline_seconds = deadline_seconds
        self._session = _session(allowed)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send, and wait for the status of the answer.

        Raises ChannelRefused for an address that nothing may be sent to, or whose certificate is not good;
        ChannelUnavailable for everything else that is no answer. Neither shows the address or what stands there.
        """
        seconds = self._deadline_seconds
        try:
            with (
                # It may be silent for as long as it likes: many receivers do all their work before they answer.
                deadline(seconds, stall=seconds),
                self._session.post(
                    url,
                    data=body,
                    headers=dict(headers),
                    stream=True,
                    allow_redirects=False,
                    timeout=(CONNECT_SECONDS, seconds),
                ) as response,
            ):
                return Answer(response.status_code, response.headers.get("Retry-After"))
        # Every exception of requests is an OSError; a few of urllib3 slip through it. ValueError: no address at all.
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            raise told(error) from None
        finally:
            # The body was not read, and there is nothing to wait for: it may be endless.
            self._session.close()


class Blocked(OSError):
    """The text says why."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests looks at a redirect also when told not to follow it, and reads its body without limit."""


def _session(allowed: Allowed) -> requests.Session:
    # It logs a reply with a broken header, with what it came with, at every call.
    logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
    session = _Session()
    session.trust_env = False
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    session.headers.update({"User-Agent": f"CryptoMonitor/{__version__}"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http", "https"):
        session.mount(f"{scheme}://", DeadlineAdapter(_guard(allowed, encrypted=scheme == "https")))
    return session


def _guard(allowed: Allowed, *, encrypted: bool) -> Guard:
    def guard(host: str, addresses: Sequence[str]) -> None:
        if refusal := allowed.refusal(host, addresses, encrypted=encrypted):
            raise Blocked(refusal)

    return guard


def told(error: BaseException) -> ChannelRefused | ChannelUnavailable:
    """What happened, in words of our own: those of the libraries repeat addresses."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, Blocked):
            return ChannelRefused(str(cause))
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = "it is for another name" if cause.verify_code in _OTHER_NAME else cause.verify_message
            return ChannelRefused(f"its certificate is not good: {reason}")
    for kind, words in _WORDS:
        if any(isinstance(cause, kind) for cause in causes):
            return ChannelUnavailable(words)
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
    return ChannelUnavailable(os.strerror(numbers[0]) if numbers else f"no answer ({type(causes[-1]).__name__})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was made of: requests and urllib3 each put something around it."""
    seen, waiting = set(), [error]
    while waiting:
        error = waiting.pop(0)
        if id(error) not in seen:
            seen.add(id(error))
            yield error
            inside = (getattr(error, "reason", None), error.__cause__, error.__context__, *error.args)
            waiting += [cause for cause in inside if isinstance(cause, BaseException)]
