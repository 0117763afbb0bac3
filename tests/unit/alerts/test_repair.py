"""alerts.txt after a kill at any step, and what may have happened to the file before the next start."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.alerts.file import AlertsFile
from tests.alert_files import (
    Crash,
    Desk,
    FaultyOs,
    alert,
    alerts,
    lines,
    rotate,
    standing,
    written,
)

STEPS = {
    "before-the-intent": ("app.alerts.journal.Journal.intend", False),
    "after-the-intent": ("app.alerts.journal.Journal.intend", True),
    "before-the-mark": ("app.alerts.journal.Journal.mark", False),
    "after-the-mark": ("app.alerts.journal.Journal.mark", True),
    "in-the-line": None,
}


def left_alone(path: Path) -> None:
    pass


def renamed(path: Path) -> None:
    rotate(path)


def renamed_and_created(path: Path) -> None:
    rotate(path, create=True)


def compressed(path: Path) -> None:
    rotate(path, compress=True)


def compressed_and_created(path: Path) -> None:
    rotate(path, create=True, compress=True)


def compressed_until_the_inode_comes_again(path: Path) -> None:
    inode = path.stat().st_ino
    for _ in range(5):  # not on every file system
        rotate(path, create=True, compress=True)
        if path.stat().st_ino == inode:
            break


def moved_to_the_old_folder(path: Path) -> None:
    (path.parent / "old").mkdir()
    path.rename(path.parent / "old" / "alerts.txt.1")


MEANWHILE = [
    left_alone,
    renamed,
    renamed_and_created,
    compressed,
    compressed_and_created,
    compressed_until_the_inode_comes_again,
]


def kill_at(step: str, file: AlertsFile, faults: FaultyOs, numbers: tuple[int, ...]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if STEPS[step] is None:
            faults.arm(Crash(), only="write", half=True)
        else:
            name, done = STEPS[step]  # type: ignore[misc]
            patch.setattr(name, _killed(file, name.rpartition(".")[2], done))
        with pytest.raises(Crash):
            file.write(alerts(*numbers))


def _killed(file: AlertsFile, name: str, done: bool):  # type: ignore[no-untyped-def]
    real = getattr(file._journal, name)

    def killed(self, *args):  # type: ignore[no-untyped-def]
        if done:
            real(*args)
        raise Crash

    return killed


@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=lambda m: m.__name__)
@pytest.mark.parametrize("before", [(), (0, 1)], ids=["first-lines", "more-lines"])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_every_line_once_whole_and_in_order(
    desk: Desk, file: AlertsFile, faults: FaultyOs, step: str, before: tuple[int, ...], meanwhile: object
) -> None:
    file.write(alerts(*before))
    kill_at(step, file, faults, (10, 11, 12))
    desk.kill(file)
    meanwhile(desk.path)  # type: ignore[operator]
    again = desk.open()
    again.catch_up(alerts(*before, 10, 11, 12))
    again.write(alerts(13))
    expected = lines(*before, 10, 11, 12, 13)
    if step == "in-the-line" and "compress" in meanwhile.__name__:  # type: ignore[attr-defined]
        # Half a line that was packed before the start stays in the archive; the whole one comes in the new file.
        assert [line for line in written(desk.path) if not line.endswith("(not ended)")] == expected
    else:
        assert standing(desk.path) == [f"{line}\n" for line in expected]


def test_a_line_torn_by_a_kill_is_mended_in_the_file_that_was_moved_to_another_folder(
    desk: Desk, file: AlertsFile, faults: FaultyOs
) -> None:
    file.write(alerts(0))
    kill_at("in-the-line", file, faults, (1, 2, 3))
    desk.kill(file)
    moved_to_the_old_folder(desk.path)
    assert desk.open().catch_up(alerts(0, 1, 2, 3)) == 2, "1 was whole"
    old = (desk.path.parent / "old" / "alerts.txt.1").read_text()
    assert old + desk.path.read_text() == "".join(f"{line}\n" for line in lines(0, 1, 2, 3))


def test_a_file_renamed_while_the_repair_looks_for_it_is_found(
    desk: Desk, file: AlertsFile, faults: FaultyOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at("before-the-mark", file, faults, (0, 1))
    desk.kill(file)

    def missed(*found: object) -> set[bytes]:
        monkeypatch.undo()
        rotate(desk.path, create=True)
        return set()

    monkeypatch.setattr("app.alerts.repair._search", missed)
    desk.open().catch_up(alerts(0, 1, 2))
    assert written(desk.path) == lines(0, 1, 2)


def test_a_kill_during_the_repair_is_repaired(desk: Desk, file: AlertsFile, faults: FaultyOs) -> None:
    for n in range(1, 40):
        kill_at("in-the-line", file, faults, (3 * n, 3 * n + 1, 3 * n + 2))
        desk.kill(file)
        faults.arm(Crash(), at=n)
        broken = desk.new()
        try:
            broken.open()
        except Crash:
            desk.kill(broken)
            file = desk.open()
        else:
            faults.disarm()
            file = broken
            break
        file.catch_up(alerts(*range(3, 3 * n + 3)))
    assert n > 5, "the repair was killed at several points"
    file.catch_up(alerts(*range(3, 3 * n + 3)))
    assert standing(desk.path) == [f"{line}\n" for line in lines(*range(3, 3 * n + 3))]


def test_lines_whose_file_was_deleted_before_they_were_marked_are_written_anew(
    desk: Desk, file: AlertsFile, faults: FaultyOs
) -> None:
    file.write(alerts(0))
    kill_at("before-the-mark", file, faults, (1, 2))
    desk.kill(file)
    desk.path.unlink()
    again = desk.open()
    again.catch_up(alerts(0, 1, 2))
    assert written(desk.path) == lines(1, 2)


def test_what_somebody_wrote_behind_a_torn_line_is_not_cut(desk: Desk, file: AlertsFile, faults: FaultyOs) -> None:
    kill_at("in-the-line", file, faults, (0,))
    desk.kill(file)
    with desk.path.open("a") as other:
        other.write(" a note\n")
    desk.open().catch_up(alerts(0))
    assert desk.path.read_text().endswith(f" a note\n{alert(0).line}\n")
