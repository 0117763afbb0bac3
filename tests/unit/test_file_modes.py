"""Who can read the files that we make, whatever the umask is."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app import status
from app.alerts.file import AlertsFile
from app.calls import CallLedger
from app.clock import SystemClock
from app.db import Database
from app.limits import Account
from app.model import Alert, State
from app.spool import Spool
from tests.statuses import a_status


@pytest.fixture(params=[0o000, 0o022, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()}


def test_alerts_txt_is_for_everybody_and_its_journal_for_the_owner_and_the_group(umask: int, tmp_path: Path) -> None:
    file = AlertsFile(tmp_path / "alerts.txt", tmp_path / "data" / "alerts.sqlite", SystemClock())
    file.open()
    alert = Alert("x", State.FIRING, datetime(2026, 11, 22, tzinfo=UTC), "BTC", "rule", ())
    file.write([alert])
    try:
        assert modes(tmp_path) == {"alerts.txt": 0o644}
        assert set(modes(tmp_path / "data").values()) == {0o640 & ~umask}
        assert "alerts.sqlite" in modes(tmp_path / "data")
    finally:
        file.close()


def test_the_spool_is_for_the_owner_and_the_group(umask: int, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 10_000_000, SystemClock())
    spool.open()
    try:
        found = modes(tmp_path)
        assert "spool.sqlite" in found
        assert set(found.values()) == {0o640}
    finally:
        spool.close()


def test_the_count_of_calls_is_for_the_owner_and_the_group(umask: int, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    ledger = CallLedger(Database("host=/nosuch", stop), tmp_path / "calls.sqlite", SystemClock())
    ledger.recent(Account("coingecko"))
    try:
        found = modes(tmp_path)
        assert "calls.sqlite" in found
        assert set(found.values()) == {0o640 & ~umask}
    finally:
        ledger.close()


def test_the_status_is_for_whomever_the_umask_lets_read(umask: int, tmp_path: Path) -> None:
    """The API may run as another user, in the same group or not. There is no secret in it."""
    status.write(tmp_path, a_status())
    assert modes(tmp_path) == {"status.json": 0o666 & ~umask}
