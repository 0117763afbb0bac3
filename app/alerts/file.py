"""alerts.txt: every alert as one line, exactly once, whole and in order, whatever is killed, full, rotated or deleted.

The way of a line: it waits in memory (the database has it already); what is about to be appended, and where, is
written down in the journal; it is appended; fsync; it is marked as written in the journal. A crash anywhere leaves
either no intent, or one that says where to look for what is there. Exactly once holds for one file: two daemons that
write two files both write.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from app import log
from app.alerts.appender import Appender, explain
from app.alerts.journal import Intent, Journal, Line, from_microseconds, line_of, microseconds
from app.alerts.repair import holds_lines, lines_in_place
from app.clock import Clock
from app.errors import CannotWrite, CryptoMonitorError
from app.model import Alert

_BATCH = 200  # lines appended, and marked, together
_WAITING_AT_MOST = 10_000  # lines kept in memory while the file cannot be written; the rest stays in the database
_MARGIN = timedelta(days=1)  # by which the database's clock and ours may differ, and ours may jump


class AlertsFile:
    """The one writer of the file. Safe to use from several threads.

    Call ``open`` once, then ``catch_up`` with what the database holds, then ``write`` with what is committed there,
    and ``flush`` about once a second. Nothing that happens to the file later raises: the lines wait.
    """

    def __init__(self, path: Path, journal: Path, clock: Clock) -> None:
        self._path = path
        self._file = Appender(path)
        self._journal = Journal(journal)
        self._clock = clock
        self._lock = threading.Lock()
        self._in_use = False
        self._waiting: dict[tuple[str, str], Line] = {}
        self._unsettled: Intent | None = None  # a write of which we do not know how far it got
        self._latest: int | None = None  # when the newest alert was accepted that is written, by our clock then
        self._written_before = 0  # when the trouble began
        self._log = log.get(__name__)
        self.written = 0
        """Lines written since the start."""
        self.trouble: str | None = None
        """Why lines cannot be written now, and what to do about it."""
        self.behind = False
        """Alerts are left in the database, because too many wait or ``catch_up`` broke off: call that again."""

    def open(self) -> None:
        """Create or open the file, and mend what a crash left.

        Raises CannotWrite when it cannot be created, opened or mended, AlreadyRunning when another process writes it.
        """
        with self._lock:
            try:
                self._attach()
                self._file.end()
            except OSError as error:
                self._let_go()
                raise CannotWrite(explain(error, self._path)) from error
            except CryptoMonitorError:
                self._let_go()
                raise
            self._in_use = True

    def close(self) -> None:
        """Try once more to write what waits, and let go of the file."""
        with self._lock:
            self._flush()
            self._in_use = False
            self._let_go()
            if self._waiting:
                self._log.warning(
                    f"{len(self._waiting)} alerts could not be written to {self._path}; the next start writes them.",
                    action="alerts_file_closed",
                    waiting=len(self._waiting),
                )

    @property
    def waiting(self) -> int:
        """Lines that wait in memory to be written."""
        return len(self._waiting)

    @property
    def since(self) -> datetime | None:
        """``catch_up`` need not be given alerts that were recorded before this time. None: it needs all of them.

        Raises CannotWrite when the journal cannot be read.
        """
        with self._lock:
            through = self._journal.through
        return None if through is None else min(from_microseconds(through), self._clock.now()) - _MARGIN

    @property
    def ago(self) -> timedelta | None:
        """The same as a time from now, for a database whose clock is far from ours: the earlier of the two holds."""
        with self._lock:
            through = self._journal.through
        return None if through is None else self._clock.now() - from_microseconds(through) + _MARGIN

    def write(self, alerts: Sequence[Alert]) -> None:
        """Append these alerts, now if possible. They have to be committed to the database before."""
        with self._lock:
            accepted = microseconds(self._clock.now())
            for chunk in _chunks(alerts):
                self._queue(line_of(alert, accepted) for alert in chunk)
                if self.trouble is None:
                    self._flush()

    def flush(self) -> bool:
        """Append what waits, notice a rotation. True if nothing waits any more."""
        with self._lock:
            return self._flush()

    def catch_up(self, alerts: Iterable[Alert]) -> int:
        """Write those of the database's alerts, in the order recorded, that never were; how many they are.

        ``alerts`` may hold more than is needed, and is read bit by bit while threads that write have to wait. What it
        raises goes through. A journal that was lost knows of none: then all of them are taken as written.
        """
        with self._lock:
            self.behind, missing = True, 0
            try:
                if self._journal.skips:
                    self._skip(alerts)
                else:
                    for chunk in _chunks(alerts):
                        lines = self._journal.unsettled(line_of(alert) for alert in chunk)
                        missing += len(lines)
                        self._waiting |= {line.key: line for line in lines if line.key not in self._waiting}
                        if not self._flush() and len(self._waiting) >= _WAITING_AT_MOST:
                            return missing
                self.behind = False
            except CannotWrite as error:
                self._fail(str(error))
            return missing

    def _skip(self, alerts: Iterable[Alert]) -> None:
        now = microseconds(self._clock.now())
        count = self._journal.skip((line_of(alert) for alert in alerts), now)
        self._log.warning(
            f"{self._journal.path} is new, and {self._path} is not: which alerts stand there is unknown. So that none"
            f" is written twice, the {count} in the database are taken as written; the file goes on after the newest.",
            action="alerts_file_skipped",
            alerts=count,
        )

    def _queue(self, lines: Iterable[Line]) -> None:
        for line in lines:
            if self.behind:
                return  # catch_up finds it in the database, after others that are there
            self._waiting.setdefault(line.key, line)
            if len(self._waiting) >= _WAITING_AT_MOST:
                self.behind = True
                self._log.error(
                    f"{len(self._waiting)} alerts wait for {self._path}; further ones are left in the database until"
                    " these are written.",
                    action="alerts_file_behind",
                )

    def _flush(self) -> bool:
        if not self._in_use:
            return not self._waiting
        try:
            self._attach()
            self._write_waiting()
            self._follow_clock()
        except OSError as error:
            self._fail(explain(error, self._path))
            return False
        except CryptoMonitorError as error:
            self._fail(str(error))
            return False
        self._work_again()
        return True

    def _write_waiting(self) -> None:
        # More rounds than needed: one ends without progress when the file is rotated at this very moment.
        for _ in range(2 * len(self._waiting) // _BATCH + 10):
            if not self._waiting:
                return
            self._write_some()
            self._attach()
        raise OSError(errno.EBUSY, "it is replaced again and again", str(self._path))

    def _attach(self) -> None:
        """Have the journal and the file at our path open, and nothing unsettled."""
        if not self._journal.is_open:
            self._journal.open(beside_lines=holds_lines(self._path))
            self._unsettled = self._journal.intent() or self._unsettled
            self._latest = self._journal.through
        self._file.attach()
        if self._unsettled is not None:
            self._settle(self._unsettled)

    def _write_some(self) -> None:
        """Append the lines that have waited longest. Leaves them unsettled when others interfere."""
        inode, offset = self._file.end()
        oldest = tuple(islice(self._waiting.values(), _BATCH))
        intent = self._journal.intend(Intent(inode, offset, microseconds(self._clock.now()), oldest))
        self._forget(set(oldest) - set(intent.lines))
        self._unsettled = intent
        if not self._file.is_in_place():
            # Rotated a moment ago: a compressor may be reading it already, so nothing may be added any more.
            self._mark(())
            return
        try:
            undisturbed = self._file.append(offset, intent.data)
        except OSError as error:
            self._fail(explain(error, self._path))
            with suppress(OSError, CryptoMonitorError):
                self._attach()  # cuts off a torn line at once
            raise
        if undisturbed:
            self._mark(intent.lines)

    def _settle(self, intent: Intent) -> None:
        """Find out how far a write got: mark what is there, leave the rest to be written first."""
        there = lines_in_place(self._path, intent)
        missing = {line.key: line for line in intent.lines if line not in there}
        self._mark(there)
        self._waiting = missing | self._waiting
        if self.trouble is None:
            self._log.info(
                f"A write to {self._path} was interrupted: {len(there)} of {len(intent.lines)} lines were there.",
                action="alerts_file_repaired",
                there=len(there),
                missing=len(missing),
            )

    def _follow_clock(self) -> None:
        """Where our clock was set back, forget the later time by it: what comes now was recorded before that."""
        now = microseconds(self._clock.now())
        if self._latest is not None and self._latest > now:
            self._journal.accepted_until(now)
            self._latest = now

    def _mark(self, lines: Sequence[Line]) -> None:
        self._journal.mark(lines)
        self._latest = max((line.accepted for line in lines if line.accepted is not None), default=self._latest)
        self._unsettled = None
        self._forget(lines)
        self.written += len(lines)

    def _forget(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self._waiting.pop(line.key, None)

    def _let_go(self) -> None:
        self._file.close()
        self._journal.close()

    def _fail(self, trouble: str) -> None:
        if trouble == self.trouble:
            return
        self._log.error(
            f"{trouble}. Alerts wait, and will be written when that is done.",
            action="alerts_file_failed",
            waiting=len(self._waiting),
        )
        if self.trouble is None:
            self._written_before = self.written
        self.trouble = trouble

    def _work_again(self) -> None:
        if self.trouble is not None:
            self.trouble = None
            waited = self.written - self._written_before
            self._log.info(
                f"{self._path} can be written again; alerts that waited and are in it now: {waited}.",
                action="alerts_file_works",
                written=waited,
            )


def _chunks(alerts: Iterable[Alert]) -> Iterator[list[Alert]]:
    rest = iter(alerts)
    while chunk := list(islice(rest, _BATCH)):
        yield chunk
