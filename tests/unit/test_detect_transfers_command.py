"""``python -m app detect-transfers``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.detect_transfers import command
from app.errors import ConfigurationError

CSV = """tx_id,wallet_id,time,direction,amount,asset,fee
a,kraken,2026-01-01 10:00,out,5.3,BTC,0.1
b,ledger,2026-01-01 10:12,in,5.2,BTC,
c,kraken,2026-01-01 11:00,out,1,ETH,
d,ledger,2026-01-01 11:01,in,1,ETH,
e,trezor,2026-01-01 11:01,in,1,ETH,
f,kraken,2026-01-01 12:00,out,3,BTC,
"""


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(command, list(arguments), input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "transactions.csv"
    path.write_text(CSV)
    return path


def test_pairs_are_printed_with_their_reasons_and_what_is_left_too(file: Path) -> None:
    result = run(str(file))
    assert result.output == (
        "OUT         IN          WHY\n"
        "a (kraken)  b (ledger)  5.3 BTC left kraken and 5.2 came (as the fee says) to ledger 12m later;"
        " neither fits any other\n"
        "ambiguous: c (kraken) to d (ledger), e (trezor):"
        " 1 out and 2 ins make 1 transfer in several ways that are equally good\n"
        "left over: out f (kraken): no in of that amount\n"
        "1 transfer, 1 ambiguous group, 1 transaction left over\n"
    )
    assert result.exit_code == 0


def test_json_is_what_the_api_answers(file: Path) -> None:
    found = json.loads(run(str(file), "--json").output)
    assert found["pairs"] == [["a", "b"]]
    assert found["transfers"][0]["in"] == {"index": 1, "tx_id": "b", "wallet_id": "ledger"}
    assert found["ambiguous"][0]["candidates"] == [[2, 3], [2, 4]]
    assert found["left_over"] == [
        {"index": 5, "tx_id": "f", "wallet_id": "kraken", "direction": "out", "why": "no in of that amount"}
    ]


def test_standard_input_can_be_json() -> None:
    text = '[["a", "A", "2026-01-01 10:00", "out", 1], ["b", "B", "2026-01-01 09:59", "in", 0.99]]'
    result = run("-", "--window", "1h", "--order-slack", "1m", "--tolerance", "1%", stdin=text)
    assert "a (A)  b (B)  1 left A and 0.99 came (within the tolerance) to B 1m before" in result.output


def test_the_terms_are_as_given(file: Path) -> None:
    assert run(str(file), "--window", "10m").output.endswith(
        "0 transfers, 1 ambiguous group, 3 transactions left over\n"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--window", "1"], r"^--window=1: should be a length of time like 30s, 90m, 24h or 7d, at most 366d$"),
        (["--order-slack=x"], r"^--order-slack=x: should be a length of time"),
        (["--tolerance", "0.5"], r"^--tolerance=0\.5: should be a share like 0%, 0\.5% or 2%"),
    ],
)
def test_a_bad_option_is_a_configuration_error(arguments: list[str], reason: str, file: Path) -> None:
    result = run(str(file), *arguments)
    assert isinstance(result.exception, ConfigurationError)
    with pytest.raises(ConfigurationError, match=reason):
        raise result.exception


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[[1]]", r"t\.csv: transactions\[0\]: has 1 elements"),
        (CSV.replace("5.3", "much").encode(), r"t\.csv: transactions\[0\]\.amount: should be a number greater than 0"),
        (b"", r"t\.csv: the whole: is no JSON"),
        (b"\xff\xfe", r"t\.csv: is not UTF-8"),
        (None, r"t\.csv: cannot be read \(No such file or directory\)"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong_in_it(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    result = run(str(path))
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.exit_code == 78
    with pytest.raises(ConfigurationError, match=reason):
        raise result.exception
