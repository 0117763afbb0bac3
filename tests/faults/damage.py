"""Bits that flip in the spool while it is the only place where batches are."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tests.faults.provider import Market
from tests.faults.scene import Fault, Run
from tests.faults.stand import Stand, stand

_MOST_AT_ONCE = 8
_SETTLED_SECONDS = 120.0


def flip_bits_of_the_spool(run: Run, times: int) -> None:
    """Whatever a flipped bit hits: batches that it damages are set aside and counted exactly, all others are stored.

    The daemon is stopped, killed, or goes on meanwhile. (Nothing alerts here: an alert whose batch is lost stands in
    alerts.txt all the same, and the checker would ask for its tick.)
    """
    flipped = 0
    with stand(run, market=partial(Market, lively=0)) as scene:
        scene.foreseen = ["was written anew", "spool"]
        scene.start()
        while flipped < times:
            scene.polls(run.dice.randint(1, 5))
            scene.away()
            scene.polls(run.dice.randint(5, 40))
            count = min(times - flipped, run.dice.randint(1, _MOST_AT_ONCE))
            _flip_and_look(scene, count)
            flipped += count
    run.note(f"batches damaged by {flipped} bits, and reported: {len(scene.damaged)}")


def _flip_and_look(scene: Stand, count: int) -> None:
    dice, provider = scene.run.dice, scene.provider
    before = 0
    match dice.choice(["stop", "kill", "run"]):
        case "stop":
            with provider.held():
                scene.stop()
        case "kill":
            scene.kill()
        case "run":
            before = _spool(scene, "damaged")
    with provider.held():
        for _ in range(count):
            _flip(dice.choice(_files(scene)), dice.random(), dice.randrange(8))
    scene.back()
    if not scene.warm.alive:
        scene.start()
    scene.warm.wait_for(lambda: _spool(scene, "batches") == 0, "the spool is stored", _SETTLED_SECONDS)
    with provider.held():
        scene.warm.wait_for(lambda: _spool(scene, "batches") == 0, "the rest of it is stored", _SETTLED_SECONDS)
        reported = _spool(scene, "damaged") - before
        there = {
            row[0] for row in scene.postgres.execute('SELECT DISTINCT "timestamp" FROM ticker_data', dsn=scene.dsn)
        }
        missing = {reply.number for reply in provider.replies if reply.rows[0].time not in there} - scene.damaged
    certain = missing - provider.in_flight
    # The one in flight at a kill may have been accepted, and then damaged; or not accepted.
    if not len(certain) <= reported <= len(missing):
        scene.run.problem(f"{count} bits flipped: {len(certain)} batches are missing, {reported} were reported")
    scene.damaged |= missing
    provider.in_flight |= missing


def _files(scene: Stand) -> list[Path]:
    """What there is, the larger the more often."""
    found = [path for path in scene.warm.data.glob("spool.sqlite*") if ".damaged" not in path.name]
    return [path for path in found for _ in range(1 + path.stat().st_size // 4096) if path.stat().st_size]


def _flip(path: Path, where: float, bit: int) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        offset = int(where * os.fstat(descriptor).st_size)
        byte = os.pread(descriptor, 1, offset)
        os.pwrite(descriptor, bytes([byte[0] ^ 1 << bit]), offset)
    finally:
        os.close(descriptor)


def _spool(scene: Stand, field: str) -> int:
    spool = scene.fresh_status().get("spool")
    return int(spool[field]) if isinstance(spool, dict) else -1


FAULTS = (Fault("flipped bits in the spool", flip_bits_of_the_spool, (4, 200, 2000), in_a_scene=50),)
