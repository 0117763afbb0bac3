"""docker-compose.yml and the Dockerfile: what holds for every container, and that the two stacks never meet."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.alerts.rules_file import SHIPPED
from app.config import KEYS

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

DEMO = {name for name, service in SERVICES.items() if service["profiles"] == ["demo"]}
LIVE = {name for name, service in SERVICES.items() if service["profiles"] == ["", "live"]}
ONE_SHOT = {"init", "demo-init"}
DATABASES = {"db", "demo-db"}
OURS = set(SERVICES) - DATABASES

every_service = pytest.mark.parametrize("name", SERVICES)


def mounts(name: str) -> dict[str, str]:
    """Where from: where to, of each mount."""
    return dict(volume.split(":")[:2] for volume in SERVICES[name].get("volumes", []))


def named_volumes(names: set[str]) -> set[str]:
    return {source for name in names for source in mounts(name) if not source.startswith(".")}


def networks(names: set[str]) -> set[str]:
    return {network for name in names for network in SERVICES[name].get("networks", [])}


# Two stacks


def test_every_service_is_in_exactly_one_stack_so_that_down_v_of_one_leaves_the_other_alone() -> None:
    assert set(SERVICES) == LIVE | DEMO
    assert {"db", "app", "api"} < LIVE
    assert "simulate" in DEMO


def test_the_stacks_share_no_volume_no_network_and_no_dependency() -> None:
    assert not named_volumes(LIVE) & named_volumes(DEMO)
    assert not networks(LIVE) & networks(DEMO)
    for stack in (LIVE, DEMO):
        assert {needed for name in stack for needed in SERVICES[name].get("depends_on", {})} <= stack


def test_what_is_declared_is_what_is_used() -> None:
    assert set(FILE["volumes"]) == named_volumes(set(SERVICES))
    assert set(FILE["networks"]) == networks(set(SERVICES))
    assert all("networks" in SERVICES[name] for name in set(SERVICES) - ONE_SHOT), "the default network is everybody's"


def test_the_demo_takes_no_settings_from_outside_and_asks_only_simulate() -> None:
    for name in DEMO:
        environment = SERVICES[name].get("environment", {})
        assert "env_file" not in SERVICES[name]
        assert not [value for value in environment.values() if "$" in str(value) or value is None]
    assert SERVICES["demo-app"]["environment"]["COINGECKO_BASE_URL"] == "http://simulate:8900/api/v3"
    assert networks({"demo-app", "simulate", "demo-db"}) == {"demo-inside"}
    assert FILE["networks"]["demo-inside"] == {"internal": True}


def test_the_demo_daemon_can_write_beside_the_real_alerts_but_not_to_them() -> None:
    assert mounts("demo-app") == {"./alerts/demo": "/app/alerts/demo", "demo-data": "/app/data"}
    assert SERVICES["demo-app"]["environment"]["ALERTS_FILE"] == "alerts/demo/alerts.txt"


def test_the_demo_has_the_rules_as_shipped_whatever_those_of_this_machine_are() -> None:
    """A real rule may name a channel that the demo does not have, or wake somebody for what is SYNTHETIC."""
    environment = SERVICES["demo-app"]["environment"]
    assert ROOT / environment["RULES_FILE"] == SHIPPED
    assert SHIPPED.is_relative_to(ROOT / "app"), "what goes into the image"
    assert f"COPY --from=build /app/{environment['RULES_FILE']} /app/alerts/rules.toml" in DOCKERFILE
    assert SERVICES["app"]["environment"]["RULES_FILE"] == "alerts/rules.toml"
    assert not [key for key in environment if key.startswith("NOTIFY")]


def test_nothing_asks_the_real_daemon_to_watch_anything_but_the_real_market() -> None:
    assert not [key for key in SERVICES["app"]["environment"] if key.endswith("_BASE_URL")]
    assert SERVICES["app"]["command"] == ["run", "--no-api"]


# What holds for every container


@every_service
def test_a_container_can_write_only_where_it_is_told_and_become_nobody_else(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(place.split(":")[0] == "/tmp" for place in service["tmpfs"])
    assert not set(service) & {"privileged", "pid", "ipc", "userns_mode", "devices", "volumes_from"}
    assert service.get("network_mode", "none") == "none"
    assert all(source[0] != "/" for source in mounts(name)), "nothing of the host but ./alerts, and no docker.sock"


@every_service
def test_a_container_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert 0 < service["cpus"] <= 1, "a machine with one processor would refuse more"
    assert service["ulimits"] == {"core": 0}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@every_service
def test_a_container_has_only_the_capabilities_that_its_task_needs(name: str) -> None:
    preparing = {"CHOWN", "DAC_OVERRIDE", "FOWNER"}
    allowed = preparing if name in ONE_SHOT else preparing | {"SETGID", "SETUID"} if name in DATABASES else set()
    assert set(SERVICES[name].get("cap_add", [])) == allowed


@every_service
def test_ours_run_as_the_user_of_the_image_unless_they_prepare_something_without_a_network(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert (service["user"], service["network_mode"], service["restart"]) == ("0:0", "none", "no")
    else:
        assert "user" not in service
        assert service["restart"] == "unless-stopped"


@every_service
def test_a_container_is_given_time_to_stop(name: str) -> None:
    seconds = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert seconds >= (60 if name in DATABASES else 15)
    assert SERVICES[name].get("init", False) == (name in OURS)


@every_service
def test_a_container_shares_nothing_with_the_machine_and_waters_no_default_down(name: str) -> None:
    service = SERVICES[name]
    # Docker's own seccomp and AppArmor profiles hold where nothing else is said.
    assert not [option for option in service["security_opt"] if "unconfined" in option or "=" in option]
    loosening = {"cgroup", "cgroup_parent", "device_cgroup_rules", "group_add", "network_mode", "sysctls", "uts"}
    assert set(service) & loosening <= ({"network_mode"} if name in ONE_SHOT else set())
    assert "docker.sock" not in str(service)
    assert "host" not in service.get("network_mode", "")


@every_service
def test_every_container_that_stays_is_asked_whether_it_works(name: str) -> None:
    check = SERVICES[name].get("healthcheck")
    if name in ONE_SHOT:
        assert check == {"disable": True}
    elif name != "app":  # whose check is the image's
        assert check is not None
        assert check["test"][0] in ("CMD", "CMD-SHELL")


def test_only_the_api_is_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api", "demo-api"}
    assert {port for ports in published.values() for port in ports} == {"127.0.0.1:${API_PORT:-8000}:8000"}


def test_the_database_is_reached_from_inside_alone() -> None:
    for name in DATABASES:
        (network,) = SERVICES[name]["networks"]
        assert FILE["networks"][network] == {"internal": True}


# Up means working


def test_up_means_that_the_database_answers_that_new_ticks_arrive_and_that_the_api_is_ready() -> None:
    for name in DATABASES:
        test = SERVICES[name]["healthcheck"]["test"]
        assert test[:2] == ["CMD", "pg_isready"]
        assert "--host=127.0.0.1" in test, "the server that makes the database answers on its socket, too early"
    assert "healthcheck" not in SERVICES["app"], "the image's is the one"
    assert re.search(r'^HEALTHCHECK .*CMD \["python", "-m", "app.health"\]$', DOCKERFILE, re.MULTILINE)
    for name in ("api", "demo-api"):
        assert SERVICES[name]["healthcheck"]["test"][-2:] == ["8000", "/readyz"]
    assert "python -m app.health" in SERVICES["demo-app"]["healthcheck"]["test"][1]
    assert "-s alerts/demo/alerts.txt" in SERVICES["demo-app"]["healthcheck"]["test"][1]


def test_daemon_and_api_start_after_the_database_answers_and_the_folders_are_prepared() -> None:
    for name, prefix in {"app": "", "api": "", "demo-app": "demo-", "demo-api": "demo-"}.items():
        needs = {needed: how["condition"] for needed, how in SERVICES[name]["depends_on"].items()}
        assert needs[f"{prefix}db"] == "service_healthy"
        # `up --wait` takes a container that ends for a failure, unless one that stays waits for its success.
        assert needs[f"{prefix}init"] == "service_completed_successfully"


def test_each_stack_builds_the_image_once_and_never_looks_for_it_in_a_registry() -> None:
    assert {name for name in SERVICES if "build" in SERVICES[name]} == ONE_SHOT
    assert {SERVICES[name]["image"] for name in OURS} == {"${COMPOSE_PROJECT_NAME:-cryptomonitor}"}
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}


# Settings


@pytest.mark.parametrize("name", sorted(OURS - ONE_SHOT - {"simulate"}))
def test_every_setting_that_is_set_exists(name: str) -> None:
    assert {key for key in SERVICES[name]["environment"] if not key.startswith("PG")} <= set(KEYS)


@pytest.mark.parametrize("name", ["app", "api"])
def test_what_env_says_of_the_host_is_overruled_inside(name: str) -> None:
    environment: Mapping[str, object] = SERVICES[name]["environment"]
    assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]
    assert {"DATABASE_URL", "DATA_DIR", "ALERTS_FILE", "API_HOST", "API_PORT", "API_OPEN_READS"} <= set(environment)
    # Published on this machine's loopback alone, so reads need no token.
    assert (environment["API_HOST"], environment["API_PORT"], environment["API_OPEN_READS"]) == (
        "0.0.0.0",
        8000,
        "true",
    )


def test_the_api_sees_the_daemons_folder_and_cannot_write_there() -> None:
    assert SERVICES["api"]["volumes"] == ["data:/app/data:ro"]
    assert SERVICES["demo-api"]["volumes"] == ["demo-data:/app/data:ro"]


def test_a_password_may_hold_any_character() -> None:
    assert "PASSWORD" not in SERVICES["app"]["environment"]["DATABASE_URL"], "in a URL it would have to be quoted"
    assert SERVICES["app"]["environment"]["PGPASSWORD"] == SERVICES["db"]["environment"]["POSTGRES_PASSWORD"]


# The image


def test_the_image_is_built_in_two_stages_from_pinned_tags_and_without_a_syntax_line() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["python:3.13-slim", "python:3.13-slim"]
    assert not re.search(r"^#\s*syntax", DOCKERFILE, re.MULTILINE)
    assert all(":" in SERVICES[name]["image"] for name in DATABASES)


def test_the_image_has_no_program_that_makes_its_caller_somebody_else() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"find / -xdev -type f -perm /6000 -exec chmod a-s \{\} \+", last_stage)
    before_the_user = last_stage.partition("\nUSER ")[0]
    assert "chmod a-s" in before_the_user, "only root may"


def test_why_the_base_images_have_a_tag_and_no_digest_is_said() -> None:
    text = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
    assert re.search(r"by tag, .*not by digest: the machine.*Pin them", text, flags=re.DOTALL)


def test_the_image_runs_as_a_fixed_user_that_is_not_root() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", last_stage, re.MULTILINE) == ["10001:10001"]
    assert 'ENTRYPOINT ["python", "-m", "app"]' in last_stage


def test_nothing_but_code_sql_and_pinned_requirements_goes_into_the_image() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*"
    allowed = {"!app", "!sql", "!requirements.txt", "!requirements-exchanges.txt"}
    assert {line for line in ignored if line.startswith("!")} == allowed
    assert "\nADD " not in DOCKERFILE
    assert set(re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)) == {line[1:] for line in allowed}
    assert not re.search(r"^ARG (?!EXCHANGES=$)|PASSWORD|API_KEY", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    ("exchanges", "also"),
    [(value, True) for value in ("1", "true", "True", "yes")] + [(value, False) for value in ("", "0", "false", "no")],
)
def test_the_image_gets_what_exchanges_need_only_where_that_is_wanted(
    tmp_path: Path, exchanges: str, also: bool
) -> None:
    (script,) = re.findall(r"^RUN (.* pip .*?)\n\n", DOCKERFILE, re.MULTILINE | re.DOTALL)
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "python").chmod(0o755)
    path = f"{tmp_path}:{os.defpath}"
    done = subprocess.run(
        ["sh", "-euc", script],
        env={"PATH": path, "EXCHANGES": exchanges},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    installed = re.findall(r"-r (\S+)", done.stdout)
    assert installed == ["requirements.txt"] + ["requirements-exchanges.txt"] * also


def test_the_keys_may_come_from_the_shell_that_calls_compose() -> None:
    keys = {key for key in KEYS if key.endswith("_API_KEY")}
    assert keys >= {"COINGECKO_API_KEY", "COINMARKETCAP_API_KEY"}
    for name in ("app", "api"):
        environment = SERVICES[name]["environment"]
        assert {key for key in keys if key in environment and environment[key] is None} == keys


# What the one-shot services do, on a folder of this machine


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder as the one-shot services see it. Who owns what is left to a real container: only root may give away."""
    if sys.platform != "linux" or shutil.which("flock") is None:
        pytest.skip("the scripts are for the image's Debian: GNU find and stat, util-linux' flock")
    for folder in ("alerts", "data", "bin"):
        (tmp_path / folder).mkdir()
    for program in ("chown", "chgrp"):
        (tmp_path / "bin" / program).symlink_to("/bin/true")
    (tmp_path / "app/alerts").mkdir(parents=True)
    (tmp_path / "app/alerts/shipped.toml").write_text("as shipped")
    return tmp_path


