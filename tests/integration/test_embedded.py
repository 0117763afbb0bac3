"""The embedded PostgreSQL: it starts whatever was killed, says what is wrong, and deletes nothing."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from app.embedded import EmbeddedPostgres, address, identity, psql_command
from app.embedded.process import installed_programs, running
from app.errors import AlreadyRunning, CannotWrite, ConfigurationError, DatabaseRefused, DatabaseUnavailable
from tests import servers

REPOSITORY = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another name for itself")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A DATA_DIR with a blank in its name, below a private folder, longer than a socket's path may be."""
    top = tmp_path_factory.mktemp("embedded")
    yield top / ("a folder with a rather long name " * 4).strip() / "data"
    shutil.rmtree(top)


@pytest.fixture
def embedded(home: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(home)
    yield embedded
    embedded.stop()


def query(dsn: str, sql: str) -> Any:
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0] if cursor.description else None


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextlib.contextmanager
def in_another_process(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that starts the server, says so, and waits; killed at the latest at the end."""
    code = (
        "import sys, signal, pathlib; from app.embedded import EmbeddedPostgres\n"
        "print(EmbeddedPostgres(pathlib.Path(sys.argv[1])).start(), flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", code, str(home)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_new_server_keeps_every_commit_and_opens_no_port(embedded: EmbeddedPostgres) -> None:
    dsn = embedded.start()
    wanted = {
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "max_connections": "40",
        "TimeZone": "UTC",
    }
    assert {name: query(dsn, f"SHOW {name}") for name in wanted} == wanted
    assert query(dsn, "SELECT current_database()") == "cryptomonitor"
    assert query(dsn, "SELECT upper('é')") == "É"  # the locale knows letters, whatever the system has


def test_what_was_committed_is_there_at_the_next_start_under_the_same_address(embedded: EmbeddedPostgres) -> None:
    first = embedded.start()
    query(first, "CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS value")
    embedded.stop()
    assert embedded.start() == first
    assert query(first, "SELECT value FROM kept") == 42


def test_stop_ends_the_server_within_three_seconds_though_a_client_is_connected(
    embedded: EmbeddedPostgres, home: Path
) -> None:
    dsn = embedded.start()
    sockets = Path(running(home / "postgres").sockets)  # type: ignore[union-attr]
    with contextlib.closing(psycopg2.connect(dsn)):
        begin = time.monotonic()
        embedded.stop()
        assert time.monotonic() - begin < 4.5  # then it would have been killed
    assert not sockets.exists()
    assert address(home) is None
    embedded.stop()  # a second time does nothing


def test_the_sockets_folder_is_private_and_its_path_short_enough(embedded: EmbeddedPostgres, home: Path) -> None:
    embedded.start()
    sockets = Path(running(home / "postgres").sockets)  # type: ignore[union-attr]
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert len(os.fsencode(sockets / ".s.PGSQL.5432")) <= 103
    assert len(os.fsencode(home)) > 103


def test_the_sockets_path_is_short_though_the_temporary_folders_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 20)))
    assert "?host=/tmp/cryptomonitor-" in EmbeddedPostgres(tmp_path).dsn


def test_the_server_is_out_of_reach_of_the_terminals_interrupt(embedded: EmbeddedPostgres, home: Path) -> None:
    embedded.start()
    pid = running(home / "postgres").pid  # type: ignore[union-attr]
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) != os.getpgrp()


def test_other_commands_find_the_server_and_open_a_psql_on_it(embedded: EmbeddedPostgres, home: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="make run"):
        psql_command(home)
    dsn = embedded.start()
    assert address(home) == dsn
    answer = subprocess.run([*psql_command(home), "-XAtc", "SELECT 6 * 7"], capture_output=True, text=True, check=True)
    assert answer.stdout == "42\n"


def test_a_server_whose_owner_was_killed_is_taken_over_with_all_its_commits(
    embedded: EmbeddedPostgres, home: Path
) -> None:
    with in_another_process(home) as owner:
        assert owner.stdout
        dsn = owner.stdout.readline().strip()
        query(dsn, "CREATE TABLE IF NOT EXISTS orphan AS SELECT 7 AS value")
        owner.kill()
    left = running(home / "postgres")
    assert left
    assert left.answers()  # it did outlive its owner
    assert query(embedded.start(), "SELECT value FROM orphan") == 7
    assert running(home / "postgres") != left
    embedded.stop()
    assert address(home) is None


def test_a_server_whose_owner_was_killed_can_be_ended_without_starting_another(
    embedded: EmbeddedPostgres, home: Path
) -> None:
    embedded.end_left_over()  # nobody is there: nothing happens
    with in_another_process(home) as owner:
        assert owner.stdout
        owner.stdout.readline()
        owner.kill()
    assert address(home)
    embedded.end_left_over()
    assert address(home) is None


def test_a_server_that_was_killed_is_revived_and_a_stopped_one_is_not(embedded: EmbeddedPostgres, home: Path) -> None:
    dsn = embedded.start()
    assert embedded.revive() is False
    query(dsn, "CREATE TABLE IF NOT EXISTS revived AS SELECT 1 AS value")
    os.kill(running(home / "postgres").pid, signal.SIGKILL)  # type: ignore[union-attr]
    until(embedded.revive)
    assert query(dsn, "SELECT value FROM revived") == 1
    embedded.stop()
    assert embedded.revive() is False


def test_files_of_a_dead_server_whose_number_is_another_process_now_do_not_stop_the_start(
    embedded: EmbeddedPostgres, home: Path
) -> None:
    embedded.start()
    pid_file = home / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    embedded.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            sockets = Path(lines[4])
            sockets.mkdir(mode=0o700)
            (sockets / ".s.PGSQL.5432.lock").write_text(pid_file.read_text())
            assert query(embedded.start(), "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_that_somebody_started_by_hand_is_left_alone(embedded: EmbeddedPostgres, home: Path) -> None:
    dsn = embedded.start()
    (home / "postgres.lock").unlink()  # such a server holds no lock of ours
    with pytest.raises(AlreadyRunning, match="started by hand"):
        EmbeddedPostgres(home).start()
    assert query(dsn, "SELECT 1") == 1


def test_data_of_another_version_is_refused_with_the_way_out_and_left_as_it_is(
    embedded: EmbeddedPostgres, home: Path
) -> None:
    embedded.start()
    embedded.stop()
    version = home / "postgres" / "PG_VERSION"
    version.write_text("17\n")
    before = snapshot(home / "postgres")
    try:
        with pytest.raises(
            ConfigurationError, match=r"PostgreSQL 17.*PostgreSQL 18.*docs/embedded-postgresql\.md"
        ) as e:
            embedded.start()
        assert e.value.exit_code == 78
        assert snapshot(home / "postgres") == before
    finally:
        version.write_text("18\n")
    embedded.start()


def test_a_folder_with_other_things_in_it_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "thesis.txt").write_text("five years of work")
    before = snapshot(tmp_path / "postgres")
    with pytest.raises(ConfigurationError, match="move it away"):
        EmbeddedPostgres(tmp_path).start()
    assert snapshot(tmp_path / "postgres") == before


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_start_that_fails_quotes_what_postgresql_said(embedded: EmbeddedPostgres, home: Path) -> None:
    embedded.start()
    embedded.stop()
    conf = home / "postgres" / "postgresql.conf"
    good = conf.read_text()
    conf.write_text(good + "shared_bufers = 1GB\n")
    try:
        with pytest.raises(DatabaseUnavailable, match=r"(?s)postgres\.log.*shared_bufers") as error:
            embedded.start()
        assert len(str(error.value).splitlines()) <= 6
    finally:
        conf.write_text(good)
    embedded.start()


def test_a_first_start_that_was_killed_half_way_is_begun_again(tmp_path: Path) -> None:
    with in_another_process(tmp_path) as owner:
        until((tmp_path / "postgres.new" / "base").exists)
        owner.kill()
    assert not (tmp_path / "postgres").exists()
    with EmbeddedPostgres(tmp_path) as server:
        assert query(server.dsn, "SELECT 1") == 1
    assert not (tmp_path / "postgres.new").exists()
    shutil.rmtree(tmp_path / "postgres")


def test_a_data_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match=r"DATA_DIR=.*file/data.*Not a directory") as error:
        EmbeddedPostgres(tmp_path / "file" / "data").start()
    assert "\n" not in str(error.value)


def test_the_data_of_another_user_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "postgres").mkdir()
    owner = identity.account_name(os.geteuid())
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(CannotWrite, match=f"belongs to {owner}, and this is uid 4242"):
        EmbeddedPostgres(tmp_path).start()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_the_server_of_another_user_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir(mode=0o000)
    with pytest.raises(DatabaseRefused, match="belongs to another user"):
        address(tmp_path)


def test_a_missing_wheel_says_make_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="make setup"):
        EmbeddedPostgres(tmp_path).start()


@as_root
def test_as_root_no_folder_above_the_data_changes_and_the_files_stay_roots(
    embedded: EmbeddedPostgres, home: Path
) -> None:
    home.mkdir(parents=True, exist_ok=True)
    above = [home, *home.parents]
    before = [(folder.stat().st_mode, folder.stat().st_uid) for folder in above]
    assert query(embedded.start(), "SELECT 1") == 1
    assert [(folder.stat().st_mode, folder.stat().st_uid) for folder in above] == before
    assert any(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in above)


@as_root
def test_as_root_without_user_namespaces_an_unprivileged_user_reaches_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "setpriv"):
        (tools / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tools))
    tmp_path.chmod(0o700)
    # The programs stand below a private folder too, as they do in a checkout of root's.
    wheel = installed_programs().parents[1]
    for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    programs = tmp_path / wheel.name / "pginstall18" / "bin"
    with EmbeddedPostgres(tmp_path / "data", programs) as server:
        assert query(server.dsn, "SELECT 1") == 1
    assert (tmp_path / "data" / "postgres").stat().st_uid != 0
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    monkeypatch.undo()
    with EmbeddedPostgres(tmp_path / "data") as server:  # and stays that user's where both ways are open
        assert query(server.dsn, "SELECT 1") == 1
    for folder in ("data", wheel.name, f"{wheel.name}.libs"):
        shutil.rmtree(tmp_path / folder)


@pytest.mark.parametrize("asked", ["by stop", "by give_up"])
def test_a_start_that_does_not_come_to_its_end_can_be_given_up(tmp_path: Path, asked: str) -> None:
    tools = tmp_path / "programs"
    tools.mkdir(mode=0o755)
    script(tools / "postgres", '[ "$1" = --version ] && echo "postgres (PostgreSQL) 18.0" || exec sleep 60')
    script(tools / "initdb", 'cd "$2" && echo 18 > PG_VERSION')
    enough = threading.Event()
    server = EmbeddedPostgres(tmp_path / "data", tools, give_up=enough.is_set)
    errors: list[Exception] = []

    def start() -> None:
        try:
            server.start()
        except DatabaseUnavailable as error:
            errors.append(error)

    starter = threading.Thread(target=start)
    starter.start()
    until((tmp_path / "data" / "postgres" / "pg_ident.conf").exists)
    server.stop() if asked == "by stop" else enough.set()
    starter.join(timeout=60)
    assert "stopped while it started" in str(errors)


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("installed", servers.available(), ids=str)
def test_every_server_for_the_tests_lets_any_role_in_without_a_password(installed: servers.Installed) -> None:
    with servers.started(installed) as dsn:
        assert query(dsn, "SELECT current_setting('server_version_num')::int / 10000") == installed.major
        assert query(dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True
        query(dsn, "CREATE ROLE somebody LOGIN")
        assert query(dsn.replace("cryptomonitor@", "somebody@"), "SELECT current_user") == "somebody"


@pytest.mark.parametrize("runs", [True, False], ids=["a server runs", "none runs"])
def test_a_backup_can_be_made_and_brought_back_whether_a_server_runs_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded: EmbeddedPostgres, home: Path, runs: bool
) -> None:
    query(embedded.start(), "CREATE TABLE IF NOT EXISTS saved AS SELECT 0.1000 AS value")
    if not runs:
        embedded.stop()
    dump = str(tmp_path / "a dump")
    assert program(home, "pg_dump", "--format=custom", f"--file={dump}") == (0, "")
    other = tmp_path / "data"
    assert program(other, "pg_restore", "--dbname=cryptomonitor", dump) == (0, "")
    assert program(other, "psql", "-XAtc", "SELECT value FROM saved") == (0, "0.1000\n")
    assert address(other) is None
    assert (address(home) is not None) is runs
    shutil.rmtree(other)


def program(data_dir: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "app.embedded", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "DATA_DIR": str(data_dir)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_program_that_does_not_exist_is_named(home: Path, embedded: EmbeddedPostgres) -> None:
    embedded.start()
    assert program(home, "pg_dumb")[0] == ConfigurationError.exit_code
    assert program(home)[0] == 64
