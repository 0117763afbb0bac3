"""One file at a path, open for appending and locked, which others rename, delete, cut, edit or block as they like."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from app import log
from app.disk import sync_folder
from app.errors import AlreadyRunning

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_FOLDER_BLOCKED = "a file stands where its folder should be: move that away, or name another file in ALERTS_FILE"
_WHAT_TO_DO = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some space, or have the quota raised",
    errno.EROFS: "its file system is mounted read-only: look at the system's log for the reason, and mount it again",
    errno.EACCES: "let the user that runs this program write there",
    errno.EPERM: "let the user that runs this program write there (lsattr shows whether the file is protected)",
    errno.EISDIR: "a folder stands in its place: move that away, or name another file in ALERTS_FILE",
    errno.EEXIST: _FOLDER_BLOCKED,
    errno.ENOTDIR: _FOLDER_BLOCKED,
    errno.ELOOP: "it is a symbolic link: name the file that is meant in ALERTS_FILE",
    errno.ENXIO: "it has to be an ordinary file: name one in ALERTS_FILE",
    errno.EIO: "the disk reports errors: look at the system's log",
}


def explain(error: OSError, path: Path) -> str:
    """What, where, why, and what to do, without a full stop."""
    remedy = _WHAT_TO_DO.get(error.errno or 0, "see whether the file and its folder can be written")
    return f"{error.filename or path}: alerts cannot be written ({error.strerror}); {remedy}"


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however few the system takes at a time. Raises OSError, then with a part written."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class Appender:
    """Opens, notices what happened to the file, appends. Any method may raise OSError.

    ``attach`` raises AlreadyRunning when another process has the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._size: int | None = None  # after our last write; None before the first
        self._said_no_locks = False

    def attach(self) -> None:
        """Have the file at the path open, however it came there. Where there is none, make it."""
        if self._descriptor is not None and not self.is_in_place():
            self.close()
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(self.path, _FLAGS)
            except FileNotFoundError:
                descriptor = os.open(self.path, _FLAGS | os.O_CREAT, 0o644)
                with suppress(OSError):  # readable by all whatever the umask says; some file systems have no modes
                    os.fchmod(descriptor, 0o644)
            self._adopt(descriptor)

    def close(self) -> None:
        """Let go of the file and its lock."""
        descriptor, self._descriptor, self._size = self._descriptor, None, None
        if descriptor is not None:
            with suppress(OSError):  # what it could say, fsync has said
                os.close(descriptor)

    def is_in_place(self) -> bool:
        """Whether the open file is the one at the path: neither rotated, nor replaced, nor deleted."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._open), self.path.stat(follow_symlinks=False))
        return False

    def end(self) -> tuple[int, int]:
        """(inode, offset) of where the next line goes. Reports what others did to the file, and ends their line."""
        found = os.fstat(self._open)
        size = found.st_size
        if self._size is not None and size < self._size:
            log.get(__name__).warning(
                f"{self.path} was cut from {self._size} to {size} bytes by another program. Copy-and-truncate loses"
                " what is written in between: rotate by renaming (alerts/README.md).",
                action="alerts_file_truncated",
            )
        if size and size != self._size and os.pread(self._open, 1, size - 1) != b"\n":
            log.get(__name__).warning(
                f"The last line of {self.path} was not ended; somebody edited it. It is ended now.",
                action="alerts_file_edited",
            )
            write_all(self._open, b"\n")
            size = os.fstat(self._open).st_size
        self._size = size
        return found.st_ino, size

    def append(self, offset: int, data: bytes) -> bool:
        """Append from this offset on and wait for the disk. False: others interfered, look where it went.

        When it raises, the file is closed: after a failed fsync, the next one on the same descriptor reports success
        for what is lost.
        """
        try:
            write_all(self._open, data)
            os.fsync(self._open)
            after = os.fstat(self._open)
        except OSError:
            self.close()
            raise
        undisturbed = after.st_size == offset + len(data) and after.st_nlink > 0
        if undisturbed:
            self._size = after.st_size
        return undisturbed

    @property
    def _open(self) -> int:
        if self._descriptor is None:
            raise OSError(errno.EBADF, "it is not open", str(self.path))
        return self._descriptor

    def _adopt(self, descriptor: int) -> None:
        """Make this the file we write, if it is one, nobody else writes it, and its name is on the disk."""
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), str(self.path))  # noqa: TRY301
            self._lock(descriptor)
            sync_folder(self.path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor, self._size = descriptor, None

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"{self.path}: another process writes it; each daemon needs an ALERTS_FILE of its own"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            if not self._said_no_locks:
                self._said_no_locks = True
                log.get(__name__).warning(
                    f"The file system of {self.path} knows no locks: take care that only one daemon writes it.",
                    action="alerts_file_unlocked",
                )
