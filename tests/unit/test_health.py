"""``python -m app.health``: an exit code and a sentence, at once."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app import status
from tests.statuses import a_status

ROOT = Path(__file__).parents[2]


def health(data_dir: Path | None, folder: Path = ROOT) -> tuple[int, str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "DATA_DIR"}
    environment["PYTHONPATH"] = str(ROOT)
    if data_dir is not None:
        environment["DATA_DIR"] = str(data_dir)
    command = [sys.executable, "-m", "app.health"]
    done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


def test_a_daemon_that_gets_ticks_is_healthy(tmp_path: Path) -> None:
    status.write(tmp_path, a_status(datetime.now(UTC)))
    assert health(tmp_path) == (0, "Healthy: the daemon runs, and new ticks arrive or it stands by.\n", "")


def test_what_is_wrong_stands_in_one_line(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    status.write(tmp_path, a_status(now, last_new_tick_at=now - timedelta(hours=2)))
    code, sentence, errors = health(tmp_path)
    assert (code, errors) == (1, "")
    assert sentence.startswith("Not healthy: the last new tick arrived 720")
    assert sentence.count("\n") == 1


def test_without_data_dir_it_looks_where_the_daemon_would(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    status.write(tmp_path / "data", a_status(datetime.now(UTC)))
    assert health(None, folder=tmp_path)[0] == 0


def test_it_imports_nothing_that_takes_time() -> None:
    names = "{name for name in sys.modules if not name.startswith('_')}"
    code = f"import sys; before = {names}; import app.health; print(*sorted({names} - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert imported - sys.stdlib_module_names == {"app"}
    assert imported.isdisjoint({"asyncio", "dataclasses", "inspect", "logging", "pathlib", "typing", "urllib"})
