"""Two daemons with one database: one polls, the other takes over when the first is killed, frozen or cut off.

Each has a DATA_DIR and an alerts file of its own. The provider knows them by their addresses, so that its journal says
who asked when.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime

from psycopg2.extensions import make_dsn

from tests.faults.scene import Fault, Run, Scene
from tests.faults.stand import Door

_TAKEOVER_SECONDS = 10.0
_STANDS_BY_SECONDS = 15.0  # after it woke up: what was under way at the freeze has to time out first
_CUT_SECONDS = 12.0
_LATE_SECONDS = 1.5  # in which a spool is looked at
_OTHER = {"a": "b", "b": "a"}


def lose_the_leader(run: Run, times: int) -> None:
    """Started together, again and again; then whoever leads is killed or frozen, and perhaps wakes up later."""
    took = []
    with run.scene() as scene:
        for number in range(times):
            leader = _start_both(scene)
            scene.load(run.dice.uniform(0, 1), leader)
            _only(scene, leader)
            took.append((_freeze if number % 2 else _kill)(scene, leader))
            _end_both(scene)
        _start_both(scene)
    run.note(f"the other took over after {min(took):.1f} to {max(took):.1f} s")


def cut_off_the_leader(run: Run, times: int) -> None:
    """The leader's connections break and it finds no server, but it goes on: for a while both poll, and both alert."""
    took = []
    with run.scene(one_judge=False) as scene:
        doors = {name: Door(scene.folder / f"door-{name}", scene.dsn) for name in _OTHER}
        for name, door in doors.items():
            scene.daemon(name).settings["DATABASE_URL"] = make_dsn(door.dsn, application_name=name)
        for _ in range(times):
            leader = _start_both(scene)
            scene.load(run.dice.uniform(0, 1), leader)
            _only(scene, leader)
            lines, polls, began = scene.lines(leader), scene.provider.served(leader), time.monotonic()
            doors[leader].shut()
            scene.postgres.signal_daemons("pg_terminate_backend", leader)
            took.append(_taken_over(scene, leader, began))
            scene.load(max(0, began + _CUT_SECONDS - time.monotonic()), leader)
            if scene.lines(leader) == lines or scene.provider.served(leader) < polls + 20:
                run.problem("the leader that was cut off from the database did not go on to poll and to alert")
            doors[leader].open()
            _stands_by(scene, leader)
            scene.provider.mark(leader)  # what it had in hand when it learned that another leads
            scene.load(1, _OTHER[leader])
            _end_both(scene)
        _start_both(scene)
    run.note(f"the other took over after {min(took):.1f} to {max(took):.1f} s")


def _start_both(scene: Scene) -> str:
    """Start those that do not run, as good as at once; who leads. The other has to say that it stands by."""
    dice = scene.run.dice
    before = len(scene.provider.replies)
    for name in dice.sample(sorted(_OTHER), 2):
        if not scene.daemon(name).alive:
            scene.daemon(name).start()
        time.sleep(dice.uniform(0, 0.05))
    scene.daemon("a").wait_for(lambda: len(scene.provider.replies) > before, "somebody polls", 60)
    leader = scene.provider.replies[before].client
    _stands_by(scene, _OTHER[leader])
    return leader


def _end_both(scene: Scene) -> None:
    """Killed or asked to end, in any order."""
    kind = scene.run.dice.choice(["kill", "stop", "leave"])
    for name in scene.run.dice.sample(sorted(_OTHER), 2):
        if scene.daemon(name).alive and kind != "leave":
            scene.kill(name) if kind == "kill" else scene.stop(name)
    if kind == "leave":  # the one that leads goes on, the other is started again
        idle = [name for name in _OTHER if scene.status(name).get("state") == "standing by"]
        for name in idle[:1]:
            scene.kill(name)


def _kill(scene: Scene, leader: str) -> float:
    """kill -9; the seconds until the other polled. Sometimes it is back soon, and finds that another leads."""
    began = time.monotonic()
    scene.kill(leader)
    seconds = _taken_over(scene, leader, began)
    if scene.run.dice.random() < 0.5:
        scene.daemon(leader).start()
        _stands_by(scene, leader)
    scene.load(scene.run.dice.uniform(0, 1), _OTHER[leader])
    return seconds


