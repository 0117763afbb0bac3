"""``python -m tests.faults.selftest``: bugs put into a copy of ``app``, each of which the programme has to find.

Each is a change of a few lines, which have to stand in the source exactly as often as is said here: a source that
moves on makes this fail, not pass. A fault counts as having found it when it says what that bug does; and on the code
as it is, the same fault has to find nothing.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from app import log
from tests.acceptance.daemon import REPOSITORY
from tests.faults import clocks, disk, doubles, fsync, power, replies
from tests.faults.scene import Fault, Run
from tests.servers import available

_BESIDE = 2
_BEGIN, _END = "<!-- selftest -->", "<!-- /selftest -->"

Part = Callable[[Run, int], None]


@dataclass(frozen=True)
class Change:
    """In ``file`` the text ``old``, which stands there so many ``times``, becomes ``new``."""

    file: str
    old: str
    new: str
    times: int = 1

    def apply(self, code: Path) -> None:
        """Raises AssertionError where the source is not as it was when this was written."""
        path = code / self.file
        text = path.read_text()
        found = text.count(self.old)
        assert found == self.times, f"{self.file}: {self.old!r} stands there {found} times, not {self.times}"
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Bug:
    """``part`` of the programme, done ``times`` in each of at most ``tries`` rounds, has to find it, and say one of
    the ``words``."""

    name: str
    changes: tuple[Change, ...]
    part: Part
    times: int
    words: tuple[str, ...]
    tries: int = 4
    instead: Part | None = None
    """The part to do where the other is not allowed."""


BUGS = (
    Bug(
        "write, then mark",
        (
            Change(
                "app/alerts/journal.py",
                "[(*where, line.state, line.id, line.symbol, line.time, line.text) for line in lines],",
                "[],",
            ),
        ),
        disk.kill_at_calls,
        20,
        ("more than once", "not whole"),
    ),
    Bug(
        "mark, then write",
        (
            Change(
                "app/alerts/file.py",
                "            undisturbed = self._file.append(offset, intent.data)\n",
                "            self._journal.mark(intent.lines)\n"
                "            undisturbed = self._file.append(offset, intent.data)\n",
            ),
        ),
        disk.kill_at_calls,
        20,
        ("alerts.txt: of",),
    ),
    Bug(
        "accepted before the commit",
        (
            Change(
                "app/intake.py",
                "            self.counts.add(len(ticks), self._store.save(ticks, outcome, held))\n",
                "            self._late = [*getattr(self, '_late', []), (ticks, outcome, held)]\n"
                "            for late in self._late if len(self._late) > 3 else ():\n"
                "                self.counts.add(len(late[0]), self._store.save(*late))\n"
                "            self._late = self._late if len(self._late) <= 3 else []\n",
            ),
        ),
        disk.kill_at_calls,
        9,
        ("are lost",),
    ),
    Bug(
        "no fsync of alerts.txt",
        (Change("app/alerts/appender.py", "            os.fsync(self._open)\n            after", "            after"),),
        power.cut_the_power,
        2,
        ("alerts.txt: of", "no fsync followed"),
        instead=fsync.look_what_is_synced,
    ),
    Bug(
        "no fsync of the spool",
        (Change("app/spool/table.py", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"),),
        power.cut_the_power,
        2,
        ("are lost", "no fsync followed"),
        instead=fsync.look_what_is_synced,
    ),
    Bug(
        "spool deleted before the commit",
        (
            Change(
                "app/backlog.py",
                "                saved = self._store.save_spooled(entries)\n"
                "                self._spool.done(entries[-1].seq)\n",
                "                self._spool.done(entries[-1].seq)\n"
                "                saved = self._store.save_spooled(entries)\n",
            ),
        ),
        disk.kill_at_calls,
        20,
        ("are lost",),
    ),
    Bug(
        "no ON CONFLICT",
        (Change("sql/queries/ticks.sql", '    ON CONFLICT (symbol, "timestamp") DO NOTHING\n', ""),),
        replies.the_same_again,
        20,
        ("will not take this tick",),
    ),
    Bug(
        "scheduling by the wall clock",
        (Change("app/fetcher.py", "self._clock.monotonic()", "self._clock.now().timestamp()", 7),),
        clocks.jump_the_wall_clock,
        2,
        ("times their rate",),
    ),
    Bug(
        "the oldest dropped at the cap",
        (
            Change(
                "app/spool/__init__.py",
                "        if self._size_with(parts) > self._limit or parts >= PARTS:\n",
                "        while self._size_with(parts) > self._limit and not self.is_empty:\n"
                "            self._keeper.drained(self._keeper.read(1)[0][0].seq)\n"
                "            self._tidy()\n"
                "        if self._size_with(parts) > self._limit or parts >= PARTS:\n",
            ),
        ),
        disk.reach_the_cap,
        1,
        ("of them wait", "are lost"),
    ),
    Bug(
        "a failed fsync tried again",
        (
            Change(
                "app/alerts/appender.py",
                "            os.fsync(self._open)\n            after",
                "            try:\n"
                "                os.fsync(self._open)\n"
                "            except OSError:\n"
                "                os.fsync(self._open)\n"
                "            after",
            ),
        ),
        fsync.fail_an_fsync,
        1,
        ("had not been written again",),
    ),
    Bug(
        "no lock between two daemons",
        (
            Change("app/lease.py", "        return bool(free)\n", "        return True\n"),
            Change("app/lease.py", "        if not renewed:\n", "        if renewed is None:\n"),
            Change(
                "sql/queries/leader.sql", "WHERE epoch = %(epoch)s FOR KEY SHARE", "WHERE %(epoch)s > 0 FOR KEY SHARE"
            ),
        ),
        doubles.lose_the_leader,
        1,
        ("stands by", "both daemons polled", "old epoch"),
    ),
    Bug(
        "no look whether alerts.txt was rotated",
        (
            Change(
                "app/alerts/appender.py",
                "            return os.path.samestat(os.fstat(self._open), self.path.stat(follow_symlinks=False))\n",
                "            return True\n",
            ),
        ),
        disk.block_the_alerts_file,
        2,
        ("alerts.txt: of", "alerts.txt works again", "a line after the cut"),
    ),
    Bug(
        "a float on the way",
        (Change("app/decode.py", "        return Decimal(text)\n", "        return Decimal(repr(float(text)))\n"),),
        disk.kill_at_calls,
        1,
        ("never served like that",),
    ),
)


@dataclass
class Outcome:
    """What came of one bug: the problem that gave it away, None if nothing did; in which try; after how long."""

    bug: Bug
    part: Part
    sign: str | None = None
    tries: int = 0
    seconds: float = 0.0
    skipped: str | None = None


def hunt(bug: Bug, folder: Path, seed: int) -> Outcome:
    """Put it in, and look for it."""
    code = copy(folder / "code")
    for change in bug.changes:
        change.apply(code)
    outcome, began = Outcome(bug, bug.part), time.monotonic()
    while outcome.tries < bug.tries and outcome.sign is None and outcome.skipped is None:
        outcome.tries += 1
        run = _perform(outcome.part, bug.times, folder / str(outcome.tries), code, seed + outcome.tries, bug.name)
        if run.result.skipped and bug.instead and outcome.part is not bug.instead:
            outcome.part, outcome.tries = bug.instead, 0
            continue
        outcome.skipped = run.result.skipped
        found = [p for p in run.result.findings.problems if any(word in p for word in bug.words)]
        outcome.sign = found[0].splitlines()[0] if found else None
    outcome.seconds = time.monotonic() - began
    return outcome


def copy(code: Path) -> Path:
    """The program's own folders, to be changed."""
    for name in ("app", "sql"):
        shutil.copytree(REPOSITORY / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    return code


def sound(part: Part, times: int, folder: Path, seed: int) -> list[str]:
    """What a part finds in the code as it is: nothing, it is hoped."""
    return _perform(part, times, folder, REPOSITORY, seed, "as it is").result.findings.problems


def _perform(part: Part, times: int, folder: Path, code: Path, seed: int, name: str) -> Run:
    run = Run(name, seed, folder, available()[:1], code)
    run.perform(Fault(name, part, (times, times, times)), times)
    return run


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: bug, caught by, in which try, after how long."""
    rows = [
        ["seeded bug", "caught by", "times", "in try", "seconds", "sign"],
        ["---", "---", "---:", "---:", "---:", "---"],
    ]
    for outcome in outcomes:
        by = (outcome.part.__name__.replace("_", " ")) if outcome.sign else outcome.skipped or "**NOT CAUGHT**"
        sign = re.sub(r"\S*/(?=\S)", "", outcome.sign or "").replace("|", " ")[:70]
        figures = (outcome.bug.times, outcome.tries, f"{outcome.seconds:.0f}")
        rows.append([outcome.bug.name, by, *map(str, figures), sign])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.selftest", description=__doc__)
    parser.add_argument("names", nargs="*", help="only the bugs in whose name one of these words stands")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table between the marks of this file")
    arguments = parser.parse_args()
    bugs = [b for b in BUGS if not arguments.names or any(name in b.name for name in arguments.names)]
    print(f"--seed {arguments.seed}", flush=True)
    log.configure("error")
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="cryptomonitor-selftest-") as temporary,
        ThreadPoolExecutor(_BESIDE) as pool,
    ):
        folder = Path(temporary)
        hunts = [pool.submit(hunt, bug, folder / f"bug-{n}", arguments.seed) for n, bug in enumerate(bugs)]
        parts = {(bug.part, bug.times): bug.name for bug in bugs}
        sounds = {
            part: pool.submit(sound, *part, folder / f"sound-{n}", arguments.seed) for n, part in enumerate(parts)
        }
        outcomes = [_said(one.result()) for one in hunts]
        alarms = {part: problems for part, one in sounds.items() if (problems := one.result())}
    caught = sum(outcome.sign is not None for outcome in outcomes)
    false = [f"\n- {part.__name__} ({times}): {p}" for (part, times), problems in alarms.items() for p in problems]
    report = f"{table(outcomes)}\n\n{caught} of {len(bugs)} caught, seed {arguments.seed},"
    report += f" {(time.monotonic() - began) / 60:.1f} minutes. The same parts on the code as it is:"
    report += "".join(false) or " nothing found."
    print(f"\n{report}")
    if arguments.markdown:
        _write_into(arguments.markdown, report)
    missed = [outcome for outcome in outcomes if outcome.sign is None and outcome.skipped is None]
    return 1 if missed or alarms else 0


def _said(outcome: Outcome) -> Outcome:
    said = f"caught in try {outcome.tries}: {outcome.sign}" if outcome.sign else outcome.skipped or "NOT CAUGHT"
    print(f"{outcome.seconds:6.0f} s  {outcome.bug.name}: {said[:200]}", flush=True)
    return outcome


def _write_into(document: Path, text: str) -> None:
    whole = document.read_text() if document.exists() else f"{_BEGIN}\n{_END}\n"
    before, begin, rest = whole.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin and end, f"{document} has no {_BEGIN} ... {_END}"
    document.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")


if __name__ == "__main__":
    sys.exit(main())
