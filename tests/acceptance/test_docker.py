"""Both stacks of docker-compose.yml, really built and started: the demo without a network, then the live one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
BASE_IMAGES = ("python:3.13-slim", "postgres:17-alpine")
OLDEST_COMPOSE = (2, 24)
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (FIRING|RESOLVED) \S+ \S+ \S+=\S+ \S+=\S+ id=[0-9a-f]{12}")

# The live stack polls this in place of CoinGecko: the same market as the demo's, inside the live stack's network.
PROVIDER = """
services:
  provider:
    image: ${COMPOSE_PROJECT_NAME}
    pull_policy: never
    profiles: ["", live]
    init: true
    command: [simulate, --host, 0.0.0.0]
    networks: [outside]
    healthcheck: {test: [CMD, "true"], interval: 1s}
"""

pytestmark = pytest.mark.acceptance


def run(
    *command: str, timeout: float = 60, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; what it said, whatever that is."""
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd, env=env, check=False)


def why_not() -> str | None:
    """Why this cannot be tried here."""
    if shutil.which("docker") is None:
        return "there is no docker here"
    if run("docker", "version").returncode:
        return "no Docker engine answers"
    version = run("docker", "compose", "version", "--short").stdout.strip().removeprefix("v")
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < OLDEST_COMPOSE:
        return f"Compose 2.24 or newer is needed, this is {version or 'none'}"
    for image in BASE_IMAGES:
        if run("docker", "image", "inspect", image).returncode and run("docker", "pull", image, timeout=300).returncode:
            return f"the base image {image} is not here and cannot be fetched"
    return None


