"""The strict way of docs/roles.md: the owner migrates, and the daemon has a login that owns nothing."""

from __future__ import annotations

import http.client
import json
import re
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.acceptance.daemon import running, stop, wait_until
from tests.acceptance.scripted import Script, serving
from tests.acceptance.test_canary import ended
from tests.acceptance.test_recorded_market import made_up
from tests.ports import free_port

pytestmark = pytest.mark.acceptance


@pytest.fixture
def login(empty_dsn: str) -> str:
    """The URL of a login that owns nothing and is a member of nothing yet, in a database with nothing in it."""
    with closing(psycopg2.connect(empty_dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = 'cm_daemon'")
        if not cursor.rowcount:
            cursor.execute("CREATE ROLE cm_daemon LOGIN")
    return re.sub(r"//[^@]*@", "//cm_daemon@", empty_dsn)


def test_a_daemon_that_owns_nothing_runs_on_what_the_owner_has_migrated(
    login: str, empty_dsn: str, tmp_path: Path
) -> None:
    script, port = Script(made_up(2000)), free_port()
    with serving(script) as url:
        settings = {"DATABASE_URL": login, "COINGECKO_BASE_URL": url, "TICK_SECONDS": 0.05, "API_PORT": port}
        code, said = ended(tmp_path, "-m", "app", "run", "--no-api", **settings)
        assert code == 69, said
        assert "run `python -m app migrate` as the owner" in said

        assert ended(tmp_path, "-m", "app", "migrate", DATABASE_URL=empty_dsn)[0] == 0
        with closing(psycopg2.connect(empty_dsn)) as owner, owner, owner.cursor() as cursor:
            cursor.execute("GRANT cryptomonitor_app, cryptomonitor_reader TO cm_daemon")

        with running(tmp_path, "run", **settings) as daemon:
            alerts = tmp_path / "alerts" / "alerts.txt"
            wait_until(lambda: alerts.exists() and "FIRING" in alerts.read_text(), daemon, 60, tmp_path)
            wait_until(lambda: script.polls > 60, daemon, 60, tmp_path)
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                connection.request("GET", "/api/v1/status")
                database = json.loads(connection.getresponse().read())["database"]
            assert (database["answers"], set(database["latest"])) == (True, {"BTC", "ETH", "ZEC"})
            with closing(psycopg2.connect(empty_dsn)) as owner, owner.cursor() as cursor:
                cursor.execute("SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name LIKE 'cryptomon%'")
                assert cursor.fetchall() == [("cm_daemon",)]
            assert stop(daemon)[0] == 0
    with closing(psycopg2.connect(empty_dsn)) as owner, owner.cursor() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM ticker_data) > 100, (SELECT count(*) FROM daily_ohlcv) > 0")
        assert cursor.fetchall() == [(True, True)]
    output = (tmp_path / "output.txt").read_text()
    assert "action=no_role" not in output
    assert "permission denied" not in output
