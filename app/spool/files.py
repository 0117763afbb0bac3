"""The files of a spool: their names, whether they are in place, the mark beside them, a new one for an old one."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import suppress
from datetime import UTC
from itertools import count
from pathlib import Path

from app import log
from app.clock import Clock
from app.disk import sync_folder
from app.spool.frame import Mark, mark_at
from app.spool.table import Damaged, code_of, restore_name

_DAMAGED_KEPT = 3
_FREE_SPACE = "free some space on its disk"
_LOOK_AT_LOG = "the disk reports errors: look at the system's log"
_WHAT_TO_DO = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: "free some space, or have the quota raised",
    errno.EROFS: "its file system is mounted read-only: look at the system's log for the reason, and mount it again",
    errno.EACCES: "let the user that runs this program write there",
    errno.EPERM: "let the user that runs this program write there",
    errno.EIO: _LOOK_AT_LOG,
    errno.ENOTDIR: "DATA_DIR has to be a folder",
    errno.EEXIST: "DATA_DIR has to be a folder",
}
_WHAT_TO_DO_SQLITE = {sqlite3.SQLITE_FULL: _FREE_SPACE, sqlite3.SQLITE_IOERR: _LOOK_AT_LOG}


def explain(error: OSError | sqlite3.Error | Damaged, path: Path) -> str:
    """What, where, why, and what to do, without a full stop."""
    what, remedy = str(error), "see whether DATA_DIR is a folder that this user may write to"
    if isinstance(error, OSError):
        what, remedy = error.strerror or what, _WHAT_TO_DO.get(error.errno or 0, remedy)
    elif isinstance(error, sqlite3.Error):
        remedy = _WHAT_TO_DO_SQLITE.get(code_of(error), remedy)
    else:
        remedy = _LOOK_AT_LOG
    return f"{path}: cannot be written ({what}); {remedy}"


class Files:
    """``path`` and what belongs to it. Any method may raise OSError."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.wal = self._beside("-wal")
        self.new = self._beside(".new")
        """A file that is complete, and on its way to the place of the old one."""
        self.building = self._beside(".building")
        """One that may not be complete."""
        self._mark = self._beside(".mark")
        self._clock = clock
        self._known: list[os.stat_result] = []

    def prepare(self) -> None:
        """Make the folder, and finish what a kill interrupted."""
        folder = self.path.parent
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync_folder(folder.parent)
        restore_name(self.path)
        if not self._mark.exists():
            self._write_mark(Mark())

    @property
    def is_new(self) -> bool:
        """Nothing is there."""
        return not any(path.exists() for path in (self.path, self.wal, self.new))

    def expect_only_one(self) -> None:
        """Raises Damaged unless there is one file, and no other on its way to its place."""
        if not self.path.exists():
            raise Damaged("it is gone")
        if self.new.exists():
            raise Damaged("writing it anew was interrupted")

    @property
    def wal_bytes(self) -> int:
        """The size of the WAL."""
        with suppress(FileNotFoundError):
            return self.wal.stat().st_size
        return 0

    def attach(self) -> None:
        """The files now in place are ours, and their names are on the disk."""
        self._known = [path.stat() for path in (self.path, self.wal)]
        sync_folder(self.path.parent)

    def are_in_place(self) -> bool:
        """Whether they are still those: nobody moved, replaced or deleted one."""
        with suppress(FileNotFoundError):
            return all(map(os.path.samestat, self._known, (self.path.stat(), self.wal.stat())))
        return False

    def read_mark(self) -> Mark:
        """The mark beside the file. One that is damaged says nothing, and costs nothing but what it could tell."""
        data = self._mark.read_bytes()
        mark = mark_at(data)
        if mark is None and data:
            log.get(__name__).warning(
                f"{self._mark} is damaged; it is written anew. Nothing is lost by that.", action="spool_mark_damaged"
            )
        return mark or Mark()

    def write_mark(self, mark: Mark) -> None:
        """Say beside the file how far it was filled and drained.

        It may fail, and need not reach the disk: it is there to tell what is missing, should the file be damaged.
        """
        with suppress(OSError):
            self._write_mark(mark)

    def _write_mark(self, mark: Mark) -> None:
        descriptor = os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.fchmod(descriptor, 0o640)
            os.pwrite(descriptor, mark.pack(), 0)
        finally:
            os.close(descriptor)

    def switch(self, *, keep: bool) -> Path | None:
        """Put the file that was built in the place of the old one; where that is kept, if it is.

        A kill anywhere in between leaves the new file complete under one of its names, and never an old WAL beside it.
        """
        self.building.rename(self.new)
        sync_folder(self.path.parent)
        aside = self._put_aside() if keep else None
        self.wal.unlink(missing_ok=True)
        sync_folder(self.path.parent)
        self.new.rename(self.path)
        sync_folder(self.path.parent)
        return aside

    def _put_aside(self) -> Path | None:
        stamp = self._clock.now().astimezone(UTC).strftime("%Y%m%dT%H%M%S")
        names = (self._beside(f".damaged-{stamp}Z{f'.{n}' if n else ''}") for n in count())
        aside = next(name for name in names if not name.exists() and not wal_of(name).exists())
        moved = False
        for old, kept in ((self.wal, wal_of(aside)), (self.path, aside)):
            with suppress(FileNotFoundError):
                old.rename(kept)
                moved = True
        self._forget_oldest()
        return aside if moved else None

    def _forget_oldest(self) -> None:
        found = self.path.parent.glob(f"{self.path.name}.damaged-*")
        kept = sorted({path.name.removesuffix("-wal") for path in found})
        for name in kept[:-_DAMAGED_KEPT]:
            for end in ("", "-wal"):
                self.path.with_name(name + end).unlink(missing_ok=True)

    def _beside(self, end: str) -> Path:
        return self.path.with_name(self.path.name + end)


def wal_of(path: Path) -> Path:
    """The WAL that SQLite keeps beside a file."""
    return path.with_name(f"{path.name}-wal")
