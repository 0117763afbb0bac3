"""What a status that a receiver answered with means for the message and for the channel."""

from __future__ import annotations

from datetime import datetime

from app.errors import ChannelRefused, ChannelUnavailable, CryptoMonitorError, MessageRefused
from app.http import retry_after

_AGAIN = frozenset({408, 425, 429})
_NOT_US = {
    401: "wants other credentials",
    403: "forbids it to us",
    404: "has nothing at this path",
    405: "takes no POST at this path",
    407: "is behind a proxy that wants credentials",
    410: "is gone",
    451: "is not allowed to take it",
}
_MAIL_CREDENTIALS = frozenset({530, 534, 535, 538})
_MAIL_MESSAGE = frozenset({552, 554})


def of_http(status: int, asked_to_wait: str | None, now: datetime) -> CryptoMonitorError:
    """For any status but one from 200 to 299."""
    said = f"it answers {status}"
    if 300 <= status < 400:
        return ChannelRefused(f"{said}, a redirect, which is not followed: name the address that it leads to")
    if status in _NOT_US:
        return ChannelRefused(f"{said}: it {_NOT_US[status]}")
    if 400 <= status < 500 and status not in _AGAIN:
        return MessageRefused(said)
    return ChannelUnavailable(said, retry_after(asked_to_wait, now))


def of_mail(code: int) -> CryptoMonitorError:
    """For a code of SMTP from 400 on."""
    said = f"the mail server answers {code}"
    if code in _MAIL_CREDENTIALS:
        return ChannelRefused(f"{said}: it wants other credentials")
    if code in _MAIL_MESSAGE:
        return MessageRefused(said)
    return ChannelRefused(said) if code >= 500 else ChannelUnavailable(said)
