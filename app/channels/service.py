"""A channel to a service that apprise knows: chats, mail, push messages, SMS. Its texts are for people."""

from __future__ import annotations

from app.channels.answers import of_http, of_mail
from app.channels.base import Message
from app.channels.sending import ANSWER_SECONDS, START_SECONDS, Sending
from app.channels.text import Form, compose
from app.clock import Clock
from app.errors import ChannelRefused, ChannelUnavailable, CryptoMonitorError
from app.notify import Allowed, Service

LONGEST_SECONDS = START_SECONDS + 2 * ANSWER_SECONDS
"""That a message takes: the process starts, is asked for the form of texts, and sends."""


def look(service: Service, sending: Sending) -> Form:
    """How its texts have to be.

    Raises ChannelRefused for an address that apprise does not understand, ChannelUnavailable where nobody says.
    """
    answer = sending.ask({"do": "look", "scheme": service.scheme, "url": service.url})
    if "wrong" in answer:
        raise ChannelRefused(answer["wrong"])
    return Form(**answer)


class ServiceChannel:
    """A channel to one service. Where the ``form`` of its texts is not known yet it is asked for before a message."""

    most = 1000  # what does not fit into one message is counted in it, and in alerts.txt: nobody wants a hundred

    def __init__(self, service: Service, form: Form | None, allowed: Allowed, sending: Sending, clock: Clock) -> None:
        self._service, self._form, self._allowed = service, form, allowed
        self._sending, self._clock = sending, clock

    def send(self, message: Message) -> None:
        if self._form is None:
            self._form = look(self._service, self._sending)
        text = compose(message.alerts, self._form)
        answer = self._sending.ask(
            {
                "do": "send",
                "scheme": self._service.scheme,
                "url": self._service.url,
                "allow": self._allowed.text,
                "title": text.title,
                "body": text.body,
                "type": text.kind,
            }
        )
        if not answer["taken"]:
            raise self._error(answer)

    def _error(self, answer: dict[str, object]) -> CryptoMonitorError:
        match answer:
            case {"refused": str(why)}:
                return ChannelRefused(why)
            case {"status": int(status), "retry_after": (str() | None) as asked}:
                return of_http(status, asked, self._clock.now())
            case {"smtp": int(code)}:
                return of_mail(code)
            case {"trouble": str(why)}:
                return ChannelUnavailable(why)
        return ChannelUnavailable("it did not take it")
