"""When a stream needs a call beside it, and what such a call tells of the stream.

A call is made for all symbols when there is a new connection, so that nothing known is older than it; for as long as
there is none; and now and then for symbols that are more silent than usual. Should such a call bring another price,
and the stream still not, then the stream is a dead one, however alive its connection looks.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from app.clock import Clock
from app.streams.board import Board
from app.streams.stream import Stream

DOWN_SECONDS = 5.0  # without a connection, until calls stand in for it
SETTLE_SECONDS = 1.0  # from a new connection to the call that fills the gap: its subscriptions are on their way
GRACE_SECONDS = 5.0  # for an update that a call overtook
_LOOK_SECONDS = 1.0  # how often silences are looked at


class Calls:
    """Of one stream. For one thread at a time."""

    def __init__(self, stream: Stream, board: Board, clock: Clock) -> None:
        self._stream, self._board, self._clock = stream, board, clock
        self._filled = 0  # the connection after which a call was answered
        self._looked_at = self._began = float("-inf")
        self._opened = 0
        self._are_for_all = True
        self._silent: dict[str, Decimal | None] = {}  # those a call is made for, and the price known before it
        self._suspects: dict[str, float] = {}  # symbols of which a call brought another price, and when

    def are_needed(self, *, its_turn: bool) -> bool:
        """Whether to make the calls now. ``its_turn``: whether they would be made if there were no stream at all."""
        now, stream = self._clock.monotonic(), self._stream
        if not stream.is_live:
            self._suspects.clear()
            return its_turn and now - stream.since > DOWN_SECONDS
        if stream.opened > self._filled and now - stream.opened_at >= SETTLE_SECONDS:
            return True
        if now - self._looked_at < _LOOK_SECONDS:
            return False
        self._looked_at = now
        self._judge(now)
        return bool(self._board.silent())

    def begin(self) -> None:
        """The calls are made now, for those in ``only``."""
        self._began, self._opened = self._clock.monotonic(), self._stream.opened
        self._are_for_all = not self._stream.is_live or self._opened > self._filled
        self._silent = {symbol: self._board.price(symbol) for symbol in self._board.silent()}

    @property
    def only(self) -> Collection[str] | None:
        """The symbols that the calls are needed for, None where it is all of them."""
        return None if self._are_for_all else self._silent.keys()

    def answered(self) -> None:
        """All of them were answered; what they brought is on the board."""
        self._filled = self._opened
        self._board.asked(self._silent)
        for symbol, before in self._silent.items():
            is_news = before is not None and before != self._board.price(symbol)
            if is_news and symbol not in self._stream.refused:
                self._suspects[symbol] = self._began

    def _judge(self, now: float) -> None:
        """Whether the stream has brought since what calls brought before it."""
        for symbol, since in list(self._suspects.items()):
            if self._board.seen(symbol) > since:
                del self._suspects[symbol]
            elif now - since > GRACE_SECONDS:
                self._suspects.clear()
                self._stream.connect_again(f"it is silent about {symbol}, whose price has changed")
                return
