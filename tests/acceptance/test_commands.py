"""Every way to start that fails: its exit code, its last line, in time, and never a secret."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg2
import pytest
from click.testing import CliRunner
from psycopg2.extensions import make_dsn

from app.cli import COMMANDS, group
from app.embedded import EmbeddedPostgres
from tests.acceptance.daemon import environment, running, stop, wait_until
from tests.acceptance.scripted import Script, serving
from tests.acceptance.test_recorded_market import made_up
from tests.pace import in_time, until_ended
from tests.ports import free_port
from tests.provider import reply
from tests.provider import serving as answering

pytestmark = pytest.mark.acceptance

CANARY = "canary7f3a"
NOBODY = "postgresql://me@127.0.0.1:9/x"  # nothing listens on the port of `discard`


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code, its output, and the seconds it took, but for those it had no processor."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def reason(self) -> str:
        """The last line on standard error, without its mark."""
        last = self.err.splitlines()[-1]
        assert last.startswith("cryptomonitor: "), self.err
        assert "Traceback" not in self.err
        return last.removeprefix("cryptomonitor: ")


def ended(folder: Path, *arguments: str, seconds: float = 60, **settings: object) -> Ended:
    """Run ``python -m app ARGUMENTS`` in the folder to its end."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors, started(folder, *arguments, errors=errors, **settings) as process:
        try:
            delayed = until_ended(process.pid, seconds)
        except TimeoutError:
            process.kill()
            raise
        took = time.monotonic() - began - delayed
        code = process.wait()
        assert process.stdout is not None
        out = process.stdout.read()  # until the end of a child, too: it must not have the last word
        errors.seek(0)
        return Ended(code, out, errors.read(), took)


def assert_at_once(done: Ended, folder: Path) -> None:
    """A bad start has to end within 2 s; within more where the machine is too busy to load the program in that time."""
    assert in_time(done.seconds, 2) or done.seconds < 3 * ended(folder, "run", "--help").seconds


# Help.


def test_help_and_version(tmp_path: Path) -> None:
    listed = ended(tmp_path, "--help")
    assert (listed.code, listed.err) == (0, "")
    assert all(f"\n  {name} " in listed.out for name in COMMANDS)
    version = ended(tmp_path, "--version")
    assert (version.code, version.err) == (0, "")
    assert version.out.startswith("CryptoMonitor, version ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    helped = CliRunner().invoke(group, [name, "--help"], prog_name="python -m app")
    assert (helped.exit_code, helped.stderr) == (0, "")
    assert helped.stdout.startswith(f"Usage: python -m app {name} ")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_is_named(tmp_path: Path) -> None:
    done = ended(tmp_path, "frobnicate")
    assert (done.code, done.reason) == (2, "No such command 'frobnicate'.")


# Settings.


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("TICK_SECONDS", "0.01", "TICK_SECONDS=0.01 (in the environment): should be a number from 0.05 to 86400"),
        ("WATCH", "BTC,B TC", "'B TC': should be a symbol like BTC, BTC-EUR, BTC@kraken, or *@kraken, top:250, WIF="),
        ("COINGECKO_API_KEYS", CANARY, "no such setting; did you mean COINGECKO_API_KEY?"),
        ("COINGECKO_PLAN", "keyless", "COINGECKO_API_KEY=******** (in the environment): is set, so COINGECKO_PLAN"),
        ("DATABASE_URL", f"oracle://me:{CANARY}@db/x", "DATABASE_URL=******** (in the environment): should be postgr"),
    ],
)
def test_a_bad_setting_ends_a_doctors_look_too_before_anything_is_made(
    key: str, value: str, said: str, tmp_path: Path
) -> None:
    """What it does to a `run`, tests/acceptance/test_startup_failures.py has."""
    settings = {
        "COINGECKO_PLAN": "demo",
        "COINGECKO_API_KEY": CANARY,
        "DATABASE_URL": f"postgresql://me:{CANARY}@127.0.0.1:9/x",
        key: value,
    }
    done = ended(tmp_path, "doctor", **settings)
    assert done.code == 78, done.err
    assert said in done.reason
    assert key in done.reason
    assert_at_once(done, tmp_path)
    assert CANARY not in done.out + done.err
    assert list(tmp_path.iterdir()) == []


def test_a_bad_setting_in_env_is_named_with_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbf# mine\r\nAPI_PORT='eighty'\r\n")
    done = ended(tmp_path, "run")
    assert (done.code, done.reason) == (78, "API_PORT=eighty (in .env): should be a whole number from 1 to 65535")
    assert_at_once(done, tmp_path)


