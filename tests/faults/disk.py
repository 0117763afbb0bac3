"""Kills at the system calls that change a disk, disks that are full, and an alerts.txt that cannot be written."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.daemon import Broken
from tests.faults.mounts import read_only, small
from tests.faults.points import Points
from tests.faults.scene import Fault, Run, Skip
from tests.faults.stand import Stand, stand
from tests.faults.trace import untraceable

_FAILED, _WORKS = "alerts cannot be written", "can be written again"
_WORKS_AGAIN_SECONDS = 60.0  # it is tried every second; on a busy machine too
_FULL_SECONDS = 150.0  # within which a spool of 1 MB is full, on a slow machine too
_UNTIL_AN_ALERT = 60  # polls in which there is one for certain
_QUIET_SECONDS = 2.0  # forty polls; nothing is asked for in it


def kill_at_calls(run: Run, times: int) -> None:
    """kill -9 before the k-th write, fsync, sendto..., with PostgreSQL there, away, and at a start behind a spool."""
    if reason := untraceable():
        raise Skip(reason)
    with stand(run) as scene:
        points = Points(scene, run.dice)
        points.kill(times, points.survey())
    phases = {phase for phase, _ in points.killed}
    run.note(f"calls: {', '.join(sorted({call for _, call in points.killed}))}; phases: {', '.join(sorted(phases))}")


def fill_the_alerts_folder(run: Run, times: int) -> None:
    """Lines wait while the disk of alerts.txt is full, half a line is cut off, and all of it works again by itself."""
    with small(run.folder / "small", 256) as disk, stand(run) as scene:
        scene.warm.alerts = run.folder / "small" / "alerts.txt"
        scene.foreseen = [_FAILED]
        scene.start()
        for _ in range(times):
            scene.polls(run.dice.randint(5, 20))
            with _blocked(scene):
                disk.fill()
                _wait_for_a_line_that_waits(scene)
                scene.polls(run.dice.randint(5, 40))
                disk.free()


def fill_the_spools_folder(run: Run, times: int) -> None:
    """DATA_DIR has no space: with PostgreSQL there, polling goes on; with it away, it stops until there is space."""
    with small(run.folder / "small", 24_000) as disk, stand(run) as scene:
        scene.warm.data = run.folder / "small"
        scene.foreseen = [_FAILED, "cannot be written", "Polling has stopped"]
        scene.start()
        stopped = 0
        for _ in range(times):
            scene.polls(run.dice.randint(3, 20))
            kind = run.dice.choice(["up", "away", "away", "back first"])
            if kind != "up":
                scene.away()
                scene.polls(run.dice.randint(1, 20))
            disk.fill(leave=run.dice.choice([0, run.dice.randint(0, 20_000)]))
            if kind == "up":
                scene.polls(run.dice.randint(5, 40))
            else:
                _wait_until_quiet(scene)
                stopped += 1
                if kind == "back first":
                    scene.back()
                    scene.load(run.dice.uniform(0, 2))
            disk.free()
            scene.polls(3, seconds=_WORKS_AGAIN_SECONDS)
            scene.back()
        said = scene.said().count("Polling has stopped")
        if stopped and not said:
            run.problem(f"polling stopped {stopped} times, and it was not said")


def reach_the_cap(run: Run, times: int) -> None:
    """The spool is as large as it may be: polling stops, which is said, nothing is dropped, and all of it goes on."""
    with stand(run, coins=90, settings={"SPOOL_MAX_MB": 1}) as scene:
        scene.foreseen = ["Polling has stopped"]
        scene.start()
        for _ in range(times):
            scene.polls(3)
            _fill_up(scene)
            scene.back()
            scene.polls(3, seconds=_WORKS_AGAIN_SECONDS)
            scene.drained()
            scene.warm.wait_for(lambda: not _has_stopped(scene), "polling is said to go on")
        if "SPOOL_MAX_MB" not in scene.said():
            run.problem("polling stopped at the cap, and it was not said")


def _fill_up(scene: Stand) -> None:
    """PostgreSQL is away until polling stops; all that was accepted until then waits, however full it is."""
    with scene.provider.held():
        scene.fresh_status()
        before, began = scene.provider.served(), time.monotonic()
        scene.away()
    while not _has_stopped(scene):
        scene.load(2)
        with scene.provider.held():
            spool = scene.fresh_status()["spool"]
        waiting, accepted = spool["batches"], scene.provider.served() - before - 2  # two are on their way
        if waiting < accepted:
            scene.run.problem(f"{accepted} batches were accepted, and {waiting} of them wait")
            return
        if time.monotonic() - began > _FULL_SECONDS:
            raise Broken(f"after {_FULL_SECONDS:.0f} s and {accepted} batches the spool was not full")
    _wait_until_quiet(scene)


def block_the_alerts_file(run: Run, times: int) -> None:
    """A folder in its place, read-only, deleted, copied and cut: lines wait and appear, and the last is reported."""
    ways = run.dice.sample([_folder_in_its_place, _made_read_only, _deleted, _copied_and_cut], 4)
    with stand(run) as scene:
        scene.foreseen = [_FAILED]
        scene.start()
        for number in range(times):
            scene.polls(run.dice.randint(15, 40))
            ways[number % len(ways)](scene, number)
            scene.polls(run.dice.randint(15, 40))


def _folder_in_its_place(scene: Stand, number: int) -> None:
    alerts = scene.warm.alerts
    with _blocked(scene):
        with scene.provider.held():
            _settle(scene)
            alerts.rename(_aside(alerts))
            alerts.mkdir()
        scene.polls(_UNTIL_AN_ALERT)
        alerts.rmdir()


def _made_read_only(scene: Stand, number: int) -> None:
    alerts = scene.warm.alerts
    with _blocked(scene):
        with scene.provider.held():
            _settle(scene)
            alerts.rename(_aside(alerts))
            alerts.touch()
            blocked = read_only(alerts)
            blocked.__enter__()
        scene.polls(_UNTIL_AN_ALERT)
        blocked.__exit__(None, None, None)


def _deleted(scene: Stand, number: int) -> None:
    alerts = scene.warm.alerts
    with scene.provider.held():
        _settle(scene)
        shutil.copy(alerts, _aside(alerts))
        alerts.unlink()


def _copied_and_cut(scene: Stand, number: int) -> None:
    alerts = scene.warm.alerts
    with scene.provider.held():
        _settle(scene)
        shutil.copy(alerts, _aside(alerts))
        alerts.write_bytes(b"")
    scene.warm.wait_for(lambda: scene.lines() > 0, "a line after the cut")
    scene.warm.wait_for(lambda: "Copy-and-truncate" in scene.said(), "copy-and-truncate is reported", 60)


def _has_stopped(scene: Stand) -> bool:
    """By status.json, nothing can be accepted now."""
    spool = scene.status().get("spool")
    return isinstance(spool, dict) and spool["polling_stopped"] is not None


def _aside(alerts: Path) -> Path:
    """A name as rotation gives it, the older the higher."""
    rotated = sorted(alerts.parent.glob(f"{alerts.name}.*"), key=lambda file: -int(file.suffix[1:]))
    for file in rotated:
        file.rename(file.with_suffix(f".{int(file.suffix[1:]) + 1}"))
    return alerts.with_name(f"{alerts.name}.1")


@contextmanager
def _blocked(scene: Stand) -> Iterator[None]:
    """Meanwhile lines have to wait, and it has to be said; afterwards they are written, without a restart."""
    before = scene.said().count(_WORKS)
    yield
    # Of errors of one kind one a minute is shown; that it is over is said each time.
    scene.warm.wait_for(lambda: scene.said().count(_WORKS) > before, "alerts.txt works again", _WORKS_AGAIN_SECONDS)
    if _FAILED not in scene.said():
        scene.run.problem("alerts.txt could not be written, and nobody said so")


def _wait_for_a_line_that_waits(scene: Stand) -> None:
    """What is left of a page, and lines that are just being written, are waited for too."""
    waiting: object = 0
    while not waiting:
        scene.polls(20)
        with scene.provider.held():
            alerts = scene.fresh_status().get("alerts")
            waiting = alerts["waiting"] if isinstance(alerts, dict) else 0


def _settle(scene: Stand) -> None:
    """Nothing is being written any more: no reply is under way, and the file does not grow."""
    lines, since = scene.lines(), time.monotonic()
    while time.monotonic() - since < 0.3:
        time.sleep(0.02)
        if (now := scene.lines()) != lines:
            lines, since = now, time.monotonic()


def _wait_until_quiet(scene: Stand) -> None:
    """Nothing is polled any more."""
    asked, since = scene.provider.asked, time.monotonic()

    def quiet() -> bool:
        nonlocal asked, since
        if scene.provider.asked != asked:
            asked, since = scene.provider.asked, time.monotonic()
        return time.monotonic() - since > _QUIET_SECONDS

    scene.warm.wait_for(quiet, "polling stops while nothing can be kept", 120)


FAULTS = (
    Fault("kill -9 at system calls", kill_at_calls, (12, 300, 1500), in_a_scene=75),
    Fault("disk full: alerts.txt", fill_the_alerts_folder, (1, 5, 50), in_a_scene=25),
    Fault("disk full: spool", fill_the_spools_folder, (3, 20, 200), in_a_scene=10),
    Fault("spool at its cap", reach_the_cap, (1, 3, 30), in_a_scene=10),
    Fault("alerts.txt blocked, deleted, cut", block_the_alerts_file, (2, 8, 80), in_a_scene=20),
)
