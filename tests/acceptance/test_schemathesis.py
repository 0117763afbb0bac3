"""Schemathesis over the OpenAPI document: requests of all kinds, right and wrong ones, and every check there is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from app.db import Database
from tests.acceptance.daemon import REPOSITORY, running, wait_until
from tests.conftest import new_database
from tests.filled import fill
from tests.ports import free_port
from tests.servers import Installed, available
from tests.written import a_token

pytestmark = pytest.mark.acceptance

CHANNEL = {"NOTIFY_URLS": "ops=jsons://example.org/hook"}  # that the examples of rules name
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5"))
"""Of each operation: more of them find more, and take longer."""

CONFIGURATION = """\
seed = 6
color = false
continue-on-failure = true
request-timeout = 30
reports.directory = "reports"
cache.enabled = false
hooks = "tests.acceptance.refusals"

[auth.openapi.token]
bearer = "{token}"

[generation]
max-examples = {examples}
database = "none"

[checks]
enabled = true
# 412 is for the client that said If-Match; for 422 there is a check of ours.
positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 422]

# A stream without end: as much of it as comes within a second is looked at.
[[operations]]
include-path = "/api/v1/stream"
request-timeout = 1
max-stream-events = 1
generation.max-examples = 3
"""


def test_no_request_makes_the_api_fail_or_answer_otherwise_than_it_says(
    servers: Callable[[Installed], str], templates: Callable[[str], str], tmp_path: Path, said: Callable[[str], None]
) -> None:
    server, port = servers(available()[0]), free_port()
    root = f"http://127.0.0.1:{port}"
    with (
        new_database(server, templates(server)) as dsn,
        closing(Database(dsn, threading.Event())) as database,
        running(tmp_path, "serve", DATABASE_URL=dsn, API_PORT=port, API_REQUESTS_PER_SECOND=0, **CHANNEL) as api,
    ):
        fill(database, datetime.now(UTC))
        (tmp_path / "schemathesis.toml").write_text(CONFIGURATION.format(token=a_token(database), examples=EXAMPLES))
        wait_until(lambda: _answers(root), api, 60, tmp_path)
        # With one worker: two of them can meet in Python 3.11's ast.parse, which is not safe there.
        ran = subprocess.run(
            [Path(sys.executable).parent / "schemathesis", "run", f"{root}/openapi.json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"},
            check=False,
            capture_output=True,
            text=True,
        )
        said(ran.stdout[-1500:])
        assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2000:]
        assert api.poll() is None
    log = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in log, log[-5000:]


def _answers(root: str) -> bool:
    try:
        return requests.get(f"{root}/readyz", timeout=60).status_code in (200, 503)
    except requests.ConnectionError:
        return False
