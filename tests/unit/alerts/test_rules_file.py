"""The rules file: what is read, and what is refused, with its place and why."""

from __future__ import annotations

import functools
import math
import re
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.alerts import rules_file
from app.alerts.language import parse as condition
from app.alerts.rules import Rule, RuleSet
from app.errors import ConfigurationError

SHIPPED = rules_file.SHIPPED
REPOSITORY = Path(__file__).parents[3]


def read(text: str, channels: Collection[str] | None = None) -> RuleSet:
    return rules_file.parse(text, "r.toml", channels=channels, default_market="coingecko")


def refused(text: str, channels: Collection[str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(text, channels)
    return str(caught.value).splitlines()


def rule_with(line: str) -> str:
    return f'[[rule]]\nname = "x"\nwhen = "price > 1"\n{line}\n'


# What is shipped.


def test_what_is_shipped_to_be_edited_is_what_the_demo_has() -> None:
    """As it was committed: whoever runs this may have edited it."""
    command = ["git", "show", "HEAD:alerts/rules.toml"]
    try:
        shown = subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no clone of the repository")
    assert shown == SHIPPED.read_text(encoding="utf-8")


def test_the_shipped_file_has_the_two_rules_of_the_contract_active() -> None:
    rules = rules_file.load(SHIPPED, channels=(), default_market="coingecko")
    assert rules == RuleSet(
        (
            Rule("price-2pct-5m", condition("abs(price / avg(price, 5m) - 1) > 2%")),
            Rule("volume-2pct-5m", condition("abs(volume / avg(volume, 5m) - 1) > 2%")),
        )
    )


def test_the_rules_that_are_asleep_in_the_shipped_file_are_good() -> None:
    text = re.sub(r"^#(?=\S)", "", SHIPPED.read_text(encoding="utf-8"), flags=re.MULTILINE)
    rules = {rule.name: rule for rule in read(text, channels=()).rules}
    assert list(rules)[2:] == ["price-3x-1h", "volume-3x-1h", "no-data-2m", "price-4-sigma-1h"]
    assert str(rules["volume-3x-1h"].when) == "volume > 3 * avg(volume,1h)"
    assert rules["price-3x-1h"].keep == rules["volume-3x-1h"].keep == 3600
    assert rules["no-data-2m"].on_clock


# What is good.


def test_every_option_is_read() -> None:
    rules = read(
        """
        [[rule]]
        name = "All.of_them-1"
        when = "price > 70000"
        clear = "price < 69000"
        for = "30s"
        keep_firing_for = "5m"
        repeat = "1h"
        symbols = ["btc", "*@Kraken", "ETH-eur@*"]
        channels = ["ops", "phone"]
        severity = "critical"
        [severity.critical]
        channels = ["phone"]
        [severity.info]
        channels = []
        """,
        channels=["ops", "phone"],
    )
    assert rules.rules == (
        Rule(
            "All.of_them-1",
            when=condition("price > 70000"),
            hold=30,
            repeat=3600,
            clear=condition("price < 69000"),
            keep=300,
            symbols=("BTC", "*@kraken", "ETH-EUR@*"),
            channels=("ops", "phone"),
            severity="critical",
        ),
    )
    assert rules.routes == {"critical": ("phone",), "info": ()}


def test_what_is_left_out_is_as_usual() -> None:
    assert read(rule_with("")).rules == (Rule("x", condition("price > 1")),)


def test_an_empty_file_has_no_rules() -> None:
    assert read("") == RuleSet()


@pytest.mark.parametrize(("text", "repeat"), [('repeat = "0s"', 0), ("", None)])
def test_repeating_at_every_tick_is_not_the_same_as_never(text: str, repeat: float | None) -> None:
    assert read(rule_with(text)).rules[0].repeat == repeat


@pytest.mark.parametrize(
    ("pattern", "stored", "selects", "passes_by"),
    [
        ("BTC", "BTC", ["BTC"], ["BTC-EUR", "BTC@kraken", "ETH"]),
        ("btc-usd", "BTC", ["BTC"], ["BTC-EUR"]),
        ("BTC@coingecko", "BTC", ["BTC"], ["BTC@kraken"]),
        ("*", "*", ["BTC", "BTC-EUR@kraken"], []),
        ("*@coingecko", "*@", ["BTC", "ETH-EUR"], ["BTC@kraken"]),
        ("*@", "*@", ["BTC", "ETH-EUR"], ["BTC@kraken"]),
        ("*@kraken", "*@kraken", ["BTC@kraken", "BTC-EUR@kraken"], ["BTC", "BTC@coinbase"]),
        ("BTC-EUR@*", "BTC-EUR@*", ["BTC-EUR", "BTC-EUR@kraken"], ["BTC", "BTC@kraken"]),
        ("BTC-*@*", "BTC-*@*", ["BTC-EUR", "BTC-GBP@kraken"], ["BTC", "ETH-EUR"]),
        ("BTC@all", "BTC@all", ["BTC@all"], ["BTC"]),
    ],
)
def test_a_pattern_selects_symbols(pattern: str, stored: str, selects: list[str], passes_by: list[str]) -> None:
    (rule,) = read(rule_with(f'symbols = ["{pattern}"]')).rules
    assert rule.symbols == (stored,)
    assert [symbol for symbol in selects + passes_by if rule.selects(symbol)] == selects


# What is not.


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("for = 30", 'for: 30 should be a length of time in quotes: "30s", "5m", "1h" or "7d"'),
        ('for = "1.5h"', "for: '1.5h' should be a length of time"),
        ('repeat = "366d"', "repeat: '366d' is longer than 365d"),
        ('clear = "price > 5m"', "clear: 5m is a length of time, price is money in the quote currency"),
        ("clear = 5", "clear: 5 should be a condition in quotes"),
        ('clear = "1 > 2"', "clear: looks at nothing"),
        ('symbols = "BTC"', "symbols: 'BTC' should be a list of texts in quotes, such as"),
        ("symbols = [1]", "symbols: this should be a list of texts"),
        ("symbols = []", "symbols: names none; left out it is every symbol"),
        ('symbols = ["B?C"]', "symbols: 'B?C' should be a symbol, with * for any text"),
        ('symbols = ["ſol"]', "symbols: 'ſol' should be a symbol"),
        ('symbols = ["*-USD"]', "symbols: '*-USD': symbols in USD do not name it"),
        ('channels = ["Ops!"]', "channels: 'Ops!' is no name of a channel"),
        ('channels = ["night"]', "channels: there is no channel night; there are ops, phone"),
        ('severity = "high"', "severity: 'high' should be one of info, warning, critical"),
        ('sybmols = ["BTC"]', "sybmols: means nothing here; did you mean symbols?"),
        ("x = 1", "x: means nothing here; there are name, when, for,"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_its_rule_and_why(line: str, reason: str) -> None:
    (error,) = refused(rule_with(f"\n  {line}"), channels=("ops", "phone"))
    assert error.startswith("r.toml:5:")
    assert f": rule x: {reason}" in error
    assert error.isprintable()


def test_what_is_wrong_is_one_line_whatever_stands_in_it() -> None:
    (error,) = refused(rule_with(r'"a\nb\u001b" = 1'))
    assert error.startswith(r"r.toml:1:1: rule x: 'a\nb\x1b': means nothing here")


def test_what_is_no_condition_has_the_column_of_the_file() -> None:
    (error,) = refused('[[rule]]\nname = "x"\n  when = "price > 5m"  # so\n')
    assert error.startswith("r.toml:3:19: rule x: when: 5m is a length of time, price is money in the quote currency")


@pytest.mark.parametrize(
    ("value", "line", "column"),
    [
        ("'price > 5m'", 3, 17),
        (r'"\u0070r\U00000069ce >\t5m"', 3, 32),
        ('"""price > 5m"""', 3, 19),
        ('"""\nprice\n > 5m"""', 5, 4),
        ("'''\nprice\n > 5m'''", 5, 4),
        ('"""price \\\n   > 5m"""', 4, 6),
        ('"""price > ""5m"""', 3, 19),
        ('"price >"', 3, 16),
    ],
)
def test_the_place_in_a_text_of_any_kind_is_that_of_the_file(value: str, line: int, column: int) -> None:
    (error,) = refused(f'[[rule]]\nname = "x"\nwhen = {value}\nfor = "5m"\n')
    assert error.startswith(f"r.toml:{line}:{column}: rule x: when: ")


def test_what_looks_like_a_header_in_a_text_or_a_comment_is_none() -> None:
    quoted = '# [[rule]]\n[[rule]]\nname = "x"\nwhen = """\n[[rule]]\nwhen = "price"\n"""\n'
    errors = refused(quoted + '[[rule]]\nname = "y"\nwhen = "prise > 1"')
    assert [error.split(" ")[0] for error in errors] == ["r.toml:5:1:", "r.toml:10:9:"]


def test_a_value_of_several_lines_hides_nothing_that_follows_it() -> None:
    errors = refused('[[rule]]\nname = "x"\nsymbols = [  # two\n  "BTC",\n[]]\n\nwhen = "price > 5m"\n')
    assert [error.split(" ")[0] for error in errors] == ["r.toml:3:1:", "r.toml:7:17:"]


def test_a_rule_in_another_form_has_the_place_that_is_known() -> None:
    (error,) = refused('a = "["\n[severity]\n')
    assert error.startswith("r.toml:1:1: a: means nothing here")
    (error,) = refused('\nrule = [{name = "x", when = "price > 5m"}]')
    assert error.startswith("r.toml:2:1: rule x: when: line 1, column 9: 5m is")


def test_all_that_is_wrong_is_said_at_once_in_the_order_of_the_file() -> None:
    errors = refused(
        '[severity.critical]\nchannels = ["night"]\n'
        '[[rule]]\nname = "a"\nwhen = "price >"\nfor = 5\n'
        '[[rule]]\nname = "a b"\n'
        '[[rule]]\nwhen = "price > 1"\n',
        channels=(),
    )
    assert errors == [
        "r.toml:2:1: severity critical: channels: there is no channel night; NOTIFY_URLS names none",
        "r.toml:5:16: rule a: when: something is missing at the end: a number, or a term such as price",
        'r.toml:6:1: rule a: for: 5 should be a length of time in quotes: "30s", "5m", "1h" or "7d"',
        "r.toml:7:1: rule a b: has no when",
        "r.toml:8:1: rule a b: name: 'a b' should be 1 to 60 of a to z, A to Z, 0 to 9, . _ and -",
        "r.toml:9:1: rule 3: has no name",
    ]


def test_a_name_stands_once() -> None:
    (error,) = refused(rule_with("") + rule_with(""))
    assert error == "r.toml:6:1: rule x: another of this name is in line 2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[rule]\nname = 'x'", "r.toml:1:1: rule: should be tables: each rule begins with a line [[rule]]"),
        ("rule = 5", "r.toml:1:1: rule: should be tables"),
        ("[[rules]]\n", "r.toml:1:1: rules: means nothing here; did you mean rule?"),
        ("severity = 5", "r.toml:1:1: severity: should be tables, such as [severity.critical]"),
        ("[severity.hihg]\nchannels = []", "r.toml:1:1: severity hihg: means nothing here; there are info, warning"),
        ("\n[severity.info]\n", 'r.toml:2:1: severity info: should have channels = ["name"]'),
        ("[severity.info]\nchannels = 'a'", "r.toml:2:1: severity info: channels: 'a' should be a list"),
        ("[severity.info]\nchannels = []\nchanels = []", "r.toml:3:1: severity info: chanels: means nothing here; did"),
        ("a = = 1", "r.toml:1:5: is not TOML: Invalid value"),
        ("[[rule]]\nname = 'x", "r.toml:2:10: is not TOML: "),
        ("[[rule]]\nname = 'x'\nname = 'y'\n", "r.toml:3:11: is not TOML: Cannot overwrite a value"),
        ("a = " + "[" * 100_000, "r.toml: is nested too deeply"),
        ("a = " + "9" * 5000, "r.toml: a value in it cannot be read: Exceeds the limit (4300 digits)"),
        ("[severity.info]\nchannels = 0x" + "f" * 5000, "r.toml:2:1: severity info: channels: this should be a list"),
    ],
)
def test_a_file_that_is_something_else(text: str, reason: str) -> None:
    (error,) = refused(text)
    assert error.startswith(reason)


