"""PostgreSQL killed, stopped, frozen, read-only, full, and in a bad mood; all the while alerts.txt has to grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from psycopg2.extensions import parse_dsn

from tests.faults.scene import TICK_SECONDS, Fault, Run, Scene

_LONGEST_PAUSE = 120  # polls without a new line in alerts.txt: there is an alert in sixty for certain
_SLOWEST = 0.1  # of the calls of a quiet machine: each is on a disk, perhaps a busy one, before the next is made
_RECONNECT_SECONDS = 3.0  # it is tried every two, and an attempt takes its time
_DRAIN_FACTOR = 5.0  # times real time
_STOP_SECONDS = {"short": 12.0, "default": 60.0, "long": 300.0}
_HANG_SECONDS = {"short": 8.0, "default": 30.0, "long": 30.0}


def kill_the_server(run: Run, times: int) -> None:
    """kill -9 of the postmaster and of all backends under load; it comes back after a moment and recovers."""
    with run.scene() as scene:
        scene.start(polls=20)
        for _ in range(times):
            scene.load(run.dice.uniform(0.1, 1))
            scene.postgres.kill()
            _endure(scene, run.dice.uniform(0, 2))
            scene.postgres.start()
            scene.drained()


def stop_the_server(run: Run, times: int) -> None:
    """A long stop. alerts.txt grows, the spool fills; afterwards it is drained at a multiple of real time."""
    with run.scene() as scene:
        scene.start(polls=60)
        for _ in range(times):
            scene.postgres.stop()
            _endure(scene, _STOP_SECONDS[run.scale])
            scene.postgres.start()
            _drain(run, scene, _STOP_SECONDS[run.scale])
            scene.polls(40)


def freeze_the_server(run: Run, times: int) -> None:
    """SIGSTOP to all its processes: connections stand and nobody answers. Then SIGCONT."""
    with run.scene() as scene:
        scene.start(polls=60)
        for _ in range(times):
            scene.postgres.freeze()
            _endure(scene, _HANG_SECONDS[run.scale])
            scene.postgres.thaw()
            _drain(run, scene, _HANG_SECONDS[run.scale])
            scene.polls(40)


def kill_the_daemon_too(run: Run, times: int) -> None:
    """kill -9 of the daemon while PostgreSQL is away and the spool fills, and while it is drained."""
    with run.scene() as scene:
        for number in range(times):
            scene.start(polls=run.dice.randrange(5, 30))
            scene.postgres.kill() if number % 2 else scene.postgres.stop()
            scene.polls(run.dice.randrange(1, 80))
            if number % 3 == 2:  # while it drains
                scene.postgres.start()
                scene.load(run.dice.uniform(0, 0.5))
                scene.kill()
            else:
                scene.kill()
                scene.postgres.start()
        scene.start(polls=20)


def annoy_the_server(run: Run, times: int) -> None:
    """Whatever else a server may say: each for some seconds, under load."""
    kinds = ["read-only", "full", "locked", "terminated", "cancelled", "missing"]
    with run.scene() as scene:
        scene.start(polls=40)
        for number in range(times):
            kind = kinds[number % len(kinds)]
            seconds = run.dice.uniform(2, 3) if run.scale == "short" else run.dice.uniform(3, 5)
            try:
                with _MOODS[kind](scene):
                    _endure(scene, seconds)
                scene.drained(60)
            except AssertionError as error:
                raise AssertionError(f"{kind}: {error}") from error


def _endure(scene: Scene, seconds: float) -> None:
    """So long the database is away, and it shows in nothing: calls are made, and alerts.txt grows."""
    polls, began = scene.provider.served(), time.monotonic()
    lines, grown = scene.lines(), polls
    while (now := time.monotonic()) < began + seconds:
        scene.load(0.1)
        if (count := scene.lines()) > lines:
            lines, grown = count, scene.provider.served()
        assert scene.provider.served() - grown < _LONGEST_PAUSE, (
            f"alerts.txt does not grow while the database is away ({now - began:.0f} s)"
        )
    asked = scene.provider.served() - polls
    wanted = max(0.0, seconds - 3) / TICK_SECONDS * _SLOWEST / scene.run.leeway
    assert asked >= wanted, f"only {asked} calls in {seconds:.0f} s while the database is away"


def _drain(run: Run, scene: Scene, away: float) -> None:
    """Wait until all that was served until now is in the database: a reconnection, and a fraction of the outage."""
    before = scene.stored()
    replies = (sum(len(reply.rows) for reply in scene.provider.replies) - before) // len(scene.provider.market.coins)
    seconds = scene.drained()
    run.note(f"{replies} replies of {away:.0f} s were in the database {seconds:.1f} s after it was back")
    if seconds > (_RECONNECT_SECONDS + away / _DRAIN_FACTOR) * run.leeway:
        run.problem(f"{replies} replies of {away:.0f} s took {seconds:.1f} s: less than {_DRAIN_FACTOR} x real time")


def _over_and_over(function: str) -> Callable[[Scene], AbstractContextManager[None]]:
    """Meanwhile, every connection of the daemon is terminated, or what it does is cancelled."""

    @contextmanager
    def mood(scene: Scene) -> Iterator[None]:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            scene.postgres.signal_daemons(function)
            scene.load(scene.run.dice.uniform(0, 0.2))
        yield

    return mood


@contextmanager
def _missing(scene: Scene) -> Iterator[None]:
    """The database has another name for a while, as in the middle of a restore."""
    name = parse_dsn(scene.dsn)["dbname"]
    scene.postgres.rename(name, f"{name}_away")
    try:
        yield
    finally:
        scene.postgres.rename(f"{name}_away", name)


_MOODS: dict[str, Callable[[Scene], AbstractContextManager[None]]] = {
    "read-only": lambda scene: scene.postgres.read_only(),
    "full": lambda scene: scene.postgres.full(),
    "locked": lambda scene: scene.postgres.locked(scene.dsn),
    "terminated": _over_and_over("pg_terminate_backend"),
    "cancelled": _over_and_over("pg_cancel_backend"),
    "missing": _missing,
}


FAULTS = (
    Fault("kill -9 of PostgreSQL", kill_the_server, (2, 20, 100), in_a_scene=10),
    Fault("PostgreSQL stopped (60 s)", stop_the_server, (1, 1, 1), alone=True),
    Fault("PostgreSQL frozen (30 s)", freeze_the_server, (1, 2, 20), in_a_scene=5, alone=True),
    Fault("kill -9 of the daemon while PostgreSQL is away", kill_the_daemon_too, (3, 20, 100)),
    Fault("PostgreSQL read-only, full, locked, cutting off", annoy_the_server, (6, 18, 60)),
)
