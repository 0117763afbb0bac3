"""What can be seen without a fault: that the seeded bugs still fit the source, and that traces are read rightly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.acceptance.daemon import REPOSITORY
from tests.faults.fsync import trusted_sync, unsynced
from tests.faults.selftest import BUGS, Bug, Change

WRITE = 'write(6</a/alerts.txt>, "2026"..., 109) = 109'
SYNC, FAILED = "fsync(6</a/alerts.txt>) = 0", "fsync(6</a/alerts.txt>) = -1 EIO (Input/output error) (INJECTED)"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
def test_a_seeded_bug_fits_the_source_as_it_is(bug: Bug, tmp_path: Path) -> None:
    for change in bug.changes:
        _bring(change, tmp_path).apply(tmp_path)
        if change.file.endswith(".py"):
            compile((tmp_path / change.file).read_text(), change.file, "exec")


def test_a_seeded_bug_that_no_longer_fits_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="stands there 0 times, not 1"):
        _bring(Change("app/intake.py", "this stands nowhere", ""), tmp_path).apply(tmp_path)


def _bring(change: Change, folder: Path) -> Change:
    """Its file alone; all of the source takes a while to copy."""
    file = folder / change.file
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / change.file, file)
    return change


def test_an_fsync_after_a_failed_one_is_not_to_be_believed() -> None:
    assert "109 bytes had not been written again" in (trusted_sync([WRITE, FAILED, SYNC, WRITE]) or "")


def test_an_fsync_is_believed_when_all_was_written_again() -> None:
    assert trusted_sync([WRITE, FAILED, WRITE, SYNC, WRITE, SYNC]) is None


def test_an_fsync_is_no_matter_when_the_file_is_given_up() -> None:
    page = 'pwrite64(4</a/spool.sqlite-wal>, "\\0"..., 4096, 56) = 4096'
    gone = 'unlink("/a/spool.sqlite-wal") = 0'
    assert trusted_sync([page, FAILED, SYNC, gone, page, SYNC]) is None


def test_a_page_is_written_again_only_at_its_own_place() -> None:
    page, elsewhere = (f'pwrite64(4</a/x-wal>, "\\0"..., 4096, {offset}) = 4096' for offset in (56, 8192))
    assert trusted_sync([page, FAILED, page, SYNC, page]) is None
    assert trusted_sync([page, FAILED, elsewhere, SYNC, page]) is not None


def test_what_no_fsync_followed_is_counted() -> None:
    assert unsynced([WRITE, SYNC]) == 0
    assert unsynced([WRITE, SYNC, WRITE, WRITE]) == 218
