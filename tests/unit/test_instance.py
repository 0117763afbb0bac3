"""One daemon a DATA_DIR."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import AlreadyRunning, CannotWrite
from app.instance import LOCK, instance_lock


def test_the_folder_is_made_and_the_lock_says_whose_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with instance_lock(folder):
        assert (folder / LOCK).read_text() == str(os.getpid())


def test_the_second_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with instance_lock(tmp_path):
        with pytest.raises(AlreadyRunning) as caught, instance_lock(tmp_path):
            pass
        assert f"(pid {os.getpid()})" in str(caught.value)
        assert f"DATA_DIR={tmp_path}" in str(caught.value)
        # The refused one has taken nothing away.
        assert (tmp_path / LOCK).read_text() == str(os.getpid())


def test_it_is_free_again_afterwards_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), instance_lock(tmp_path):
        raise KeyError
    with instance_lock(tmp_path):
        pass


def test_a_killed_process_leaves_it_free(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from app.instance import instance_lock\n"
        "with instance_lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match=rf"pid {other.pid}\)"), instance_lock(tmp_path):
            pass
        other.kill()
        other.wait()
        with instance_lock(tmp_path):
            assert (tmp_path / LOCK).read_text() == str(os.getpid())


def test_a_child_that_outlives_us_does_not_keep_it(tmp_path: Path) -> None:
    with instance_lock(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with instance_lock(tmp_path):
            assert child.poll() is None
    finally:
        child.communicate(b"\n")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CannotWrite) as caught, instance_lock(folder):
            pass
        assert str(caught.value).startswith(f"DATA_DIR={folder}: cannot be written (")


def test_a_lock_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(CannotWrite, match="Is a directory"), instance_lock(tmp_path):
        pass


def test_whatever_stands_in_the_lock_file_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(b"\xff" * 100)
    with instance_lock(tmp_path):
        assert (tmp_path / LOCK).read_text() == str(os.getpid())
