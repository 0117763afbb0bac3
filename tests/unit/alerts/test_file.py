"""alerts.txt: one line an alert, exactly once; a start that cannot work says so."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.alerts.file import AlertsFile
from app.errors import AlreadyRunning, CannotWrite
from tests.alert_files import (
    Desk,
    FaultyOs,
    actions,
    alert,
    alerts,
    lines,
    rotate,
    written,
)


def test_an_alert_is_one_line_as_the_contract_shows_it(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0))
    assert desk.path.read_text() == (
        "2026-11-22T10:00:00.000Z FIRING BTC price-2pct-5m price=60000.5 avg(price,5m)=59000.12345 id=000000000000\n"
    )
    assert (file.waiting, file.written) == (0, 1)


def test_a_name_with_control_characters_cannot_break_the_line(desk: Desk, file: AlertsFile) -> None:
    file.write([alert(0, rule="a\nb\r\x1b[31mc\u2028d\u202ee\ud800f\x85g")])
    assert desk.path.read_text().splitlines()[0].split()[3] == (r"a\nb\r\x1b[31mc\u2028d\u202ee\ud800f\x85g")
    assert len(desk.path.read_text().splitlines()) == 1


def test_letters_of_all_languages_stand_as_they_are(desk: Desk, file: AlertsFile) -> None:
    file.write([alert(0, rule="größer-als-价格")])
    assert "größer-als-价格" in desk.path.read_text(encoding="utf-8")


def test_the_file_is_readable_by_all_and_its_journal_not(desk: Desk) -> None:
    before = os.umask(0o077)
    try:
        desk.open()
    finally:
        os.umask(before)
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o644
    assert stat.S_IMODE(desk.journal.stat().st_mode) & 0o007 == 0


def test_more_alerts_than_fit_one_write_come_whole_and_in_order(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(*range(1001)))
    assert written(desk.path) == lines(*range(1001))


def test_threads_that_write_at_once_lose_and_double_nothing(desk: Desk, file: AlertsFile) -> None:
    def some(start: int) -> None:
        for number in range(start, start + 20):
            file.write(alerts(number))
            file.flush()

    threads = [threading.Thread(target=some, args=(start,)) for start in (0, 20, 40, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written(desk.path)) == sorted(lines(*range(80)))
    assert [line for line in written(desk.path) if line in lines(*range(20))] == lines(*range(20))


def test_the_same_alert_handed_over_again_is_not_written_again(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0, 1, 0))
    file.write(alerts(1, 2))
    file.close()
    desk.open().write(alerts(0, 1, 2, 3))
    assert written(desk.path) == lines(0, 1, 2, 3)


def test_a_start_writes_what_the_database_has_and_the_file_has_not(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0, 1))
    desk.kill(file)
    again = desk.open()
    assert again.catch_up(alerts(0, 1, 2, 3)) == 2
    again.write(alerts(4))
    assert written(desk.path) == lines(0, 1, 2, 3, 4)


def test_a_first_start_writes_all_that_the_database_has(desk: Desk, file: AlertsFile) -> None:
    assert file.catch_up(alerts(*range(500))) == 500
    assert written(desk.path) == lines(*range(500))


def blocked_by_folder(path: Path) -> None:
    path.mkdir(parents=True)


def blocked_by_file(path: Path) -> None:
    path.parent.touch()


def blocked_by_link(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(path.with_name("elsewhere"))


def blocked_by_pipe(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (blocked_by_folder, "folder stands in its place"),
        (blocked_by_file, "a file stands where its folder should be"),
        (blocked_by_link, "symbolic link"),
        (blocked_by_pipe, "ordinary file"),
    ],
    ids=["folder", "file-for-folder", "link", "pipe"],
)
def test_a_start_that_cannot_create_the_file_ends_and_says_why(desk: Desk, block: object, why: str) -> None:
    block(desk.path)  # type: ignore[operator]
    with pytest.raises(CannotWrite, match=why) as refused:
        desk.open()
    assert refused.value.exit_code == 73
    assert str(desk.path.parent) in str(refused.value)
    assert not desk.path.with_name("elsewhere").exists()


def test_a_start_without_permission_ends_and_says_so(desk: Desk, faults: FaultyOs) -> None:
    faults.arm(PermissionError(errno.EACCES, "Permission denied"), only="open", again=True)
    with pytest.raises(CannotWrite, match=r"Permission denied.*user that runs this program"):
        desk.open()
    faults.disarm()
    desk.open().write(alerts(0))
    assert written(desk.path) == lines(0)


def test_a_data_folder_that_cannot_be_made_ends_the_start(desk: Desk) -> None:
    desk.journal.parent.touch()
    with pytest.raises(CannotWrite, match="DATA_DIR"):
        desk.open()


def test_a_second_writer_with_the_same_journal_is_refused(desk: Desk, file: AlertsFile) -> None:
    with pytest.raises(AlreadyRunning, match="DATA_DIR"):
        desk.open()
    file.write(alerts(0))
    assert written(desk.path) == lines(0)


def test_a_second_writer_of_the_file_with_a_journal_of_its_own_is_refused(desk: Desk, file: AlertsFile) -> None:
    other = AlertsFile(desk.path, desk.journal.with_name("other.sqlite"), desk.clock)
    with pytest.raises(AlreadyRunning, match="ALERTS_FILE") as refused:
        other.open()
    assert refused.value.exit_code == 75
    file.close()
    other.open()
    other.close()


def test_a_file_system_without_locks_is_written_with_a_warning(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("app.alerts.appender.fcntl.flock", flock)
    with capture_logs() as logs:
        file = desk.open()
        rotate(desk.path)
        file.write(alerts(0))
    assert actions(logs) == ["alerts_file_unlocked"]
    assert written(desk.path) == lines(0)
