"""The command line's edge: what is printed, where, and the exit code."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app import __version__, cli, config
from app.alerts import rules_file
from app.cli import COMMANDS, group, main
from app.cli import demo as demo_command
from app.cli.database import dsn_of
from app.cli.demo import _clear
from app.cli.doctor import _files
from app.cli.run import announce
from app.errors import AlreadyRunning, CannotWrite, ConfigurationError, CryptoMonitorError, DatabaseUnavailable
from app.instance import instance_lock

CLI = Path(cli.__file__).parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a .env."""
    monkeypatch.chdir(tmp_path)


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["app", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """A command that raises it."""

    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(group, "get_command", lambda ctx, name: command)


def test_every_command_has_a_file_and_every_file_of_a_command_is_one() -> None:
    texts = {file.stem.replace("_", "-"): file.read_text() for file in CLI.glob("[!_]*.py")}
    with_command = {name for name, text in texts.items() if re.search(r"@click\.(command|group)", text)}
    assert with_command == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", ["--help"])
def test_every_command_has_help(name: str, option: str) -> None:
    result = CliRunner().invoke(group, [name, option], prog_name="python -m app")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: python -m app {name} ")
    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option) and not option.hidden)


def test_the_help_lists_every_command_with_a_sentence() -> None:
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    listed = result.output.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert all(len(line.split()) > 3 for line in listed)


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(monkeypatch, "--version") == 0
    assert capsys.readouterr() == (f"CryptoMonitor, version {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Missing command."),
        (["frobnicate"], "No such command 'frobnicate'."),
        (["--frobnicate"], "No such option '--frobnicate'."),
        (["run", "--frobnicate"], "No such option '--frobnicate'."),
        (["migrate", "surplus"], "Got unexpected extra argument (surplus)"),
    ],
)
def test_a_wrong_call_is_explained_and_ends_with_its_reason(
    arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: python -m app")
    assert err.splitlines()[-1] == f"cryptomonitor: {reason}"
    if len(arguments) < 2:
        assert all(f"  {name} " in err for name in COMMANDS)


@pytest.mark.parametrize(
    "error", [ConfigurationError("a reason"), AlreadyRunning("a reason"), CannotWrite("a"), DatabaseUnavailable("a")]
)
def test_a_foreseen_error_is_one_line_and_its_exit_code(
    error: CryptoMonitorError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert ended(monkeypatch, "run") == error.exit_code
    assert capsys.readouterr() == ("", f"cryptomonitor: {error}\n")


def test_each_line_of_a_longer_reason_is_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, ConfigurationError("WATCH: which one?\n  WIF=a\n  WIF=b"))
    assert ended(monkeypatch, "run") == 78
    assert capsys.readouterr().err == (
        "cryptomonitor: WATCH: which one?\ncryptomonitor:   WIF=a\ncryptomonitor:   WIF=b\n"
    )


def test_an_unforeseen_error_is_told_whole_and_still_ends_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, ZeroDivisionError("division by zero"))
    assert ended(monkeypatch, "run") == 70
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "cryptomonitor: unforeseen: ZeroDivisionError: division by zero"


def test_an_interrupt_gives_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert ended(monkeypatch, "run") == 130
    out, err = capsys.readouterr()
    assert (out + err).strip() == ""


def test_an_exit_code_of_a_command_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, click.exceptions.Exit(3))
    assert ended(monkeypatch, "run") == 3
    failing(monkeypatch, SystemExit(4))
    assert ended(monkeypatch, "run") == 4


def test_a_reader_that_is_gone_is_no_second_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Gone:
        def write(self, *texts: object) -> int:
            raise BrokenPipeError

        writelines = flush = write

    failing(monkeypatch, CannotWrite("a reason"))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Gone())
        assert ended(patch, "run") == 73
        assert capsys.readouterr().err == "cryptomonitor: a reason\n"
        patch.setattr(sys, "stderr", Gone())
        assert ended(patch, "run") == 73


# Small parts of commands.


