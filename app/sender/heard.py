"""What was heard while a message was sent: plugins of apprise themselves say no more than yes or no."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import ChannelRefused, ChannelUnavailable


@dataclass(slots=True)
class Heard:
    """The last thing that was not good. ``refused`` stands whatever came after it."""

    refused: str | None = None
    status: int | None = None
    retry_after: str | None = None
    smtp: int | None = None
    trouble: str | None = None

    def answered(self, status: int, retry_after: str | None) -> None:
        """A status of HTTP. Good ones are not worth remembering: one may be a log-out after what went wrong."""
        if status >= 300:
            self.status, self.retry_after, self.smtp, self.trouble = status, retry_after, None, None

    def replied(self, code: int) -> None:
        """A code of SMTP."""
        if code >= 400:
            self.smtp, self.status, self.trouble = code, None, None

    def failed(self, error: ChannelRefused | ChannelUnavailable) -> None:
        """There was no answer."""
        if isinstance(error, ChannelRefused):
            self.refused = self.refused or str(error)
        else:
            self.trouble, self.status, self.smtp = str(error), None, None
