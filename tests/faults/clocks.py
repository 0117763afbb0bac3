"""The wall clock jumps, as after a sleep, a wrong battery, or somebody who sets it."""

from __future__ import annotations

from tests.faults.scene import TICK_SECONDS, Fault, Run
from tests.faults.stand import stand

_HOUR = 3600.0
_JUMPS = (-_HOUR, _HOUR, -24 * _HOUR, 24 * _HOUR, -1.0, 1.0, -0.5 * _HOUR, 400 * 24 * _HOUR)
_LOOK_SECONDS = 1.5


def jump_the_wall_clock(run: Run, times: int) -> None:
    """Hours either way: the cadence holds, neither a pause nor a storm, and nothing is stored or said twice."""
    wrong, rates = 0.0, []
    with stand(run) as scene:
        scene.start()
        scene.polls(5)
        for number in range(times):
            wrong += _JUMPS[number % len(_JUMPS)] if number < len(_JUMPS) else run.dice.choice(_JUMPS)
            new = scene.wall.with_suffix(".new")
            new.write_text(str(wrong))
            new.replace(scene.wall)
            before = scene.provider.asked
            scene.load(_LOOK_SECONDS)
            rates.append((scene.provider.asked - before) / _LOOK_SECONDS * TICK_SECONDS)
            if not 0.2 / run.leeway < rates[-1] < 1.3:
                run.problem(f"the clock {wrong:+.0f} s wrong: polls came at {rates[-1]:.1f} times their rate")
                break
    run.note(f"polls at {min(rates):.2f} to {max(rates):.2f} times their rate after a jump")


FAULTS = (Fault("the wall clock jumps", jump_the_wall_clock, (3, 30, 300), in_a_scene=15),)