def test_the_database_of_other_commands_is_the_one_named_or_the_one_that_runs(tmp_path: Path) -> None:
    named = config.load(None, database_url="postgresql://localhost/x")
    assert dsn_of(named) == "postgresql://localhost/x"
    with pytest.raises(DatabaseUnavailable, match="no embedded PostgreSQL runs for DATA_DIR=") as caught:
        dsn_of(config.load(None, data_dir=tmp_path))
    assert caught.value.exit_code == 69


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("0.0.0.0", "http://127.0.0.1:9000"),
        ("::", "http://[::1]:9000"),
        ("fd00::1", "http://[fd00::1]:9000"),
        ("box.local", "http://box.local:9000"),
    ],
)
def test_what_is_announced_can_be_used_as_it_stands(
    host: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config.load(None, api_host=host, api_port=9000, data_dir=tmp_path)
    announce(settings, with_api=True, quiet=True, psql="make psql")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"CryptoMonitor {__version__} watches BTC,ETH,ZEC. Ctrl-C stops it."
    assert [line.split(maxsplit=1) for line in lines[1:]] == [
        ["API", url],
        ["psql", "make psql"],
        ["alerts", "tail -F alerts/alerts.txt"],
        ["log", f"{tmp_path}/cryptomonitor.log"],
    ]
    announce(settings, with_api=False, quiet=False, psql="make psql")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["psql", "alerts"]


def test_files_that_can_be_made_are_fine_and_nothing_is_made(tmp_path: Path) -> None:
    settings = config.load(None, data_dir=tmp_path / "a" / "b", alerts_file=tmp_path / "c" / "alerts.txt")
    assert _files(settings).endswith("can be written")
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_made_are_named_with_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    good = {"data_dir": tmp_path, "alerts_file": tmp_path / "alerts.txt"}
    for bad, said in [
        ({"data_dir": tmp_path / "file"}, f"DATA_DIR: {tmp_path}/file is a file, and should be a folder"),
        ({"data_dir": tmp_path / "file" / "x" / "y"}, f"DATA_DIR: {tmp_path}/file is a file, and should be a folder"),
        ({"alerts_file": tmp_path / "file" / "x"}, f"ALERTS_FILE: {tmp_path}/file is a file, and should be a folder"),
        ({"alerts_file": tmp_path}, f"ALERTS_FILE={tmp_path}: is a folder; name a file in it"),
    ]:
        with pytest.raises(CannotWrite) as caught:
            _files(config.load(None, **{**good, **bad}))
        assert str(caught.value) == said


def test_a_new_demo_takes_away_what_the_last_one_left_and_nothing_else(tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    for name in ("alerts.txt", "alerts.txt.1", "data/status.json", "data/postgres/PG_VERSION", "data/lock"):
        path = demo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "real").write_text("real")
    _clear(demo)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "data/real",
        "demo/data/lock",
    ]


def test_a_demo_has_rules_of_its_own_and_no_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is real, in the environment or in alerts/, neither ends it nor hears of what is SYNTHETIC."""
    (tmp_path / "alerts").mkdir()
    (tmp_path / "demo").mkdir()
    real = tmp_path / "alerts" / "rules.toml"
    real.write_text('[[rule]]\nname = "x"\nwhen = "price > 1"\nchannels = ["phone"]\n')
    (tmp_path / "demo" / "rules.toml").symlink_to(real)
    for key, value in {"RULES_FILE": real, "NOTIFY_URLS": "phone=json://me@example.org", "NOTIFY_ALLOW": "?"}.items():
        monkeypatch.setenv(key, str(value))
    started: list[config.Settings] = []
    monkeypatch.setattr(demo_command, "start", lambda settings, **_: started.append(settings))
    for _ in range(2):
        assert CliRunner().invoke(demo_command.command).exit_code == 0
        settings = started.pop()
        assert (settings.notify_urls.get_secret_value(), settings.notify_allow) == ("", "")
        assert settings.rules_file == Path("demo", "rules.toml")
        assert settings.rules_file.read_bytes() == rules_file.SHIPPED.read_bytes()
        settings.rules_file.write_text("# what somebody played with\n")
    assert "phone" in real.read_text()


def test_a_demo_that_runs_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "alerts.txt").write_text("of the one that runs")
    with instance_lock(tmp_path / "data"), pytest.raises(AlreadyRunning):
        _clear(tmp_path)
    assert (tmp_path / "alerts.txt").exists()