def test_more_than_a_thousand_rules_are_refused() -> None:
    (error,) = refused("[[rule]]\n" * 1001)
    assert error == "r.toml:1001:1: rule: there are 1001, and at most 1000 may be"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["[[rule]]", "[rule]", 'name = "a"', "name = 'b'", 'when = "price > 1"', 'when = """', '"""', "for = [",
             "]", "# '", "severity.info = {channels = []}", 'x = "\\"', "when = '''price >\n5m'''", "rule = [{}]"]
        ),
        max_size=8,
    ).map("\n".join)
)  # fmt: skip
def test_any_file_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except ConfigurationError as error:
        assert all(line.startswith("r.toml:") for line in str(error).splitlines())


# Files.


def test_a_file_is_read_with_the_ends_of_lines_of_any_system(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_bytes(b'[[rule]]\r\nname = "x"\r\nwhen = """\r\nprice\r\n> 5m"""\r\n')
    with pytest.raises(ConfigurationError, match=r"r\.toml:5:3: rule x: when: 5m is"):
        rules_file.load(file, default_market="coingecko")


def test_a_file_may_begin_with_the_mark_that_some_editors_put_there(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(rule_with(""), encoding="utf-8-sig")
    assert rules_file.load(file, default_market="coingecko") == read(rule_with(""))
    file.write_text('x = 1\n[[rule]]\nname = "é"', encoding="utf-8-sig")
    with pytest.raises(ConfigurationError, match=r"r\.toml:1:1: x: means nothing here"):
        rules_file.load(file, default_market="coingecko")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no such file; RULES_FILE names the one with the rules"),
        (b"\xff", "is not UTF-8 text"),
        (b"#" * 1_000_001, "has more than 1 MB"),
    ],
)
def test_a_file_that_cannot_be_used(content: bytes | None, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"r.toml: {reason}"):
        rules_file.load(file, default_market="coingecko")


