"""Runs faults, several beside each other, and makes the table of what came out."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from app import log
from tests.acceptance.daemon import REPOSITORY
from tests.faults import clocks, damage, database, disk, doubles, fsync, power, programme, replies, webhook
from tests.faults.scene import Fault, Result, Run
from tests.servers import available

ALL: tuple[Fault, ...] = (
    *programme.FAULTS,
    *database.FAULTS,
    *doubles.FAULTS,
    *disk.FAULTS,
    *power.FAULTS,
    *fsync.FAULTS,
    *damage.FAULTS,
    *replies.FAULTS,
    *clocks.FAULTS,
    *webhook.FAULTS,
)
"""In the order of the table."""

SCALES = ("short", "default", "long")
_BESIDE = {"short": 4, "default": 2, "long": 2}  # scenes at once; the short ones mostly wait for something
_BEGIN, _END = "<!-- faults -->", "<!-- /faults -->"


def run(
    faults: Sequence[Fault],
    scale: str,
    seed: int,
    *,
    code: Path = REPOSITORY,
    beside: int | None = None,
    budget: float = math.inf,
    say: Callable[[str], None] = lambda _line: None,
) -> list[Result]:
    """Do them all; a result for each, in their order. ``say`` hears of each part that is done.

    What has not begun when the ``budget`` of seconds is over is skipped.
    """
    log.configure("error")  # of the embedded server's, which runs in this process
    folder = Path(tempfile.mkdtemp(prefix="cryptomonitor-faults-"))
    installed = available()
    began = time.monotonic()
    results = {fault.name: Result(fault.name) for fault in faults}

    def part(fault: Fault, number: int, times: int) -> Result:
        name = f"{fault.name} #{number}"
        if time.monotonic() - began > budget:
            return Result(name, skipped="no time was left")
        place = folder / f"{faults.index(fault):02d}-{number}"
        return Run(name, seed, place, installed, code, scale).perform(fault, times)

    def take(fault: Fault, result: Result) -> None:
        total = results[fault.name]
        total.times += result.times
        total.seconds += result.seconds
        total.findings += result.findings
        total.notes += result.notes
        total.skipped = total.skipped or result.skipped
        done = f"{time.monotonic() - began:6.0f} s  {result.name}: {result.times} times in {result.seconds:.0f} s"
        say(f"{done}: {_verdict(result)}")
        for problem in result.findings.problems:
            say(f"          {problem}")

    parts = [(fault, number, times) for fault in faults for number, times in enumerate(_parts(fault, scale))]
    if scale == "short":  # where time is short, too: so that it is not always the same that are left out
        random.Random(seed).shuffle(parts)
    # Those that measure time have the machine for themselves, where there is time for that.
    alone = [one for one in parts if one[0].alone and scale != "short"]
    with ThreadPoolExecutor(beside or _BESIDE[scale]) as pool:
        running = {pool.submit(part, *one): one[0] for one in parts if one not in alone}
        for future in as_completed(running):
            take(running[future], future.result())
    for one in alone:
        take(one[0], part(*one))
    log.silence()
    if not any(folder.iterdir()):  # what broke leaves its scene behind
        folder.rmdir()
    return list(results.values())


def table(results: Sequence[Result]) -> str:
    """Markdown: fault, times, ticks served, stored, alert states expected, found, verdict."""
    head = ["fault", "times", "ticks served", "stored", "alert states expected", "found", "verdict"]
    rows = [head, ["---", *["---:"] * 5, "---"]]
    for result in results:
        f = result.findings
        figures = (result.times, f.served, f.stored, f.expected, f.found)
        rows.append([result.name, *(f"{figure:,}" for figure in figures), _verdict(result)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(_line(row, widths) for row in rows)


def report(results: Sequence[Result], scale: str, seed: int, seconds: float) -> str:
    """The table, what it was run with, what was measured, and every problem."""
    lines = [table(results), ""]
    lines.append(f"{scale} counts, FAULTS_SEED={seed}, {seconds / 60:.1f} minutes.")
    lines += [f"- {result.name}: {note}" for result in results for note in dict.fromkeys(result.notes)]
    lines += [f"- {result.name}: skipped: {result.skipped}" for result in results if result.skipped]
    lines += [f"- **{result.name}**: {problem}" for result in results for problem in result.findings.problems]
    return "\n".join(lines)


def write_into(document: Path, text: str) -> None:
    """Replace what stands between the marks for the table in a Markdown file."""
    whole = document.read_text() if document.exists() else f"{_BEGIN}\n{_END}\n"
    before, begin, rest = whole.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin and end, f"{document} has no {_BEGIN} ... {_END}"
    document.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")


def new_seed() -> int:
    return random.randrange(10**9)


def _parts(fault: Fault, scale: str) -> Iterator[int]:
    left = fault.times[SCALES.index(scale)]
    while left > 0:
        yield min(left, fault.in_a_scene)
        left -= fault.in_a_scene


def _verdict(result: Result) -> str:
    if not result.held:
        return f"BROKEN ({len(result.findings.problems)})"
    return "skipped" if result.skipped else "held"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    def fill(cell: str, width: int) -> str:
        if set(cell) <= {"-", ":"}:
            return "-" * (width - cell.count(":")) + ":" * cell.count(":")
        return cell.rjust(width) if cell[0].isdigit() else cell.ljust(width)

    return "| " + " | ".join(map(fill, cells, widths)) + " |"
