"""What others do to alerts.txt while it is open, and when a line is on the disk."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from structlog.testing import capture_logs

from app.alerts.file import AlertsFile
from tests.alert_files import (
    Desk,
    FaultyOs,
    actions,
    alerts,
    lines,
    rotate,
    standing,
    written,
)


def test_the_journal_knows_of_a_line_before_it_is_appended_and_marks_it_only_after_the_disk_has_it(
    desk: Desk, file: AlertsFile, faults: FaultyOs
) -> None:
    seen: list[tuple[str, int, int]] = []

    class Watching(FaultyOs):
        def _call(self, name, real, *args):  # type: ignore[no-untyped-def]
            db = file._journal._db
            assert db is not None
            seen.append((name, *(db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("intent", "mark"))))
            return real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.alerts.appender.os", Watching())
        file.write(alerts(0))
    assert seen == [("write", 1, 0), ("fsync", 1, 0)]


def test_a_commit_of_the_journal_waits_for_the_disk(file: AlertsFile) -> None:
    db = file._journal._db
    assert db is not None
    assert db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("create", [False, True], ids=["nocreate", "create"])
def test_the_name_of_a_new_file_is_on_the_disk_before_its_first_line(
    desk: Desk, file: AlertsFile, create: bool
) -> None:
    rotate(desk.path, create=create)
    seen = []

    class Watching(FaultyOs):
        def _call(self, name, real, *args):  # type: ignore[no-untyped-def]
            if name in ("write", "fsync"):
                seen.append((name, stat.S_ISDIR(os.fstat(args[0]).st_mode)))
            return real(*args)

    with pytest.MonkeyPatch.context() as patch:
        Watching().stand_in(patch)
        file.write(alerts(0))
    assert seen == [("fsync", True), ("write", False), ("fsync", False)]


def test_after_a_failed_fsync_the_line_is_written_again_in_its_place_through_another_descriptor(
    desk: Desk, file: AlertsFile, faults: FaultyOs
) -> None:
    file.write(alerts(0))
    number = file._file._open
    inode = desk.path.stat().st_ino
    holder = os.open(os.devnull, os.O_RDONLY)  # so that the closed number is taken again by nobody by chance
    faults.calls.clear()
    faults.arm(OSError(errno.EIO, "Input/output error"), only="fsync")
    with capture_logs() as logs:
        file.write(alerts(1))
        assert file.flush()
    os.close(holder)
    after = faults.calls[faults.calls.index(("write", number)) + 1 :]
    assert after[0][0] == "open", "the first thing after the failure is a new descriptor"
    rewritten = [name for name, _ in after if name in ("write", "fsync")]
    assert rewritten[-2:] == ["write", "fsync"]
    assert desk.path.stat().st_ino == inode
    assert written(desk.path) == lines(0, 1)
    assert actions(logs) == ["alerts_file_failed", "alerts_file_works"]


@pytest.mark.parametrize("create", [False, True], ids=["nocreate", "create"])
def test_rotation_by_renaming_is_followed(desk: Desk, file: AlertsFile, create: bool) -> None:
    for number in range(6):
        file.write(alerts(number))
        rotate(desk.path, create=create)
    file.write(alerts(6))
    assert written(desk.path) == lines(*range(7))
    assert desk.path.read_text().splitlines() == lines(6)


def test_a_new_file_stands_within_a_flush_of_the_rotation(desk: Desk, file: AlertsFile) -> None:
    rotate(desk.path)
    assert file.flush()
    assert desk.path.exists()


@pytest.mark.parametrize("compress", [False, True], ids=["renamed", "compressed"])
def test_a_rotation_between_the_intent_and_the_append_sends_the_line_to_the_new_file(
    desk: Desk, file: AlertsFile, monkeypatch: pytest.MonkeyPatch, compress: bool
) -> None:
    file.write(alerts(0))
    intend = file._journal.intend

    def rotating(intent):  # type: ignore[no-untyped-def]
        monkeypatch.undo()
        intended = intend(intent)
        rotate(desk.path, compress=compress)
        return intended

    monkeypatch.setattr(file._journal, "intend", rotating)
    file.write(alerts(1, 2))
    assert (file.waiting, file.trouble) == (0, None)
    assert written(desk.path) == lines(0, 1, 2)
    assert desk.path.read_text().splitlines() == lines(1, 2)


@pytest.mark.parametrize("compress", [False, True], ids=["renamed", "compressed"])
def test_a_rotation_right_after_the_append_doubles_nothing(
    desk: Desk, file: AlertsFile, monkeypatch: pytest.MonkeyPatch, compress: bool
) -> None:
    write_all = "app.alerts.appender.write_all"

    def rotating(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data)
        monkeypatch.undo()
        rotate(desk.path, compress=compress)

    monkeypatch.setattr(write_all, rotating)
    file.write(alerts(0, 1))
    file.write(alerts(2))
    assert written(desk.path) == lines(0, 1, 2)


def test_a_file_deleted_while_open_is_made_anew(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0))
    desk.path.unlink()
    file.write(alerts(1))
    assert written(desk.path) == lines(1)


def test_a_folder_deleted_while_open_is_made_anew(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0))
    desk.path.unlink()
    desk.path.parent.rmdir()
    assert file.flush()
    file.write(alerts(1))
    assert written(desk.path) == lines(1)


def test_a_file_deleted_right_after_the_append_gets_the_line_again(
    desk: Desk, file: AlertsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deleting(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data)
        monkeypatch.undo()
        desk.path.unlink()

    monkeypatch.setattr("app.alerts.appender.write_all", deleting)
    file.write(alerts(0))
    assert written(desk.path) == lines(0)


def test_an_editor_that_leaves_no_newline_is_noticed_and_the_next_line_is_whole(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0))
    with desk.path.open("a") as editor:
        editor.write("a note")
    with capture_logs() as logs:
        file.write(alerts(1))
        file.write(alerts(2))
    assert standing(desk.path) == [f"{line}\n" for line in [*lines(0), "a note", *lines(1, 2)]]
    assert actions(logs) == ["alerts_file_edited"]


def test_it_is_noticed_at_the_start_too(desk: Desk) -> None:
    desk.path.parent.mkdir()
    desk.path.write_text("a note")
    with capture_logs() as logs:
        desk.open()
    assert actions(logs) == ["alerts_file_edited"]
    assert desk.path.read_text() == "a note\n"


def test_a_line_that_somebody_appends_at_the_same_moment_does_no_harm(
    desk: Desk, file: AlertsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noting(descriptor: int, data: bytes) -> None:
        monkeypatch.undo()
        with desk.path.open("a") as other:
            other.write("a note\n")
        os.write(descriptor, data)

    monkeypatch.setattr("app.alerts.appender.write_all", noting)
    file.write(alerts(0, 1))
    file.write(alerts(2))
    assert written(desk.path) == ["a note", *lines(0, 1, 2)]


def test_copy_and_truncate_is_reported_once(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0, 1, 2))
    desk.path.with_name("alerts.txt.1").write_bytes(desk.path.read_bytes())
    os.truncate(desk.path, 0)
    with capture_logs() as logs:
        file.write(alerts(3))
        file.write(alerts(4))
    assert written(desk.path) == lines(0, 1, 2, 3, 4)
    assert actions(logs) == ["alerts_file_truncated"]
    assert "rotate by renaming" in logs[0]["event"]


def test_copy_and_truncate_in_the_midst_of_a_write_doubles_nothing(
    desk: Desk, file: AlertsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(alerts(0, 1, 2))

    def cutting(descriptor: int, data: bytes) -> None:
        monkeypatch.undo()
        desk.path.with_name("alerts.txt.1").write_bytes(desk.path.read_bytes())
        os.truncate(desk.path, 0)
        os.write(descriptor, data)

    monkeypatch.setattr("app.alerts.appender.write_all", cutting)
    with capture_logs() as logs:
        file.write(alerts(3))
        file.write(alerts(4))
    assert written(desk.path) == lines(0, 1, 2, 3, 4)
    assert "alerts_file_truncated" in actions(logs)
