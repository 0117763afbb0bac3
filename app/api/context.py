"""What every route is given: built once by whoever makes the application, never global."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from app import status
from app.api.aside import Aside
from app.api.bodies import Uploads
from app.api.database import Reader, Writer
from app.api.stream_feed import Feed
from app.clock import Clock
from app.config import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """The settings, the database to read and to write, the clock."""

    settings: Settings
    database: Reader
    writer: Writer
    clock: Clock
    feed: Feed = field(init=False)
    """What the clients of the stream are told."""
    uploads: Uploads = field(default_factory=Uploads, init=False)
    """The bodies of requests that are under way."""
    backtest: Aside = field(
        default_factory=lambda: Aside(
            "a backtest",
            "ask for a shorter span, fewer symbols or fewer rules, or run `python -m app backtest`",
        ),
        init=False,
    )
    detection: Aside = field(
        default_factory=lambda: Aside(
            "a detection of transfers",
            "ask for fewer transactions or a shorter window, or run `python -m app detect-transfers`",
        ),
        init=False,
    )
    """Of many transactions."""
    small_detections: threading.Semaphore = field(default_factory=lambda: threading.BoundedSemaphore(2), init=False)
    """The places of those that are answered in a thread of this process."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "feed", Feed(self.database))

    @property
    def data_dir(self) -> Path:
        """The daemon's own folder."""
        return self.settings.data_dir

    def daemon(self) -> status.Reading:
        """What the daemon's status file says now."""
        return status.read(self.data_dir, self.clock.now())


async def _context(request: Request) -> Context:
    # Not a plain function: that would cost a way to another thread and back with every request.
    return cast(Context, request.app.state.context)


Here = Annotated[Context, Depends(_context)]
"""The type of a route's parameter that wants the context."""
