"""What one client of the stream is sent, without a database: when what it knows of is another one's."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest

from app.api import stream_teller
from app.api.database import Reader
from app.api.stream_events import Batch, Wanted
from app.api.stream_feed import Feed
from app.api.stream_teller import Teller


class Changing(Feed):
    """Another database takes the old one's place, with lower numbers, while a client is told what it missed."""

    def __init__(self) -> None:
        super().__init__(cast(Reader, None))
        self._begin(50)

    async def read(self, number: int) -> list[Batch] | None:
        self._begin(7)
        return []


async def _told(feed: Feed, last_id: str | None) -> list[bytes]:
    """What a client is sent up to where another database is noticed, and that comes right after its first id."""
    told = Teller(feed, Wanted(), last_id).told()
    pieces = [await anext(told), await anext(told)]
    if last_id is None:
        feed._begin(7)
    return [*pieces, await anext(told)]


@pytest.mark.parametrize(("last_id", "known"), [(None, 50), ("100", 100)], ids=["new", "come back"])
def test_a_database_that_changes_before_a_client_is_up_to_date_is_noticed(
    monkeypatch: pytest.MonkeyPatch, last_id: str | None, known: int
) -> None:
    monkeypatch.setattr(stream_teller, "_HEARTBEAT_SECONDS", 0.0)  # then silence is told as such at once
    _, first, reset = asyncio.run(_told(Changing(), last_id))
    assert first == b"id: %d\n\n" % known
    assert reset.startswith(b"id: 7\nevent: reset\n")
    assert "not kept any more" in json.loads(reset.partition(b"data: ")[2])["reason"]