def test_a_folder_is_no_rules_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        rules_file.load(tmp_path, default_market="coingecko")


# Rules that are kept elsewhere.


def test_a_rule_is_made_of_the_same_keys_in_json() -> None:
    rule = rules_file.rule_from(
        {"name": "x", "when": "price > 1", "for": "30s", "clear": None, "symbols": ["*@coingecko"]},
        default_market="coingecko",
    )
    assert rule == Rule("x", condition("price > 1"), hold=30, symbols=("*@",))
    assert rules_file.rule_from(rule.definition, default_market="coingecko") == rule


DEEP: list[Any] = functools.reduce(lambda inner, _: [inner], range(10_000), [])
BEYOND_REASON = [
    *(math.nan, math.inf, 10**5000, -(10**5000), True, "\ud800", "\0", "*" * 100_000, "9" * 5000 + "s", DEEP, [DEEP]),
    *([math.nan], [None], ["\ud800"], [[]], {}, {"a": []}, 0.5, "", [""], "(" * 1900, "not " * 450 + "price > 1"),
    *("-" * 1900 + "price > 1", "price > " + "9" * 1900, "price > 1e999", "age > " + "9" * 1900 + "d"),
    *("avg(price, " + "9" * 1900 + "s) > 1", "price" + " + price" * 200 + " > 1"),
]


