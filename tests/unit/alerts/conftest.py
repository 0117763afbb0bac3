"""A folder for alerts.txt, its writer, and an ``os`` that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.alerts.file import AlertsFile
from tests.alert_files import Desk, FaultyOs


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """In the place of ``os`` in the modules that write and mend the file."""
    return FaultyOs().stand_in(monkeypatch)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Where the file, its journal and its writers are."""
    here = Desk(tmp_path)
    yield here
    here.end()


@pytest.fixture
def file(desk: Desk) -> AlertsFile:
    """A writer that is open."""
    return desk.open()
