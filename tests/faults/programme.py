"""The faults of the daemon's own process, and of alerts.txt while it is killed."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

from tests.alert_files import compress_file, rotate
from tests.faults.scene import Fault, Run, Scene

_QUIET_SECONDS = 0.3


def kill_at_random(run: Run, times: int) -> None:
    """kill -9 of the daemon under load: at any moment, also of its start, and now and then again at once."""
    starts = []
    with run.scene(coins=run.dice.choice([3, 10] if run.scale == "short" else [3, 10, 50])) as scene:
        for _ in range(times):
            if run.dice.random() < 0.25 and scene.daemon().starts:
                scene.daemon().start()
                time.sleep(run.dice.uniform(0, 1.2))
            else:
                starts.append(scene.start())
                scene.load(run.dice.uniform(0, 1.5))
            scene.kill()
    run.note(f"a start takes {sorted(starts)[len(starts) // 2]:.1f} s until the first call (median)")


def stop_at_random(run: Run, times: int) -> None:
    """SIGTERM and SIGINT under load: exit code 0 in time, and nothing at all is lost, not even what is in flight."""
    with run.scene() as scene:
        for _ in range(times):
            scene.start()
            scene.load(run.dice.uniform(0, 1.5))
            scene.stop(number=run.dice.choice([signal.SIGTERM, signal.SIGINT]))


def rotate_under_kills(run: Run, times: int) -> None:
    """alerts.txt renamed (with and without a new one), compressed one later, deleted; the daemon killed around it."""
    with run.scene() as scene:
        scene.start()
        alerts = scene.daemon().alerts
        for number in range(times):
            scene.polls(run.dice.randrange(5, 30))
            if number % 5 == 4:
                _delete_when_idle(scene, number)
            else:
                rotate(alerts, create=run.dice.random() < 0.5)
                _compress_all_but_the_newest(alerts)
            if run.dice.random() < 0.7:
                time.sleep(run.dice.choice([0, run.dice.uniform(0, 0.3)]))
                scene.kill()
                if run.dice.random() < 0.5:
                    rotate(alerts, create=run.dice.random() < 0.5)
                scene.start()
        scene.polls(30)


def _compress_all_but_the_newest(alerts: Path) -> None:
    for old in alerts.parent.glob(f"{alerts.name}.*"):
        if old.suffix != ".gz" and not old.name.endswith(".1"):
            compress_file(old)


def _delete_when_idle(scene: Scene, number: int) -> None:
    """Somebody deletes the file, which is open, while nothing happens. What stood in it is kept for the checker."""
    alerts = scene.daemon().alerts
    with scene.provider.held():
        before, since = scene.lines(), time.monotonic()
        while time.monotonic() - since < _QUIET_SECONDS:
            time.sleep(0.02)
            if (now := scene.lines()) != before:
                before, since = now, time.monotonic()
        if alerts.exists():
            kept = alerts.parent.with_name("deleted")
            kept.mkdir(exist_ok=True)
            shutil.copy(alerts, kept / str(number))
            alerts.unlink()


FAULTS = (
    Fault("kill -9 of the daemon at random", kill_at_random, (10, 200, 2000)),
    Fault("SIGTERM or SIGINT at random", stop_at_random, (4, 50, 300)),
    Fault("alerts.txt rotated under kill -9", rotate_under_kills, (5, 30, 300)),
)