@pytest.mark.parametrize(
    "key", ["when", "name", "for", "clear", "keep_firing_for", "repeat", "symbols", "channels", "severity", "\ud800"]
)
def test_a_rule_that_is_kept_elsewhere_is_refused_in_words_whatever_stands_in_it(key: str) -> None:
    for value in BEYOND_REASON:
        # What follows has no part in it, and may be beyond reason, too.
        definition = {"name": "x", "when": "price > 1", "severity": 10**5000, key: value}
        with pytest.raises(ConfigurationError) as caught:
            rules_file.rule_from(definition, channels=("ops",), default_market="coingecko")
        lines = str(caught.value).splitlines()
        assert all(line.isprintable() and len(line) < 400 for line in lines)
        assert key == "severity" or "severity: this should be one of info, warning, critical" in lines[-1]


def test_a_rule_that_is_kept_elsewhere_is_refused_with_all_reasons() -> None:
    with pytest.raises(ConfigurationError) as caught:
        rules_file.rule_from({"name": "x", "when": "price\n > 5m", "fro": 1}, default_market="coingecko")
    assert str(caught.value).splitlines() == [
        "rule x: fro: means nothing here; did you mean for?",
        "rule x: when: line 2, column 4: 5m is a length of time, price is money in the quote currency: "
        "they cannot be compared",
    ]