def test_a_secret_comes_from_its_file(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{dsn}\n")
    done = ended(tmp_path, "migrate", DATABASE_URL_FILE=tmp_path / "url")
    assert (done.code, done.out) == (0, "the schema is up to date\n")
    twice = ended(tmp_path, "migrate", DATABASE_URL_FILE=tmp_path / "url", DATABASE_URL=dsn)
    assert twice.code == 78
    assert twice.reason.startswith("DATABASE_URL and DATABASE_URL_FILE (in the environment) are both set")


def test_no_secret_is_ever_in_what_the_daemon_says(dsn: str, tmp_path: Path) -> None:
    script = Script([*made_up(20), (401, '{"status":{"error_code":10002}}')])
    with (
        serving(script) as url,
        running(
            tmp_path,
            "run",
            "--no-api",
            COINGECKO_BASE_URL=url,
            TICK_SECONDS=0.05,
            DATABASE_URL=make_dsn(dsn, password=CANARY),
            COINGECKO_PLAN="demo",
            COINGECKO_API_KEY=CANARY,
            LOG_LEVEL="debug",
        ) as daemon,
    ):
        wait_until(lambda: "COINGECKO_API_KEY" in (tmp_path / "output.txt").read_text(), daemon, 60, tmp_path)
        assert stop(daemon)[0] == 0
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


# Database.


@pytest.fixture
def locked(server: str, dsn: str) -> Iterator[str]:
    """A role that needs its password, and a URL that has a wrong one in it."""
    with closing(psycopg2.connect(server)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SHOW hba_file")
        (file,) = cursor.fetchone() or ("",)
        access = Path(file)
        before = access.read_text()
        access.write_text(f"local all locked scram-sha-256\n{before}")
        cursor.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
        cursor.execute("SELECT pg_reload_conf()")
        url = make_dsn(dsn, user="locked", password=CANARY)
        _until_refused(url)
        yield url
        access.write_text(before)
        cursor.execute("SELECT pg_reload_conf()")
        cursor.execute("DROP ROLE locked")


def _until_refused(url: str) -> None:
    """Wait until the server has read its list of who may come in."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            psycopg2.connect(url).close()
        except psycopg2.OperationalError:
            return
    raise AssertionError("the server lets everybody in")


@pytest.mark.parametrize("command", ["run", "migrate", "doctor"])
def test_a_wrong_password_ends_it_at_once(command: str, locked: str, tmp_path: Path) -> None:
    done = ended(tmp_path, command, DATABASE_URL=locked, API_PORT=free_port(), COINGECKO_BASE_URL="http://127.0.0.1:9")
    assert done.code == 69, done.err
    assert_at_once(done, tmp_path)
    assert 'password authentication failed for user "locked"' in (done.out if command == "doctor" else done.reason)
    assert CANARY not in done.out + done.err


@pytest.mark.parametrize("command", ["run", "migrate", "doctor"])
def test_a_missing_database_ends_it_at_once(command: str, server: str, tmp_path: Path) -> None:
    done = ended(
        tmp_path,
        command,
        DATABASE_URL=make_dsn(server, dbname="nosuch"),
        API_PORT=free_port(),
        COINGECKO_BASE_URL="http://127.0.0.1:9",
    )
    assert done.code == 69, done.err
    assert_at_once(done, tmp_path)
    assert 'database "nosuch" does not exist' in (done.out if command == "doctor" else done.reason)


@pytest.mark.parametrize("command", ["run", "migrate", "doctor"])
def test_a_newer_schema_is_refused(command: str, dsn: str, tmp_path: Path) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO schema_migrations (version, name) VALUES (9999, 'of the future')")
    with answering(reply({"gecko_says": "(V3) To the Moon!"})) as provider:
        done = ended(
            tmp_path, command, DATABASE_URL=dsn, API_PORT=free_port(), COINGECKO_BASE_URL=f"{provider.root}/api/v3"
        )
    assert done.code == 78, done.err
    assert_at_once(done, tmp_path)
    assert "the database has schema version 9999" in (done.out if command == "doctor" else done.reason)
    assert "newer CryptoMonitor" in done.out + done.err


def test_a_database_that_is_not_up_yet_is_waited_for_and_then_used(tmp_path: Path) -> None:
    script = Script(made_up(30))
    server = EmbeddedPostgres(tmp_path / "server")
    with server:
        pass  # a database that is missing would be refused, so it is there from before
    with (
        serving(script) as url,
        running(
            tmp_path, "run", "--no-api", COINGECKO_BASE_URL=url, TICK_SECONDS=0.05, DATABASE_URL=server.dsn
        ) as daemon,
    ):
        wait_until(lambda: state(tmp_path) == "waiting for the database", daemon, 60, tmp_path)
        wait_until(lambda: "waiting for it" in (tmp_path / "output.txt").read_text(), daemon, 60, tmp_path)
        assert script.polls == 0
        with server:
            wait_until(script.polled_beyond.is_set, daemon, 60, tmp_path)
            assert stop(daemon)[0] == 0
            with closing(psycopg2.connect(server.dsn)) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM ticker_data")
                assert cursor.fetchone() == (90,)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_it_waits_for_the_database_is_no_failure(number: signal.Signals, tmp_path: Path) -> None:
    with running(tmp_path, "run", DATABASE_URL=NOBODY, API_PORT=free_port()) as daemon:
        wait_until(lambda: "waiting for it" in (tmp_path / "output.txt").read_text(), daemon, 60, tmp_path)
        code, seconds = stop(daemon, number)
    output = (tmp_path / "output.txt").read_text()
    assert code == 0, output
    assert in_time(seconds, 5)
    assert "Traceback" not in output


def state(folder: Path) -> str:
    try:
        return str(json.loads((folder / "data" / "status.json").read_bytes())["state"])
    except FileNotFoundError:
        return ""


# Files.


def test_the_second_daemon_in_one_data_dir_ends_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with running(tmp_path, "run", "--no-api", DATABASE_URL=NOBODY) as daemon:
        wait_until(lambda: state(tmp_path) == "waiting for the database", daemon, 60, tmp_path)
        second = ended(tmp_path, "run", "--quiet", DATABASE_URL=NOBODY, API_PORT=free_port())
        assert second.code == 75, second.err
        assert f"(pid {daemon.pid})" in second.reason
        assert f"DATA_DIR={tmp_path}/data" in second.reason
        assert_at_once(second, tmp_path)
        assert stop(daemon)[0] == 0


def test_where_it_cannot_write_it_says_so_and_ends(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for settings in ({"DATA_DIR": tmp_path / "file" / "data"}, {"ALERTS_FILE": tmp_path / "file" / "alerts.txt"}):
        done = ended(tmp_path, "run", DATABASE_URL=NOBODY, API_PORT=free_port(), **settings)
        assert done.code == 73, done.err
        assert_at_once(done, tmp_path)
        assert str(tmp_path / "file") in done.reason
        examined = ended(tmp_path, "doctor", COINGECKO_BASE_URL="http://127.0.0.1:9", **settings)
        assert examined.code == 73
        assert f"{tmp_path}/file is a file, and should be a folder" in examined.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o555)
    for settings in ({"DATA_DIR": tmp_path / "theirs" / "d"}, {"ALERTS_FILE": tmp_path / "theirs" / "alerts.txt"}):
        done = ended(tmp_path, "run", "--no-api", DATABASE_URL=NOBODY, **settings)
        assert done.code == 73, done.err
        assert str(tmp_path / "theirs") in done.reason
        examined = ended(tmp_path, "doctor", COINGECKO_BASE_URL="http://127.0.0.1:9", **settings)
        assert examined.code == 73
        assert f"this user may not write to {tmp_path}/theirs" in examined.out


# doctor and psql.


def test_doctor_finds_nothing_wrong_where_nothing_is(dsn: str, tmp_path: Path) -> None:
    with answering(reply({"gecko_says": "(V3) To the Moon!"})) as provider:
        done = ended(
            tmp_path,
            "doctor",
            COINGECKO_BASE_URL=f"{provider.root}/api/v3",
            COINGECKO_PLAN="demo",
            COINGECKO_API_KEY=CANARY,
            DATABASE_URL=make_dsn(dsn, password=CANARY),
        )
    assert done.code == 0, done.out
    assert done.err == ""
    assert CANARY not in done.out
    settings, _, checks = done.out.partition("\n\n")
    shown = {line.split()[0]: line.split()[1] for line in settings.splitlines()}
    assert (shown["COINGECKO_API_KEY"], shown["DATABASE_URL"], shown["COINGECKO_PLAN"]) == ("********",) * 2 + ("demo",)
    assert shown["COINGECKO_CALLS_PER_MONTH"] == "-"
    assert [line.split()[:2] for line in checks.splitlines()] == [
        [name, "ok:"] for name in ("files", "rules", "channels", "database", "provider", "clock", "daemon")
    ]
    assert "PostgreSQL 1" in checks
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_doctor_says_what_is_wrong_and_ends_with_the_first(tmp_path: Path) -> None:
    done = ended(tmp_path, "doctor", DATABASE_URL=NOBODY, COINGECKO_BASE_URL="http://127.0.0.1:9/api/v3")
    assert done.code == 69
    checks = dict(line.split(maxsplit=1) for line in done.out.partition("\n\n")[2].splitlines())
    assert checks["files"].startswith("ok:")
    assert checks["database"].startswith("NOT OK: ")
    assert "Connection refused" in checks["database"]
    assert checks["database"].endswith("; start the server, or check DATABASE_URL")
    assert checks["provider"].startswith("NOT OK: coingecko: ")
    assert checks["clock"].startswith("ok: ")
    assert checks["daemon"] == "ok: none runs here now"


def test_doctor_says_what_a_refused_key_needs(dsn: str, tmp_path: Path) -> None:
    refused = reply({"status": {"error_code": 10002, "error_message": "API Key Missing"}}, status=401)
    with answering(refused) as provider:
        done = ended(tmp_path, "doctor", COINGECKO_BASE_URL=f"{provider.root}/api/v3", DATABASE_URL=dsn)
    assert done.code == 78
    assert "provider  NOT OK: coingecko" in done.out
    assert "check COINGECKO_API_KEY" in done.out


def test_psql_gets_its_options_and_no_password_on_its_command_line(tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "psql"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor a; do echo "[$a]"; done\necho "password $PGPASSWORD"\nexit 3\n')
    fake.chmod(0o755)
    done = ended(
        tmp_path,
        "psql",
        "-At",
        "-c",
        "SELECT 1; -- two words",
        "--set=x=y",
        "-h",
        "elsewhere",
        PATH=f"{fake.parent}:{os.environ['PATH']}",
        DATABASE_URL=f"postgresql://me:{CANARY}@db:5433/x?sslmode=verify-full",
    )
    assert done.code == 3
    *options, password = done.out.splitlines()
    assert options[0].startswith("[--dbname=")
    assert set(options[0][1:-1].removeprefix("--dbname=").split()) == {
        "user=me", "host=db", "port=5433", "dbname=x", "sslmode=verify-full"
    }  # fmt: skip
    assert options[1:] == ["[-At]", "[-c]", "[SELECT 1; -- two words]", "[--set=x=y]", "[-h]", "[elsewhere]"]
    assert password == f"password {CANARY}"


def test_psql_opens_the_embedded_database(tmp_path: Path) -> None:
    stopped = ended(tmp_path, "psql", "-c", "SELECT 1")
    assert stopped.code == 69
    assert stopped.reason.startswith(f"no embedded PostgreSQL runs for DATA_DIR={tmp_path}/data")
    with EmbeddedPostgres(tmp_path / "data"):
        done = ended(tmp_path, "psql", "-At", "-c", "SELECT current_database(), 6 * 7")
        assert (done.code, done.out, done.err) == (0, "cryptomonitor|42\n", "")


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed here")
def test_psql_opens_the_database_that_is_named(dsn: str, tmp_path: Path) -> None:
    done = ended(tmp_path, "psql", "-At", "-c", "SELECT count(*) FROM ticker_data", DATABASE_URL=dsn)
    assert (done.code, done.out) == (0, "0\n"), done.err


# Ctrl-C.


def test_ctrl_c_while_a_command_works_gives_no_traceback(tmp_path: Path) -> None:
    asked, over = os.pipe()
    with answering(lambda connection, closing: (os.write(over, b"!"), closing.wait())[1] and None) as provider:
        process = started(tmp_path, "doctor", COINGECKO_BASE_URL=provider.root)
        assert os.read(asked, 1) == b"!"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    os.close(asked)
    os.close(over)
    assert process.returncode == 130
    assert err.strip() == ""


def test_ctrl_c_while_the_program_is_being_loaded_gives_no_traceback(tmp_path: Path) -> None:
    code, said = interrupted_while_loading(tmp_path, "run", signal.SIGINT)
    assert code in (-signal.SIGINT, 130)
    assert "Traceback" not in said


def interrupted_while_loading(folder: Path, command: str, number: int) -> tuple[int, str]:
    """Start a command, and send it a signal in the midst of its imports: its exit code, and what it said then."""
    with started(folder, command, interpreter=("-X", "importtime"), DATABASE_URL=NOBODY) as process:
        try:
            assert process.stderr is not None
            # Each line names what has just been imported.
            assert any("click" in line for line in process.stderr)
            process.send_signal(number)
            said = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    return process.returncode, said


def started(
    folder: Path,
    *arguments: str,
    interpreter: tuple[str, ...] = (),
    errors: int | IO[str] = subprocess.PIPE,
    **settings: object,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *interpreter, "-m", "app", *arguments],
        cwd=folder,
        env=environment(folder, **settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