def _freeze(scene: Scene, leader: str) -> float:
    """SIGSTOP, also in the midst of a transaction; the seconds until the other polled. After SIGCONT it stands by."""
    began = (
        _freeze_in_a_transaction(scene, leader) if scene.run.dice.random() < 0.5 else _freeze_anywhere(scene, leader)
    )
    seconds = _taken_over(scene, leader, began)
    scene.load(scene.run.dice.uniform(0, 2), _OTHER[leader])
    scene.provider.mark(leader)
    polls, spooled = scene.provider.served(leader), _spooled(scene, leader)
    in_hand = [reply.rows[0].time for reply in scene.provider.replies if reply.client == leader][-20:]
    committed = _committed(scene, in_hand)
    scene.daemon(leader).wake()
    _stands_by(scene, leader)
    more = scene.provider.served(leader) - polls
    if more > 1:
        scene.run.problem(f"a leader that woke up asked {more} times more, though another leads")
    if more:
        scene.provider.mark(leader)
    scene.load(_LATE_SECONDS, leader)
    if not spooled and _committed(scene, in_hand) != committed:
        scene.run.problem("a leader that woke up committed ticks under its old epoch")
    return seconds


def _freeze_anywhere(scene: Scene, leader: str) -> float:
    scene.daemon(leader).freeze()
    return time.monotonic()


def _freeze_in_a_transaction(scene: Scene, leader: str) -> float:
    """Freeze and wake it until it is caught with a transaction open: then its locks stay."""
    for _ in range(200):
        scene.daemon(leader).freeze()
        open_ = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND state = 'idle in transaction'"
        if scene.postgres.execute(open_, leader):
            return time.monotonic()
        scene.daemon(leader).wake()
        scene.load(scene.run.dice.uniform(0, 0.03), leader)
    return _freeze_anywhere(scene, leader)


def _taken_over(scene: Scene, leader: str, began: float) -> float:
    """Wait until the other polls; how long after the beginning it first did."""
    other = _OTHER[leader]
    polls = scene.provider.served(other)
    scene.daemon(other).wait_for(
        lambda: scene.provider.served(other) > polls, f"{other} takes over", 40 * scene.run.leeway
    )
    first = [reply for reply in list(scene.provider.replies) if reply.client == other][polls]
    seconds = first.asked_at - began
    if seconds > _TAKEOVER_SECONDS * scene.run.leeway:
        scene.run.problem(f"the other daemon took over after {seconds:.1f} s only")
    return seconds


def _only(scene: Scene, leader: str) -> None:
    """Since both run, one of them has polled, and the other has not."""
    since = len(scene.provider.replies)
    scene.polls(10, leader)
    others = [reply for reply in list(scene.provider.replies)[since:] if reply.client != leader]
    if others:
        scene.run.problem(f"both daemons polled: {len(others)} calls of the one that stands by")


def _stands_by(scene: Scene, name: str) -> None:
    """It says so itself, in status.json, by now."""
    began = time.time()

    def says() -> bool:
        status, process = scene.status(name), scene.daemon(name).process
        with suppress(FileNotFoundError):
            fresh = (scene.daemon(name).data / "status.json").stat().st_mtime > began
            return fresh and process is not None and (status.get("pid"), status.get("state")) == (
                process.pid, "standing by")  # fmt: skip
        return False

    scene.daemon(name).wait_for(says, f"{name} stands by", _STANDS_BY_SECONDS * scene.run.leeway)


def _committed(scene: Scene, times: list[datetime]) -> int:
    """How many ticks of these times are in the database."""
    query = 'SELECT count(*) FROM ticker_data WHERE "timestamp" = ANY (%s)'
    return int(scene.postgres.execute(query, times, dsn=scene.dsn)[0][0])


def _spooled(scene: Scene, name: str) -> bool:
    """Whether batches that it accepted wait in its spool: those are stored under any epoch."""
    spool = scene.status(name).get("spool")
    return isinstance(spool, dict) and bool(spool.get("batches"))


FAULTS = (
    Fault("two daemons, the leader killed or frozen", lose_the_leader, (2, 50, 500), in_a_scene=25),
    Fault("two daemons, the leader cut off", cut_off_the_leader, (1, 6, 50), in_a_scene=10),
)
