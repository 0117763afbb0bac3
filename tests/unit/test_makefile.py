"""`make` in a folder with a blank in its name, with a Python that only writes down what it is asked to do."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
REQUIREMENTS = ("requirements.txt", "requirements-embedded.txt", "requirements-exchanges.txt", "requirements-dev.txt")


class Checkout:
    """A checkout with our Makefile in it, and nothing else of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a check out"
        self.python = folder / "pythons of mine" / "python3"
        self.calls = folder / "calls"
        self.folder.mkdir()
        self.python.parent.mkdir()
        shutil.copy(REPOSITORY / "Makefile", self.folder)
        for name in REQUIREMENTS:
            (self.folder / name).write_text(f"# {name}\n")
        (self.folder / ".env.example").write_text("WATCH=BTC\n")
        self.offer("3.12")

    def offer(self, version: str, prelude: str = "") -> None:
        """A Python of this version. It answers questions as the real one would, makes a .venv of itself, and else
        writes its arguments down.
        """
        numbers = ", ".join(version.split("."))
        self.python.write_text(
            f"""#!/bin/sh
if [ "$1" = -c ]; then
    exec "{sys.executable}" -c "import sys; sys.version_info = ({numbers}, 0, 'final', 0); {prelude}
$2"
fi
echo "$*" >>"{self.calls}"
if [ "$1 $2" = "-m venv" ]; then rm -rf "$4"; mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; fi
[ "$1 $2" != "-m pip" ] || [ ! -e "{self.folder}/no-network" ]
"""
        )
        self.python.chmod(0o755)

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {key: value for key, value in os.environ.items() if key in ("HOME", "LANG", "TMPDIR")}
        environment = {
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            "PYTHON": str(self.python),
            **known,
            **environment,
        }
        return subprocess.run(
            ["make", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def listed(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def called(self) -> list[str]:
        """What the Python was asked to do since the last look."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_make_alone_lists_every_target_of_the_contract(checkout: Checkout) -> None:
    done = checkout.make()
    assert done.returncode == 0
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert listed == [
        "help", "setup", "exchanges", "run", "demo", "psql", "test", "faults", "faults-selftest", "check", "bench",
    ]  # fmt: skip


def test_setup_makes_a_venv_once_and_then_is_silent(checkout: Checkout) -> None:
    done = checkout.make("setup")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "setting up .venv (once, about a minute)\n"
    venv, install = checkout.called()
    assert venv == "-m venv --clear .venv"
    assert install.endswith("-r requirements.txt -r requirements-embedded.txt")
    again = checkout.make("setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert checkout.called() == []


def test_changed_requirements_make_the_venv_anew(checkout: Checkout) -> None:
    checkout.make("test")
    checkout.called()
    with (checkout.folder / "requirements.txt").open("a") as file:
        file.write("one-more==1.0\n")
    assert checkout.make("test").returncode == 0
    assert [call.split(" -")[0:2] for call in checkout.called()] == [
        ["-m venv", "-clear .venv"],
        ["-m pip install", "q"],
        ["-m pip install", "q"],
        ["-m pytest", "n logical"],
    ]


def test_changed_tools_are_added_to_the_venv_that_is_there(checkout: Checkout) -> None:
    checkout.make("test")
    checkout.called()
    (checkout.folder / "requirements-dev.txt").write_text("one-more==1.0\n")
    checkout.make("test")
    install, run = checkout.called()
    assert install.endswith("-r requirements-dev.txt -r requirements-exchanges.txt")
    assert run == "-m pytest -n logical --maxprocesses=4"


def test_a_set_up_that_failed_is_begun_again_and_says_where_to_read_why(checkout: Checkout) -> None:
    broken = checkout.folder / "no-network"
    broken.touch()
    failed = checkout.make("run")
    assert failed.returncode != 0
    assert ".venv/pip.log" in failed.stderr
    assert not any("-m app" in call for call in checkout.called())
    broken.unlink()
    assert checkout.make("setup").returncode == 0
    assert checkout.called()[0] == "-m venv --clear .venv"


def test_another_python_by_name_makes_the_venv_anew(checkout: Checkout) -> None:
    checkout.make("setup")
    checkout.called()
    checkout.offer("3.13")
    assert checkout.make("setup").returncode == 0
    assert checkout.called()[0] == "-m venv --clear .venv"


@pytest.mark.parametrize("version", ["3.10", "3.14", "2.7"])
def test_a_python_of_another_version_is_refused_in_one_line(checkout: Checkout, version: str) -> None:
    checkout.offer(version)
    done = checkout.make("setup")
    assert done.returncode != 0
    line, *of_make = done.stderr.splitlines()
    assert "needs Python 3.11, 3.12 or 3.13" in line
    assert f"is {version}" in line
    assert [words for words in of_make if not words.startswith("make: ***")] == []
    assert not (checkout.folder / ".venv").exists()


def test_no_python_at_all_is_said_in_one_line(checkout: Checkout) -> None:
    tools = checkout.python.parent.parent / "no python"
    tools.mkdir()
    for name in ("make", "sh", "cat", "cksum", "id"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = checkout.make("setup", PATH=str(tools), PYTHON="")
    assert done.returncode != 0
    assert "there is no python3.13 python3.12 python3.11 python3 python" in done.stderr


def test_a_python_without_venv_says_what_to_install(checkout: Checkout) -> None:
    checkout.offer("3.11", "sys.modules['ensurepip'] = None")
    done = checkout.make("setup")
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stderr.splitlines()[0]
    assert not (checkout.folder / ".venv").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_said_in_one_line(checkout: Checkout) -> None:
    checkout.folder.chmod(0o500)
    try:
        done = checkout.make("setup")
    finally:
        checkout.folder.chmod(0o700)
    assert done.returncode != 0
    assert "may not write" in done.stderr.splitlines()[0]


def test_run_makes_a_private_env_file_once_and_nothing_else(checkout: Checkout) -> None:
    before = checkout.listed()
    assert checkout.make("run", "ARGS=--no-api").returncode == 0
    assert checkout.called()[-1] == "-m app run --quiet --no-api"
    assert checkout.listed() - before == {".env", ".venv"}
    env = checkout.folder / ".env"
    assert env.read_text() == "WATCH=BTC\n"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    env.write_text("WATCH=ETH\n")
    checkout.make("run")
    assert env.read_text() == "WATCH=ETH\n"


def test_demo_hands_a_recorded_file_on_whatever_its_name(checkout: Checkout) -> None:
    checkout.make("demo")
    assert checkout.called()[-1] == "-m app demo"
    checkout.make("demo", "DATA=my $$file's.csv.gz")
    assert checkout.called()[-1] == "-m app demo --data my $file's.csv.gz"
    assert not (checkout.folder / ".env").exists()


@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("psql", "-m app psql"),
        ("test", "-m pytest -n logical --maxprocesses=4"),
        ("faults", "-m tests.faults"),
        ("faults-selftest", "-m tests.faults.selftest"),
        ("bench", "-m bench"),
    ],
)
def test_the_other_targets_run_what_they_say(checkout: Checkout, target: str, call: str) -> None:
    assert checkout.make(target).returncode == 0
    assert checkout.called()[-1] == call


AUDIT = f"""
import json, os, sys
case, strict = os.environ["CASE"], "--strict" in sys.argv
assert sys.argv[sys.argv.index("--ignore-vuln") + 1] == "PYSEC-2022-42969"
assert [a for a in sys.argv if a.endswith(".txt")] == {list(REQUIREMENTS)}
asked, skipped = dict(name="a", version="1", vulns=[]), dict(name="b", skip_reason="not found")
if case == "no network":
    raise ConnectionError("no route to host")
if strict:
    print("ERROR" if case != "nothing found" else "No known vulnerabilities found", file=sys.stderr)
else:
    print(json.dumps(dict(dependencies=[asked] * (case != "all unknown") + [skipped] * (case != "a finding"))))
sys.exit(case != "nothing found")
"""


@pytest.mark.parametrize(
    ("case", "passes", "says"),
    [
        ("nothing found", True, "no known vulnerability"),
        ("a finding", False, "ERROR"),
        ("one unknown", False, "ERROR"),  # a service that answers answers for all
        ("all unknown", True, "skipped: the advisory service does not answer"),
        ("no network", True, "skipped: the advisory service does not answer"),
    ],
)
def test_the_audit_fails_on_a_finding_and_says_when_nobody_answers(
    tmp_path: Path, case: str, passes: bool, says: str
) -> None:
    (tmp_path / "pip_audit").mkdir()
    (tmp_path / "pip_audit" / "__init__.py").write_text("")
    (tmp_path / "pip_audit" / "__main__.py").write_text(AUDIT)
    done = subprocess.run(
        [sys.executable, REPOSITORY / ".ci" / "audit.py"],
        env={"PYTHONPATH": str(tmp_path), "CASE": case},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is passes
    assert says in done.stdout + done.stderr
