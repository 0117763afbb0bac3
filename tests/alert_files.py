"""For tests of alerts.txt: numbered alerts, what stands in the file and its rotations, an ``os`` that fails."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from app.alerts.file import AlertsFile
from app.model import Alert, State
from tests.clock import FakeClock

FIRST = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
_COUNTED = ("open", "write", "fsync", "ftruncate")


def alert(number: int, symbol: str = "BTC", rule: str = "price-2pct-5m") -> Alert:
    """The FIRING or RESOLVED, in turn, of a numbered episode, a second apart."""
    state = State.RESOLVED if number % 2 else State.FIRING
    terms = (("price", f"{60000 + number}.5"), ("avg(price,5m)", f"{59000 + number}.12345"))
    return Alert(f"{number // 2:012x}", state, FIRST + timedelta(seconds=number), symbol, rule, terms)


def alerts(*numbers: int) -> list[Alert]:
    """Those alerts."""
    return [alert(number) for number in numbers]


def actions(logs: list[dict[str, Any]]) -> list[Any]:
    """What was logged, by the names for machines."""
    return [entry["action"] for entry in logs]


def lines(*numbers: int) -> list[str]:
    """Those alerts, as they have to stand in the file."""
    return [alert(number).line for number in numbers]


def standing(path: Path) -> list[str]:
    """What stands in the file and its rotations ``.2.gz``, ``.1``, oldest first. A line without its end shows it."""
    files = sorted(path.parent.glob(f"{path.name}*"), key=lambda p: -_age(p, path))
    data = [gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes() for f in files]
    return [line if line.endswith("\n") else f"{line} (not ended)" for d in data for line in _split(d.decode())]


def written(path: Path) -> list[str]:
    """The same without the ends of lines."""
    return [line.removesuffix("\n") for line in standing(path)]


def _split(text: str) -> list[str]:
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _age(file: Path, path: Path) -> int:
    number = file.name.removeprefix(path.name).removesuffix(".gz").lstrip(".")
    return int(number or 0)


def rotate(path: Path, *, create: bool = False, compress: bool = False) -> None:
    """What logrotate does: number the old ones up, rename, perhaps make a new one, perhaps compress."""
    for old in sorted(path.parent.glob(f"{path.name}.*"), key=lambda p: -_age(p, path)):
        end = ".gz" if old.suffix == ".gz" else ""
        old.rename(path.with_name(f"{path.name}.{_age(old, path) + 1}{end}"))
    if not path.exists():
        return
    first = path.rename(path.with_name(f"{path.name}.1"))
    if create:
        path.touch()
    if compress:
        compress_file(first)


def compress_file(file: Path) -> None:
    """``gzip file``."""
    packed = file.with_name(f"{file.name}.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    os.utime(packed, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    file.unlink()


class Crash(BaseException):
    """The process is killed here."""


class Patch(Protocol):
    """pytest.MonkeyPatch, which the program that is killed need not load."""

    def setattr(self, target: str, value: object) -> None: ...


class FaultyOs:
    """Stands in for ``os`` where the file is written. The ``at``-th call from ``arm`` on meets its fault."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self._left = 0
        self._error: BaseException | None = None
        self._only: str | None = None
        self._again = False
        self._half = False

    def arm(
        self, error: BaseException, at: int = 1, only: str | None = None, again: bool = False, half: bool = False
    ) -> None:
        """``only``: count the calls of this function alone. ``again``: every one from there on. ``half``: the fault
        comes when a write is half done."""
        self._error, self._left, self._only, self._again, self._half = error, at, only, again, half

    def stand_in(self, patch: Patch) -> FaultyOs:
        """Take the place of ``os`` in the modules that write and mend the file."""
        patch.setattr("app.alerts.appender.os", self)
        patch.setattr("app.alerts.repair.os", self)
        patch.setattr("app.disk.os", self)
        return self

    def disarm(self) -> None:
        self._error = None

    @property
    def armed(self) -> bool:
        return self._error is not None

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return partial(self._call, name, real) if name in _COUNTED else real

    def _call(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        if self._error is not None and self._only in (None, name):
            self._left -= 1
            if self._left <= 0:
                error = self._error
                if not self._again:
                    self._error = None
                if self._half and name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                raise error
        self.calls.append((name, args[0]))
        return real(*args)


def full() -> OSError:
    """A disk without space."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Desk:
    """A folder with an alerts file in it, and whoever writes it now."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "alerts" / "alerts.txt"
        self.journal = folder / "data" / "alerts.sqlite"
        self.clock = FakeClock()
        self._opened: list[AlertsFile] = []

    def new(self) -> AlertsFile:
        """A writer that is not open yet."""
        file = AlertsFile(self.path, self.journal, self.clock)
        self._opened.append(file)
        return file

    def open(self) -> AlertsFile:
        """A writer, as at the start of the daemon."""
        file = self.new()
        file.open()
        return file

    def kill(self, file: AlertsFile) -> None:
        """What kill -9 leaves: descriptors and locks gone, open transactions undone, nothing tidied."""
        file._let_go()

    def end(self) -> None:
        for file in self._opened:
            self.kill(file)
