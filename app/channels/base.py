"""What a channel is: something that takes alerts, at least once, or says that it did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from app.model import Alert


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent at once. One that may have arrived is sent again with the same key, and then holds the same."""

    key: str
    alerts: tuple[Alert, ...]


class Channel(Protocol):
    """Sends messages of up to ``most`` alerts, for one thread at a time, in the order in which it is given them."""

    most: int

    def send(self, message: Message) -> None:
        """Return when the receiver has taken it, within about 10 s, 26 s where a process has to start for it.

        Raises ChannelUnavailable where that is not sure, ChannelRefused where a person has to change something,
        MessageRefused where it is this message that the receiver will not have. No text shows address or password.
        """
        ...
