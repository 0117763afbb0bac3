"""A database on another machine: a real server with a certificate, under a name that is not this machine's to us."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest

from app.db import Database, connect
from app.embedded import data, identity
from app.embedded.process import Programs, end, wait
from app.errors import DatabaseRefused, DatabaseUnavailable
from tests.acceptance.daemon import REPOSITORY
from tests.ports import free_port
from tests.servers import Installed, available

ELSEWHERE = "127.1"  # the loopback address to the system's resolver, a name like any other to us


@dataclass(frozen=True)
class Server:
    """Where it listens, and the certificates: of its authority, and of one that did not sign for it."""

    port: int
    folder: Path

    def url(self, *, host: str = ELSEWHERE, authority: str = "ca", mode: str = "verify-full") -> str:
        root = f"&sslrootcert={self.folder / authority}.pem"
        return f"postgresql://cryptomonitor@{host}:{self.port}/postgres?sslmode={mode}{root}"


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def _make_certificates(folder: Path) -> None:
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2)
    for authority in ("ca", "stranger"):
        files = ("-keyout", folder / f"{authority}.key", "-out", folder / f"{authority}.pem")
        _openssl("req", "-x509", *new, *files, "-subj", f"/CN={authority}", "-addext", "keyUsage=keyCertSign")
    request = ("-keyout", folder / "server.key", "-out", folder / "server.csr")
    _openssl("req", *new[:-2], *request, "-subj", "/CN=nobody")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", 2)
    _openssl("x509", "-req", "-in", folder / "server.csr", *signed, "-extfile", folder / "names",
             "-out", folder / "server.crt")  # fmt: skip


def _knows_tls(server: Installed) -> bool:
    told = subprocess.run([server.programs / "pg_config", "--configure"], capture_output=True, text=True, check=True)
    return "openssl" in told.stdout


@pytest.fixture(scope="module")
def tls_server() -> Iterator[Server]:
    installed = next(filter(_knows_tls, available()), None)
    if installed is None or shutil.which("openssl") is None:
        pytest.skip("needs a PostgreSQL that was built with OpenSSL, and openssl itself; the embedded one has none")
    with TemporaryDirectory(prefix="cryptomonitor-tls-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _make_certificates(folder)
        port = free_port()
        with _running(installed, folder, port):
            yield Server(port, folder)


@contextmanager
def _running(installed: Installed, folder: Path, port: int) -> Iterator[None]:
    home, own, access = folder / "data", folder / "own", folder / "hba.conf"
    access.write_text("host all all 127.0.0.1/32 trust\n")
    own.mkdir()
    for file in ("server.crt", "server.key"):
        shutil.copy(folder / file, own)
        (own / file).chmod(0o600)
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(own / "server.crt"),
        "ssl_key_file": str(own / "server.key"),
        "hba_file": str(access),
        "fsync": "off",
    }
    options = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
    url = f"postgresql://cryptomonitor@127.0.0.1:{port}/postgres"
    with (folder / "log").open("ab") as output:
        user = identity.choose(installed.programs, folder, home)
        programs = Programs(installed.programs, user, output, output.fileno())
        assert data.make(programs, home, settings), (folder / "log").read_text()
        for part in (home, own):
            user.own(part)
        child = programs.start("postgres", "-D", str(home), *(f"--{k}={v}" for k, v in options.items()))
        try:
            assert wait(lambda: child.poll() is not None or _answers(url), 30)
            assert child.poll() is None, (folder / "log").read_text()
            yield
        finally:
            end(child.pid, gone=lambda: child.poll() is not None)


def _answers(url: str) -> bool:
    with suppress(psycopg2.OperationalError):
        psycopg2.connect(url).close()
        return True
    return False


@dataclass(frozen=True)
class Ended:
    code: int
    reason: str


def migrate(folder: Path, **settings: str) -> Ended:
    """``python -m app migrate``: how it ends, and its last words."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "migrate"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(REPOSITORY), **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Ended(done.returncode, (done.stderr.strip().splitlines() or [""])[-1])


def test_a_server_that_proves_who_it_is_is_used_and_the_way_is_encrypted(tls_server: Server) -> None:
    with closing(connect(tls_server.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() in [(True, "TLSv1.3"), (True, "TLSv1.2")]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"authority": "stranger"}, "certificate verify failed"),
        ({"authority": "nosuch"}, "root certificate file .* does not exist"),
        ({"host": "localhost"}, "does not match host name"),
    ],
)
def test_a_server_that_cannot_prove_it_is_a_refusal_at_once(tls_server: Server, how: dict[str, str], said: str) -> None:
    with (
        pytest.raises(DatabaseRefused, match=said),
        closing(Database(tls_server.url(**how), threading.Event())) as database,
    ):
        database.query("answers")


def test_a_server_without_tls_is_a_refusal_at_once(tls_server: Server) -> None:
    """As one that somebody in between pretends to be."""
    with closing(psycopg2.connect(tls_server.url())) as admin, admin.cursor() as cursor:
        admin.autocommit = True
        cursor.execute("ALTER SYSTEM SET ssl = off")
        cursor.execute("SELECT pg_reload_conf()")
        try:
            assert wait(lambda: _refuses_tls(tls_server), 10)
        finally:
            cursor.execute("ALTER SYSTEM RESET ssl")
            cursor.execute("SELECT pg_reload_conf()")
            assert wait(lambda: not _refuses_tls(tls_server), 10)


def _refuses_tls(server: Server) -> bool:
    try:
        connect(server.url()).close()
    except DatabaseRefused as error:
        assert "server does not support SSL" in str(error)
        return True
    except DatabaseUnavailable:
        return False
    return False


def test_the_program_starts_only_when_the_address_demands_proof_or_the_host_is_trusted_aloud(
    tls_server: Server, tmp_path: Path
) -> None:
    weak = migrate(tmp_path, DATABASE_URL=tls_server.url(mode="require"))
    assert weak.code == 78
    assert weak.reason.startswith("cryptomonitor: DATABASE_URL=******** (in the environment): names another machine:")
    assert migrate(tmp_path, DATABASE_URL=tls_server.url()) == Ended(0, "")
    trusted = migrate(tmp_path, DATABASE_URL=tls_server.url(mode="disable"), DATABASE_TRUSTED_HOSTS=ELSEWHERE)
    assert trusted == Ended(0, "")
    false = migrate(tmp_path, DATABASE_URL=tls_server.url(authority="stranger"))
    assert false.code == 69
    assert "certificate verify failed" in false.reason
