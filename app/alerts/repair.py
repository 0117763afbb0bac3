"""After a crash, a full disk or a rotation: which lines stand in alerts.txt, or in what became of it, whole."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.alerts.appender import write_all
from app.alerts.journal import Intent, Line

_DAY_US = 86_400 * 10**6
_LOOKS = 10  # how often we look again when files are renamed under our eyes


@dataclass(frozen=True, slots=True)
class _Found:
    """A file in the folder. Times are not compared: only a rename, a creation or a deletion makes another one of it."""

    path: str
    name: str
    inode: int


def holds_lines(path: Path) -> bool:
    """Whether something stands in this file, or in one that rotation made of it."""
    return any(_size(found) for found in _rotations(path))


def lines_in_place(path: Path, intent: Intent) -> list[Line]:
    """Those of the intended lines that stand, whole and on disk, in the file or in what rotation made of it.

    What was torn in the midst of a line is cut off. Raises OSError when a file cannot be read or mended.
    """
    for _ in range(_LOOKS):
        before = _candidates(path, intent)
        found = _search(before, intent)
        if _candidates(path, intent) == before:
            return [line for line in intent.lines if line.data in found]
    raise OSError(errno.EBUSY, "its folder changes faster than it can be read", str(path))


def _candidates(path: Path, intent: Intent) -> list[_Found]:
    moved = [found for found in _files(path.parent) if found.inode == intent.inode]
    return sorted({*moved, *_rotations(path)}, key=lambda found: found.path)


def _search(candidates: list[_Found], intent: Intent) -> set[bytes]:
    texts = {line.data for line in intent.lines}
    found: set[bytes] = set()
    elsewhere = candidates
    for candidate in candidates:
        if candidate.inode == intent.inode and _size(candidate) >= intent.offset:
            # Where they were going, under whatever name it has now.
            found |= _mend(candidate, intent.offset, texts)
            elsewhere = [other for other in elsewhere if other != candidate]
    if found != texts:
        # Moved and compressed, copied and cut; or never written at all.
        for other in elsewhere:
            if _changed(other) > intent.begun - _DAY_US:
                found |= texts.intersection(_whole_lines(other.path))
    return found


def _mend(home: _Found, offset: int, texts: set[bytes]) -> set[bytes]:
    """Cut off a torn line of ours, and see to it that the whole ones are on disk: those are returned."""
    try:
        descriptor = os.open(home.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return set()
    with io.FileIO(descriptor, "r+") as file:
        if os.fstat(descriptor).st_ino != home.inode:
            return set()
        file.seek(offset)
        tail = file.readall()
        end = tail.rfind(b"\n") + 1
        found = texts.intersection(tail[:end].splitlines(keepends=True))
        torn = tail[end:]
        if torn and any(text.startswith(torn) for text in texts - found):
            os.ftruncate(descriptor, offset + end)
        if found:
            # An fsync that failed leaves pages that look clean and are not on disk. Writing the same bytes again
            # makes them dirty, so that the next fsync tells the truth about them.
            file.seek(offset)
            write_all(descriptor, tail[:end])
        os.fsync(descriptor)
    return found


def _whole_lines(path: str) -> Iterator[bytes]:
    """Its lines, unpacked if it is compressed, as far as it can be read."""
    with (
        suppress(FileNotFoundError, gzip.BadGzipFile, EOFError, zlib.error),
        gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as lines,
    ):
        yield from lines


def _rotations(path: Path) -> list[_Found]:
    """The file itself, ``alerts.txt.1``, ``alerts.txt-20261122.gz``, ``alerts-20261122.txt`` and their like."""
    dated = re.compile(rf"{re.escape(path.stem)}[-._]?\d.*{re.escape(path.suffix)}(\.\w+)?")
    return [
        found
        for found in _files(path.parent)
        if (found.name.startswith(path.name) or dated.fullmatch(found.name)) and ".sqlite" not in found.name
    ]


def _files(folder: Path) -> Iterator[_Found]:
    """Every file in a folder and in the folders right in it, where logrotate's ``olddir`` may be."""
    inner = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield _Found(entry.path, entry.name, entry.inode())
            elif entry.is_dir(follow_symlinks=False):
                inner.append(Path(entry.path))
    for path in inner:
        with suppress(FileNotFoundError, PermissionError), os.scandir(path) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    yield _Found(entry.path, entry.name, entry.inode())


def _size(found: _Found) -> int:
    """0 for one that has just gone."""
    with suppress(FileNotFoundError):
        return Path(found.path).stat().st_size
    return 0


def _changed(found: _Found) -> int:
    """When it was last written, in microseconds since 1970; 0 for one that has just gone."""
    with suppress(FileNotFoundError):
        return Path(found.path).stat().st_mtime_ns // 1000
    return 0