class Clone:
    """A fresh copy of what Docker needs, in a folder with a blank in its name, as a project of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "fresh clone"
        self.project = f"cryptomonitor-test-{os.getpid()}"
        self.port = free_port()
        self.alerts = self.folder / "alerts"
        self.alerts.mkdir(parents=True)
        for name in ("Dockerfile", "docker-compose.yml", ".dockerignore", *map(str, ROOT.glob("requirements*.txt"))):
            shutil.copy(ROOT / name, self.folder)
        for name in ("app", "sql"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))

    def compose(self, *arguments: str, timeout: float = 120) -> str:
        """Run ``docker compose``, which has to succeed; what it printed."""
        outside = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")}
        environment = {**outside, "COMPOSE_PROJECT_NAME": self.project, "API_PORT": str(self.port)}
        done = run("docker", "compose", *arguments, timeout=timeout, cwd=self.folder, env=environment)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self._logs()}"
        return done.stdout

    def up(self, *profile: str) -> None:
        """What the README says, to the letter. The first time this builds the image."""
        self.compose(*profile, "up", "-d", "--wait", timeout=600)

    def containers(self) -> dict[str, str]:
        """Service: state, or state and health."""
        lines = self.compose("ps", "-a", "--format", "json").splitlines()
        rows = [json.loads(line) for line in lines]
        return {row["Service"]: " ".join(filter(None, (row["State"], row["Health"]))) for row in rows}

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as reply:
            text: str = reply.read().decode()
            return text

    def sql(self, service: str, query: str) -> str:
        return self.compose("exec", "-T", service, "psql", "-U", "cryptomonitor", "-tAc", query).strip()

    def inside(self, service: str, script: str) -> str:
        return self.compose("exec", "-T", service, "python", "-c", script).strip()

    def left(self, kind: str) -> set[str]:
        """The names of this project's volumes or networks, without the project's."""
        label = f"label=com.docker.compose.project={self.project}"
        names = run("docker", kind, "ls", "--filter", label, "--format", "{{.Name}}").stdout.split()
        return {name.removeprefix(f"{self.project}_") for name in names}

    def _logs(self) -> str:
        label = f"label=com.docker.compose.project={self.project}"
        names = run("docker", "ps", "-a", "--filter", label, "--format", "{{.Names}}").stdout.split()
        logs = [(name, run("docker", "logs", "--tail", "20", name)) for name in names]
        return "\n".join(f"--- {name}\n{log.stdout}{log.stderr}" for name, log in logs)

    def remove(self) -> None:
        self.compose("--profile", "*", "down", "-v")
        run("docker", "image", "rm", self.project)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    clone = Clone(tmp_path_factory.mktemp("docker"))
    try:
        yield clone
    finally:
        clone.remove()


@pytest.fixture(scope="module")
def demo(clone: Clone) -> Clone:
    clone.up("--profile", "demo")
    return clone


@pytest.fixture(scope="module")
def live(demo: Clone) -> Clone:
    """The live stack, started while the demo runs."""
    demo.port = free_port()
    (demo.folder / "docker-compose.override.yml").write_text(PROVIDER)
    (demo.folder / ".env").write_text("COINGECKO_BASE_URL=http://provider:8900/api/v3\nDATA_DIR=/of/the/host\n")
    demo.up()
    return demo


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_the_demo_is_up_when_alerts_are_there_to_read(demo: Clone) -> None:
    found = lines(demo.alerts / "alerts.txt")
    assert found
    assert all(LINE.fullmatch(line) for line in found)
    assert (demo.alerts / "alerts.txt").stat().st_mode & 0o777 == 0o644


def test_the_demo_starts_nothing_real(demo: Clone) -> None:
    assert demo.containers() == {
        "demo-init": "exited",
        "demo-db": "running healthy",
        "simulate": "running healthy",
        "demo-app": "running healthy",
        "demo-api": "running healthy",
    }
    assert demo.left("volume") == {"demo-db", "demo-data"}
    assert demo.left("network") == {"demo-inside", "demo-outside"}


def test_the_demo_says_that_its_market_is_synthetic(demo: Clone) -> None:
    assert "SYNTHETIC" in demo.compose("logs", "demo-app")
    assert "SYNTHETIC" in demo.compose("logs", "simulate")


def test_the_demo_has_ticks_candles_and_an_api(demo: Clone) -> None:
    assert int(demo.sql("demo-db", "SELECT count(*) FROM ticker_data")) > 0
    assert demo.sql("demo-db", "SELECT count(DISTINCT symbol) FROM ohlcv_1m") == "3"
    assert json.loads(demo.get("/readyz"))["status"] == "ready"


def test_a_container_is_an_ordinary_user_on_a_file_system_that_it_cannot_write(demo: Clone) -> None:
    proc = demo.inside("demo-app", "print(open('/proc/self/status').read())")
    fields = dict(line.split(":\t", 1) for line in proc.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10001"] * 4
    assert {fields[capabilities] for capabilities in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
    script = "import os; print([p for p in ('/', '/app', '/app/app', '/venv') if os.access(p, os.W_OK)])"
    assert demo.inside("demo-app", script) == "[]"
    assert demo.inside("demo-app", script.replace("'/'", "'/', '/app/data', '/tmp'")) == "['/app/data', '/tmp']"


def status_of_the_first_process(clone: Clone, service: str) -> dict[str, str]:
    """What the kernel says of the process that the container is there for."""
    proc = clone.compose("exec", "-T", service, "cat", "/proc/1/status")
    return {key: value.strip() for key, _, value in (line.partition(":") for line in proc.splitlines())}


@pytest.mark.parametrize("service", ["demo-app", "demo-api", "simulate", "demo-db"])
def test_a_running_process_can_become_nobody_else_and_call_only_what_docker_lets_it(service: str, demo: Clone) -> None:
    status = status_of_the_first_process(demo, service)
    users = set(status["Uid"].split())
    assert "0" not in users
    assert users == {"10001"} or service == "demo-db"
    assert {status[kind] for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
    assert service == "demo-db" or status["CapBnd"] == "0" * 16
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2", "the filter that the engine has by default"


@pytest.mark.parametrize("service", ["demo-app", "demo-api", "simulate", "demo-db"])
def test_what_the_engine_holds_a_running_container_to(service: str, demo: Clone) -> None:
    (number,) = demo.compose("ps", "-q", service).split()
    (found,) = json.loads(run("docker", "inspect", number).stdout)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert not host["Privileged"]
    assert host["PidMode"] == host["UTSMode"] == host["UsernsMode"] == ""
    assert host["IpcMode"] == "private"
    assert host["PidsLimit"] in (128, 256)
    assert 0 < host["Memory"] <= 1 << 30
    assert host["NanoCpus"] == 10**9
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["Config"]["StopTimeout"] >= 15
    assert not [mount for mount in found["Mounts"] if "docker.sock" in mount["Source"]]
    published = {binding["HostIp"] for bindings in host["PortBindings"].values() for binding in bindings}
    assert published == ({"127.0.0.1"} if service == "demo-api" else set())
    assert all(name.startswith(demo.project) for name in found["NetworkSettings"]["Networks"])
    assert found["State"]["Health"]["Status"] == "healthy"
    write = run("docker", "exec", "--user", "0", number, "sh", "-c", "touch /usr/here /etc/here; echo $?")
    assert write.stderr.count("Read-only file system") == 2, "not even for root"


def test_the_image_has_no_setuid_program_no_secret_and_none_of_our_tools(demo: Clone) -> None:
    def within(*command: str) -> str:
        options = ("--rm", "--network", "none", "--user", "0", "--entrypoint", command[0])
        return run("docker", "run", *options, demo.project, *command[1:]).stdout

    assert within("find", "/", "-xdev", "-perm", "/6000", "-type", "f") == ""
    assert within("sh", "-c", "ls /app").split() == ["alerts", "app", "data", "sql"]
    assert within("sh", "-c", "ls /venv/bin/pip* /venv/bin/pytest* 2>/dev/null") == ""
    history = run("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", demo.project).stdout
    (image,) = json.loads(run("docker", "image", "inspect", demo.project).stdout)
    told = f"{history}\n{image['Config']['Env']}"
    assert not re.search(r"PASSWORD|API_KEY|TOKEN|SECRET|DATABASE_URL", told), told
    assert image["Config"]["User"] == "10001:10001"


def test_the_demo_has_no_way_out(demo: Clone) -> None:
    # An address of the kind that is kept for documents: nobody's, and there is no route to it to begin with.
    script = (
        "import errno, socket\n"
        "try: socket.create_connection(('192.0.2.1', 443), 5)\n"
        "except OSError as error: print(errno.errorcode[error.errno])"
    )
    assert demo.inside("demo-app", script) == "ENETUNREACH"


def test_our_layers_add_less_than_150_mb_to_the_base_image(demo: Clone) -> None:
    sizes = run("docker", "image", "inspect", "-f", "{{.Size}}", demo.project, BASE_IMAGES[0]).stdout.split()
    assert int(sizes[0]) - int(sizes[1]) < 150e6


def test_the_live_stack_comes_up_beside_the_demo_and_takes_the_name_alerts_txt(live: Clone) -> None:
    states = live.containers()
    assert {states[name] for name in ("db", "app", "api", "demo-app", "demo-api")} == {"running healthy"}
    assert states["init"] == "exited"
    path = live.alerts / "alerts.txt"
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o644
    assert live.alerts.stat().st_uid == os.getuid(), "the folder stays that of the host's user"
    assert not set(lines(path)) & set(lines(live.alerts / "demo/alerts.txt"))
    assert json.loads(live.get("/readyz"))["status"] == "ready"


def test_a_second_demo_leaves_real_alerts_alone_and_its_removal_leaves_real_data_alone(live: Clone) -> None:
    port, live.port = live.port, free_port()
    live.up("--profile", "demo")
    assert not (live.alerts / "alerts.txt").is_symlink()
    live.compose("--profile", "demo", "down", "-v")
    live.port = port
    assert live.left("volume") == {"db", "data"}
    assert set(live.containers()) == {"init", "db", "app", "api", "provider"}
    assert int(live.sql("db", "SELECT count(*) FROM ticker_data")) > 0


def test_a_folder_without_rules_gets_those_that_are_shipped(live: Clone) -> None:
    rules, shipped = live.alerts / "rules.toml", live.folder / "app" / "alerts" / "shipped.toml"
    assert rules.read_text() == shipped.read_text()
    assert rules.stat().st_uid == live.alerts.stat().st_uid
    assert f'"rules":{2}' in live.get("/api/v1/status").replace(" ", "")


def test_the_database_and_the_daemon_can_be_stopped_cleanly(live: Clone) -> None:
    live.compose("stop")
    label = f"label=com.docker.compose.project={live.project}"
    ids = run("docker", "ps", "-aq", "--filter", label).stdout.split()
    assert run("docker", "inspect", "-f", "{{.State.ExitCode}}", *ids).stdout.split() == ["0"] * len(ids)


def test_removing_the_live_stack_leaves_its_alerts(live: Clone) -> None:
    live.compose("down", "-v")
    assert live.left("volume") == live.left("network") == set()
    assert (live.alerts / "alerts.txt").exists()
