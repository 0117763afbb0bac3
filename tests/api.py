"""The API as an application that a test can ask, over a database of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import config
from app.api.app import create_app
from app.api.context import Context
from app.api.database import Reader, Writer
from app.api.edge import Edge
from app.clock import Clock, SystemClock


def an_api(
    data_dir: Path, address: Callable[[], str | None] | str, clock: Clock | None = None, **settings: Any
) -> Edge:
    """Beside a daemon's folder; ``address``: of the database. The settings are the defaults but for these."""
    find = address if callable(address) else lambda: address
    its = config.load(env_file=None, data_dir=data_dir, **settings)
    return create_app(Context(its, Reader(find), Writer(find), clock or SystemClock()))
