"""Power cuts: everything on an ext4 in a file, which is copied while all of it stands still, and used from the copy.

What the kernel had not yet written to the disk is lost: all that fsync was not called for. (A kind model: what was
written is there in the order in which it was, and no sector is torn.)
"""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.faults.mounts import Image, image
from tests.faults.scene import Fault, Run
from tests.faults.stand import Stand, stand


def cut_the_power(run: Run, times: int) -> None:
    """While PostgreSQL is there, and while it is away and the spool is in use."""
    with (
        tempfile.TemporaryDirectory(prefix="faults-power-") as folder,
        image(Path(folder, "disk"), Path(folder, "mnt")) as disk,
        stand(run, home=disk.folder) as scene,
    ):
        disk.settle()  # what we have prepared is not under test
        for number in range(times):
            scene.start()
            scene.polls(run.dice.randint(20, 60))
            if number % 2:
                scene.away()
                scene.polls(run.dice.randint(10, 60))
            cut(scene, disk)


def cut(scene: Stand, disk: Image) -> None:
    """Everything stops within an instant; what is on the disk by then is what there is. PostgreSQL is started again."""
    frozen = [scene.pid, *scene.postgres.processes()]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    disk.snapshot()
    scene.kill()
    scene.postgres.kill()
    for pid in frozen:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    disk.replace()
    scene.postgres.start()
    scene.back()


FAULTS = (Fault("power cut", cut_the_power, (1, 5, 50), in_a_scene=10),)
