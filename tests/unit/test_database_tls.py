"""Which databases have to prove who they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import load
from app.database_tls import hosts, weakness
from app.errors import ConfigurationError

CANARY = "canary-3f9a"

HERE = [
    "postgresql://",
    "postgresql:///cryptomonitor",
    "postgresql://me:secret@/x?host=/run/postgresql",
    "postgresql://me@%2Frun%2Fpostgresql/x",
    "host=/run/postgresql dbname=x sslmode=disable",
    "host='' dbname=x",
    "dbname=x user=me",
    "postgresql://localhost/x",
    "postgresql://me:secret@LOCALHOST:5433/x",
    "postgresql://127.0.0.1/x?sslmode=prefer",
    "postgresql://127.8.9.10/x",
    "postgresql://[::1]:5432/x",
    "postgresql://localhost:1,127.0.0.1:2,[::1]:3/x",
    "postgresql://db.example.com/x?hostaddr=127.0.0.1",
    "postgresql://a,b/x?hostaddr=127.0.0.1,::1",
]
ELSEWHERE = [
    "postgresql://db/x",
    "postgresql://me:secret@db.example.com:5432/x",
    "postgres://10.0.0.7/x",
    "postgresql://192.168.1.2/x",
    "postgresql://[2001:db8::1]/x",
    "postgresql://[::ffff:10.0.0.7]/x",
    "postgresql://0.0.0.0/x",
    "postgresql://127.1/x",  # the name of this machine to some, a name like any other to us
    "postgresql://localhost.example.com/x",
    "postgresql://localhost,db.example.com/x",
    "postgresql://localhost/x?hostaddr=10.0.0.7",
    "postgresql://localhost,db/x?hostaddr=127.0.0.1,",
    "postgresql:///x?host=/run/postgresql,db",
    "postgresql:///x?service=mine",
    "postgresql://localhost/x?service=mine",
    "host=db user=me dbname=x",
]
TOO_LITTLE = ["disable", "allow", "prefer", "require", "verify-ca", "VERIFY-FULL", "verify_full"]


@pytest.mark.parametrize("url", HERE)
def test_a_database_on_this_machine_needs_nothing(url: str) -> None:
    assert weakness(url, (), {}) is None


@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_database_elsewhere_has_to_prove_who_it_is(url: str) -> None:
    said = weakness(url, (), {})
    assert said is not None
    assert "secret" not in said
    assert "sslmode=verify-full&sslrootcert=" in said
    asked_to = (
        f"{url} sslmode=verify-full" if "://" not in url else f"{url}{'&' if '?' in url else '?'}sslmode=verify-full"
    )
    assert weakness(asked_to, (), {}) is None


@pytest.mark.parametrize("mode", TOO_LITTLE)
def test_less_than_verify_full_is_not_enough(mode: str) -> None:
    assert weakness(f"postgresql://db/x?sslmode={mode}", (), {}) is not None
    assert weakness("postgresql://db/x", (), {"PGSSLMODE": mode}) is not None


@pytest.mark.parametrize(
    ("url", "environment", "is_enough"),
    [
        ("postgresql:///x", {"PGHOST": "db"}, False),
        ("postgresql:///x", {"PGHOST": "/run/postgresql"}, True),
        ("postgresql:///x", {"PGHOST": "localhost", "PGHOSTADDR": "10.0.0.7"}, False),
        ("postgresql://localhost/x", {"PGHOSTADDR": "10.0.0.7"}, False),
        ("postgresql://localhost/x", {"PGHOST": "db"}, True),
        ("host='' dbname=x", {"PGHOST": "db"}, True),
        ("hostaddr='' host=db", {"PGHOSTADDR": "127.0.0.1"}, False),
        ("postgresql://db/x", {"PGSSLMODE": "verify-full"}, True),
        ("postgresql://db/x?sslmode=require", {"PGSSLMODE": "verify-full"}, False),
        ("postgresql://localhost/x", {"PGSERVICE": "mine"}, False),
        # The service's own sslmode would come before that of the environment.
        ("postgresql://localhost/x", {"PGSERVICE": "mine", "PGSSLMODE": "verify-full"}, False),
        ("postgresql:///x?service=mine&sslmode=verify-full", {}, True),
    ],
)
def test_what_the_address_leaves_open_is_as_libpq_takes_it_from_the_environment(
    url: str, environment: dict[str, str], is_enough: bool
) -> None:
    assert (weakness(url, (), environment) is None) == is_enough


@pytest.mark.parametrize(
    ("url", "is_enough"),
    [
        ("postgresql://db/x", True),
        ("postgresql://DB:5433/x", True),
        ("postgresql://db,10.0.0.7,localhost/x", True),
        ("postgresql://x/x?hostaddr=10.0.0.7", True),
        ("postgresql://db/x?hostaddr=10.0.0.8", False),
        ("postgresql://db,other/x", False),
        ("postgresql://db.example.com/x", False),
        ("postgresql://db/x?service=mine", False),
    ],
)
def test_hosts_that_are_trusted_aloud_need_nothing(url: str, is_enough: bool) -> None:
    trusted = hosts(" Db , 10.0.0.7,")
    assert trusted == ["db", "10.0.0.7"]
    assert (weakness(url, trusted, {}) is None) == is_enough


def test_a_start_is_refused_and_told_what_to_add_and_where(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"DATABASE_URL=postgresql://me:{CANARY}@db.example.com/x\n")
    with pytest.raises(ConfigurationError) as caught:
        load(env_file)
    assert str(caught.value) == (
        f"DATABASE_URL=******** (in {env_file}): names another machine: add ?sslmode=verify-full&sslrootcert="
        "/path/to/ca.pem (or sslrootcert=system), so that the way is encrypted and the server has to prove who it is; "
        "or name its host in DATABASE_TRUSTED_HOSTS, if you trust the network between"
    )
    assert ConfigurationError.exit_code == 78
    env_file.write_text(f"{env_file.read_text()}DATABASE_TRUSTED_HOSTS=db.example.com\n")
    assert load(env_file).database_trusted_hosts == "db.example.com"


def test_the_embedded_database_is_here_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example.com")
    assert load(None).database_url.get_secret_value() == ""
