"""File systems of a fault's own, where mounts are allowed: small ones that get full, and ones whose power is cut."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.scene import Skip

_BUSY_SECONDS = 10.0  # for which a file system may still be in use by processes that have just been killed


@contextmanager
def small(folder: Path, kilobytes: int) -> Iterator[Disk]:
    """An empty file system of this size at the folder. Raises Skip where mounts are not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k,mode=755", "tmpfs", str(folder))
    try:
        yield Disk(folder)
    finally:
        _unmount(folder)


class Disk:
    """A mounted folder that can be filled up and emptied."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self, leave: int = 0) -> None:
        """Take all its space, but for so many bytes."""
        with self._filler.open("ab", buffering=0) as file:
            with suppress(OSError):
                while True:
                    file.write(b"\0" * 65536)
            file.truncate(max(0, file.tell() - leave))

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)


class Image:
    """An ext4 in a file, mounted at ``folder``."""

    def __init__(self, file: Path, folder: Path, megabytes: int) -> None:
        self.folder, self._file, self._cuts = folder, file, 0
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as new:
            new.truncate(megabytes * 1024 * 1024)
        _run("mkfs.ext4", "-q", "-F", str(file))
        _mount("-o", "loop", str(file), str(folder))

    def settle(self) -> None:
        """Have on the disk what is there now, whoever wrote it."""
        _run("sync", "-f", str(self.folder))

    def snapshot(self) -> None:
        """What a power cut would leave now: what the kernel has not written to the disk is not in it."""
        _run("cp", "--sparse=always", str(self._file), str(self._next))

    def replace(self) -> None:
        """Mount the last snapshot in place of what is there. Nobody may have a file open."""
        _unmount(self.folder)
        self._next.replace(self._file)
        _mount("-o", "loop", str(self._file), str(self.folder))

    def end(self) -> None:
        _unmount(self.folder)
        self._file.unlink(missing_ok=True)
        self._next.unlink(missing_ok=True)

    @property
    def _next(self) -> Path:
        return self._file.with_suffix(".cut")


@contextmanager
def image(file: Path, folder: Path, megabytes: int = 400) -> Iterator[Image]:
    """A new one. Raises Skip where mounts are not allowed."""
    made = Image(file, folder, megabytes)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def read_only(file: Path) -> Iterator[None]:
    """Nobody, not even root, can open the file for writing. Raises Skip where root may not mount."""
    if os.geteuid() != 0:
        file.chmod(0o444)
        yield
        file.chmod(0o644)
        return
    _mount("--bind", str(file), str(file))
    try:
        _mount("-o", "remount,bind,ro", str(file))
        yield
    finally:
        _unmount(file)


def _mount(*arguments: str) -> None:
    _run("mount", *arguments)


def _unmount(folder: Path) -> None:
    end = time.monotonic() + _BUSY_SECONDS
    while subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode != 0:
        if not os.path.ismount(folder):
            return
        if time.monotonic() > end:
            subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
            return
        time.sleep(0.05)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise Skip(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        raise Skip(f"{' '.join(command[:2])} is not allowed here: {error.stderr.strip().splitlines()[-1:]}") from None
