"""Nothing grows with uptime, with history, or while something is away: containers, threads, descriptors."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg2
import pytest

from tests.acceptance.daemon import running, stop, wait_until
from tests.acceptance.scripted import Row
from tests.alert_files import rotate
from tests.faults.endless import Endless
from tests.faults.lives import MEMORY, Act, Machine, bodies, machine
from tests.faults.postgres import Postgres
from tests.faults.test_clocks import dates_of
from tests.faults.test_restart import our_own
from tests.servers import available

pytestmark = pytest.mark.one_server

REPLIES = 170
EARLY, LATE = range(40, 100, 10), 160  # the replies before which containers are counted: windows are full by then
ROUNDS = 4


@pytest.fixture
def desk(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with machine(dsn, monkeypatch) as made:
        yield made


def containers(of: object) -> dict[str, int]:
    """The length of every container and array of our objects that can be reached, by where it is."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    waiting: deque[tuple[str, Any]] = deque([("", of)])
    while waiting:
        path, thing = waiting.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, dict | list | set | deque):
            found[path] = len(thing)
        elif isinstance(thing, np.ndarray):
            found[path] = thing.size
        waiting.extend((f"{path}{name}", inner) for name, inner in _inside(thing))
    return found


def _inside(thing: object) -> Iterator[tuple[str, object]]:
    if isinstance(thing, Mapping):
        yield from ((f"[{key}]", value) for key, value in thing.items())
    elif isinstance(thing, list | tuple | set | deque):
        yield from ((f"[{n}]", value) for n, value in enumerate(list(thing)[:50]))
    elif type(thing).__module__.partition(".")[0] == "app":
        names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
        names += [field.name for field in fields(thing)] if is_dataclass(thing) else []
        for name in dict.fromkeys(names):
            with suppress(AttributeError):
                yield f".{name}", getattr(thing, name)


def ours(desk: Machine) -> dict[str, int]:
    """Everything that the daemon holds, and everything that our modules do."""
    modules = {
        name: {key: value for key, value in vars(module).items() if not key.startswith("__")}
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "app"
    }
    return containers({"daemon": desk.report, "modules": modules})


class Census:
    """Counts all containers before some replies."""

    def __init__(self) -> None:
        self._early: dict[str, int] = {}
        self._late: dict[str, int] = {}
        self.acts: dict[int, list[Act]] = {number: [self._count_early] for number in EARLY}
        self.acts[LATE] = [self._count_late]

    def _count_early(self, desk: Machine) -> None:
        for path, size in ours(desk).items():
            self._early[path] = max(size, self._early.get(path, 0))

    def _count_late(self, desk: Machine) -> None:
        self._late = ours(desk)

    @property
    def grown(self) -> dict[str, tuple[int, int]]:
        """Those with more in them than ever before, and how many."""
        assert any("_windows" in path for path in self._early), "it does not see what it should"
        assert any(".episodes" in path for path in self._late)
        early = self._early
        return {path: (early.get(path, 0), size) for path, size in self._late.items() if size > early.get(path, 0) + 3}


def database(where: str) -> Act:
    """It goes, or comes back."""
    return lambda desk: setattr(desk, "database", where)


def test_no_container_grows_with_the_number_of_ticks_and_outages(desk: Machine) -> None:
    census, replies = Census(), our_own(random.Random(3), REPLIES)
    for number in range(20, LATE - 20, 40):
        census.acts.setdefault(number, []).append(database("away"))
        census.acts.setdefault(number + 8, []).append(database("here"))
    desk.script(bodies(replies), census.acts, dates_of(replies))
    assert desk.live().killed is None
    assert len(desk.found().lines) > 100, "without alerts it says little"
    assert census.grown == {}


def test_what_waits_for_the_database_waits_on_disk_and_not_in_memory(desk: Machine) -> None:
    census, replies = Census(), our_own(random.Random(4), REPLIES)
    census.acts[EARLY[0] - 5], census.acts[REPLIES - 1] = [database("away")], [database("here")]
    desk.script(bodies(replies), census.acts, dates_of(replies))
    assert desk.live().killed is None
    assert len(desk.found().rows["ticks"]) > REPLIES
    assert census.grown == {}


def test_a_container_that_grows_is_seen(desk: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else the two tests above could not fail.
    kept: list[Row] = []
    monkeypatch.setattr("app.fetcher.kept", kept, raising=False)
    desk.report = object()  # type: ignore[assignment]  it has not lived yet
    before = ours(desk)
    kept.extend([Row(datetime.now(UTC), "BTC", "1", "1")] * 10)
    after = ours(desk)
    assert {path for path in after if after[path] > before.get(path, 0) + 3} == {"[modules][app.fetcher][kept]"}


def test_threads_and_descriptors_stay_through_outages_restarts_failed_calls_and_rotations(tmp_path: Path) -> None:
    market = Endless()
    with (
        tempfile.TemporaryDirectory(prefix="cryptomonitor-test-", dir=MEMORY) as folder,
        Postgres(Path(folder) / "server", available()[0]) as postgres,
        market.serving() as url,
        running(
            tmp_path, "run", "--no-api", DATABASE_URL=postgres.dsn, COINGECKO_BASE_URL=url, TICK_SECONDS=0.05
        ) as daemon,
    ):
        process, counted = psutil.Process(daemon.pid), list[tuple[int, int]]()
        for _ in range(ROUNDS):
            served = market.served
            wait_until(lambda served=served: market.served > served + 10, daemon, 60, tmp_path)  # type: ignore[misc]
            postgres.stop()
            market.broken = True
            served = market.asked
            wait_until(lambda served=served: market.asked > served + 2, daemon, 60, tmp_path)  # type: ignore[misc]
            market.broken = False
            for _ in range(5):
                rotate(tmp_path / "alerts" / "alerts.txt")
                served = market.served
                wait_until(lambda served=served: market.served > served + 2, daemon, 60, tmp_path)  # type: ignore[misc]
            postgres.start()
            wait_until(lambda: is_quiet(tmp_path) and stored_all(postgres.dsn, market), daemon, 60, tmp_path)
            counted.append((process.num_threads(), process.num_fds()))
        assert stop(daemon)[0] == 0
    assert max(threads for threads, _ in counted[1:]) <= counted[0][0] + 1, counted
    assert max(descriptors for _, descriptors in counted[1:]) <= counted[0][1] + 2, counted


def is_quiet(folder: Path) -> bool:
    """Whether nothing waits in the spool."""
    with suppress(FileNotFoundError, json.JSONDecodeError):
        return json.loads((folder / "data" / "status.json").read_text())["spool"]["batches"] == 0
    return False


def stored_all(dsn: str, market: Endless) -> bool:
    """Whether what had been served when we ask is in the database."""
    served = market.served - 1
    with suppress(psycopg2.OperationalError), closing(psycopg2.connect(dsn)) as connection, connection.cursor() as c:
        c.execute("SELECT count(DISTINCT timestamp) FROM ticker_data")
        row = c.fetchone()
        return row is not None and row[0] >= served
    return False
