"""The judgement of the daemon's status file: does it run, and is its data fresh.

Imports next to nothing, not even pathlib or dataclasses, which would double the time that ``python -m app.health``
takes: it is started every few seconds, for as long as a container lives.
"""

from __future__ import annotations

import json
import os
from datetime import datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "status.json"

STALE_SECONDS = 10.0
"""The daemon writes once a second: a file older than this is that of a daemon that is gone or hangs."""

LEAST_PATIENCE_SECONDS = 180.0
"""How long no new tick may arrive, however often the provider is asked: it renews its answers once a minute or so."""

NOT_OURS = f"{FILE} in DATA_DIR is not what this version of the program writes"


def look(data_dir: str | os.PathLike[str], now: datetime) -> tuple[dict[str, Any] | None, bool, tuple[str, ...]]:
    """What the file holds, if it can be read; whether the daemon runs; sentences on why its data is not fresh.

    No sentence: it is. Never raises.
    """
    try:
        with open(os.path.join(data_dir, FILE), "rb") as file:  # noqa: PTH118, PTH123  (see above)
            status = json.load(file)
        age = _age(status["written_at"], now)
        if abs(age) > STALE_SECONDS:
            hangs = f"the daemon does not run, or hangs: {FILE} in DATA_DIR was written {_when(age)}"
            return status, False, (hangs,)
        return status, True, tuple(_reasons(status, now))
    except FileNotFoundError:
        return None, False, (f"the daemon does not run: there is no {FILE} in DATA_DIR",)
    except OSError as error:
        return None, False, (f"{FILE} in DATA_DIR cannot be read ({error.strerror})",)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, False, (NOT_OURS,)


def _reasons(status: dict[str, Any], now: datetime) -> list[str]:
    if status["state"] == "standing by":
        return []  # healthy: that is what it is for
    if status["state"] != "running":
        return [f"the daemon is {status['state']}"]
    allowed = max(LEAST_PATIENCE_SECONDS, 3 * status["interval_seconds"])
    if status["last_new_tick_at"] is None:
        found = f"no new tick has arrived yet; the daemon started {_when(_age(status['started_at'], now))}"
    else:
        age = _age(status["last_new_tick_at"], now)
        if abs(age) <= allowed:
            return []
        found = f"the last new tick arrived {_when(age)}; {allowed:.0f} s are allowed"
    stopped = status["spool"]["polling_stopped"]
    return [found, *([stopped] if stopped else []), *_troubles(status["sources"])]


def _troubles(sources: dict[str, Any]) -> list[str]:
    """What each source that is not well says of itself."""
    troubled = [(name, source) for name, source in sorted(sources.items()) if source["state"] != "ok"]
    return [f"{name} is {s['state']}" + (f": {s['reason']}" if s["reason"] else "") for name, s in troubled]


def _age(then: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(then)).total_seconds()


def _when(age: float) -> str:
    # Ahead of us: the clock was set back, or two machines share the folder and disagree.
    return f"{age:.0f} s ago" if age >= 0 else f"{-age:.0f} s ahead of this clock"
