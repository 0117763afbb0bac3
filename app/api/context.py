"""What every route is given: built once by whoever makes the application, never global."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from app import status
from app.api.database import Reader
from app.clock import Clock


@dataclass(frozen=True, slots=True)
class Context:
    """The daemon's folder, the database, the clock."""

    data_dir: Path
    database: Reader
    clock: Clock

    def daemon(self) -> status.Reading:
        """What the daemon's status file says now."""
        return status.read(self.data_dir, self.clock.now())


def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


Here = Annotated[Context, Depends(_context)]
"""The type of a route's parameter that wants the context."""
