"""An fsync that fails once.

The kernel then takes what it could not write for clean: the next fsync on the same file says that all is well, and
after a power cut it is not. So what was meant to be on the disk has to be written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.faults.scene import Fault, Run, Skip
from tests.faults.stand import Stand, stand
from tests.faults.trace import CALLS, Trace, untraceable

_SYNCS = ("fsync", "fdatasync")
_FILES = ("alerts.txt", "alerts.sqlite-wal", "spool.sqlite-wal")
_CALL = re.compile(r"(?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+)")
_WRITTEN = re.compile(r", (?P<offset>\d+)$")


def fail_an_fsync(run: Run, times: int) -> None:
    """Of alerts.txt, of its journal and of the spool in turn; nothing lost, nothing twice, nothing taken on trust."""
    if reason := untraceable():
        raise Skip(reason)
    with stand(run) as scene:
        scene.foreseen = ["alerts cannot be written", "alerts.sqlite", "Polling has stopped", "spool.sqlite"]
        scene.start()
        for number in range(times):
            name = _FILES[number % len(_FILES)]
            scene.polls(run.dice.randint(3, 20))
            if name.startswith("spool"):
                scene.away()
                scene.polls(2)
            _fail_one(scene, name, run.dice.randint(1, 4))
            scene.back()
            scene.polls(3)


def look_what_is_synced(run: Run, times: int) -> None:
    """At rest nothing that was written to the files that promise something waits for an fsync. (Power cuts say more,
    but may not be allowed.)"""
    if reason := untraceable():
        raise Skip(reason)
    with stand(run) as scene:
        scene.start()
        for number in range(times):
            scene.polls(5)
            if number % 2:
                scene.away()
                scene.polls(2)
            with scene.provider.held():
                scene.fresh_status()
            trace = Trace(scene.pid, CALLS, [scene.warm.alerts, *(scene.warm.data / name for name in _FILES[1:])])
            scene.polls(40)
            with scene.provider.held():
                scene.fresh_status()
                lines = trace.end()
            for name in _FILES:
                if size := unsynced(line for line in lines if f"/{name}>" in line):
                    run.problem(f"{name}: {size} bytes were written and no fsync followed")
            scene.back()


def unsynced(lines: Iterable[str]) -> int:
    """Bytes written since the last fsync, by the lines of one file's calls."""
    size = 0
    for line in lines:
        if match := _CALL.search(line):
            written = match["call"] in ("write", "pwrite64")
            size = size + int(match["result"]) if written else 0 if match["call"] in _SYNCS else size
    return size


def _fail_one(scene: Stand, name: str, k: int) -> None:
    file = scene.warm.alerts if name == "alerts.txt" else scene.warm.data / name
    trace = Trace(scene.pid, CALLS, [file], f"{','.join(_SYNCS)}:error=EIO:when={k}")
    try:
        scene.warm.wait_for(lambda: any("EIO" in line for line in trace.lines()), f"an fsync of {name}", 60)
        scene.polls(60)
    finally:
        lines = trace.end()
    if trusted := trusted_sync(lines):
        scene.run.problem(f"{name}: an fsync failed, and {trusted}")


def trusted_sync(lines: Iterable[str]) -> str | None:
    """Whether, after a failed one, an fsync was believed that said nothing of what the failed one had lost.

    The lines are those of one file's calls. None where all that was written since the last good fsync was written once
    more before the next, or the file was given up (cut or deleted) before anything more was written to it, as SQLite
    does with its WAL when it is closed.
    """
    doubt: str | None = None
    pending: list[tuple[int | None, int]] = []  # (offset, length) of what no fsync has confirmed; None: appended
    lost: list[tuple[int | None, int]] = []
    for line in lines:
        match = _CALL.search(line)
        if match is None:
            continue
        call, result = match["call"], int(match["result"])
        if call in ("write", "pwrite64") and result > 0:
            if doubt is not None:
                return doubt
            at = _WRITTEN.search(match["arguments"]) if call == "pwrite64" else None
            piece = (int(at["offset"]) if at else None, result)
            pending.append(piece)
            lost = _without(lost, piece)
        elif call in ("ftruncate", "unlink", "rename"):
            pending, lost, doubt = [], [], None
        elif call in _SYNCS and result != 0:
            lost += pending
            pending = []
        elif call in _SYNCS:
            if lost:
                size = sum(length for _, length in lost)
                doubt = f"the next one was believed, though {size} bytes had not been written again: {line}"
            pending = []
    return None


def _without(lost: list[tuple[int | None, int]], piece: tuple[int | None, int]) -> list[tuple[int | None, int]]:
    """What is still lost when this has been written."""
    offset, length = piece
    if offset is None:  # appended, or written over what was appended: as much of it as there is, the first first
        left = []
        for at, size in lost:
            taken = min(size, length) if at is None else 0
            length -= taken
            left += [(at, size - taken)] if size > taken else []
        return left
    return [(at, size) for at, size in lost if at is None or not (offset <= at and at + size <= offset + length)]


FAULTS = (
    Fault("a failed fsync", fail_an_fsync, (1, 6, 60), in_a_scene=30),
    Fault("fsync of what is accepted", look_what_is_synced, (2, 6, 60), in_a_scene=30),
)