def prepare(service: str, here: Path) -> str:
    """Run what the one-shot service runs; what it says."""
    entrypoint, (script,) = SERVICES[service]["entrypoint"], SERVICES[service]["command"]
    done = subprocess.run(
        [*entrypoint, script.replace("$$", "$")],
        cwd=here,
        env={"PATH": f"{here / 'bin'}:{os.defpath}:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_on_a_fresh_clone_the_name_alerts_txt_leads_to_the_demo(here: Path) -> None:
    assert prepare("demo-init", here) == ""
    (here / "alerts/demo/alerts.txt").write_text("of the demo\n")
    assert (here / "alerts/alerts.txt").read_text() == "of the demo\n"
    prepare("demo-init", here)
    assert (here / "alerts/alerts.txt").read_text() == "of the demo\n"


def test_real_alerts_keep_their_name(here: Path) -> None:
    (here / "alerts/alerts.txt").write_text("real\n")
    assert "stays as it is" in prepare("demo-init", here)
    prepare("init", here)
    assert not (here / "alerts/alerts.txt").is_symlink()
    assert (here / "alerts/alerts.txt").read_text() == "real\n"


def test_an_empty_file_gives_way_to_the_demo_only_when_no_daemon_holds_it(here: Path) -> None:
    path = here / "alerts/alerts.txt"
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "stays as it is" in prepare("demo-init", here)
        assert not path.is_symlink()
    prepare("demo-init", here)
    assert path.is_symlink()


def test_the_real_stack_takes_the_name_back_and_leaves_the_demos_alerts(here: Path) -> None:
    prepare("demo-init", here)
    (here / "alerts/demo/alerts.txt").write_text("of the demo\n")
    prepare("init", here)
    assert not (here / "alerts/alerts.txt").is_symlink()
    assert not (here / "alerts/alerts.txt").exists()
    assert (here / "alerts/demo/alerts.txt").read_text() == "of the demo\n"


def test_the_folder_of_alerts_lets_the_group_write_whatever_the_hosts_user_made_of_it(here: Path) -> None:
    (here / "alerts").chmod(0o700)
    prepare("init", here)
    assert (here / "alerts").stat().st_mode & 0o777 == 0o770


def test_a_folder_without_rules_gets_those_that_are_shipped_and_no_other(here: Path) -> None:
    prepare("init", here)
    assert (here / "alerts/rules.toml").read_text() == "as shipped"
    (here / "alerts/rules.toml").write_text("edited")
    prepare("init", here)
    assert (here / "alerts/rules.toml").read_text() == "edited"


def test_the_file_of_a_daemon_without_docker_can_be_gone_on_with(here: Path) -> None:
    (here / "alerts/alerts.txt").write_text("real\n")
    (here / "alerts/alerts.txt.1").write_text("older\n")
    (here / "alerts/rules.toml").write_text("")
    for name in ("alerts.txt", "alerts.txt.1", "rules.toml"):
        (here / "alerts" / name).chmod(0o644)
    prepare("init", here)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (here / "alerts").iterdir()}
    assert modes == {"alerts.txt": 0o664, "alerts.txt.1": 0o664, "rules.toml": 0o644}
