"""The application without a network and without a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.api.edge import Edge
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock
from tests.statuses import NOW


@pytest.fixture
def app(tmp_path: Path) -> Edge:
    """Over an empty DATA_DIR (``tmp_path``), while no embedded database runs."""
    return an_api(tmp_path, lambda: None, FakeClock(NOW))


@pytest.fixture
def get(app: Edge) -> Callable[[str], Reply]:
    return lambda path: request(app, path)
