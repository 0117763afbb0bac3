"""``python -m app rules check``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.rules import command
from app.errors import ConfigurationError

FILE = """
[[rule]]
name = "high"
when = "price > 70_000"
clear = "price < 69000"
for = "90s"
keep_firing_for = "300s"
repeat = "0s"
symbols = ["BTC", "*@coingecko"]
channels = []
severity = "critical"
[[rule]]
name = "quiet"
when = "age > 2m"
[severity.critical]
channels = ["ops"]
"""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rules file, in a folder without a .env; the one of RULES_FILE too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RULES_FILE", "rules.toml")
    monkeypatch.setenv("NOTIFY_URLS", "ops=jsons://hooks.example.org/crypto")
    path = tmp_path / "rules.toml"
    path.write_text(FILE)
    return path


def check(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["check", *arguments])


def test_rules_are_printed_as_they_are_understood(rules: Path) -> None:
    result = check()
    assert result.output == (
        "high\n"
        "  when            price > 70000\n"
        "  clear           price < 69000\n"
        "  for             90s\n"
        "  keep_firing_for 5m\n"
        "  repeat          0s\n"
        "  symbols         BTC, *@coingecko\n"
        "  channels        none\n"
        "  severity        critical\n"
        "quiet\n"
        "  when            age > 2m\n"
        "severity critical\n"
        "  channels        ops\n"
        "2 rules, all good\n"
    )
    assert result.exit_code == 0


def test_another_file_can_be_named(rules: Path) -> None:
    other = rules.with_name("other.toml")
    other.write_text('[[rule]]\nname = "x"\nwhen = "price > 1"\n')
    assert check(str(other)).output.endswith("1 rule, all good\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[[rule]]\nname = "x"\nwhen = "price > 5m"\n', r"^rules\.toml:3:17: rule x: when: 5m is a length of time"),
        (rf"{FILE}[severity.info]" '\nchannels = ["phone"]\n', "there is no channel phone; there are ops$"),
    ],
)
def test_what_is_wrong_ends_it_as_a_configuration_error(content: str, reason: str, rules: Path) -> None:
    rules.write_text(content)
    result = check()
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.exit_code == 78
    with pytest.raises(ConfigurationError, match=reason):
        raise result.exception
