"""What keeps alerts.txt from being written: the lines wait, and come whole, once and in order."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from app.alerts.file import AlertsFile
from app.errors import CannotWrite, DatabaseUnavailable
from app.model import Alert
from tests.alert_files import (
    Desk,
    FaultyOs,
    actions,
    alert,
    alerts,
    full,
    lines,
    rotate,
    written,
)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A disk that is full, for real, as far as this process goes: the write that crosses the limit is cut short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_the_lines_wait_and_nothing_torn_stands_in_the_file(desk: Desk, file: AlertsFile) -> None:
    # Larger than the journal: the limit below is to meet this file.
    file.write([alert(number, rule="x" * 2000) for number in range(400)])
    before = desk.path.read_bytes()
    file.close()
    file = desk.open()
    with capture_logs() as logs, files_no_larger_than(len(before) + 150):
        file.write(alerts(1000, 1001, 1002))
        file.write(alerts(1003))
        assert not file.flush()
        assert file.trouble is not None
        assert desk.path.read_bytes() == before + f"{alert(1000).line}\n".encode()
        assert file.waiting == 3
    with capture_logs() as later:
        assert file.flush()
    assert desk.path.read_bytes() == before + "".join(f"{line}\n" for line in lines(1000, 1001, 1002, 1003)).encode()
    assert (actions(logs), actions(later)) == (["alerts_file_failed"], ["alerts_file_works"])
    assert later[0]["written"] == 4
    assert (file.waiting, file.trouble) == (0, None)


@pytest.mark.parametrize(
    ("code", "advice"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "mounted read-only"), (errno.EACCES, "let the user")],
    ids=["full", "read-only", "no-permission"],
)
@pytest.mark.parametrize("call", ["write", "open"])
def test_the_log_says_once_why_lines_wait_and_once_how_many_did(
    desk: Desk, file: AlertsFile, faults: FaultyOs, code: int, advice: str, call: str
) -> None:
    file.write(alerts(0))
    rotate(desk.path)
    faults.arm(OSError(code, os.strerror(code)), only=call, again=True)
    with capture_logs() as logs:
        for number in range(1, 6):
            file.write(alerts(number))
            assert not file.flush()
        faults.disarm()
        assert file.flush()
    assert actions(logs) == ["alerts_file_failed", "alerts_file_works"]
    assert advice in logs[0]["event"]
    assert str(desk.path) in logs[0]["event"]
    assert "are in it now: 5." in logs[1]["event"]
    assert written(desk.path) == lines(*range(6))


def test_a_folder_put_in_its_place_makes_the_lines_wait(desk: Desk, file: AlertsFile) -> None:
    desk.path.unlink()
    desk.path.mkdir()
    file.write(alerts(0, 1))
    assert "folder stands in its place" in (file.trouble or "")
    desk.path.rmdir()
    assert file.flush()
    assert written(desk.path) == lines(0, 1)


def test_a_journal_that_cannot_be_written_makes_the_lines_wait(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0))
    with files_no_larger_than(4096):
        file.write(alerts(1, 2))
        assert not file.flush()
    assert str(desk.journal) in (file.trouble or "")
    assert file.flush()
    assert written(desk.path) == lines(0, 1, 2)


def test_a_mark_that_failed_doubles_nothing(desk: Desk, file: AlertsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lines: object) -> None:
        file._journal.close()
        raise CannotWrite("the journal's disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(file._journal, "mark", broken)
        file.write(alerts(0, 1))
        assert file.waiting == 2
    assert file.flush()
    assert written(desk.path) == lines(0, 1)


def test_another_process_that_took_the_file_makes_the_lines_wait(desk: Desk, file: AlertsFile) -> None:
    rotate(desk.path)
    other = AlertsFile(desk.path, desk.journal.with_name("other.sqlite"), desk.clock)
    other.open()
    file.write(alerts(0))
    assert "another process" in (file.trouble or "")
    other.close()
    assert file.flush()
    assert written(desk.path) == lines(0)


def test_lines_that_still_wait_at_the_end_are_announced_and_come_with_the_next_start(
    desk: Desk, file: AlertsFile, faults: FaultyOs
) -> None:
    faults.arm(full(), only="write", again=True)
    file.write(alerts(0, 1))
    with capture_logs() as logs:
        file.close()
    assert actions(logs) == ["alerts_file_closed"]
    faults.disarm()
    assert desk.open().catch_up(alerts(0, 1)) == 2
    assert written(desk.path) == lines(0, 1)


def test_too_many_to_wait_in_memory_stay_in_the_database_and_come_later_in_order(
    desk: Desk, file: AlertsFile, faults: FaultyOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.alerts.file._WAITING_AT_MOST", 5)
    monkeypatch.setattr("app.alerts.file._BATCH", 2)
    faults.arm(full(), only="write", again=True)
    with capture_logs() as logs:
        for number in range(12):
            file.write(alerts(number))
    assert (file.waiting, file.behind) == (5, True)
    assert actions(logs) == ["alerts_file_failed", "alerts_file_behind"]
    assert file.catch_up(alerts(*range(12))) <= 2, "while it cannot write it takes no more than it can hold"
    assert file.behind
    faults.disarm()
    assert file.flush()
    file.write(alerts(12))
    file.catch_up(alerts(*range(13)))
    assert not file.behind
    file.write(alerts(13))
    assert written(desk.path) == lines(*range(14))


def test_a_database_that_goes_away_while_catching_up_leaves_it_to_be_called_again(desk: Desk, file: AlertsFile) -> None:
    def broken() -> Iterator[Alert]:
        yield from alerts(*range(300))
        raise DatabaseUnavailable("the server closed the connection")

    with pytest.raises(DatabaseUnavailable):
        file.catch_up(broken())
    assert file.behind
    file.write(alerts(400))
    file.catch_up(alerts(*range(401)))
    assert written(desk.path) == lines(*range(401))
